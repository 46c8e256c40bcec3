"""Which grain cells belong to, against a slow walk and scipy's pieces."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from solidification_oracles import inherit

from microrun.kernels.inheritance import NONE, inherit_grains


def draw_case(seed, shape, orientations, known):
    rng = np.random.default_rng(seed)
    orientation = rng.integers(0, orientations, shape).astype(np.int8)
    ids = np.where(rng.random(shape) < known, orientation.astype(np.int32) + 10 * rng.integers(0, 3, shape), NONE)
    return orientation, ids.astype(np.int32)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.tuples(*[st.integers(1, 6)] * 3), st.integers(1, 4), st.sampled_from([0, 0.1, 0.6, 1]))
def test_cells_go_to_the_nearest_grain_of_their_orientation(seed, shape, orientations, known):
    orientation, ids = draw_case(seed, shape, orientations, known)
    expected, expected_next = inherit(orientation, 100, ids)
    assert inherit_grains(orientation, 100, ids) == expected_next
    assert np.array_equal(ids, expected)


def test_without_known_cells_grains_are_the_pieces_of_orientations():
    orientation, ids = draw_case(5, (8, 9, 10), 3, 0)
    count = inherit_grains(orientation, 0, ids)
    assert count == sum(ndimage.label(orientation == one)[1] for one in range(3))
    for one in range(3):
        pieces, _ = ndimage.label(orientation == one)
        pairs = {(int(piece), int(grain)) for piece, grain in zip(pieces[pieces > 0], ids[pieces > 0], strict=True)}
        assert len(pairs) == pieces.max()


def test_known_cells_keep_their_grain_and_places_without_material_have_none():
    orientation = np.array([[[0, 0, -1, 0, 1]]], np.int8)
    ids = np.array([[[7, NONE, NONE, NONE, NONE]]], np.int32)
    assert inherit_grains(orientation, 20, ids) == 22
    assert ids.tolist() == [[[7, 7, NONE, 20, 21]]]
