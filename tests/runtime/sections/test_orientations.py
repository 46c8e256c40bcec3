"""The paper's twenty orientations, and colours against orix."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from microrun.runtime.sections.orientations import (
    TABLE_1,
    build_directions,
    colour_directions,
    ipf_colours,
    paint_orientations,
)

vectors = arrays(np.float64, 3, elements=st.floats(-1, 1)).filter(lambda v: np.linalg.norm(v) > 1e-3)


def test_table_1_is_the_papers() -> None:
    assert TABLE_1.shape == (20, 3)
    np.testing.assert_allclose(np.rad2deg(TABLE_1[0]), [288.268, 99.553, 355.990], atol=5e-4)
    with pytest.raises(ValueError, match="read-only"):
        TABLE_1[0] = 0


def test_build_directions_are_those_of_orix() -> None:
    from orix.quaternion import Orientation
    from orix.vector import Vector3d

    expected = (Orientation.from_euler(TABLE_1) * Vector3d.zvector()).data
    np.testing.assert_allclose(build_directions(TABLE_1), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("direction", "colour"), [((0, 0, 1), (1, 0, 0)), ((0, -1, 1), (0, 1, 0)), ((1, 1, -1), (0, 0, 1))]
)
def test_corners_are_red_green_blue(direction: tuple[float, ...], colour: tuple[float, ...]) -> None:
    np.testing.assert_allclose(colour_directions(np.array(direction, float)), colour, atol=1e-7)


@given(vectors, st.permutations(range(3)), st.tuples(*[st.sampled_from((-1, 1))] * 3), st.floats(0.1, 10))
def test_symmetry_changes_no_colour(
    vector: np.ndarray, order: list[int], signs: tuple[int, ...], length: float
) -> None:
    colour = colour_directions(vector)
    assert ((colour >= 0) & (colour <= 1)).all()
    assert colour.max() == 1
    np.testing.assert_allclose(colour_directions(vector[order] * signs * length), colour, atol=1e-6)


def test_colours_are_near_those_of_orix_and_apart() -> None:
    from orix.plot import IPFColorKeyTSL
    from orix.quaternion import Orientation
    from orix.quaternion.symmetry import Oh

    theirs = IPFColorKeyTSL(Oh).orientation2color(Orientation.from_euler(TABLE_1, symmetry=Oh))
    ours = ipf_colours(TABLE_1)
    assert np.abs(ours - theirs).max() < 0.2
    assert np.abs(ours - theirs).mean() < 0.06
    distances = np.linalg.norm(ours[:, None] - ours, axis=-1) + np.eye(20)
    assert distances.min() * 255 > 30


def test_paint_is_white_where_nothing_is_indexed() -> None:
    picture = paint_orientations(np.array([[3, -1]], np.int8), TABLE_1)
    np.testing.assert_allclose(picture[0, 0], ipf_colours(TABLE_1[3]))
    np.testing.assert_array_equal(picture[0, 1], 1)
