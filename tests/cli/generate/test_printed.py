"""`microrun generate` with a denoiser of printed metal."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import h5py
import onnx
import pytest
from command_line import check_refused, run_here
from make_denoisers import write_block_denoiser

from microrun.export.graph import save_model
from microrun.runtime.engines.open import read_model_spec


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_block_denoiser(tmp_path_factory.mktemp("denoisers") / "printed.onnx", known_inputs=True)
    spec = read_model_spec(path)
    assert spec.diffusion is not None
    printed = replace(spec.diffusion, process="am", hatch_voxels=8.0)
    save_model(onnx.load_model(path), replace(spec, diffusion=printed), path)
    return path


def test_printed_grains_grow_from_the_centre_and_the_file_says_what_they_are(
    denoiser: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("generate", "--engine", denoiser, "--size", "32x40x32", "--timesteps", 2, "--device", "cpu", "--out")
    ran = run_here(capsys, *asked, tmp_path / "out.h5", "--voxel-um", 10)
    assert ran.code == 0 and "relaxed" not in ran.said, ran
    with h5py.File(tmp_path / "out.h5") as file:
        attributes = dict(file["grain_id"].attrs)
    assert json.loads(attributes["blueprint"])["order"] == "anisotropic"
    assert (attributes["kind"], attributes["voxel_um"]) == ("am", 10)
    said = run_here(capsys, *asked, tmp_path / "other.h5", "--order", "isotropic", "--dry-run").said
    assert "2 in isotropic order" in said
    refused = run_here(capsys, *asked, tmp_path / "other.h5", "--size", 48, "--periodic", "all")
    check_refused(refused, "leave out --periodic, or take --order isotropic")
    refused = run_here(capsys, *asked, tmp_path / "other.h5", "--mean-grain-um", 50)
    check_refused(refused, "rows 8 voxels apart", "give --voxel-um instead, the distance of the tracks in µm / 8")


def test_inspect_tells_what_it_draws(denoiser: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "columns along z, in rows 8 voxels apart along y" in run_here(capsys, "inspect", denoiser).said
