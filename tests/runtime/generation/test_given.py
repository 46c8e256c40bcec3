"""Grains that are known before a volume grows: read, coloured, kept and continued."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import segmentation_oracles as oracles
from growth import SAMPLING, a_part, a_request, grow_slowly, grown
from make_denoisers import write_block_denoiser
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from scipy import ndimage

from microrun.runtime.engines.denoiser import Denoiser
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.openvino_cpu import OpenvinoDenoiser
from microrun.runtime.errors import EngineError, VolumeError
from microrun.runtime.generation.block_folder import BlockFolder
from microrun.runtime.generation.block_steps import kinds_of_blocks, tabulate_kinds
from microrun.runtime.generation.generate import generate
from microrun.runtime.generation.given import (
    FIRST_GIVEN,
    GivenGrains,
    colour_given,
    continue_given,
    number_given,
    paint_given,
)
from microrun.runtime.generation.tiling import Region, tile_isotropic
from microrun.runtime.progress import finish
from microrun.runtime.schedule import Schedule
from microrun.runtime.spec import Diffusion
from microrun.runtime.volumes.volume import Shape, open_volume

SHAPE = (32, 40, 56)
NOWHERE = (False, False, False)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_block_denoiser(tmp_path_factory.mktemp("denoisers") / "coloured.onnx")


@pytest.fixture
def denoiser(path: Path) -> Iterator[Denoiser]:
    with OpenvinoDenoiser(path, EngineRequest("f32", 2, 1)) as opened:
        yield opened


def grains(shape: Shape, count: int, seed: int = 0) -> NDArray[np.int64]:
    """Cells around random seeds, numbered far apart."""
    rng = np.random.default_rng(seed)
    place = np.zeros(shape, np.int64)
    place[tuple(rng.integers(0, size, count) for size in shape)] = rng.choice(10**12, count, replace=False)
    nearest = ndimage.distance_transform_edt(place == 0, return_distances=False, return_indices=True)
    cells: NDArray[np.int64] = place[tuple(nearest)]
    return cells


def a_layer(shape: Shape = SHAPE) -> NDArray[np.int64]:
    """A measured plane of grains with a hole in it, and a column that is known besides."""
    labels = grains(shape, 60)
    known = np.zeros(shape, bool)
    known[0], known[:, 20:23, 30:33] = True, True
    known[0, 5:9, 5:9] = False
    return np.where(known, labels, -7)


def partition(labels: NDArray[Any]) -> NDArray[np.int32]:
    return oracles.number_by_first(labels)


# --- reading


def test_labels_are_numbered_whatever_their_type(tmp_path: Path) -> None:
    labels = a_layer()
    given = number_given(labels, SHAPE)
    assert_array_equal(given.mask, labels >= 0)
    assert_array_equal(np.unique(given.numbers), np.arange(-1, given.count))
    assert_array_equal(np.unique(labels[labels >= 0])[given.numbers[given.mask]], labels[given.mask])
    np.save(tmp_path / "known.npy", labels)
    with h5py.File(tmp_path / "known.h5", "w") as file:
        file["map"] = labels
    for name in ("known.npy", "known.h5"):
        with open_volume(tmp_path / name) as volume:
            assert_array_equal(number_given(volume, SHAPE).numbers, given.numbers)
    small = np.where(given.mask, given.numbers, -1).astype(np.int8)
    assert_array_equal(number_given(small, SHAPE).numbers, given.numbers)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda labels: labels[1:], r"must have the volume's shape \(32, 40, 56\), .*; got \(31, 40, 56\)"),
        (lambda labels: labels[0], r"three dimensions \(z, y, x\).*; got \(40, 56\)"),
        (lambda labels: np.where(labels < 0, np.nan, labels), "integers, −1 where nothing is known; got float64"),
        (lambda labels: labels >= 0, "got bool"),
        (lambda labels: np.minimum(labels, -1), "must hold a known grain, 0 or more; got none"),
        (lambda labels: abs(labels), "nothing is left to grow: all voxels are known"),
        (lambda labels: abs(labels).astype(np.uint64), "nothing is left to grow"),
    ],
    ids=["shape", "map", "nan", "bool", "none", "all", "unsigned"],
)
def test_known_grains_that_make_no_sense_are_one_line(change: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match=said) as error:
        a_request(tmp_path, shape=SHAPE, known=change(a_layer()))
    assert "\n" not in str(error.value)


def test_known_grains_outside_the_part_are_refused(tmp_path: Path) -> None:
    labels, part = a_layer(), a_part(SHAPE)
    outside = int(((labels >= 0) & ~part).sum())
    with pytest.raises(VolumeError, match=f"{outside:,} known voxels lie outside the part; write −1 there"):
        a_request(tmp_path, shape=SHAPE, known=labels, part=part)


# --- colours


def neighbours(numbers: NDArray[np.int32], reach: int, wrap: bool) -> set[tuple[int, int]]:
    """Pairs of grains with voxels so near along every axis."""
    padded = np.pad(numbers, reach, "wrap") if wrap else np.pad(numbers, reach, constant_values=-1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * reach + 1,) * 3)
    return {
        (one, int(other))
        for one, window in zip(numbers.ravel().tolist(), windows.reshape(numbers.size, -1), strict=True)
        for other in np.unique(window)
        if one >= 0 and other >= 0 and one != other
    }


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("n_colours", [16, 128])
def test_grains_that_touch_differ_and_near_ones_too_where_colours_reach(n_colours: int, wrap: bool) -> None:
    given = number_given(np.where(grains((24, 16, 20), 90) % 5 > 0, grains((24, 16, 20), 90), -1), (24, 16, 20))
    colours = colour_given(given, n_colours, 3, (wrap, wrap, wrap))
    assert colours.dtype == np.int8 and colours.min() >= 0 and colours.max() < n_colours
    assert all(colours[one] != colours[other] for one, other in neighbours(given.numbers, 1, wrap))
    if n_colours == 128:
        assert all(colours[one] != colours[other] for one, other in neighbours(given.numbers, 4, wrap))
    assert_array_equal(colours, colour_given(given, n_colours, 3, (wrap, wrap, wrap)))
    assert (colours != colour_given(given, n_colours, 4, (wrap, wrap, wrap))).any()


def test_more_grains_than_colours_in_every_place_are_coloured() -> None:
    given = number_given(
        np.where(np.arange(8**3).reshape(8, 8, 8) < 500, np.arange(8**3).reshape(8, 8, 8), -1), (8, 8, 8)
    )
    counts = np.bincount(colour_given(given, 128, 0, NOWHERE), minlength=128)
    assert counts.min() >= 3 and counts.max() <= 5
    painted = paint_given(given, colour_given(given, 128, 0, NOWHERE))
    assert_array_equal(painted < 0, given.numbers < 0)


# --- what becomes of them


@pytest.mark.parametrize("wrap", [False, True])
def test_a_given_grain_grows_into_its_colour_and_two_of_one_colour_stay_apart(tmp_path: Path, wrap: bool) -> None:
    numbers = np.full((1, 2, 12), -1, np.int32)
    numbers[0, 0, [1, 6, 9]] = [0, 1, 2]
    volume = np.array([[[5, 5, 5, 5, 5, 5, 5, 5, 7, 4, 4, 5], [5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7]]], np.int8)
    wraps = (False, False, wrap)
    values, met = continue_given(
        volume, GivenGrains(numbers, 3), np.array([5, 5, 4], np.int8), wraps, tmp_path / "v.npy"
    )
    zero, one, two = FIRST_GIVEN + np.arange(3)
    row = [zero, zero, zero, zero, one, one, one, one, 7, two, two, zero if wrap else 5]
    assert_array_equal(values[0], [row, [zero, *[7] * 11]])
    assert met == 1


def kept(found: NDArray[np.int32], labels: NDArray[np.int64]) -> None:
    """The partition of known voxels is the given one."""
    known = labels >= 0
    assert_array_equal(partition(np.where(known, found, -1)), partition(labels))


@pytest.mark.parametrize("periodic", ["", "yx"])
@pytest.mark.parametrize("name", ["out.h5", "out.npy"])
def test_a_given_layer_is_kept_exactly_and_continued(
    denoiser: Denoiser, tmp_path: Path, periodic: str, name: str
) -> None:
    shape = (32, 40, 60)
    labels = a_layer(shape)
    request = a_request(tmp_path, out=tmp_path / name, shape=shape, known=labels, periodic=periodic)
    summary = finish(generate(request, denoiser))
    with open_volume(request.out) as volume:
        found = np.asarray(volume)
    kept(found, labels)
    assert summary.grains == found.max() + 1 and found.min() == 0
    given = np.unique(found[labels >= 0])
    assert len(given) == len(np.unique(labels[labels >= 0]))
    assert np.isin(found, given)[labels < 0].any()  # some of them go on
    sizes = np.bincount(found.ravel())
    assert (np.delete(sizes, given) >= request.min_voxels).all()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_grain_that_was_given_in_two_pieces_stays_one_and_a_tiny_one_is_not_absorbed(
    denoiser: Denoiser, tmp_path: Path
) -> None:
    labels = np.full(SHAPE, -1)
    labels[0, :4, :4], labels[0, -4:, -4:], labels[31, 0, 0] = 3, 3, 10**15
    request = a_request(tmp_path, shape=SHAPE, known=labels)
    finish(generate(request, denoiser))
    with open_volume(request.out) as volume:
        kept(np.asarray(volume), labels)


@pytest.mark.parametrize("periodic", ["", "x"])
def test_blocks_find_known_grains_as_they_find_those_of_earlier_blocks(
    denoiser: Denoiser, tmp_path: Path, periodic: str
) -> None:
    labels = a_layer((32, 40, 64))
    request = a_request(
        tmp_path, shape=(32, 40, 64), known=labels, periodic=periodic, sampling=replace(SAMPLING, known_lead=0.1)
    )
    assert set(kinds_of_blocks(request.tiling)) == {2, 3}
    assert_array_equal(grown(request, denoiser), grow_slowly(denoiser, request))


def test_known_grains_are_further_ahead_than_earlier_blocks_unless_none_are() -> None:
    labels, diffusion = a_layer((64, 40, 64)), Diffusion((4, 32, 32, 32), Schedule(24), 16)
    tiling = tile_isotropic(labels.shape, Region(known=labels >= 0))
    kinds, finds_earlier = kinds_of_blocks(tiling), [len(tiling.dependencies(n)) > 0 for n in range(len(tiling))]
    assert_array_equal(kinds % 2, finds_earlier)
    assert_array_equal(kinds // 2, tiling.finds_known)
    assert set(kinds) == {0, 1, 2, 3}
    bare, earlier, alone, both = tabulate_kinds(diffusion, replace(SAMPLING, known_lead=0.1))
    assert len(bare.timesteps) < len(earlier.timesteps) == len(alone.timesteps) == len(both.timesteps)
    noise = [steps.coefficients[:, 1] for steps in (alone, both, earlier)]
    for less, more in itertools.pairwise(noise):
        assert (less <= more).all() and (less < more).any()
    _, earlier, alone, both = tabulate_kinds(diffusion, SAMPLING)
    assert_array_equal(alone.coefficients, earlier.coefficients)
    assert_array_equal(both.coefficients, earlier.coefficients)


def test_blocks_that_are_all_known_are_not_drawn(denoiser: Denoiser, tmp_path: Path) -> None:
    labels = grains((32, 32, 80), 30)
    labels[:, :, 60:] = -1
    request = a_request(tmp_path, shape=(32, 32, 80), known=labels)
    assert_array_equal(request.tiling.corners, [[0, 0, 48]])
    assert request.tiling.has_known.all()
    finish(generate(request, denoiser))
    with open_volume(request.out) as volume:
        kept(np.asarray(volume), labels)


# --- the folder


def test_a_folder_of_other_known_grains_is_refused(denoiser: Denoiser, tmp_path: Path) -> None:
    request = a_request(tmp_path, shape=SHAPE, known=a_layer())
    request.open_folder(denoiser.spec, denoiser.info)
    request.open_folder(denoiser.spec, denoiser.info)
    for other in (np.roll(a_layer(), 5, axis=2), None):
        with pytest.raises(VolumeError, match="another set of known grains"):
            a_request(tmp_path, shape=SHAPE, known=other).open_folder(denoiser.spec, denoiser.info)
    (request.folder / "known.npy").write_bytes(b"junk")
    with pytest.raises(VolumeError, match=r"known\.npy.*delete it and run again"):
        request.open_folder(denoiser.spec, denoiser.info)
    np.save(request.folder / "known.npy", np.zeros(SHAPE, np.int8))
    with pytest.raises(VolumeError, match=r"known\.npy: is not the known of this volume"):
        request.open_folder(denoiser.spec, denoiser.info)
    (request.folder / "known.npy").unlink()
    assert request.open_folder(denoiser.spec, denoiser.info).given is not None


@pytest.mark.parametrize("changes", [{"periodic": "zx"}, {"known": a_layer((64, 40, 60))}, {}])
def test_workers_find_the_same_blocks_in_the_folder(
    denoiser: Denoiser, tmp_path: Path, changes: dict[str, Any]
) -> None:
    request = a_request(tmp_path, shape=(64, 40, 60), **changes)
    request.open_folder(denoiser.spec, denoiser.info)
    mine, theirs = request.tiling, BlockFolder(request.folder, denoiser.diffusion).tiling
    for name in ("corners", "stages", "starts", "earlier", "has_known"):
        assert_array_equal(getattr(mine, name), getattr(theirs, name))
    assert mine.wraps == theirs.wraps
    with pytest.raises(VolumeError, match="periodic zx, not nowhere" if changes.get("periodic") else "of another"):
        a_request(tmp_path, shape=(64, 40, 60), seed=9).open_folder(denoiser.spec, denoiser.info)


def test_a_denoiser_of_values_continues_nothing(tmp_path: Path) -> None:
    valued = write_block_denoiser(tmp_path / "valued.onnx", coloured=False)
    with OpenvinoDenoiser(valued, EngineRequest("f32", 1, 1)) as opened:
        for changes in ({"known": a_layer(), "shape": SHAPE}, {"periodic": "z", "shape": (40, 32, 32)}):
            with pytest.raises(EngineError, match="take a denoiser of colours"):
                a_request(tmp_path, **changes).open_folder(opened.spec, opened.info)
    assert not (tmp_path / "out.h5.blocks").exists()
