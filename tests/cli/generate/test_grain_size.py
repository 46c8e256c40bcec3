"""`microrun generate` with a denoiser that is told how large grains shall be."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import pytest
from command_line import Microrun, Ran, check_refused, run_here
from make_denoisers import write_block_denoiser


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("denoisers") / "sized.onnx"
    return write_block_denoiser(path, grain_voxels=8.0, known_inputs=True, sizes=(6.0, 14.0))


@pytest.fixture
def generate(capsys: pytest.CaptureFixture[str], tmp_path: Path, denoiser: Path) -> Microrun:
    def run(*arguments: object) -> Ran:
        out = ("--out", tmp_path / "out.h5", "--timesteps", 2, "--device", "cpu")
        return run_here(capsys, "generate", *out, "--engine", denoiser, *arguments)

    return run


def test_grains_and_voxels_are_as_large_as_asked_for(generate: Microrun, tmp_path: Path) -> None:
    ran = generate("--mean-grain-um", 15, "--voxel-um", 1.25, "--size-um", "40")
    assert (ran.code, ran.err) == (0, ""), ran
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["grain_id"].shape == (32, 32, 32)
        assert file["grain_id"].attrs["voxel_um"] == 1.25
        assert json.loads(file["grain_id"].attrs["blueprint"])["grain_voxels"] == 12


def test_without_a_voxel_grains_are_the_usual_and_the_voxel_follows(generate: Microrun, tmp_path: Path) -> None:
    ran = generate("--mean-grain-um", 16, "--size", 32)
    assert ran.code == 0, ran
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["grain_id"].attrs["voxel_um"] == 2.0
        assert json.loads(file["grain_id"].attrs["blueprint"])["grain_voxels"] is None


def test_inspect_tells_which_sizes_it_draws(capsys: pytest.CaptureFixture[str], denoiser: Path) -> None:
    assert "8 voxels across on average, by number; from 6 to 14 if asked" in run_here(capsys, "inspect", denoiser).said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--mean-grain-um", 15, "--voxel-um", 1], "draws grains of 6 to 14 voxels on average; got 15"),
        (["--mean-grain-um", 15, "--voxel-um", 0], "more than 0 µm; got 0"),
        (["--mean-grain-um", 24, "--voxel-um", 2, "--size", 20], "24 voxels of tiny-blocks; got (20, 20, 20)"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    generate: Microrun, tmp_path: Path, arguments: list[object], said: str
) -> None:
    check_refused(generate(*arguments), said)
    assert not list(tmp_path.iterdir())
