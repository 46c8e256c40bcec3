"""`microrun export` and plans, as users meet them on a machine without a card."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Microrun, check_refused, run_here
from make_models import write_encoder
from write_up2 import make_patterns, write_up

pytest.importorskip("tensorrt_rtx")


@pytest.fixture
def microrun(capsys: pytest.CaptureFixture[str]) -> Microrun:
    return lambda *arguments: run_here(capsys, *arguments)


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    return write_encoder(tmp_path / "tiny.onnx")


def test_a_plan_for_rtx_cards(microrun: Microrun, engine: Path, tmp_path: Path) -> None:
    ran = microrun("export", engine, "--to", "tensorrt_rtx", "--batch", 16)
    assert ran.code == 0, ran.err
    for part in ("wrote", "tiny.plan", "f32", "TensorRT-RTX", "8.0, 8.6, 8.9, 12.0+", "not compared yet: no card"):
        assert part in ran.said
    record = json.loads((tmp_path / "tiny.plan.json").read_text())
    assert record["profile"] == {"min": 1, "opt": 16, "max": 16} and record["parity_error"] is None


def test_a_plan_cannot_encode_here(microrun: Microrun, engine: Path, tmp_path: Path) -> None:
    microrun("export", engine, "--to", "tensorrt_rtx")
    scan, plan = write_up(tmp_path / "scan.up2", make_patterns(15, (61, 67))), tmp_path / "tiny.plan"
    check_refused(microrun("encode", scan, "--engine", plan), "CUDA finds no card here")
    check_refused(microrun("encode", scan, "--engine", plan, "--device", "cpu"), plan, "NVIDIA cards only")
    check_refused(microrun("encode", scan, "--engine", engine, "--build"), "CUDA finds no card here")
    check_refused(microrun("encode", tmp_path / "none.up2", "--engine", engine, "--build"), "none.up2: no such file")
    (tmp_path / "tiny.plan.json").unlink()
    check_refused(microrun("encode", scan, "--engine", plan), "tiny.plan.json is missing")
    assert not (tmp_path / "scan.latents.h5").exists()


def test_what_cannot_be_built(microrun: Microrun, engine: Path, tmp_path: Path) -> None:
    check_refused(microrun("export", engine), engine, "is ONNX already")
    check_refused(microrun("export", engine, "--to", "tensorrt"), "TensorRT is not installed")
    rtx = ("export", engine, "--to", "tensorrt_rtx")
    check_refused(microrun(*rtx, "--compute-capability", "9.0"), "'9.0'")
    check_refused(microrun(*rtx, "--timing-cache", tmp_path / "timings"), "TensorRT's own")
    check_refused(microrun(*rtx, "--version-compatible"), "TensorRT's own")
    check_refused(microrun(*rtx, "--batch", 0), "batch must be 1 to 4096")
    check_refused(microrun(*rtx, "--out", tmp_path / "tiny.engine"), "ends in .plan")
    check_refused(microrun(*rtx, "--held-out", tmp_path / "scan.up2"), "--calibrate")
    check_refused(microrun("export", engine, "--batch", 8), "--to tensorrt")
    check_refused(microrun(*rtx, "--background", "none"), "--calibrate")
    check_refused(microrun("export", "vae33", "--to", "tensorrt_rtx"), "vae33", "vae32")
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no model" * 50)
    check_refused(microrun("export", bad, "--to", "tensorrt_rtx"), "bad.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.onnx", "tiny.onnx"]
