"""Files of labels, measured: what is counted of voxels, absorbed grains, and units."""

from __future__ import annotations

import itertools
from pathlib import Path

import h5py
import numpy as np
import pytest
import voxel_oracles as oracles
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from scipy.ndimage import label

from microrun.runtime.errors import VolumeError
from microrun.runtime.volumes.measure import measure_grains
from microrun.runtime.volumes.measured import measure_file, settle_units
from microrun.runtime.volumes.tally import StageSizes, split_pieces, sum_by_stage, tally_voxels
from microrun.training.simulate.potts import Growth, grow_potts

VORONOI = oracles.voronoi((14, 16, 18), 40, 0)


def slow_pieces(labels: NDArray[np.int32]) -> list[int]:
    """Voxels of all pieces, by scipy."""
    found = [label(labels == grain)[0] for grain in np.unique(labels[labels >= 0])]
    return sorted(size for pieces in found for size in np.bincount(pieces[pieces > 0])[1:])


@given(arrays(np.int32, st.tuples(*[st.integers(1, 6)] * 3), elements=st.integers(-2, 3)))
def test_pieces_are_those_that_scipy_finds(labels: NDArray[np.int32]) -> None:
    pieces = split_pieces(labels)
    assert_array_equal(pieces < 0, labels < 0)
    sizes = np.bincount(pieces[pieces >= 0])
    assert sorted(sizes) == slow_pieces(labels)
    if labels.max() >= 0:
        small = sizes[sizes < 27]
        tally = tally_voxels(labels, pieces)
        assert (tally.voxels, tally.specks, tally.speck_voxels) == ((labels >= 0).sum(), len(small), small.sum())


@pytest.fixture(scope="module")
def potts() -> NDArray[np.int32]:
    """Grains of a simulation of t = 10, cut at the faces."""
    spins = next(itertools.islice(grow_potts(Growth((48, 48, 48), 10), 3), 9, None))
    return split_pieces(spins)


def test_a_simulation_has_few_specks_and_noise_has_many(potts: NDArray[np.int32]) -> None:
    rng = np.random.default_rng(0)
    noisy = np.where(rng.random(potts.shape) < 0.1, rng.integers(0, potts.max(), potts.shape), potts).astype(np.int32)
    calm, wild = (tally_voxels(labels, split_pieces(labels)) for labels in (potts, noisy))
    assert calm.unstable_share < 0.04 < 0.09 < wild.unstable_share
    assert calm.speck_share < 0.12 and wild.speck_share > calm.speck_share + 0.08
    both = calm + wild
    assert both.voxels == 2 * potts.size
    assert_allclose(both.unstable_share, (calm.unstable_share + wild.unstable_share) / 2)


def test_neighbours_and_spheres_of_a_simulation_are_those_of_slow_twins(potts: NDArray[np.int32]) -> None:
    grains = measure_grains(potts)
    for grain in np.flatnonzero(grains.volume_um3 > 150)[:12]:
        slow = oracles.measure_grain(potts, int(grain))
        assert (grains.neighbours[grain], grains.touches_boundary[grain]) == (slow.neighbours, slow.touches_boundary)
    whole = grains.interior & (grains.volume_um3 >= 27)
    assert 0.9 < np.median(grains.sphericity[whole]) < 0.97
    assert grains.sphericity[whole].max() < 1.06


def test_specks_are_counted_before_grains_are_absorbed(potts: NDArray[np.int32], tmp_path: Path) -> None:
    np.save(tmp_path / "potts.npy", potts)
    as_is, absorbed = (measure_file(tmp_path / "potts.npy", min_voxels=least) for least in (0, 27))
    assert as_is.tally == absorbed.tally and as_is.tally.specks > 0
    (before,), (after,) = as_is.grains.values(), absorbed.grains.values()
    assert before.volume_um3.min() < 27 <= after.volume_um3.min()
    assert before.volume_um3.sum() == after.volume_um3.sum() == potts.size
    assert (as_is.absorbed_voxels, absorbed.absorbed_voxels) == (0, 27)


def test_sizes_by_stage_are_of_the_voxels_far_from_the_faces() -> None:
    labels = np.kron(np.arange(64, dtype=np.int32).reshape(4, 4, 4), np.ones((8, 8, 8), np.int32))
    labels[:, :, 16:] = np.kron(labels[::8, ::8, 16::8] * 8, np.ones((8, 8, 8), np.int32))[:, :, :16]
    labels[:, :, 24:] = np.arange(512, 512 + 32 * 32 * 8).reshape(32, 32, 8)
    stages = np.zeros(labels.shape, np.uint8)
    stages[:, :, 16:24] = 1
    stages[:, :, 24:] = 2
    sizes = np.bincount(labels.ravel())
    margin = int(np.ceil(np.cbrt(6 / np.pi * (sizes.astype(float) ** 2).sum() / sizes.sum())))
    found = sum_by_stage(labels, stages)
    core = labels[margin:-margin, margin:-margin, margin:-margin]
    inside = stages[margin:-margin, margin:-margin, margin:-margin]
    for stage in (0, 1):
        assert_allclose(found.sizes[stage] / found.voxels[stage], sizes[core[inside == stage]].mean())
    assert found.voxels.sum() == core.size


def test_sizes_by_stage_do_not_depend_on_the_stage_in_a_simulation(potts: NDArray[np.int32]) -> None:
    z, y, x = np.indices(potts.shape) // 4 % 2
    stages = (z ^ y ^ x | 2 * y).astype(np.uint8)  # so small that each meets all grains
    found = sum_by_stage(potts, stages)
    assert_allclose(found.relative, 1, atol=0.1)
    assert_allclose(found.later, 1, atol=0.05)
    assert_allclose((found + found).later, found.later)
    assert np.isnan(sum_by_stage(potts[:9], stages[:9]).later)


@pytest.mark.parametrize("count", [1, 3])
def test_a_volume_without_the_later_stages_adds_to_the_first(count: int) -> None:
    many, few = StageSizes(np.arange(8), np.arange(8) / 2), StageSizes(np.ones(count, np.int64), np.ones(count))
    for total in (many + few, few + many):
        assert_array_equal(total.voxels, [*range(1, count + 1), *range(count, 8)])
        assert_array_equal(total.sizes, [*(np.arange(count) / 2 + 1), *(np.arange(count, 8) / 2)])


def test_lengths_are_in_micrometres_if_all_files_can_say_theirs(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VORONOI)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["grain_id"] = VORONOI
        file["grain_id"].attrs["voxel_um"] = 0.5
    silent, saying = measure_file(tmp_path / "a.npy"), measure_file(tmp_path / "b.h5")
    files, in_um, said = settle_units([silent, saying], None)
    assert not in_um and "a.npy does not say" in said and "--voxel-um" in said
    assert files[1].grains["grain_id"].volume_um3.sum() == VORONOI.size
    files, in_um, said = settle_units([silent, saying], 2.0)
    assert in_um and not said
    assert [next(iter(file.grains.values())).volume_um3.sum() / VORONOI.size for file in files] == [8, 0.125]
    assert settle_units([silent], None)[1:] == (False, "")


@pytest.mark.parametrize(
    ("edges", "said"), [((1.0, 2.0), "1 and 2 µm;"), ((2.0, None), "2 µm and of a size that is not stated;")]
)
def test_a_file_of_voxels_of_two_sizes_is_refused(edges: tuple[float | None, ...], said: str, tmp_path: Path) -> None:
    path = tmp_path / "two.h5"
    with h5py.File(path, "w") as file:
        for number, edge in enumerate(edges):
            file[f"volume_{number}"] = VORONOI
            if edge is not None:
                file[f"volume_{number}"].attrs["voxel_um"] = edge
    with pytest.raises(VolumeError) as error:
        measure_file(path)
    assert str(error.value) == f"{path}: its volumes have voxels of {said} name one with --dataset"
    assert measure_file(path, "volume_0").voxel_um == edges[0]


def test_files_without_grains_are_refused_by_name(tmp_path: Path) -> None:
    np.save(tmp_path / "noise.npy", np.full((4, 4, 4), -1))
    np.save(tmp_path / "plane.npy", np.zeros((4, 4), int))
    for name, words in (("noise.npy", "no grains"), ("plane.npy", "(4, 4)")):
        with pytest.raises(VolumeError, match=name) as error:
            measure_file(tmp_path / name)
        assert words in str(error.value)


def test_volumes_of_a_set_are_taken_together(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "set.h5", "w") as file:
        file["volume_0001"], file["volume_0000"] = VORONOI, VORONOI[:7]
    measured = measure_file(tmp_path / "set.h5")
    assert list(measured.grains) == ["volume_0000", "volume_0001"]
    assert measured.tally.voxels == VORONOI.size + VORONOI[:7].size
