"""`microrun encode --pc`: a scan with another pattern centre than the model knows."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Microrun, check_refused
from small_scan import write_scan

from microrun.runtime.latents.reader import open_latents
from microrun.runtime.patterns.warp import Warp
from microrun.runtime.scans.up_source import FileSource

CENTRE = "0.50,0.70,0.62"
ON_THE_CPU = ("--device", "cpu", "--precision", "f32")


def test_encode_warps_inspect_says_so_and_decode_warps_back(microrun: Microrun, tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "scan.up2")
    ran = microrun("encode", scan, "--pc", CENTRE, *ON_THE_CPU)
    assert ran.code == 0
    latents = tmp_path / "scan.latents.h5"
    with open_latents(latents) as opened:
        assert opened.origin.warp == Warp((0.5, 0.7, 0.62), (0.42, 0.79, 0.5))
    assert "pattern centre 0.5, 0.7, 0.62 warped to 0.42, 0.79, 0.5" in microrun("inspect", latents).said
    ran = microrun("decode", latents, *ON_THE_CPU)
    assert ran.code == 0
    assert "pixels inside the mask are 0: the model's view does not show them" in " ".join(ran.err.split())
    assert FileSource(tmp_path / "scan.decoded.up2").scan.sig_shape == (120, 120)


def test_a_warning_names_both_pattern_centres_and_the_cure(microrun: Microrun, tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "scan.up2")
    scan.with_suffix(".ang").write_text("# x-star 0.5\n# y-star 0.7\n# z-star 0.62\n")
    said = " ".join(microrun("encode", scan, *ON_THE_CPU).err.split())
    assert "warning: " in said
    known = "vae32 knows 0.36 to 0.48, 0.74 to 0.84, 0.46 to 0.54"
    assert f"has its pattern centre at 0.5,0.7,0.62 (scan.ang), {known}" in said
    assert "--pc 0.5,0.7,0.62 warps to that" in said


@pytest.mark.parametrize(
    ("centre", "said"),
    [
        ("0.5,0.7", "written X,Y,Z"),
        ("a,b,c", "written X,Y,Z"),
        ("", "written X,Y,Z"),
        ("nan,0.7,0.6", "shares of the detector's side"),
        ("0.5,inf,0.6", "shares of the detector's side"),
        ("0.5,0.7,0", "shares of the detector's side"),
        ("0.5,0.7,-0.6", "shares of the detector's side"),
        ("240,320,300", "shares of the detector's side"),  # in pixels
        ("1.7,0.7,0.6", "shares of the detector's side"),
        ("0.42,0.21,0.50", "in EDAX's convention?"),  # it is in Bruker's
    ],
)
def test_what_is_no_pattern_centre_is_refused(microrun: Microrun, tmp_path: Path, centre: str, said: str) -> None:
    ran = microrun("encode", write_scan(tmp_path / "scan.up2"), f"--pc={centre}", *ON_THE_CPU)
    check_refused(ran, said)
    assert not (tmp_path / "scan.latents.h5").exists()


def test_a_model_that_states_no_pattern_centre_is_refused(encode: Microrun, scan: Path) -> None:
    check_refused(encode(scan, "--pc", CENTRE), "tiny.onnx: does not state which pattern centres it knows")


def test_a_resumed_run_must_have_the_same(microrun: Microrun, tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "scan.up2")
    assert microrun("encode", scan, "--pc", CENTRE, *ON_THE_CPU).code == 0
    ran = microrun("encode", scan, "--resume", "--pc", "0.5,0.7,0.6", *ON_THE_CPU)
    check_refused(ran, "belongs to another pattern centre (--pc): 0.5, 0.7, 0.62 warped to")
    assert microrun("encode", scan, "--resume", *ON_THE_CPU).code == 0
