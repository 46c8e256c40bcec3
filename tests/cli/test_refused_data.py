"""Data that models cannot be trained on, or exported from: one line."""

from __future__ import annotations

from pathlib import Path

from command_line import Microrun, check_refused
from write_up2 import Header, make_patterns, write_up


def test_what_cannot_be_trained_on(microrun: Microrun, scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    other = write_up(tmp_path / "other.up2", make_patterns(15, (62, 62)), Header(sig_shape=(62, 62), nav_shape=(3, 5)))
    check_refused(microrun("train", "vae", tmp_path / "none.up2", "--folder", out), "none.up2")
    check_refused(microrun("train", "vae", scan, "--latent", "33", "--folder", out), "33")
    check_refused(microrun("train", "vae", scan, "--grid", "3", "--folder", out), "ROWSxCOLS")
    check_refused(microrun("train", "vae", scan, other, "--folder", out), "one detector shape")
    assert not out.exists()


def test_what_cannot_be_exported(microrun: Microrun, tmp_path: Path) -> None:
    text = tmp_path / "text.safetensors"
    text.write_text("no checkpoint")
    check_refused(microrun("export", text), text)
    check_refused(microrun("export", tmp_path / "none.safetensors"), "none.safetensors")
    check_refused(microrun("export", text, "--out", tmp_path / "model.pt"), "model.pt")
    check_refused(microrun("export", text, "--out", tmp_path / "missing" / "model.onnx"), tmp_path / "missing")
    assert list(tmp_path.iterdir()) == [text]
