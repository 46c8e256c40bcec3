"""Whole reports: conditions matched, what does not belong together refused, tables that hold every number."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from section_sets import draw_cells, make_set

from microrun.runtime.errors import SectionsError
from microrun.runtime.progress import finish
from microrun.runtime.sections.measures import MEASURES
from microrun.runtime.sections.report import Condition, Report, report_sections
from microrun.runtime.sections.report_tables import condition_rows, overall_rows, to_csv, to_json
from microrun.runtime.sections.section_set import SectionSet


def make_sections(n_seeds: tuple[int, ...], power: tuple[float, ...], seed: int = 0, each: int = 8) -> SectionSet:
    """``each`` sections of every power, of two cases, with so many cells."""
    cells = np.concatenate([draw_cells((each, 40, 48), n, seed + k) for k, n in enumerate(n_seeds)])
    case = np.repeat(np.arange(2 * len(power)), each // 2).astype(np.int32)
    return make_set(cells, power_w=np.repeat(np.array(power, float), each), case=case)


@pytest.fixture(scope="module")
def compared() -> Report:
    own = make_sections((40, 15, 40), (100, 150, 200))
    reference = make_sections((40, 40, 40), (150, 100.0000001, 300), seed=50)
    return finish(report_sections(own, reference))


def test_conditions_are_matched_and_the_others_named(compared: Report) -> None:
    assert [one.condition for one in compared.conditions] == [Condition(p, 0.9) for p in (100, 150, 200)]
    assert [bool(one.compared) for one in compared.conditions] == [True, True, False]
    assert list(compared.unmatched) == [Condition(200, 0.9), Condition(300, 0.9)]
    assert (compared.conditions[0].sections, compared.conditions[0].cases) == (8, 2)
    assert compared.reference is not None
    np.testing.assert_array_equal(compared.shared(compared.own), np.arange(16))
    np.testing.assert_array_equal(compared.shared(compared.reference), np.arange(16))


def test_what_differs_is_far_and_what_does_not_is_near(compared: Report) -> None:
    same, other = compared.conditions[:2]
    for name in MEASURES:
        near, far = (one.compared[name].estimate("wasserstein").value for one in (same, other))
        if name != "aspect":
            assert far > 2 * near
    assert same.distance is not None
    assert other.distance is not None
    assert other.distance.value > 10 * abs(same.distance.value)
    mean = compared.overall["area_um2"].estimate("mape").value
    assert mean == pytest.approx(np.mean([one.compared["area_um2"].estimate("mape").value for one in (same, other)]))


def test_a_set_beside_itself_differs_in_nothing() -> None:
    own = make_sections((30,), (150,))
    report = finish(report_sections(own, own))
    for one in report.overall.values():
        assert one.estimate("mae").value == one.estimate("mape").value == one.estimate("wasserstein").value == 0
    assert not report.unmatched


def test_mirrored_and_recoloured_sections_measure_the_same() -> None:
    own = make_sections((30,), (150,))
    mirrored = np.random.default_rng(0).permutation(20).astype(np.int8)[own.orientation[:, :, ::-1]]
    one, other = (
        finish(report_sections(each)) for each in (own, make_set(mirrored, power_w=own.power_w, case=own.case))
    )
    for name in MEASURES:
        assert one.conditions[0].means[name].value == pytest.approx(other.conditions[0].means[name].value)


def test_every_condition_has_draws_of_its_own() -> None:
    cells = draw_cells((6, 30, 30))
    own = make_set(np.concatenate([cells, cells]), power_w=np.repeat([100.0, 150.0], 6))
    one, other = finish(report_sections(own, own)).conditions
    assert one.means["area_um2"].value == other.means["area_um2"].value
    assert (one.compared["area_um2"].draws.mean != other.compared["area_um2"].draws.mean).any()


def test_the_lean_needs_the_distance_of_tracks() -> None:
    own = make_sections((30,), (150,))
    assert finish(report_sections(own)).conditions[0].leaning is None
    assert finish(report_sections(own, hatch_um=50.0)).conditions[0].leaning is not None
    assert finish(report_sections(own, hatch_um=500.0)).conditions[0].leaning is None


def test_grain_ids_count_if_both_have_them() -> None:
    cells = np.zeros((4, 20, 20), np.int8)
    cells[:, 10:] = 1
    ids = np.tile(np.arange(20, dtype=np.int32) // 5, (4, 20, 1)) + 10 * cells
    own = make_set(cells, grain=ids.astype(np.int32))
    assert finish(report_sections(own)).conditions[0].means["area_um2"].value == 10 * 5 * 4
    beside = finish(report_sections(own, make_set(cells)))
    assert not beside.by_id
    assert beside.conditions[0].means["area_um2"].value == 10 * 20 * 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"plane": "along"}, "lie across the tracks, those of the reference along"),
        ({"step_um": 1.0}, "40×48 cells of 2 µm, those of the reference 40×48 cells of 1 µm"),
        ({"power_w": np.full(8, 90.0)}, "it has 90 W, 0.9 m/s; the sections have 150 W, 0.9 m/s"),
        ({"orientation": draw_cells((8, 40, 40))}, "counts do not compare"),
    ],
)
def test_what_does_not_belong_together_is_refused(changes: dict[str, object], message: str) -> None:
    own = make_sections((30,), (150,))
    reference = {"orientation": own.orientation, "power_w": own.power_w, "case": own.case} | changes
    cells = reference.pop("orientation")
    assert isinstance(cells, np.ndarray)
    with pytest.raises(SectionsError, match=message):
        finish(report_sections(own, make_set(cells, **reference)))


def test_small_sections_are_refused() -> None:
    with pytest.raises(SectionsError, match="at least 16×16 cells to be measured; got 15×30"):
        finish(report_sections(make_set(draw_cells((2, 15, 30)))))


def test_tables_hold_every_number(compared: Report) -> None:
    titles, rows = condition_rows(compared)
    assert len(rows) == 3
    assert all(len(row) == len(titles) for row in rows)
    assert [row[0] for row in overall_rows(compared)] == [measure.short for measure in MEASURES.values()]
    lines = list(csv.DictReader(io.StringIO(to_csv(compared))))
    first = next(one for one in lines if one["quantity"] == "MAPE, %" and one["condition"] == "150 W, 0.9 m/s")
    expected = compared.conditions[1].compared["horizontal_um"]
    assert float(first["value"]) == pytest.approx(expected.estimate("mape").value, rel=1e-6)
    assert float(first["by_chance"]) == pytest.approx(expected.chance("mape"), rel=1e-6)
    whole = json.loads(to_json(compared, {"file": "a.h5"}))
    assert whole["file"] == "a.h5"
    assert len(whole["numbers"]) == len(lines)
    histogram = whole["histograms_a_section"]["area_um2"]
    measured = compared.own.samples["area_um2"]
    assert sum(histogram["sections"]) == pytest.approx((measured.section < 16).sum() / 16, abs=1e-3)


def test_one_seed_gives_the_same_report(compared: Report) -> None:
    own = make_sections((40, 15, 40), (100, 150, 200))
    reference = make_sections((40, 40, 40), (150, 100.0000001, 300), seed=50)
    assert to_csv(finish(report_sections(own, reference))) == to_csv(compared)


@pytest.mark.parametrize(("origin", "shrinks"), [("sample", 1.0), ("simulation", 0.5**0.5)])
def test_samples_of_one_number_are_drawn_together(origin: str, shrinks: float) -> None:
    cells = draw_cells((8, 24, 24))
    power = np.repeat([100.0, 150.0], 8)
    own = make_set(np.concatenate([cells, cells]), power_w=power, origin=origin)
    report = finish(report_sections(own, make_set(np.concatenate([cells, cells]), power_w=power)))
    alone = report.conditions[0].compared["area_um2"].draws.mean.std()
    assert report.overall["area_um2"].draws.mean.std() == pytest.approx(shrinks * alone, rel=0.1)
