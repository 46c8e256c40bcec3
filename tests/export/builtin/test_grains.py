"""What makes the built-in denoiser, on a tiny scale."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file

from microrun.export import denoiser_to_onnx as denoiser_file
from microrun.export.builtin import grains as builtin_grains
from microrun.export.builtin.grain_denoisers import LICENCE, ship, simulate
from microrun.export.builtin.grains import CONFIG, describe_data, main, state_grain_size
from microrun.export.denoiser_from_onnx import read_denoiser
from microrun.export.graph import save_model
from microrun.runtime.engines.catalogue import find_model
from microrun.runtime.engines.open import open_denoiser, read_model_spec
from microrun.runtime.errors import MicrorunError
from microrun.training.diffusion.checkpoint import load_denoiser
from microrun.training.diffusion.config import DiffusionConfig
from microrun.training.diffusion.unet_config import UnetConfig
from microrun.training.loop.checkpoint import read_checkpoint_spec
from microrun.training.simulate.potts import Growth
from microrun.training.simulate.volumes import SimulatedVolume, mean_grain_voxels, read_volumes

DATA = describe_data()  # before settings are patched
TINY = UnetConfig(dims=3, channels=(8, 8), in_channels=7, out_channels=7, blocks=1, head_size=8, groups=4, patch=2)
Captured = pytest.CaptureFixture[str]


class Made(NamedTuple):
    """Where all was made, and what was said meanwhile."""

    folder: Path
    said: str


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """All that is made; volumes, network and run are small."""
    # The weights stay what they are; tracing takes seconds.
    traced, trace = list[onnx.ModelProto](), denoiser_file.trace_step

    def trace_once(*arguments: Any) -> onnx.ModelProto:
        if not traced:
            traced.append(trace(*arguments))
        return copy.deepcopy(traced[0])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtin_grains, "GROWTH", Growth((16, 16, 16), 3))
        patch.setattr(builtin_grains, "VOLUMES", 3)
        patch.setattr(builtin_grains, "CONFIG", DiffusionConfig(batch=4, steps=4, side=8, unet=TINY, seed=1))
        patch.setattr(denoiser_file, "trace_step", trace_once)
        folder = tmp_path_factory.mktemp("grains") / "made"
        with contextlib.redirect_stdout(io.StringIO()) as said:
            main(folder)
        yield Made(folder, said.getvalue())


def test_it_simulates_trains_exports_and_takes_down_what_was_measured(made: Made, capsys: Captured) -> None:
    folder, said = made
    assert len(read_volumes(folder / "potts.h5")) == 3
    unet, spec = load_denoiser(folder / "grains.safetensors")
    assert (spec.name, spec.training.patterns, spec.training.steps, spec.training.seed) == ("grains", 16, 4, 1)
    expected = (
        "2 volumes of 16×16×16 voxels by Potts grain growth to t = 3 (microrun simulate potts, seeds 1000 to 1001)"
    )
    assert spec.training.data == f"{expected}, in 128 colours as bits"
    assert spec.training.licence == "BSD-3-Clause" and set(spec.training.metrics) == {"held_out_loss"}
    assert {tensor.dtype for tensor in load_file(folder / "grains.safetensors").values()} == {torch.float16}
    trained, _ = load_denoiser(folder / "run" / "checkpoint.safetensors")
    assert all(torch.equal(a.half().float(), b) for a, b in zip(trained.parameters(), unet.parameters(), strict=True))
    with open_denoiser(folder / "grains.onnx", "cpu") as denoiser:
        assert denoiser.spec.training == spec.training
        assert (denoiser.spec.precision, denoiser.spec.name) == ("f16", "grains")
        assert denoiser.spec.input_shape == (7, 8, 8, 8) and denoiser.diffusion.n_colours == 128
    types = {tensor.data_type for tensor in onnx.load(folder / "grains.onnx").graph.initializer if len(tensor.dims) > 4}
    assert types == {onnx.TensorProto.FLOAT16}
    assert [line for line in said.splitlines() if line.startswith("volume")] == [f"volume {n} of 3" for n in (1, 2, 3)]
    assert "step 4/4" in said
    measured = {"kl_volume": 0.053, "kl_c_over_a": 0.011}
    assert ship(folder / "run" / "checkpoint.safetensors", folder, measured, "grains") == folder / "grains.onnx"
    with open_denoiser(folder / "grains.onnx", "cpu") as denoiser:
        assert denoiser.spec.training.metrics == {**spec.training.metrics, **measured}
    assert read_checkpoint_spec(folder / "grains.safetensors").training == denoiser.spec.training
    check_what_is_there_is_kept(folder, capsys)


def check_what_is_there_is_kept(folder: Path, capsys: Captured) -> None:
    main(folder)
    kept = [folder / "potts.h5", folder / "run" / "state.pt", folder / "run" / "checkpoint.safetensors"]
    before, model = [path.stat().st_mtime_ns for path in kept], (folder / "grains.onnx").read_bytes()
    capsys.readouterr()
    main(folder)
    assert before == [path.stat().st_mtime_ns for path in kept]
    assert (folder / "grains.onnx").read_bytes() == model
    said = capsys.readouterr().out
    assert "volume" not in said and "step" not in said
    with pytest.raises(MicrorunError, match="expected 2 volumes, got 3; delete it"):
        simulate(folder / "potts.h5", Growth((16, 16, 16), 3), 1000, 2)


def test_what_ships_was_made_by_these_settings() -> None:
    spec = read_model_spec(find_model("grains"))
    assert spec.diffusion is not None and (spec.name, spec.precision) == ("grains", "f16")
    made = spec.training
    assert (made.data, made.steps, made.patterns) == (DATA, CONFIG.steps, CONFIG.steps * CONFIG.batch)
    assert (made.seed, made.licence) == (CONFIG.seed, LICENCE)
    drawn = spec.diffusion
    assert (drawn.sample_shape, drawn.n_colours) == ((7, *CONFIG.sides), CONFIG.n_colours)
    assert drawn.schedule == CONFIG.schedule
    unet, _ = read_denoiser(find_model("grains"), CONFIG.unet)  # refuses weights of other shapes
    assert unet.config == CONFIG.unet


def test_an_older_file_is_told_how_large_its_grains_are_and_keeps_its_weights(made: Made, tmp_path: Path) -> None:
    stated, older = made.folder / "grains.onnx", tmp_path / "older.onnx"
    volumes = read_volumes(made.folder / "potts.h5")
    graph, spec = onnx.load_model(stated), read_model_spec(stated)
    assert spec.diffusion is not None and spec.diffusion.grain_voxels == mean_grain_voxels(volumes)
    unstated = replace(spec, diffusion=replace(spec.diffusion, grain_voxels=None))
    save_model(graph, unstated, older)
    state_grain_size(older, volumes)
    assert read_model_spec(older) == spec
    assert onnx.load_model(older).graph == onnx.load_model(stated).graph


def test_the_mean_size_is_that_of_grains_which_no_face_cuts() -> None:
    grain_ids = np.zeros((12, 12, 12), np.int32)
    grain_ids[1:5, 1:5, 1:5], grain_ids[6:9, 6:9, 6:9], grain_ids[6:8, 1:3, 1:3] = 1, 2, 3
    across = [(6 * voxels / np.pi) ** (1 / 3) for voxels in (64, 27)]
    assert mean_grain_voxels([SimulatedVolume(grain_ids, "am", False)]) == pytest.approx(np.mean(across), abs=1e-3)
    matrix = (6 * (12**3 - 64 - 27 - 8) / np.pi) ** (1 / 3)
    assert mean_grain_voxels([SimulatedVolume(grain_ids, "potts", True)]) == pytest.approx(
        np.mean([*across, matrix]), abs=1e-3
    )
    assert mean_grain_voxels([SimulatedVolume(np.zeros((4, 4, 4), np.int32), "am", False)]) is None
