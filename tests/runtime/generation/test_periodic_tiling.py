"""Tilings of periodic volumes against painting voxel by voxel around the corner."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from microrun.runtime.errors import VolumeError
from microrun.runtime.generation.overlaps import BLOCK
from microrun.runtime.generation.tiling import Region, Tiling, check_periodic, tile_anisotropic, tile_isotropic
from microrun.runtime.volumes.volume import Shape

FITTING = [n for n in range(40, 131) if n not in (*range(49, 60), *range(73, 80), *range(97, 100))]
SIDES = st.one_of(st.tuples(st.just(True), st.sampled_from(FITTING)), st.tuples(st.just(False), st.integers(BLOCK, 90)))
SHAPES = st.tuples(SIDES, SIDES, SIDES)


def tile(sides: tuple[tuple[bool, int], ...]) -> Tiling:
    (wrap_z, z), (wrap_y, y), (wrap_x, x) = sides
    return tile_isotropic((z, y, x), Region(wraps=(wrap_z, wrap_y, wrap_x)))


def places(tiling: Tiling, block: int) -> tuple[NDArray[np.int64], ...]:
    """Voxels of a block along each axis; beyond a face that is none −1."""
    along = []
    for corner, size, wrap in zip(tiling.corners[block], tiling.shape, tiling.wraps, strict=True):
        place = corner + np.arange(BLOCK)
        along.append(place % size if wrap else np.where(place < size, place, -1))
    return tuple(along)


def owners(tiling: Tiling) -> NDArray[np.int64]:
    """The first block that covers each voxel, with a plane beyond each upper face for what is none."""
    owner = np.full([size + 1 for size in tiling.shape], -1)
    for block in range(len(tiling) - 1, -1, -1):
        owner[np.ix_(*places(tiling, block))] = block
    owner[-1], owner[:, -1], owner[:, :, -1] = len(tiling), len(tiling), len(tiling)
    return owner


@given(SHAPES)
@settings(max_examples=25, deadline=None)
def test_every_voxel_has_an_owner_and_every_block_owns_some(sides: tuple[tuple[bool, int], ...]) -> None:
    tiling = tile(sides)
    owner = owners(tiling)[:-1, :-1, :-1]
    assert_array_equal(np.unique(owner), np.arange(len(tiling)))
    assert (np.diff(tiling.stages) >= 0).all()


@given(SHAPES)
@settings(max_examples=15, deadline=None)
def test_blocks_know_what_earlier_ones_gave_on_both_sides(sides: tuple[tuple[bool, int], ...]) -> None:
    tiling = tile(sides)
    owner = owners(tiling)
    for block in range(len(tiling)):
        before = owner[np.ix_(*places(tiling, block))]
        assert_array_equal(tiling.known_mask(block), before < block)
        assert set(np.unique(before[before < block])) <= set(tiling.dependencies(block).tolist())
        assert (tiling.stages[tiling.dependencies(block)] < tiling.stages[block]).all()
        assert (before[~tiling.known_mask(block)] >= block).all()
        numbered = np.zeros((BLOCK, BLOCK, BLOCK), np.int64)
        for of_volume, of_block in tiling.windows(block):
            numbered[of_block] = 1 + owner[of_volume]
        assert_array_equal(numbered, np.where(before == len(tiling), 0, before + 1))


def test_a_small_period_shows_one_block_on_both_sides() -> None:
    tiling = tile_isotropic((32, 32, 40), Region(wraps=(False, False, True)))
    assert_array_equal(tiling.corners, [[0, 0, 0], [0, 0, 20]])
    others, offsets = tiling.overlaps(1)
    assert (others.tolist(), offsets[:, 2].tolist()) == ([0, 0], [-20, 20])
    assert_array_equal(tiling.known_mask(1)[0, 0], [x < 12 or x >= 20 for x in range(BLOCK)])


@pytest.mark.parametrize("size", FITTING)
def test_neighbours_around_a_period_overlap_by_eight_voxels(size: int) -> None:
    tiling = tile_isotropic((32, 32, size), Region(wraps=(False, False, True)))
    corners = np.sort(tiling.corners[:, 2])
    steps = np.diff(np.append(corners, size))
    assert steps.max() <= BLOCK - 8
    assert (steps + np.roll(steps, 1)).min() >= BLOCK + 8  # what is drawn between two that know nothing of each other


def test_sizes_of_the_grid_need_no_more_blocks_than_without_a_period() -> None:
    assert len(tile_isotropic((96, 96, 96), Region(wraps=(True, True, True)))) == 64
    assert tile_isotropic((96, 96, 96), Region(wraps=(True, True, True))).outside_voxels == 0


@pytest.mark.parametrize(
    ("size", "said"),
    [(20, "take 40"), (32, "take 40"), (39, "take 40"), (49, "take 48 or 60"), (56, "take 48 or 60"),
     (75, "take 72 or 80"), (98, "take 96 or 100")],
)  # fmt: skip
def test_a_periodic_size_that_does_not_fit_names_the_nearest_that_do(size: int, said: str) -> None:
    with pytest.raises(VolumeError, match=rf"40 to 48, 60 to 72, .*; got y = {size}: {said}$"):
        check_periodic((64, size, 64), (True, True, False))
    check_periodic((size, 64, size), (False, True, False))


def test_sizes_that_fit_are_those_that_are_named() -> None:
    def fits(size: int) -> bool:
        try:
            check_periodic((size, 1, 1), (True, False, False))
        except VolumeError:
            return False
        return True

    assert [size for size in range(1, 131) if fits(size)] == FITTING
    assert all(map(fits, range(100, 3000)))


def test_the_anisotropic_order_is_not_periodic() -> None:
    with pytest.raises(VolumeError, match="the anisotropic order grows toward faces"):
        tile_anisotropic((64, 64, 64), Region(wraps=(False, True, True)))


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=10, deadline=None)
def test_known_voxels_leave_blocks_out_and_are_found(seed: int, periodic: bool) -> None:
    rng, shape = np.random.default_rng(seed), (60, 64, 40)
    known: NDArray[np.bool_] = np.zeros(shape, bool)
    low, high = np.sort(rng.integers(0, 61, 2))
    known[low:high, :, rng.integers(0, 40) :] = True
    known[0, 0, 0], known[-1, -1, 0] = True, False
    tiling = tile_isotropic(shape, Region(known=known, wraps=(periodic, False, periodic)))
    owner = owners(tiling)
    assert_array_equal(np.unique(owner[:-1, :-1, :-1][~known]), np.arange(len(tiling)))
    padded = np.pad(known, (0, 1))
    for block in range(len(tiling)):
        sees = padded[np.ix_(*places(tiling, block))].any() or len(tiling.dependencies(block)) > 0
        assert tiling.has_known[block] == sees


def test_only_blocks_that_reach_what_is_unknown_are_drawn() -> None:
    shape: Shape = (40, 40, 40)
    known = np.zeros(shape, bool)
    known[:, :, :36] = True
    tiling = tile_isotropic(shape, Region(known=known))
    assert_array_equal(np.unique(tiling.corners[:, 2]), [24])
