"""Files that version 0.1 made, as it was at fe755c4, open and are gone on with; `help/make_files_of_0_1.py` made them.

What was computed then is compared within rounding, which depends on the machine; what is gone on with, bit by bit with
what the same program computes in one go, or with what no rounding changes.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnxruntime
import openvino
import pytest
import torch
from command_line import Microrun, check_refused, run_here
from make_files_of_0_1 import (
    ENCODE,
    GROW,
    LATENT_SIZE,
    NAV_SHAPE,
    write_scan,
    write_training_scan,
)
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from microrun.runtime import open_latents

FILES = Path(__file__).parent / "data" / "made_by_0_1"
COUNT = NAV_SHAPE[0] * NAV_SHAPE[1]
STORED = ("latents", "ranges", "flags", "background")
ROUNDING = 1e-4
AS_NOW = ["--timesteps" if word == "--steps" else word for word in GROW]  # the option's name since then
LIBRARIES = {"openvino": "OpenVINO", "onnxruntime": "ONNX Runtime"}


@pytest.fixture
def microrun(capsys: pytest.CaptureFixture[str]) -> Microrun:
    """Runs the command, which must succeed and warn of nothing."""

    def run(*arguments: object) -> Any:
        ran = run_here(capsys, *arguments)
        assert (ran.code, ran.err) == (0, ""), ran
        return ran

    return run


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_scan(tmp_path / "scan.up1")


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What runs models; ONNX Runtime does where there is no OpenVINO."""
    if request.param == "onnxruntime":
        monkeypatch.setitem(sys.modules, "openvino", None)
    return LIBRARIES[request.param]


def copy(name: str, folder: Path) -> Path:
    return Path(shutil.copy(FILES / name, folder))


def unpack(name: str, folder: Path) -> Path:
    shutil.unpack_archive(FILES / f"{name}.tar.xz", folder, filter="data")
    return folder


def read(path: Path) -> dict[str, NDArray[Any]]:
    with open_latents(path) as latents:
        return {name: getattr(latents, name) for name in (*STORED, "written")}


def encode(microrun: Microrun, scan: Path, *options: object) -> Any:
    return microrun("encode", scan, "--engine", FILES / "tiny.onnx", *ENCODE, *options)


# --- latents


def test_latents_are_what_they_were(microrun: Microrun, scan: Path, tmp_path: Path) -> None:
    path = FILES / "finished.latents.h5"
    encode(microrun, scan, "--out", tmp_path / "now.h5")
    then, now = read(path), read(tmp_path / "now.h5")
    assert then["latents"].shape == (*NAV_SHAPE, LATENT_SIZE) and then["written"].all()
    assert_allclose(then["latents"][0, 0], [-0.744215, 0.491785, 1.750464, 2.193065], rtol=ROUNDING)
    for name in STORED:
        assert_allclose(then[name], now[name], rtol=ROUNDING, atol=ROUNDING)
    with open_latents(path) as opened:
        assert not opened.growing
        x, y = opened.positions_um
        assert (x[0, 1], y[1, 0]) == (1.5, 1.5)
    said = microrun("inspect", path).said
    for part in ("latents of tiny, float32", "10×20×4, square", "200 of 200 patterns", "16×16 uint8, background: mean"):
        assert part in said


@pytest.mark.parametrize(("name", "background", "count"), [("killed", "mean", 52), ("killed_running", "running", 120)])
def test_killed_runs_are_gone_on_with(
    microrun: Microrun, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, background: str,
    count: int,
) -> None:  # fmt: skip
    path, whole = copy(f"{name}.latents.h5", tmp_path), tmp_path / "whole.h5"
    with open_latents(path) as opened:
        assert opened.growing and opened.origin.background == background
        version = opened.origin.engine.split()[1]
    monkeypatch.setattr(openvino, "__version__", version)  # another version's latents are not gone on with
    assert f"{count} of {COUNT} patterns" in microrun("inspect", path).said
    before = read(path)
    assert f"encoded {COUNT - count} patterns" in encode(microrun, scan, "--out", path, "--resume").said
    encode(microrun, scan, "--out", whole, "--background", "auto" if background == "mean" else background)
    now, expected, there = read(path), read(whole), before["written"]
    assert there.sum() == count and now["written"].all()
    assert_array_equal(now["background"], expected["background"])
    for stored in ("latents", "ranges", "flags"):
        assert_array_equal(now[stored][there], before[stored][there])
        assert_array_equal(now[stored][~there], expected[stored][~there])
        assert_allclose(now[stored], expected[stored], rtol=ROUNDING, atol=ROUNDING)
    with open_latents(path) as opened:
        assert not opened.growing


def test_another_engines_latents_are_refused(
    capsys: pytest.CaptureFixture[str], scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copy("killed.latents.h5", tmp_path)
    monkeypatch.setattr(openvino, "__version__", "1900.1.0")
    options = ("--engine", FILES / "tiny.onnx", *ENCODE, "--out", path, "--resume")
    check_refused(run_here(capsys, "encode", scan, *options), path, "another engine library", "OpenVINO 1900.1.0")


def test_maps_of_an_analysis_stay_and_are_made_again(microrun: Microrun, tmp_path: Path) -> None:
    path = copy("analysed.latents.h5", tmp_path)
    assert_array_equal(read(path)["latents"], read(FILES / "finished.latents.h5")["latents"])
    then = read_analysis(path)
    assert then.keys() == {
        "structure", "feature_order", "principal_colours", "latent_spread", "segments", "clusters", "latent_distance",
    }  # fmt: skip
    assert "group analysis" in microrun("analyse", path, "--clusters", 3, "--pick", "4,5").said
    now = read_analysis(path)
    assert now.keys() == then.keys()
    for name in ("structure", "latent_spread", "latent_distance"):
        assert_allclose(then[name], now[name], rtol=ROUNDING, atol=ROUNDING)
    assert then["latent_distance"][4, 5] == 0 and len(np.unique(then["clusters"])) == 3


def read_analysis(path: Path) -> dict[str, NDArray[Any]]:
    with h5py.File(path) as file:
        assert file["analysis"].attrs["clusters"] == 3 and file["analysis"].attrs["pick"].tolist() == [4, 5]
        return {name: maps[()] for name, maps in file["analysis"].items()}


# --- models


def test_encoder_and_decoder_run(microrun: Microrun, library: str, scan: Path, tmp_path: Path) -> None:
    ran = encode(microrun, scan, "--out", tmp_path / "now.h5")
    assert f"engine tiny.onnx with {library}" in ran.said
    then = FILES / "finished.latents.h5"
    assert_allclose(read(tmp_path / "now.h5")["latents"], read(then)["latents"], rtol=ROUNDING, atol=ROUNDING)
    decoder = ("--engine", FILES / "tiny.decoder.onnx", "--device", "cpu", "--precision", "f32")
    ran = microrun("decode", then, *decoder, "--out", tmp_path / "decoded.up2")
    assert f"with {library}" in ran.said and "decoded 200 patterns" in ran.said
    assert "10×20" in microrun("inspect", tmp_path / "decoded.up2").said


def test_a_denoiser_runs(microrun: Microrun, library: str, tmp_path: Path) -> None:
    engine = ("--engine", FILES / "denoiser.onnx", "--device", "cpu", "--precision", "f32")
    ran = microrun("generate", *engine, "--size", 32, "--timesteps", 2, "--out", tmp_path / "grown.npy")
    assert f"engine denoiser.onnx with {library}" in ran.said and np.load(tmp_path / "grown.npy").shape == (32,) * 3


def test_models_say_what_they_are(microrun: Microrun) -> None:
    assert "encoder tiny latent size 4 input 16×16" in microrun("inspect", FILES / "tiny.onnx").said
    assert "decoder tiny latent size 4" in microrun("inspect", FILES / "tiny.decoder.onnx").said
    said = microrun("inspect", FILES / "denoiser.onnx").said
    for part in ("samples 32×32×32, channels: 1", "128 colours, one value each", "predicts v", "trained on potts.h5"):
        assert part in said
    assert "4 colours, 2 bits each" in microrun("inspect", FILES / "patches.onnx").said


# --- plans


def refuse_plan(capsys: pytest.CaptureFixture[str], folder: Path, scan: Path, *said: str) -> None:
    options = ("--engine", folder / "tiny.plan", "--out", folder / "out.h5")
    check_refused(run_here(capsys, "encode", scan, *options), *said)


def test_the_sidecar_of_a_plan_is_read(capsys: pytest.CaptureFixture[str], scan: Path, tmp_path: Path) -> None:
    plan, sidecar = copy("tiny.plan", tmp_path), copy("tiny.plan.json", tmp_path)
    ran = run_here(capsys, "encode", scan, "--engine", plan, "--out", tmp_path / "out.h5")
    check_refused(ran)  # there is no card, or the plan, of which its beginning was kept, cannot be loaded
    for about_the_sidecar in (sidecar.name, "damaged", "SHA-256"):
        assert about_the_sidecar not in ran.err
    plan.write_bytes(b"another plan")
    refuse_plan(capsys, tmp_path, scan, "is not the file that tiny.plan.json describes", "not 0e65b6189653")
    sidecar.unlink()
    refuse_plan(capsys, tmp_path, scan, "tiny.plan.json is missing beside it")


def test_a_damaged_sidecar_is_refused(capsys: pytest.CaptureFixture[str], scan: Path, tmp_path: Path) -> None:
    sidecar = (copy("tiny.plan", tmp_path), copy("tiny.plan.json", tmp_path))[1]
    text = sidecar.read_text()
    sidecar.write_text(text.replace('"plan_version": 1', '"plan_version": 2'))
    refuse_plan(capsys, tmp_path, scan, "plan version must be 1; got 2")
    sidecar.write_text(text.replace("12.0+", "blackwell"))
    refuse_plan(capsys, tmp_path, scan, "is damaged", "build the plan again")


# --- training


def read_state(folder: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(folder / "state.pt", weights_only=True)
    return state


def assert_alike(found: Any, expected: Any) -> None:
    """Compare states number by number, tensors as a whole; some have no gradient but by rounding."""
    if isinstance(expected, torch.Tensor):
        assert (found - expected).norm() <= 1e-3 * expected.norm() + 1e-4
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert_alike(found[name], value)
    else:
        assert found == expected


def go_on_twice(microrun: Microrun, folder: Path, name: str, steps: int, *arguments: object) -> Path:
    """Go on with a run where it was interrupted, and from its first step on: both come to the same end."""
    late, early = unpack(name, folder / "late"), unpack(name, folder / "early")
    (early / "state-1.pt").replace(early / "state.pt")
    assert (read_state(late)["step"], read_state(early)["step"]) == (3, 1)
    for run in (late, early):
        assert f"step {steps} " in microrun("train", *arguments, "--resume", "--folder", run).said
    assert read_state(late)["step"] == steps
    assert_alike(read_state(late), read_state(early))
    header, *rows = (late / "metrics.csv").read_text().splitlines()
    reported = [int(row.split(",")[0]) for row in rows]
    assert header.startswith("step,loss,") and reported[:3] == [1, 2, 3] and reported[-1] == steps
    return late


def test_training_of_an_autoencoder_goes_on(microrun: Microrun, tmp_path: Path) -> None:
    scan = write_training_scan(tmp_path / "tiles.up1")
    run = go_on_twice(microrun, tmp_path, "vae-run", 7, "vae", scan)
    then = unpack("vae-run", tmp_path / "then")
    assert (run / "prepared.npy").stat().st_mtime_ns == (then / "prepared.npy").stat().st_mtime_ns  # not made again
    said = microrun("inspect", then / "checkpoint.safetensors").said
    assert "encoder vae16 latent size 16" in said and "28 patterns, 3 steps, seed 3" in said
    fine_tuned = ("--from", then / "checkpoint.safetensors", "--batch", 14, "--epochs", 0.5)
    assert "step 1 " in microrun("train", "vae", scan, *fine_tuned, "--folder", tmp_path / "fine-tuned").said


def test_training_of_a_denoiser_goes_on(microrun: Microrun, tmp_path: Path) -> None:
    go_on_twice(microrun, tmp_path, "diffusion-run", 6, "diffusion", FILES / "potts.h5")


def test_a_checkpoint_is_exported_as_it_was(microrun: Microrun, tmp_path: Path) -> None:
    checkpoint = unpack("diffusion-run", tmp_path) / "checkpoint.safetensors"
    microrun("export", checkpoint, "--precision", "f32", "--out", tmp_path / "now.onnx")
    rng = np.random.default_rng(0)
    samples = {name: rng.standard_normal((1, 1, 32, 32, 32), np.float32) for name in ("x", "known", "noise", "mask")}
    rest = {"timestep": np.array([100], np.int32), "coefficients": rng.standard_normal((1, 5), np.float32)}
    then, now = (
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {**samples, **rest})[0]
        for path in (FILES / "denoiser.onnx", tmp_path / "now.onnx")
    )
    assert_allclose(then, now, rtol=ROUNDING, atol=ROUNDING)


# --- volumes


def read_grains(path: Path) -> NDArray[np.int32]:
    with h5py.File(path) as file:
        grains: NDArray[np.int32] = file["grain_id"][()]
    return grains


def test_blocks_that_were_decoded_otherwise_are_not_gone_on_with(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    blocks = unpack("volumes", tmp_path) / "killed.h5.blocks"
    options = ("--part", blocks / "part.npy", "--engine", FILES / "patches.onnx", *AS_NOW)
    ran = run_here(capsys, "generate", *options, "--out", blocks.parent / "killed.h5")
    check_refused(ran, blocks, "method 1, not 2", "delete it to start anew")
    assert len(list(blocks.glob("block-*"))) == 2


def test_the_blocks_of_another_seed_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    blocks = unpack("volumes", tmp_path) / "killed.h5.blocks"
    options = ("--engine", FILES / "patches.onnx", *AS_NOW, "--seed", 4)
    ran = run_here(capsys, "generate", "--part", blocks / "part.npy", *options, "--out", tmp_path / "killed.h5")
    check_refused(ran, blocks, "seed 3, not 4")
    assert len(list(blocks.glob("block-*"))) == 2


def test_volumes_are_read(microrun: Microrun, tmp_path: Path) -> None:
    volumes, potts = unpack("volumes", tmp_path), FILES / "potts.h5"
    said = microrun("inspect", volumes / "grown.h5").said
    for part in ("volume of grains", "32 × 32 × 104 (z, y, x)", "grains 6", "seed 3", "order isotropic", "count 24"):
        assert part in said
    assert "simulated volumes, potts volumes 2 of 32 × 32 × 32" in microrun("inspect", potts).said
    assert "grains 156 segmented value_scale 30" in microrun("inspect", volumes / "labels.h5").said
    options = ("--reference", potts, "--min-voxels", 27, "--folder", tmp_path)
    assert "grains " in microrun("grains", volumes / "labels.h5", *options).said


def test_a_volume_is_segmented_as_it_was(microrun: Microrun, tmp_path: Path) -> None:
    options = ("--dataset", "volume_0000", "--value-scale", 30, "--fill", "--out", tmp_path / "now.h5")
    assert "grains 156" in microrun("segment", FILES / "potts.h5", *options).said
    assert_array_equal(read_grains(tmp_path / "now.h5"), read_grains(unpack("volumes", tmp_path) / "labels.h5"))
