"""`microrun grains`: what it prints and writes, and every bad input in one line."""

from __future__ import annotations

import json
import math
from pathlib import Path

import h5py
import numpy as np
import pytest
import voxel_oracles as oracles
from command_line import Microrun, check_refused
from numpy.typing import NDArray

from microrun.runtime.generation.overlaps import BLOCK
from microrun.runtime.generation.tiling import Region, Tiling, tile_isotropic

VORONOI = oracles.voronoi((12, 12, 12), 30, 0)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    np.save(tmp_path / "labels.npy", VORONOI)
    return tmp_path / "labels.npy"


def test_grains_are_measured(microrun: Microrun, volume: Path, tmp_path: Path) -> None:
    ran = microrun("grains", volume)
    assert (ran.code, ran.err) == (0, "")
    assert "grains 30" in ran.said
    assert "KL" not in ran.said
    assert len((tmp_path / "labels.grains.csv").read_text().splitlines()) == 31
    assert (tmp_path / "labels.grains.png").read_bytes().startswith(b"\x89PNG")
    summary = json.loads((tmp_path / "labels.grains.json").read_text())
    assert (summary["grains"], summary["volumes"], summary["reference"]) == (30, 1, [])
    assert summary["measures"][0]["kl"] is None
    assert summary["verdicts"] == {} and summary["voxel_um"] is None
    for said in ("voxels in specks", "unstable voxels", "sphericity"):
        assert said in ran.said
    assert "stage" not in ran.said
    assert "| grain volume, voxels |" in (tmp_path / "labels.grains.md").read_text() and "µ" not in ran.said


def test_grains_are_compared_with_all_references(microrun: Microrun, volume: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        np.save(tmp_path / f"reference_{number}.npy", oracles.voronoi((12, 12, 12), 20 * number, number))
    out = tmp_path / "made" / "here"
    references = [f"--reference={tmp_path}/reference_{number}.npy" for number in (1, 2)]
    ran = microrun("grains", volume, *references, "--voxel-um", 0.5, "--folder", out)
    assert ran.code == 0
    assert "specks are compared among 90 grains" in ran.err and "--min-voxels 27 absorbs them" in ran.err
    assert "Wasserstein" in ran.said
    assert sorted(path.name for path in out.iterdir()) == [
        f"labels.grains.{kind}" for kind in ("csv", "json", "md", "png")
    ]
    summary = json.loads((out / "labels.grains.json").read_text())
    assert [one["grains"] for one in summary["reference"]] == [20, 40]
    row = summary["measures"][0]
    assert row["measure"] == "volume_um3"
    assert row["mean"] == pytest.approx(12**3 / 30 / 8)
    assert row["reference_mean"] == pytest.approx(2 * 12**3 / 60 / 8)
    assert row["kl"] > 0
    for measure, verdict in summary["verdicts"].items():
        assert verdict in ran.said, measure
    assert len(summary["verdicts"]) == 5
    assert "| grain volume, µm³ |" in (out / "labels.grains.md").read_text()


def test_one_data_set_of_several_is_judged(microrun: Microrun, volume: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "several.h5", "w") as file:
        file["grain_id"], file["melted"] = VORONOI, oracles.voronoi((12, 12, 12), 50, 3)
    several = tmp_path / "several.h5"
    both = ("grains", several, "--dataset", "melted", "--reference", f"{several}:grain_id")
    ran = microrun(*both, "--folder", tmp_path, "--json")
    assert ran.code == 0
    summary = json.loads((tmp_path / "several.grains.json").read_text())
    assert json.loads(ran.out) == summary
    assert (summary["file"], summary["grains"]) == (f"{several}:melted", 50)
    assert summary["reference"][0]["file"] == f"{several}:grain_id"
    ran = microrun("grains", several, "--dataset", "none", "--overwrite")
    check_refused(ran, "no data set none", "grain_id, melted")
    check_refused(microrun("grains", several, "--reference", f"{several}:none", "--overwrite"), "no data set none")
    check_refused(microrun("grains", volume, "--dataset", "x", "--overwrite"), "labels.npy", "leave 'x' out")


def test_grains_are_judged_by_the_stage_of_their_blocks(microrun: Microrun, tmp_path: Path) -> None:
    grains = np.kron(np.arange(1000).reshape(10, 10, 10), np.ones((6, 6, 6), int)).astype(np.int32)
    with h5py.File(tmp_path / "grown.h5", "w") as file:
        file["grain_id"] = grains
        file["grain_id"].attrs["blueprint"] = json.dumps({"order": "isotropic"})
    np.save(tmp_path / "cubes.npy", grains)
    ran = microrun("grains", tmp_path / "grown.h5", "--reference", tmp_path / "cubes.npy")
    assert "grain size, stage 7" in ran.said
    summary = json.loads((tmp_path / "grown.grains.json").read_text())
    assert summary["size_by_stage"] == [pytest.approx(1)] * 8 == summary["reference"][0]["size_by_stage"]
    assert "stage" not in microrun("grains", tmp_path / "cubes.npy").said
    assert "all later stages 1.00" in microrun("grains", tmp_path / "cubes.npy", "--by-stage", "--overwrite").said
    np.save(tmp_path / "small.npy", grains[:20])
    ran = microrun("grains", tmp_path / "small.npy", "--by-stage", "--overwrite")
    assert ran.code == 0 and "stage" not in ran.said
    assert "no sizes by stage, since a volume must measure 32 voxels" in ran.err
    with h5py.File(tmp_path / "grown.h5", "r+") as file:
        file["grain_id"].attrs["blueprint"] = json.dumps({"order": "anisotropic"})
    assert "stage" not in microrun("grains", tmp_path / "grown.h5", "--overwrite").said
    ran = microrun("grains", tmp_path / "grown.h5", "--by-stage", "--overwrite")
    assert ran.code == 0 and "stage" not in ran.said and "it was grown in the anisotropic order" in ran.err


def test_stages_of_a_periodic_volume_go_on_at_the_opposite_faces(microrun: Microrun, tmp_path: Path) -> None:
    shape, edge = (72, 40, 32), 4  # of three blocks, two, and one that is cut
    tiling = tile_isotropic(shape, Region(wraps=(True, True, False)))
    stages = paint_owners(tiling, np.minimum(tiling.stages, 8))
    grains = np.kron(np.arange(18 * 10 * 8).reshape(18, 10, 8), np.ones((edge, edge, edge), int)).astype(np.int32)
    grains[:4] = np.where(grains[:4] % 2, grains[:4], grains[-4:])  # which go on beyond the face
    with h5py.File(tmp_path / "rve.h5", "w") as file:
        file["grain_id"] = grains
        file["grain_id"].attrs.update(periodic="zy", blueprint=json.dumps({"order": "isotropic"}))
    ran = microrun("grains", tmp_path / "rve.h5")
    assert ran.code == 0 and "grain size, stage 8" in ran.said and "stage 9" not in ran.said
    sizes = np.bincount(grains.ravel())
    margin = math.ceil(np.cbrt(6 / np.pi * (sizes**2).sum() / sizes.sum()))
    size, stage = sizes[grains][..., margin:-margin], stages[..., margin:-margin]  # no face but those along x cuts
    means = np.array([size[stage == number].mean() if (stage == number).any() else np.nan for number in range(9)])
    summary = json.loads((tmp_path / "rve.grains.json").read_text())
    expected = [None if np.isnan(mean) else pytest.approx(mean / means[0]) for mean in means]
    assert summary["size_by_stage"] == expected
    with h5py.File(tmp_path / "rve.h5", "r+") as file:
        file["grain_id"][9, 9, 9] = grains.max() + 1  # a speck within a grain, which absorbs it
    microrun("grains", tmp_path / "rve.h5", "--min-voxels", "27", "--overwrite")
    assert json.loads((tmp_path / "rve.grains.json").read_text())["size_by_stage"] == expected
    with h5py.File(tmp_path / "rve.h5", "r+") as file:
        file["grain_id"].attrs["periodic"] = "x"
    ran = microrun("grains", tmp_path / "rve.h5", "--overwrite")
    assert ran.code == 0 and "no sizes by stage, since a periodic axis measures" in ran.err


def paint_owners(tiling: Tiling, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """The number of the first block that covers each voxel, voxel by voxel."""
    painted = np.full(tiling.shape, -1)
    for corner, number in zip(tiling.corners.tolist(), numbers, strict=True):
        ends = [
            (low + np.arange(BLOCK)) % side if wrap else np.arange(low, min(low + BLOCK, side))
            for low, side, wrap in zip(corner, tiling.shape, tiling.wraps, strict=True)
        ]
        place = np.ix_(*ends)
        painted[place] = np.where(painted[place] < 0, number, painted[place])
    return painted


def test_grains_of_two_sizes_of_voxels_are_compared_in_micrometres(microrun: Microrun, tmp_path: Path) -> None:
    for name, voxel_um in (("fine", 0.5), ("coarse", 1.0)):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["grain_id"] = VORONOI
            file["grain_id"].attrs["voxel_um"] = voxel_um
    ran = microrun("grains", tmp_path / "fine.h5", "--reference", tmp_path / "coarse.h5", "--min-voxels", 27)
    assert (ran.code, ran.err) == (0, "")
    row = json.loads((tmp_path / "fine.grains.json").read_text())["measures"][0]
    assert row["reference_mean"] == pytest.approx(8 * row["mean"])
    np.save(tmp_path / "silent.npy", VORONOI)
    ran = microrun("grains", tmp_path / "fine.h5", "--reference", tmp_path / "silent.npy", "--overwrite")
    assert "warning: lengths count voxels" in ran.err and "grain volume, voxels" in ran.said


def test_how_columns_and_rows_of_printed_metal_stand_is_shown(microrun: Microrun, volume: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "printed.h5", "w") as file:
        file.attrs["kind"] = "am"
        file["volume_0000"] = np.indices((16, 16, 16))[1:].transpose(1, 2, 3, 0) // 4 @ [4, 1]
    ran = microrun("grains", tmp_path / "printed.h5", "--reference", volume)
    assert ran.code == 0 and "rows every 4 voxels along y" in ran.said and "elongation along z" in ran.said
    assert "## Rows and columns" in (tmp_path / "printed.grains.md").read_text()
    own, theirs = json.loads((tmp_path / "printed.grains.json").read_text())["standing"]
    assert own["rows"]["across"] == pytest.approx(1) and theirs["rows"]["across"] < 0.9
    assert own["elongation"] is None and own["inclination_deg"] == pytest.approx(0, abs=1)  # no boundary along z
    assert "rows every" not in microrun("grains", volume, "--folder", tmp_path / "plain").said


def test_tiny_grains_join_others_in_all_files(microrun: Microrun, volume: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "truth.h5", "w") as file:
        file["grain_id"] = VORONOI
        file["grain_id"].attrs["options"] = json.dumps({"min_voxels": 27})
    ran = microrun("grains", volume, "--reference", tmp_path / "truth.h5")
    assert "--min-voxels 27 makes them alike" in ran.err
    ran = microrun("grains", volume, "--reference", tmp_path / "truth.h5", "--min-voxels", 27, "--overwrite")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads((tmp_path / "labels.grains.json").read_text())["absorbed_below_voxels"] == 27


def test_volumes_that_cannot_be_used(microrun: Microrun, volume: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "floats.npy", VORONOI / 2)
    np.save(tmp_path / "plane.npy", VORONOI[0])
    np.save(tmp_path / "noise.npy", np.full_like(VORONOI, -1))
    check_refused(microrun("grains", tmp_path / "floats.npy"), "floats.npy", "integer labels", "float64")
    check_refused(microrun("grains", tmp_path / "plane.npy"), "plane.npy", "(12, 12)")
    check_refused(microrun("grains", tmp_path / "noise.npy"), "noise.npy", "no grains")
    check_refused(microrun("grains", tmp_path / "none.npy"), "none.npy", "no such file")
    check_refused(microrun("grains", volume, "--reference", tmp_path / "none.h5", "--overwrite"), "none.h5")
    check_refused(microrun("grains", volume, "--voxel-um", 0), "--voxel-um")
    check_refused(microrun("grains", volume, "--folder", volume / "x"))
