"""`microrun inspect`."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Microrun, check_refused
from make_models import tiny_spec, write_decoder
from write_up2 import Header, make_patterns, write_up


def test_a_scan_is_inspected(microrun: Microrun, scan: Path) -> None:
    ran = microrun("inspect", scan)
    assert (ran.code, ran.err) == (0, "")
    for part in ("version 3, patterns from byte 42", "15 of 60×60 uint16", "3×5, square", "1.5 × 1.5 µm", "108 kB"):
        assert part in ran.said


def test_a_scan_without_a_grid_is_inspected(microrun: Microrun, tmp_path: Path) -> None:
    path = write_up(tmp_path / "old.up1", make_patterns(4, (4, 5), "uint8"), Header(version=1))
    said = microrun("inspect", path).said
    for part in ("version 1", "4 of 4×5 uint8", "not stated (give --grid)", "step not stated"):
        assert part in said


def test_models_are_inspected(microrun: Microrun, engine: Path, tmp_path: Path) -> None:
    assert (
        "encoder tiny latent size 8 input 120×120, mask: inscribed circle, crop: centre "
        "background subtracted as it is knows not stated weights f32" in microrun("inspect", engine).said
    )
    assert "decoder tiny" in microrun("inspect", write_decoder(tmp_path / "tiny.decoder.onnx")).said
    said = microrun("inspect", "vae32").said
    for part in (
        "latent size 32",
        "knows nickel, copper, aluminum, gamma-iron; 15 to 30 keV; pattern centre 0.36 to 0.48, 0.74 to 0.84, 0.46",
    ):
        assert part in said


def test_latents_are_inspected(microrun: Microrun, latents: Path) -> None:
    ran = microrun("inspect", latents)
    assert (ran.code, ran.err) == (0, "")
    for part in (
        "latents of tiny, float32", "3×5×8, square", "1.5 × 1.5 µm", "15 of 15 patterns, 0 without information",
        "60×60 uint16, background: mean", "OpenVINO", "in f32, SHA-256",
    ):  # fmt: skip
        assert part in ran.said


def test_a_checkpoint_is_inspected(microrun: Microrun, tmp_path: Path) -> None:
    import torch

    from microrun.training.vae.checkpoint import save_checkpoint

    save_checkpoint(tmp_path / "tiny.safetensors", {"weight": torch.zeros(1)}, tiny_spec())
    assert "encoder tiny latent size 8" in microrun("inspect", tmp_path / "tiny.safetensors").said


@pytest.mark.parametrize(
    "name", ["none.up2", "none.h5", "none.onnx", "none.safetensors", "none", "none.txt", "text.up2", "text.up1",
             "text.h5", "text.npy", "text.onnx", "text.safetensors", "folder", "folder.up2",
             "folder.h5", "folder.onnx", "folder.safetensors"],
)  # fmt: skip
def test_what_cannot_be_inspected(microrun: Microrun, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.startswith("text"):
        path.write_text("neither scan nor model nor latents\n" * 10)
    if name.startswith("folder"):
        path.mkdir()
    check_refused(microrun("inspect", path), path)
