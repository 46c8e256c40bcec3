"""Simulated volumes: the same for every number of threads, and as coarse as they should be at their time."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import h5py
import numpy as np
import potts_oracles as oracles
import pytest
from disk import full_disk
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from microrun.kernels.colouring import label_grains
from microrun.kernels.potts import MOLTEN
from microrun.runtime.errors import MicrorunError, OutputError
from microrun.runtime.progress import Progress, finish
from microrun.training.simulate.potts import Build, Growth, MeltPool, Spins, build_potts, chances, grow_potts
from microrun.training.simulate.volumes import label_volume, read_volumes, write_volumes

SMALL_POOL = MeltPool(length=8, width=6, depth=4, mobile_zone=3)
SMALL_BUILD = Build((7, 9, 10), SMALL_POOL, speed=3, hatch=3, layer=2)
SPPARKS = {10: 65}  # mean grain volume by time of potts/neigh, 26 neighbours, 100³, T = 0


def volumes_of_grains(spins: Spins) -> NDArray[np.int64]:
    return np.bincount(label_volume(spins, Growth(spins.shape)).grain_ids.ravel())


def last(growth: Growth, seed: int, threads: int | None = None) -> Spins:
    *_, spins = grow_potts(growth, seed, threads)
    return spins


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_growth_is_that_of_the_slow_twin(temperature: float) -> None:
    shape = (5, 6, 7)
    slow = np.arange(210, dtype=np.int32).reshape(shape)
    oracles.grow_potts(slow, 1, 11, [int(chance) for chance in chances(temperature)])
    assert_array_equal(last(Growth(shape, 1, temperature), seed=11), slow)


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_growth_is_the_same_for_every_number_of_threads(temperature: float) -> None:
    growth = Growth((23, 20, 21), 3, temperature)
    one, two, three, forty = (last(growth, 5, threads) for threads in (1, 2, 3, 40))
    for other in (two, three, forty):
        assert_array_equal(one, other)
    assert (last(growth, 6) != one).mean() > 0.5


def test_a_build_is_that_of_the_slow_twin() -> None:
    build = replace(SMALL_BUILD, temperature=0.4)
    slow = np.arange(np.prod(build.shape), dtype=np.int32).reshape(build.shape)
    accept = [int(chance) for chance in chances(0.4)]
    for number, (centre, spins) in enumerate(zip(build.path(), build_potts(build, 3), strict=True)):
        if number < 60:
            oracles.sweep_build(slow, centre, 3, number, build, accept)
            assert_array_equal(spins, slow)


def test_a_build_is_the_same_for_every_number_of_threads() -> None:
    one, two, three = (np.stack([s.copy() for s in build_potts(SMALL_BUILD, 1, threads)]) for threads in (1, 2, 3))
    assert_array_equal(one, two)
    assert_array_equal(one, three)


@pytest.mark.parametrize("build", [SMALL_BUILD, Build((40, 50, 60))])
def test_the_pool_leaves_nothing_unmolten(build: Build) -> None:
    mobility = build.pool.mobility()
    depth, across, along = mobility.shape[0], mobility.shape[1] // 2, mobility.shape[2] // 2
    margin = max(mobility.shape)
    molten = np.zeros([side + 2 * margin for side in build.shape], bool)
    for top, y, x in build.path():
        z0, y0, x0 = top - depth + margin, y - across + margin, x - along + margin
        around = molten[z0 : z0 + depth, y0 : y0 + mobility.shape[1], x0 : x0 + mobility.shape[2]]
        around[...] |= (mobility == MOLTEN)[tuple(slice(0, n) for n in around.shape)]
    assert molten[tuple(slice(margin, margin + side) for side in build.shape)].all()


def test_what_is_far_from_the_pool_stands_still() -> None:
    build = Build((12, 30, 30), SMALL_POOL, 3, 3, 2)
    before = np.arange(np.prod(build.shape), dtype=np.int32).reshape(build.shape)
    reach = SMALL_POOL.mobile_zone + np.array([SMALL_POOL.depth, SMALL_POOL.width / 2, SMALL_POOL.length / 2])
    for centre, spins in islice(zip(build.path(), build_potts(build, 0), strict=True), 300):
        changed = np.argwhere(spins != before)
        assert (np.abs(changed - centre) <= reach + 1).all()
        assert (changed[:, 0] < centre[0]).all()
        before = spins.copy()


def test_mobility_falls_linearly_below_the_pool() -> None:
    pool = MeltPool(length=40, width=24, depth=14, mobile_zone=10)
    below = pool.mobility()[::-1, 22, 30]  # from the centre down
    assert (below[:15] == MOLTEN).all()
    np.testing.assert_allclose(below[15:] / 2**16, 1 - np.arange(1, 10) / 10, atol=1e-5)


def test_grains_of_a_build_are_columns_along_the_build_direction() -> None:
    *_, spins = build_potts(Build((30, 48, 48)), 0)
    inner = spins[:20, 8:40, 8:40]
    assert inner.size / (label_volume(inner, Build()).grain_ids.max() + 1) > 100  # from one voxel each
    like_z, like_y, like_x = (np.mean(np.diff(inner, axis=axis) == 0) for axis in range(3))
    assert 1 - like_z < 0.5 * min(1 - like_y, 1 - like_x)


def test_a_volume_from_inside_a_build_is_the_middle_of_a_larger_one() -> None:
    inside = replace(SMALL_BUILD, inside=True)
    *_, whole = build_potts(replace(SMALL_BUILD, shape=inside.simulated), 2)
    *_, spins = build_potts(inside, 2)
    assert spins.shape == SMALL_BUILD.shape
    assert_array_equal(spins, whole[inside.window])
    low, high = inside.window[0].start, inside.simulated[0] - inside.window[0].stop
    assert low > SMALL_POOL.depth and high > SMALL_POOL.depth  # neither substrate nor what was melted once


def test_tracks_and_layers_alternate() -> None:
    path = np.array(SMALL_BUILD.path())
    assert_array_equal(np.unique(path[:, 0]), [2, 4, 6, 7])
    first, second = path[path[:, 0] == 2], path[path[:, 0] == 4]
    assert_array_equal(np.unique(first[:, 1]), [1, 4, 7])
    assert (np.diff(first[:, 1]) >= 0).all()
    assert (np.diff(second[:, 1]) <= 0).all()
    forth, back = (first[first[:, 1] == row][:, 2] for row in (1, 4))
    assert (np.diff(forth) == 3).all()
    assert_array_equal(back, forth[::-1])


def test_the_volume_weighted_grain_area_grows_linearly() -> None:
    areas = []
    for step, spins in enumerate(grow_potts(Growth((48,) * 3, 30), seed=0), 1):
        if step % 10 == 0:
            volumes = volumes_of_grains(spins)
            areas.append(((volumes**2).sum() / volumes.sum()) ** (2 / 3))
    first, second = (later - earlier for earlier, later in pairwise(areas))
    assert 0.75 < second / first < 1.25


@pytest.mark.slow
def test_grains_are_as_large_as_those_of_spparks() -> None:
    means = []
    for step, spins in enumerate(grow_potts(Growth(steps=10), seed=0), 1):
        if step in SPPARKS:
            grain_ids = np.empty(spins.shape, np.int32)
            means.append(spins.size / label_grains(spins, False, grain_ids))  # grains cut by faces count apart
    np.testing.assert_allclose(means, [SPPARKS[10]], rtol=0.04)


def test_volumes_come_back_as_they_were_written(tmp_path: Path) -> None:
    growth, path = Growth((12, 13, 14), 2), tmp_path / "v.h5"
    seen = list(write_volumes(path, growth, 7, 3))
    assert seen == [Progress(step, 6, f"volume {(step + 1) // 2} of 3") for step in range(1, 7)]
    volumes = read_volumes(path)
    assert len(volumes) == 3
    for number, volume in enumerate(volumes):
        assert_array_equal(volume.grain_ids, label_volume(last(growth, 7 + number), growth).grain_ids)
        assert volume.kind == "potts"
        assert volume.periodic
    with h5py.File(path) as file:
        assert file.attrs["time_unit"].startswith("26 sweeps")
        made = file["volume_0002"]
        assert dict(made.attrs) == {"seed": 9, "steps": 2, "periodic": True, "grains": made[()].max() + 1}
        assert made.compression == "gzip"
    assert list(tmp_path.iterdir()) == [path]


def test_a_build_is_written_with_its_settings(tmp_path: Path) -> None:
    path = tmp_path / "v.h5"
    finish(write_volumes(path, SMALL_BUILD, 0, 1))
    (volume,) = read_volumes(path)
    assert (volume.kind, volume.periodic) == ("am", False)
    with h5py.File(path) as file:
        assert '"width": 6' in file.attrs["process"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "v.h5"
    finish(write_volumes(path, Growth((8, 8, 8), 1), 0, 1))
    with full_disk(20_000), pytest.raises(OutputError, match=r"v\.h5: cannot be written"):
        finish(write_volumes(path, Growth((48, 48, 48), 1), 0, 1))
    assert len(read_volumes(path)) == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("keep", [False, True])
def test_what_is_finished_can_stay_when_a_series_is_interrupted(keep: bool, tmp_path: Path) -> None:
    for number, (done, kept) in enumerate(((5, 2), (1, 0))):  # steps done, of two a volume; volumes that can stay
        path = tmp_path / f"{number}.h5"
        job = write_volumes(path, Growth((8, 8, 8), 2), 0, 4, keep)
        assert [now.done for now in islice(job, done)][-1] == done
        if keep and kept:
            with pytest.raises(StopIteration) as ended:
                job.throw(KeyboardInterrupt)
            assert ended.value.value == len(read_volumes(path)) == kept
        else:
            with pytest.raises(KeyboardInterrupt):
                job.throw(KeyboardInterrupt)
            assert not path.exists()
    assert not list(tmp_path.glob(".*"))


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MicrorunError, match=r"none\.h5: cannot be read"):
        read_volumes(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(MicrorunError, match=r"text\.h5: cannot be read"):
        read_volumes(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs["format"] = "microrun latents 1"
    with pytest.raises(MicrorunError, match=r"other\.h5: holds no volumes"):
        read_volumes(tmp_path / "other.h5")


def test_impossible_processes_are_refused() -> None:
    with pytest.raises(MicrorunError, match="sides of at least 3"):
        Growth((100, 2, 100))
    with pytest.raises(MicrorunError, match="2³¹"):
        Growth((2000, 2000, 2000))
    with pytest.raises(MicrorunError, match="at least 1 step"):
        Growth(steps=0)
    with pytest.raises(MicrorunError, match="temperature is 0 or above"):
        Growth(temperature=float("nan"))
    with pytest.raises(MicrorunError, match="leaves gaps"):
        Build(hatch=24)
    with pytest.raises(MicrorunError, match="at least 1"):
        Build(speed=0)
    with pytest.raises(MicrorunError, match="at least 1 voxel"):
        MeltPool(length=0)
