"""`microrun grains`: what it prints and writes, and every bad input in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import voxel_oracles as oracles
from command_line import Microrun, check_refused

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
    assert "| grain volume, voxels |" in (tmp_path / "labels.grains.md").read_text() and "µ" not in ran.said


def test_grains_are_compared_with_all_references(microrun: Microrun, volume: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        np.save(tmp_path / f"reference_{number}.npy", oracles.voronoi((12, 12, 12), 20 * number, number))
    out = tmp_path / "made" / "here"
    references = [f"--reference={tmp_path}/reference_{number}.npy" for number in (1, 2)]
    ran = microrun("grains", volume, *references, "--voxel-um", 0.5, "--out", out)
    assert (ran.code, ran.err) == (0, "")
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
    assert "| grain volume, µm³ |" in (out / "labels.grains.md").read_text()


def test_volumes_that_cannot_be_used(microrun: Microrun, volume: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "floats.npy", VORONOI / 2)
    np.save(tmp_path / "plane.npy", VORONOI[0])
    np.save(tmp_path / "noise.npy", np.full_like(VORONOI, -1))
    check_refused(microrun("grains", tmp_path / "floats.npy"), "floats.npy", "integer labels", "float64")
    check_refused(microrun("grains", tmp_path / "plane.npy"), "plane.npy", "(12, 12)")
    check_refused(microrun("grains", tmp_path / "noise.npy"), "noise.npy", "no grains")
    check_refused(microrun("grains", tmp_path / "none.npy"), "none.npy", "no such file")
    check_refused(microrun("grains", volume, "--reference", tmp_path / "none.h5"), "none.h5")
    check_refused(microrun("grains", volume, "--voxel-um", 0), "--voxel-um")
    check_refused(microrun("grains", volume, "--out", volume / "x"), code=1)
