"""What `inspect`, `models` and `export` say of denoisers."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
from command_line import Microrun, check_refused, run_here
from make_denoisers import SECTIONS, TINY, a_unet, denoiser_spec, traced, write_denoiser

from microrun.export import denoiser_to_onnx
from microrun.runtime.engines import catalogue
from microrun.runtime.schedule import Schedule
from microrun.runtime.spec import Diffusion, ModelSpec, Training
from microrun.training.diffusion.checkpoint import save_denoiser

TRAINED = dataclasses.replace(
    denoiser_spec(),
    name="grains",
    parity_error=0.0012,
    training=Training("24 Potts volumes", 104_000, 13_000, 1, "CC BY 4.0", {"kl_volume": 0.053}),
)
assert TRAINED.diffusion is not None
DIFFUSION = TRAINED.diffusion
BLOCK = "×".join(map(str, DIFFUSION.sides))


@pytest.fixture
def microrun(capsys: pytest.CaptureFixture[str]) -> Microrun:
    return lambda *arguments: run_here(capsys, *arguments)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The built-in models, and a denoiser among them."""
    folder = tmp_path / "models"
    shutil.copytree(catalogue.MODELS, folder)
    monkeypatch.setattr(catalogue, "MODELS", folder)
    write_denoiser(folder / "grains.onnx", TRAINED)
    return folder


def write_checkpoint(path: Path, spec: ModelSpec = TRAINED) -> Path:
    save_denoiser(path, a_unet().state_dict(), TINY, spec)
    return path


# --- inspect


def test_a_denoiser_is_inspected(microrun: Microrun, models: Path, tmp_path: Path) -> None:
    ran = microrun("inspect", "grains")
    assert (ran.code, ran.err) == (0, "")
    for part in (
        "kind denoiser grains", f"samples {BLOCK}, channels: {DIFFUSION.sample_shape[0]}",
        f"grains {DIFFUSION.n_colours} colours", "weights f32", "exported its results differ by 0.12 % from",
        "schedule 24 timesteps to nearly pure noise, predicts eps", "trained on 24 Potts volumes",
        "training 104,000 samples, 13,000 steps, seed 1", "licence CC BY 4.0",
        "error of grain volumes 0.053",
    ):  # fmt: skip
        assert part in ran.said
    _, rows = ran.said.split("kind")
    for part in ("latent", "120", "mask", "condition", "patterns"):
        assert part not in rows
    of_checkpoint = microrun("inspect", write_checkpoint(tmp_path / "grains.safetensors"))
    assert of_checkpoint.said.endswith(rows)


@pytest.mark.parametrize(
    ("diffusion", "said"),
    [
        (Diffusion((1, 8, 8, 8), Schedule(24), 6), "grains 6 colours, one value each schedule"),
        (Diffusion((3, 8, 8, 8), Schedule(24), 8), "grains 8 colours, 3 bits each schedule"),
        (Diffusion((1, 8, 8), Schedule(24)), "samples 8×8, channels: 1 grains values without colours"),
        (
            SECTIONS,
            "sections across the tracks, cells of 2 µm condition power_w 100 to 200, speed_m_s 0.5 to 1 weights",
        ),
        (
            Diffusion((1, 8, 8), Schedule(50, zero_terminal_snr=True, prediction="v")),
            "schedule 50 timesteps to pure noise, predicts v",
        ),
    ],
)
def test_what_a_denoiser_draws(microrun: Microrun, tmp_path: Path, diffusion: Diffusion, said: str) -> None:
    path = write_checkpoint(tmp_path / "tiny.safetensors", dataclasses.replace(TRAINED, diffusion=diffusion))
    assert said in microrun("inspect", path).said


# --- models


def test_denoisers_are_listed_below_the_encoders(microrun: Microrun, models: Path) -> None:
    ran = microrun("models")
    assert (ran.code, ran.err) == (0, "")
    lines = [line.split() for line in ran.out.splitlines() if line.strip()]
    assert [line[0] for line in lines[:3]] == ["model", "vae32", "vae32-ferrite"]
    (at,) = (number for number, line in enumerate(lines) if line[0] == "denoiser")
    assert lines[at] == ["denoiser", "block", "colours", "timesteps", "size"]
    assert lines[at + 1][:4] == ["grains", BLOCK, str(DIFFUSION.n_colours), "24"]
    assert (
        "grains 104,000 samples, 13,000 steps, CC BY 4.0 trained on 24 Potts volumes error of grain volumes 0.053"
        in ran.said
    )
    for name in ("grains", "sections"):
        (models / f"{name}.onnx").unlink()
    assert "denoiser" not in microrun("models").said


# --- export


@pytest.fixture
def traced_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracing takes seconds, and other tests trace the same network."""
    monkeypatch.setattr(denoiser_to_onnx, "trace_step", traced)


@pytest.mark.usefixtures("traced_before")
def test_a_denoiser_is_exported(microrun: Microrun, tmp_path: Path) -> None:
    ran = microrun("export", write_checkpoint(tmp_path / "tiny.safetensors"), "--precision", "f32")
    assert (ran.code, ran.err) == (0, "")
    assert ran.said.startswith(f"wrote {tmp_path / 'tiny.onnx'} (")
    assert "its results differ by " in ran.said and "% from those of the model that it was made from" in ran.said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.onnx", "tiny.safetensors"]
    assert "weights f32" in microrun("inspect", tmp_path / "tiny.onnx").said


@pytest.mark.usefixtures("traced_before")
def test_a_plan_is_built_of_a_denoiser(microrun: Microrun, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    source = write_checkpoint(tmp_path / "tiny.safetensors")
    ran = microrun("export", source, "--to", "tensorrt_rtx", "--precision", "f32", "--batch", 3)
    assert (ran.code, ran.err) == (0, "") and "not compared yet: no card here runs it" in ran.said, ran
    names = ["tiny.onnx", "tiny.plan", "tiny.plan.json", "tiny.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    check_refused(microrun("export", source, "--to", "tensorrt_rtx"), "tiny.plan: exists; replace it with --overwrite")
    check_refused(microrun("export", tmp_path / "tiny.onnx"), "is ONNX already")
