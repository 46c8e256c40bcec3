"""What is seen of a volume, against steps along lines of sight."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from microrun.runtime.pictures.isometric import (
    LEFT,
    NO_FACE,
    RIGHT,
    ROOT3,
    TOP,
    frame_of,
    look_at,
    project,
    sample_view,
)

Shape = tuple[int, int, int]
NOTHING = -1
STEP = 1e-2


def follow_line(across: float, up: float, volume: NDArray[np.int64], solid: NDArray[np.bool_]) -> int:
    """The first solid voxel on the line of sight through a point of the picture, in small steps."""
    depth = np.arange(volume.shape[0], -1 - max(volume.shape), -STEP) + STEP * 0.37
    places = np.stack([depth, depth - up + across / ROOT3, depth - up - across / ROOT3])
    inside = ((places >= 0) & (places < np.array(volume.shape)[:, None])).all(0)
    z, y, x = np.floor(places[:, inside]).astype(int)
    hits = np.flatnonzero(solid[z, y, x])
    return int(volume[z, y, x][hits[0]]) if hits.size else NOTHING


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.integers(1, 6)] * 3), st.integers(0, 2**31), st.floats(0.05, 1))
def test_every_pixel_shows_the_first_voxel_on_its_line(shape: Shape, seed: int, filled: float) -> None:
    solid = np.random.default_rng(seed).random(shape) < filled
    volume = np.arange(solid.size).reshape(shape)
    scale = 2.3  # so that pixels lie on no edge
    view = sample_view(look_at(volume, solid), scale)
    left, _, _, top = frame_of(shape)
    seen = np.where(view.faces == NO_FACE, NOTHING, view.values)
    expected = [
        [follow_line(left + (col + 0.5) / scale, top - (row + 0.5) / scale, volume, solid) for col in range(len(line))]
        for row, line in enumerate(seen)
    ]
    different = seen != np.array(expected)  # a step may jump over the edge of a voxel
    assert different.sum() <= max(1, 0.02 * different.size)


def test_a_voxel_shows_its_three_faces() -> None:
    view = sample_view(look_at(np.full((1, 1, 1), 7), np.ones((1, 1, 1), np.bool_)), 40)
    rows, cols = view.faces.shape
    assert (rows, cols) == (80, 70)
    assert view.faces[rows // 4, cols // 2] == TOP
    assert view.faces[rows * 5 // 8, cols * 3 // 4] == RIGHT
    assert view.faces[rows * 5 // 8, cols // 4] == LEFT
    assert view.faces[0, 0] == view.faces[-1, -1] == view.faces[0, -1] == NO_FACE
    areas = np.bincount(view.faces.ravel(), minlength=4)
    assert_array_equal(np.abs(areas[1:] - areas[1:].mean()) < 0.03 * areas[1:].mean(), True)


def test_corners_are_projected_to_the_ends_of_the_frame() -> None:
    shape = (3, 4, 5)
    left, right, bottom, top = frame_of(shape)
    assert project((0, 0, 5))[0] == left
    assert project((0, 4, 0))[0] == right
    assert project((0, 4, 5))[1] == bottom
    assert project((3, 0, 0))[1] == top
