"""What is read from latents and scans: `decode`, `analyse`, `physics`, `models`."""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from command_line import Microrun, check_refused, run_here
from make_latents import SCANS, make_contents, make_origin, write_contents, write_features
from make_models import write_decoder, write_encoder
from numpy.testing import assert_allclose, assert_array_equal
from write_ang import write_ang
from write_up2 import Header, make_patterns, write_up

from microrun.runtime.engines.catalogue import list_models
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.latents.writer import LatentsWriter
from microrun.runtime.maps.orientations import misorientation_angles
from microrun.runtime.scans.source import Claim
from microrun.runtime.scans.truth import load_truth
from microrun.runtime.scans.up_source import FileSource

SIG_SHAPE = (60, 60)
NAV_SHAPE = (3, 5)
HEADER = Header(sig_shape=SIG_SHAPE, nav_shape=NAV_SHAPE)
FLAT = 7


@pytest.fixture
def microrun(capsys: pytest.CaptureFixture[str]) -> Microrun:
    return lambda *arguments: run_here(capsys, *arguments)


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """Fifteen patterns of noise, one of them constant."""
    patterns = make_patterns(15, SIG_SHAPE)
    patterns[FLAT] = 1000
    return write_up(tmp_path / "scan.up2", patterns, HEADER)


@pytest.fixture
def decoder(tmp_path: Path) -> Path:
    return write_decoder(tmp_path / "tiny.decoder.onnx")


@pytest.fixture
def latents(microrun: Microrun, scan: Path, tmp_path: Path) -> Path:
    encoder = write_encoder(tmp_path / "tiny.onnx")
    assert microrun("encode", scan, "--engine", encoder, "--device", "cpu", "--precision", "f32").code == 0
    return tmp_path / "scan.latents.h5"


def names_in(folder: Path, pattern: str = "*") -> list[str]:
    return sorted(path.name for path in folder.glob(pattern))


def read_all(path: Path) -> np.ndarray:
    source = FileSource(path)
    patterns = np.empty((source.available, *source.scan.sig_shape), source.scan.dtype)
    source.read(Claim(np.arange(source.available)), 0, patterns)
    return patterns


# --- decode


def test_decode_says_what_it_did(microrun: Microrun, latents: Path, decoder: Path) -> None:
    ran = microrun("decode", latents, "--engine", decoder, "--device", "cpu", "--precision", "f32")
    assert ran.code == 0
    out = latents.parent / "scan.decoded.up2"
    for part in (
        "engine tiny.decoder.onnx with OpenVINO",
        "decoded 15 patterns in",
        "stored",
        "× intensity +",
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
    ran = microrun("decode", latents, "--engine", decoder, "--background", "--out", out)
    assert ran.code == 0
    assert "stored" not in ran.said
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
    check_refused(microrun("decode", latents, "--engine", decoder), out, "--overwrite", code=1)
    assert out.read_bytes() == b"precious"
    assert microrun("decode", latents, "--engine", decoder, "--overwrite").code == 0
    assert FileSource(out).scan.nav_shape == NAV_SHAPE


def test_the_scan_itself_is_never_replaced(microrun: Microrun, latents: Path, decoder: Path, scan: Path) -> None:
    before = scan.read_bytes()
    ran = microrun("decode", latents, "--engine", decoder, "--out", scan, "--overwrite")
    check_refused(ran, scan, "is the scan that was encoded", code=1)
    assert scan.read_bytes() == before


def test_what_cannot_be_decoded(microrun: Microrun, latents: Path, decoder: Path, tmp_path: Path) -> None:
    other = write_decoder(tmp_path / "other.decoder.onnx", latent_size=9)
    check_refused(microrun("decode", latents), latents, "give --engine")
    check_refused(microrun("decode", latents, "--engine", other), other.name, "does not belong")
    check_refused(microrun("decode", latents, "--engine", tmp_path / "tiny.onnx"), "needs a decoder")
    check_refused(microrun("decode", latents, "--engine", tmp_path / "none.onnx"), "none.onnx")
    check_refused(microrun("decode", tmp_path / "none.h5"), "none.h5")
    check_refused(microrun("decode", tmp_path / "scan.up2"), "scan.up2", "no latents file")
    check_refused(microrun("decode", latents, "--engine", decoder, "--out", tmp_path / "a.h5"), "a.h5", ".up2")
    missing = tmp_path / "missing" / "a.up2"
    check_refused(microrun("decode", latents, "--engine", decoder, "--out", missing), "a.up2", code=1)
    assert names_in(tmp_path, "*.up2") == ["scan.up2"]


# --- analyse


@pytest.fixture
def regions(tmp_path: Path) -> Path:
    """Latents of a left and a right region, with noise."""
    left = (np.indices((8, 10))[1] < 4)[..., None]
    features = np.where(left, [1.0, 0, 0, 2, 0], [0.0, 1, 1, 0, 0]) + 0.02 * np.random.default_rng(0).random((8, 10, 5))
    return write_features(tmp_path / "scan.latents.h5", features)


def test_analyse_stores_and_draws(microrun: Microrun, regions: Path) -> None:
    ran = microrun("analyse", regions, "--clusters", "2")
    assert (ran.code, ran.err) == (0, "")
    picture = regions.parent / "scan.analysis.png"
    for part in (
        "features",
        "Geary's C",
        "segments 2 closer than",
        "2 of more than one point",
        f"stored in {regions}",
        f"wrote {picture}",
    ):
        assert part in ran.said
    assert picture.read_bytes().startswith(b"\x89PNG")
    with h5py.File(regions) as file:
        group = file["analysis"]
        assert set(group) == {
            "structure", "feature_order", "principal_colours", "latent_spread", "segments", "clusters",
        }  # fmt: skip
        assert_array_equal(group["segments"], np.where(np.arange(10) < 4, 0, 1) * np.ones((8, 1)))
        assert_array_equal(group["clusters"], np.where(np.arange(10) < 4, 1, 0) * np.ones((8, 1)))
        assert group["feature_order"][-1] == 4  # the one that is noise alone
        assert group["principal_colours"].shape == (8, 10, 3)
        assert (group.attrs["clusters"], group.attrs["threshold"] > 0) == (2, True)
    with open_latents(regions) as opened:
        assert opened.written.all()


def test_options_of_analyse(microrun: Microrun, regions: Path, tmp_path: Path) -> None:
    options = ("--pick", " 2, 7", "--threshold", "0.5", "--clusters", "3", "--out", tmp_path / "maps" / "here")
    assert microrun("analyse", regions, *options).code == 0
    assert names_in(tmp_path / "maps" / "here") == ["scan.analysis.png"]
    with h5py.File(regions) as file:
        attributes = dict(file["analysis"].attrs)
        assert attributes.pop("pick").tolist() == [2, 7]
        assert attributes == {"threshold": 0.5, "clusters": 3}
        assert file["analysis/latent_distance"][2, 7] == 0
    assert microrun("analyse", regions).code == 0
    with h5py.File(regions) as file:
        assert "latent_distance" not in file["analysis"]


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("pick", "12", "a point is written ROW,COL"),
        ("pick", "a,b", "a point is written ROW,COL"),
        ("pick", "1,2,3", "a point is written ROW,COL"),
        ("pick", "8,0", "the map has 8×10 points, counted from 0; got 8,0"),
        ("pick", "-1,0", "the map has 8×10 points, counted from 0; got -1,0"),
        ("threshold", "0", "must be positive"),
        ("threshold", "-2", "must be positive"),
        ("threshold", "nan", "must be positive"),
        ("threshold", "x", "threshold"),
        ("clusters", "1", "at least 2 clusters"),
        ("clusters", "81", "81 clusters of 80 points"),
    ],
)
def test_what_cannot_be_analysed(microrun: Microrun, regions: Path, option: str, value: str, said: str) -> None:
    before = regions.read_bytes()
    check_refused(microrun("analyse", regions, f"--{option}={value}"), said)
    assert regions.read_bytes() == before
    assert names_in(regions.parent) == ["scan.latents.h5"]


def test_files_that_cannot_be_analysed(microrun: Microrun, scan: Path, regions: Path, tmp_path: Path) -> None:
    check_refused(microrun("analyse", tmp_path / "none.h5"), "none.h5")
    check_refused(microrun("analyse", scan), scan)
    before = regions.read_bytes()
    check_refused(microrun("analyse", regions, "--out", tmp_path / "maps.png"), "maps.png", code=1)
    check_refused(microrun("analyse", regions, "--out", scan / "maps"), code=1)
    assert regions.read_bytes() == before


def test_a_growing_file_is_not_analysed(microrun: Microrun, tmp_path: Path) -> None:
    left, contents = tmp_path / "left.h5", make_contents(SCANS["square"])
    with LatentsWriter.create(tmp_path / "a.h5", make_origin(SCANS["square"]), contents.background) as writer:
        writer.write(contents.batch(np.arange(20)))
        writer.flush()
        left.write_bytes(writer.path.read_bytes())
    check_refused(microrun("analyse", left, "--clusters", "2"), left, "end it with encode --resume")
    assert names_in(tmp_path) == ["a.h5", "left.h5"]


# --- physics


def stored(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return {name: file[name][()] for name in file}


def test_maps_of_the_patterns_only(microrun: Microrun, scan: Path) -> None:
    ran = microrun("physics", scan, "--no-index")
    assert (ran.code, ran.err) == (0, "")
    assert f"wrote {scan.parent / 'scan.physics.png'} wrote {scan.parent / 'scan.physics.h5'}" in ran.said
    assert names_in(scan.parent) == ["scan.physics.h5", "scan.physics.png", "scan.up2"]
    found = stored(scan.parent / "scan.physics.h5")
    assert set(found) == {"image_quality", "sharpness", "mean_intensity"}
    assert np.isnan(found["sharpness"]).sum() == 1
    assert found["mean_intensity"][1, 2] == 1000


def test_maps_of_orientations_from_a_file(microrun: Microrun, scan: Path, latents: Path, tmp_path: Path) -> None:
    angles = write_ang(tmp_path / "angles.ang", NAV_SHAPE, missing=(4,))
    out = tmp_path / "maps"
    ran = microrun("physics", scan, "--orientations", angles, "--latents", latents, "--out", out)
    assert (ran.code, ran.err) == (0, "")
    assert "autogenerating" not in ran.out  # orix's own
    assert names_in(out) == ["scan.physics.h5", "scan.physics.png"]
    assert (out / "scan.physics.png").stat().st_size > 50_000
    found = stored(out / "scan.physics.h5")
    assert set(found) == {
        "image_quality", "sharpness", "mean_intensity", "rotations", "colours", "grains", "kam_deg", "grod_deg",
    }  # fmt: skip
    assert (found["grains"] == -1).sum() == 1 == np.isnan(found["grod_deg"]).sum()
    assert found["grains"].max() == 13  # random orientations are grains of one point
    assert (found["colours"][0, 4] == 1).all()


def test_maps_of_indexed_orientations(microrun: Microrun, simulated_scan: Path, tmp_path: Path) -> None:
    ran = microrun("physics", simulated_scan, "--out", tmp_path)
    assert (ran.code, ran.err) == (0, "")
    assert "indexed" in ran.said and "% of the patterns" in ran.said
    truth, found = load_truth(simulated_scan), stored(tmp_path / "random.physics.h5")
    assert truth is not None
    assert np.median(misorientation_angles(found["rotations"], truth.rotations, "fcc")) < 0.5


def test_physics_does_not_overwrite_unasked(microrun: Microrun, scan: Path) -> None:
    store = scan.parent / "scan.physics.h5"
    store.write_bytes(b"precious")
    check_refused(microrun("physics", scan, "--no-index"), store, "--overwrite", code=1)
    assert store.read_bytes() == b"precious"
    assert microrun("physics", scan, "--no-index", "--overwrite").code == 0
    assert len(stored(store)) == 3


def test_what_has_no_conventional_maps(microrun: Microrun, scan: Path, tmp_path: Path) -> None:
    angles = write_ang(tmp_path / "angles.ang", (5, 3))
    right = write_ang(tmp_path / "right.ang", NAV_SHAPE)
    other = write_contents(tmp_path / "other.h5", make_origin(SCANS["square"]), make_contents(SCANS["square"]))
    phase = "phase 'hcp' cannot be indexed; it must be one of fcc, bcc, diamond"
    for options, said in (
        (["--orientations", angles], "is a map of 5×3"),
        (["--orientations", tmp_path / "none.ang"], "none.ang"),
        (["--orientations", scan], "orix cannot read it"),
        (["--orientations", right, "--phase", "hcp"], phase),
        (["--phase", "hcp", "--pc", "0.5,0.7,0.6"], phase),
        (["--pc", "0.5,0.7"], "a pattern centre is written X,Y,Z"),
        (["--pc", "here"], "a pattern centre is written X,Y,Z"),
        (["--pc", "50,70,60"], "shares of the detector's side"),
        (["--pc", "nan,0.7,0.6"], "shares of the detector's side"),
        (["--no-index", "--latents", other], "is of a map of"),
        (["--no-index", "--latents", tmp_path / "none.h5"], "none.h5"),
        (["--no-index", "--background", tmp_path / "none.npy"], "none.npy"),
        (["--no-index", "--grid", "15"], "ROWSxCOLS"),
    ):
        check_refused(microrun("physics", scan, *options), said)
        assert names_in(tmp_path, "scan.physics*") == []
    check_refused(microrun("physics", tmp_path / "none.up2"), "none.up2")
    check_refused(microrun("physics", scan, "--no-index", "--out", tmp_path / "maps.png"), "maps.png", code=1)


@pytest.mark.parametrize(
    ("library", "command", "extra"),
    [("sklearn", ["analyse"], "analyse"), ("pyebsdindex", ["physics", "--pc", "0.5,0.7,0.6"], "judge")],
)
def test_a_library_that_is_missing(
    microrun: Microrun, latents: Path, monkeypatch: pytest.MonkeyPatch, library: str, command: list[str], extra: str
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)  # type: ignore[arg-type]
    before = latents.read_bytes()
    target = latents if command == ["analyse"] else latents.parent / "scan.up2"
    ran = microrun(*command, target)
    check_refused(ran, f"error: {library}", f"is not installed; pip install 'microrun[{extra}]'")
    assert latents.read_bytes() == before
    assert names_in(latents.parent, "*.png") == []


# --- models


def test_built_in_models_are_listed(microrun: Microrun) -> None:
    ran = microrun("models")
    assert (ran.code, ran.err) == (0, "")
    lines = [line.split() for line in ran.out.splitlines() if line.strip()]
    assert lines[0][:3] == ["model", "D", "size"]
    for path, line in zip(list_models(), lines[1:], strict=False):
        assert line[0] == path.stem
        assert line[1].isdigit()
        assert line[3] in ("kB", "MB")
        assert f"{path.stem} " in ran.said
    for part in ("vae32", "patterns", "steps", "trained on"):
        assert part in ran.said
