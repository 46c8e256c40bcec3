"""Blocks: colours that keep neighbours apart, turns that the physics allows, each a function of its number."""

from __future__ import annotations

from collections import Counter

import numpy as np
import potts_oracles as oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from microrun.runtime.colour_codes import colour_values, nearest_colours
from microrun.runtime.errors import MicrorunError
from microrun.training.diffusion.blocks import (
    Blocks,
    BlockSettings,
    Labels,
    colour,
    cut,
    number_grains,
    scale_ids,
    turn,
)
from microrun.training.simulate.potts import Growth, grow_potts
from microrun.training.simulate.volumes import SimulatedVolume, label_volume

SPINS = arrays(np.int32, array_shapes(min_dims=3, max_dims=3, max_side=5), elements=st.integers(0, 3))


@pytest.fixture(scope="module")
def volume() -> SimulatedVolume:
    growth = Growth((24, 26, 28), 5)
    *_, spins = grow_potts(growth, 0)
    return label_volume(spins, growth)


def numbered(shape: tuple[int, int, int], periodic: bool = True, kind: str = "potts") -> SimulatedVolume:
    """A volume that shows where each voxel came from."""
    return SimulatedVolume(np.arange(np.prod(shape), dtype=np.int32).reshape(shape), kind, periodic)


@given(SPINS, st.integers(27, 40), st.integers(0, 100))
def test_neighbouring_grains_are_a_gap_apart(spins: NDArray[np.int32], n_colours: int, seed: int) -> None:
    grain_ids = number_grains(spins)
    values = colour(grain_ids, n_colours, np.random.default_rng(seed))
    assert values.dtype == np.uint8 and values.max() < n_colours
    pairs = set(zip(grain_ids.ravel().tolist(), values.ravel().tolist(), strict=True))
    of_grain = dict(pairs)
    assert len(pairs) == len(of_grain)  # one colour a grain
    for one, other in oracles.pairs_that_touch(grain_ids):
        assert of_grain[one] != of_grain[other]


@pytest.mark.parametrize(("labels", "gap"), [("bits", 2), ("colours", 2 / 15)])
def test_grains_come_back_from_their_values(volume: SimulatedVolume, labels: Labels, gap: float) -> None:
    settings = BlockSettings(side=16, labels=labels, n_colours=16)
    values = colour_values(Blocks([volume], settings).block(3), 16, settings.channels)
    noise = np.random.default_rng(0).uniform(-0.99, 0.99, values.shape).astype(np.float32)
    told, exact = (nearest_colours(some, 16).astype(np.int32) for some in (values + gap / 2 * noise, values))
    assert_array_equal(number_grains(told), number_grains(exact))
    rng = np.random.default_rng((0, 3))
    rng.integers(1)
    assert_array_equal(number_grains(exact), number_grains(turn(cut(volume, 16, rng), "potts", rng)))


def test_colours_that_do_not_suffice_are_refused() -> None:
    with pytest.raises(MicrorunError, match="7 colours do not suffice for a block of 8 grains"):
        colour(np.arange(8, dtype=np.int32).reshape(2, 2, 2), 7, np.random.default_rng(0))


def test_a_block_is_a_function_of_seed_and_number(volume: SimulatedVolume) -> None:
    settings = BlockSettings(side=12, seed=4)
    batch = Blocks([volume, volume], settings).draw([5, 0, 9])[0]
    assert batch.shape == (3, 12, 12, 12)
    assert batch.dtype == np.uint8
    assert_array_equal(batch[2], Blocks([volume, volume], settings).block(9))
    assert (batch[0] != batch[1]).any()
    assert (batch[2] != Blocks([volume, volume], BlockSettings(side=12, seed=5)).block(9)).any()


def test_colours_are_drawn_anew_for_every_block() -> None:
    grain_ids = np.zeros((8, 8, 8), np.int32)
    blocks = Blocks([SimulatedVolume(grain_ids, "potts", True)], BlockSettings(side=8, labels="colours", n_colours=4))
    seen = Counter(int(blocks.block(index)[0, 0, 0]) for index in range(400))
    assert sorted(seen) == [0, 1, 2, 3]
    assert_array_equal(blocks.codes, np.float32([[-1], [-1 / 3], [1 / 3], [1]]))
    assert min(seen.values()) > 60


def test_grain_growth_is_turned_in_all_48_ways() -> None:
    block = numbered((3, 3, 3)).grain_ids
    rng = np.random.default_rng(0)
    turned = [turn(block, "potts", rng) for _ in range(2000)]
    seen = Counter(one.tobytes() for one in turned)
    assert len(seen) == 48
    assert min(seen.values()) > 15
    assert all(one.flags.c_contiguous for one in turned)


def test_builds_are_mirrored_across_and_along_the_tracks_only() -> None:
    block = numbered((3, 3, 3)).grain_ids
    rng = np.random.default_rng(0)
    seen = {turn(block, "am", rng).tobytes() for _ in range(200)}
    assert seen == {np.ascontiguousarray(block[:, ::y, ::x]).tobytes() for y in (1, -1) for x in (1, -1)}


def test_blocks_are_cut_from_everywhere_across_periodic_faces() -> None:
    whole = numbered((4, 5, 6))
    rng = np.random.default_rng(0)
    corners = set()
    for _ in range(3000):
        block = cut(whole, 3, rng)
        z, y, x = np.unravel_index(block[0, 0, 0], (4, 5, 6))
        corners.add((int(z), int(y), int(x)))
        assert_array_equal(block, np.roll(whole.grain_ids, (-z, -y, -x), (0, 1, 2))[:3, :3, :3])
    assert len(corners) == 4 * 5 * 6


def test_blocks_of_a_build_stay_within_its_faces() -> None:
    whole = numbered((4, 5, 6), periodic=False, kind="am")
    rng = np.random.default_rng(0)
    corners = set()
    for _ in range(1000):
        block = cut(whole, 3, rng)
        z, y, x = (int(place) for place in np.unravel_index(block[0, 0, 0], (4, 5, 6)))
        corners.add((z, y, x))
        assert_array_equal(block, whole.grain_ids[z : z + 3, y : y + 3, x : x + 3])
    assert len(corners) == 2 * 3 * 4


def test_the_labels_of_grainpaint_are_ids_about_their_mean() -> None:
    grain_ids = np.array([[[0, 1], [2, 6]]], np.int32)  # ids from 1: 1, 2, 3, 7 about 3.25
    np.testing.assert_allclose(scale_ids(grain_ids), [[[-2.25 / 3.75, -1.25 / 3.75], [-0.25 / 3.75, 1]]], rtol=1e-6)
    assert_array_equal(scale_ids(np.full((2, 2, 2), 5, np.int32)), np.zeros((2, 2, 2)))


def test_ids_above_2048_collide_in_the_labels_of_grainpaint() -> None:
    values = scale_ids(np.array([[[0, 2047, 2048, 4000]]], np.int32)).ravel()
    assert values[1] == values[2]
    assert values.dtype == np.float32


def test_the_labels_of_grainpaint_keep_the_order_of_ids(volume: SimulatedVolume) -> None:
    settings = BlockSettings(side=10, labels="ids")
    for index in range(5):
        blocks = Blocks([volume], settings)
        values = blocks.block(index)
        assert blocks.codes is None
        rng = np.random.default_rng((0, index))
        rng.integers(1)
        grain_ids = turn(cut(volume, 10, rng), "potts", rng)
        order = np.argsort(grain_ids, axis=None, kind="stable")
        assert (np.diff(values.ravel()[order]) >= 0).all()
        assert np.abs(values).max() == 1


def test_volumes_that_hold_no_blocks_are_refused(volume: SimulatedVolume) -> None:
    with pytest.raises(MicrorunError, match="at least one volume"):
        Blocks([])
    with pytest.raises(MicrorunError, match=r"\(24, 26, 28\) voxels holds no block of 32³"):
        Blocks([volume])
    with pytest.raises(MicrorunError, match="fewer than 65504 grains"):
        Blocks([numbered((41, 41, 41))], BlockSettings(labels="ids"))
    with pytest.raises(MicrorunError, match="2 to 128 colours"):
        BlockSettings(n_colours=256)
