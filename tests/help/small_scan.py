"""A scan of fifteen patterns, and its latents."""

from __future__ import annotations

from pathlib import Path

from command_line import Microrun
from make_models import write_encoder
from write_up2 import Header, make_patterns, write_up

SIG_SHAPE = (60, 60)
NAV_SHAPE = (3, 5)
HEADER = Header(sig_shape=SIG_SHAPE, nav_shape=NAV_SHAPE)
FLAT = 7


def write_scan(path: Path) -> Path:
    """Patterns of noise, one of them constant."""
    patterns = make_patterns(15, SIG_SHAPE)
    patterns[FLAT] = 1000
    return write_up(path, patterns, HEADER)


def encode_scan(microrun: Microrun, scan: Path) -> Path:
    """Encode a scan by a tiny engine beside it."""
    encoder = write_encoder(scan.with_name("tiny.onnx"))
    assert microrun("encode", scan, "--engine", encoder, "--device", "cpu", "--precision", "f32").code == 0
    return scan.with_name("scan.latents.h5")
