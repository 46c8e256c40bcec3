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
from microrun.runtime.engines.open import open_denoiser, read_model_spec
from microrun.runtime.errors import VolumeError
from microrun.runtime.generation.generate import generate
from microrun.runtime.generation.recipe import Preset
from microrun.runtime.generation.request import GenerateRequest
from microrun.runtime.progress import finish


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


def test_python_asks_for_the_same_as_the_command_line(
    denoiser: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = Preset(timesteps=2)
    request = GenerateRequest((32, 40, 32), sampling=drawn, out=tmp_path / "mine.h5")
    with open_denoiser(denoiser, "cpu") as opened:
        finish(generate(request, opened))
    asked = ("generate", "--engine", denoiser, "--size", "32x40x32", "--timesteps", 2, "--device", "cpu", "--out")
    assert run_here(capsys, *asked, tmp_path / "theirs.h5").code == 0
    volumes = []
    for name in ("mine.h5", "theirs.h5"):
        with h5py.File(tmp_path / name) as file:
            volumes.append(file["grain_id"][()].tobytes())
            assert json.loads(file["grain_id"].attrs["blueprint"])["order"] == "anisotropic"
            assert json.loads(file["grain_id"].attrs["options"])["relax"] == 0
    assert volumes[0] == volumes[1]
    spec = read_model_spec(denoiser)
    assert spec.diffusion is not None
    for process, order, relax in (("", "isotropic", 52), ("potts", "isotropic", 52), ("am", "anisotropic", 0)):
        other = replace(spec, diffusion=replace(spec.diffusion, process=process))
        settled = request.settle(other)
        assert (settled.order, settled.relax, settled.sampling) == (order, relax, drawn.of(other))
        kept = replace(request, order="isotropic", relax=3).settle(other)
        assert (kept.order, kept.relax) == ("isotropic", 3)
    with pytest.raises(VolumeError, match="the order of the blocks is the denoiser's"):
        _ = request.tiling


def test_inspect_tells_what_it_draws(denoiser: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "columns along z, in rows 8 voxels apart along y" in run_here(capsys, "inspect", denoiser).said
