"""Sections as they are drawn for training: exchanged, mirrored, split by case."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from make_denoisers import WINDOW
from make_sections import make_sections
from numpy.testing import assert_array_equal

from microrun.runtime.colour_codes import colour_codes
from microrun.runtime.errors import MicrorunError
from microrun.runtime.sections.section_set import Plane, SectionSet
from microrun.training.diffusion.sections import SectionDraws, identify_sections, split_cases

CODES = colour_codes(20, 5)


def draws(sections: SectionSet, seed: int = 3) -> SectionDraws:
    return SectionDraws(sections, WINDOW, CODES, seed)


def same_up_to_numbers(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two sections differ by an exchange of orientations at most."""
    pairs = set(zip(one.ravel().tolist(), other.ravel().tolist(), strict=True))
    return len(pairs) == len({first for first, _ in pairs}) == len({second for _, second in pairs})


@pytest.mark.parametrize("plane", ["across", "along"])
def test_a_drawn_section_is_one_of_the_set_with_its_orientations_exchanged(plane: Plane) -> None:
    sections = make_sections(cases=3, each=2, plane=plane)
    drawn, conditions = draws(sections).draw(range(60))
    assert drawn.dtype == np.uint8 and drawn.shape == (60, 16, 16) and drawn.max() < 20
    assert conditions.dtype == np.float32 and conditions.shape == (60, 2)
    seen = set()
    for one, condition in zip(drawn, conditions, strict=True):
        ways = {False: one, True: one[:, ::-1]}
        found = [
            (number, way) for number, section in enumerate(sections.orientation) for way, turned in ways.items()
            if same_up_to_numbers(turned, section)
        ]  # fmt: skip
        ((number, mirrored),) = found
        power, speed = sections.power_w[number], sections.speed_m_s[number]
        assert condition.tolist() == pytest.approx([(power - 150) / 50, (speed - 0.75) / 0.25], abs=1e-6)
        seen.add((number, mirrored))
    assert len(seen) == (12 if plane == "across" else 6)  # along the tracks none is mirrored


def test_draws_are_functions_of_seed_and_number() -> None:
    sections = make_sections()
    whole, conditions = draws(sections).draw(range(10))
    some, their = draws(sections).draw([7, 2])
    assert_array_equal(some, whole[[7, 2]])
    assert_array_equal(their, conditions[[7, 2]])
    assert not np.array_equal(draws(sections, 4).draw(range(10))[0], whole)


def test_cases_are_equally_likely_however_many_sections_they_have() -> None:
    sections = make_sections(cases=2, each=9).take(range(10))  # nine of one case, one of the other
    _, conditions = draws(sections).draw(range(400))
    assert 150 < (conditions[:, 0] < 0).sum() < 250


def test_every_exchange_of_orientations_is_as_likely() -> None:
    one = np.zeros((1, 4, 4), np.int8)
    sections = dataclasses.replace(make_sections(1, 1, 4), orientation=one, grain=None)
    drawn, _ = draws(sections).draw(range(2000))
    counts = np.bincount(drawn[:, 0, 0], minlength=20)
    assert np.square(counts - 100).sum() / 100 < 45  # χ² of 19 degrees of freedom, by chance once in a thousand


def test_cells_without_an_orientation_take_the_nearest() -> None:
    sections = make_sections(1, 1, 8, "along")
    holed = np.where(np.arange(8) < 4, np.int8(3), np.int8(7)) * np.ones((1, 8, 1), np.int8)
    holed[0, 2:4, 1], holed[0, 5, 6:] = -1, -1
    (drawn,), _ = draws(dataclasses.replace(sections, orientation=holed, grain=None)).draw([0])
    assert len(np.unique(drawn[:, :4])) == len(np.unique(drawn[:, 4:])) == 1 and drawn[0, 0] != drawn[0, 7]


def test_cases_are_held_out_as_a_whole() -> None:
    sections = make_sections(cases=6, each=4)
    trained, held = split_cases(sections, 2, seed=5)
    assert len(trained) == 16 and len(held) == 8
    assert not set(trained.case) & set(held.case) and set(trained.case) | set(held.case) == set(range(6))
    assert_array_equal(split_cases(sections, 2, seed=5)[1].case, held.case)
    assert len({tuple(split_cases(sections, 2, seed)[1].case) for seed in range(9)}) > 1
    with pytest.raises(MicrorunError, match="6 cases are too few: 6 are held out as a whole"):
        split_cases(sections, 6, seed=0)


def test_the_hash_knows_everything_that_is_trained_on() -> None:
    sections = make_sections()
    other = sections.orientation.copy()
    other[0, 0, 0] = (other[0, 0, 0] + 1) % 20
    changed = [
        dataclasses.replace(sections, orientation=other, grain=None),
        dataclasses.replace(sections, power_w=sections.power_w + 1),
        dataclasses.replace(sections, speed_m_s=sections.speed_m_s * 2),
        dataclasses.replace(sections, case=sections.case + np.int32(1)),
        dataclasses.replace(sections, plane="along"),
        dataclasses.replace(sections, step_um=1.0),
    ]
    assert len({identify_sections(one) for one in [sections, *changed]}) == 7
    assert identify_sections(make_sections()) == identify_sections(sections)
