"""Fixtures that the tests of all commands share."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Microrun, run_here
from make_models import write_encoder
from small_scan import HEADER, SIG_SHAPE
from write_up2 import make_patterns, write_up


@pytest.fixture
def microrun(capsys: pytest.CaptureFixture[str]) -> Microrun:
    """The command, run in this process."""
    return lambda *arguments: run_here(capsys, *arguments)


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """A tiny encoder."""
    return write_encoder(tmp_path / "tiny.onnx")


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """Fifteen patterns of noise."""
    return write_up(tmp_path / "scan.up2", make_patterns(15, SIG_SHAPE), HEADER)


@pytest.fixture
def encode(microrun: Microrun, engine: Path) -> Microrun:
    """`microrun encode` on the CPU with the tiny encoder."""
    options = ("--engine", engine, "--device", "cpu", "--precision", "f32")
    return lambda *arguments: microrun("encode", *options, *arguments)


@pytest.fixture
def latents(encode: Microrun, scan: Path, tmp_path: Path) -> Path:
    """The latents of that scan."""
    assert encode(scan).code == 0
    return tmp_path / "scan.latents.h5"
