"""`microrun decode`: what it says and writes, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import Microrun, check_refused
from files_in import names_in
from make_models import write_decoder
from numpy.testing import assert_allclose
from small_scan import FLAT, HEADER, NAV_SHAPE, encode_scan, write_scan
from write_up2 import write_up

from microrun.runtime.latents.reader import open_latents
from microrun.runtime.scans.source import Claim
from microrun.runtime.scans.up_source import FileSource


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_scan(tmp_path / "scan.up2")


@pytest.fixture
def decoder(tmp_path: Path) -> Path:
    return write_decoder(tmp_path / "tiny.decoder.onnx")


@pytest.fixture
def latents(microrun: Microrun, scan: Path) -> Path:
    return encode_scan(microrun, scan)


def read_all(path: Path) -> np.ndarray:
    source = FileSource(path)
    patterns = np.empty((source.available, *source.scan.sig_shape), source.scan.dtype)
    source.read(Claim(np.arange(source.available)), 0, patterns)
    return patterns


def test_decode_says_what_it_did(microrun: Microrun, latents: Path, decoder: Path) -> None:
    ran = microrun("decode", latents, "--engine", decoder, "--device", "cpu", "--precision", "f32")
    assert ran.code == 0
    out = latents.parent / "scan.decoded.up2"
    for part in (
        "engine tiny.decoder.onnx with OpenVINO",
        "decoded 15 patterns in",
        "a grey level of the camera, above the background, is",
        f"wrote {out} (432 kB)",
    ):
        assert part in ran.said
    assert " ".join(ran.err.split()) == "warning: 1 patterns are blank: not encoded, or without information"
    found = FileSource(out).scan
    assert (found.nav_shape, found.sig_shape, found.step_um) == (NAV_SHAPE, (120, 120), (1.5, 1.5))
    patterns = read_all(out)
    assert [np.ptp(pattern) == 0 for pattern in patterns] == [n == FLAT for n in range(15)]


def test_decode_with_the_background_restores_counts(microrun: Microrun, latents: Path, decoder: Path) -> None:
    out = latents.parent / "other.up2"
    ran = microrun("decode", latents, "--engine", decoder, "--add-background", "--out", out)
    assert ran.code == 0
    assert "grey level" not in ran.said
    with open_latents(latents) as opened:
        background = opened.background
    assert_allclose(read_all(out)[FLAT], background, atol=0.51)


def test_built_in_encoders_have_built_in_decoders(microrun: Microrun, simulated_scan: Path, tmp_path: Path) -> None:
    path = tmp_path / "random.latents.h5"
    assert microrun("encode", simulated_scan, "--out", path, "--device", "cpu").code == 0
    ran = microrun("decode", path, "--device", "cpu")
    assert (ran.code, ran.err) == (0, "")
    assert "engine vae32.decoder.onnx" in ran.said
    originals, decoded = (read_all(file).astype(float) for file in (simulated_scan, tmp_path / "random.decoded.up2"))
    originals -= originals.mean(axis=0)
    decoded -= decoded.mean(axis=0)
    inside = (slice(None), slice(30, 90), slice(30, 90))
    likeness = [
        np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(originals[inside], decoded[inside], strict=True)
    ]
    assert np.median(likeness) > 0.3


def test_decode_does_not_overwrite_unasked(microrun: Microrun, latents: Path, decoder: Path) -> None:
    out = latents.parent / "scan.decoded.up2"
    out.write_bytes(b"precious")
    check_refused(microrun("decode", latents, "--engine", decoder), out, "--overwrite")
    assert out.read_bytes() == b"precious"
    assert microrun("decode", latents, "--engine", decoder, "--overwrite").code == 0
    assert FileSource(out).scan.nav_shape == NAV_SHAPE


@pytest.mark.parametrize("blank", [False, True])
def test_the_scan_itself_is_never_replaced(microrun: Microrun, decoder: Path, scan: Path, blank: bool) -> None:
    patterns = read_all(scan)
    patterns[0] *= not blank  # such a first pattern tells nothing of the scan
    write_up(scan, patterns, HEADER)
    latents, before = encode_scan(microrun, scan), scan.read_bytes()
    ran = microrun("decode", latents, "--engine", decoder, "--out", scan, "--overwrite")
    check_refused(ran, scan, "is the scan that was encoded")
    assert scan.read_bytes() == before
    other = write_up(scan.with_name("other.up2"), patterns[::-1], HEADER)
    assert microrun("decode", latents, "--engine", decoder, "--out", other, "--overwrite").code == 0


def test_what_cannot_be_decoded(microrun: Microrun, latents: Path, decoder: Path, tmp_path: Path) -> None:
    other = write_decoder(tmp_path / "other.decoder.onnx", latent_size=9)
    check_refused(microrun("decode", latents), latents, "give --engine")
    check_refused(microrun("decode", latents, "--engine", other), other.name, "does not belong")
    check_refused(microrun("decode", latents, "--engine", tmp_path / "tiny.onnx"), "needs a decoder")
    check_refused(microrun("decode", latents, "--engine", tmp_path / "none.onnx"), "none.onnx")
    check_refused(microrun("decode", tmp_path / "none.h5"), "none.h5")
    check_refused(microrun("decode", tmp_path / "scan.up2"), "scan.up2: is a scan of patterns, not a latents file")
    check_refused(microrun("decode", latents, "--engine", decoder, "--out", tmp_path / "a.h5"), "a.h5", ".up2")
    missing = tmp_path / "missing" / "a.up2"
    check_refused(microrun("decode", latents, "--engine", decoder, "--out", missing), "a.up2", "there is no folder")
    assert names_in(tmp_path, "*.up2") == ["scan.up2"]
