"""`microrun encode`, and every bad input: one line, exit code 2 (1 where nothing can be written), no traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from command_line import Microrun, check_refused
from make_models import decoder_graph, encoder_graph, save_model, tiny_spec, write_decoder, write_encoder
from numpy.testing import assert_array_equal
from small_scan import HEADER, NAV_SHAPE, SIG_SHAPE
from write_up2 import Header, make_patterns, write_up

from microrun.runtime.files.extras import install_command
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.scans.up_source import FileSource


def test_encode_says_what_it_did(encode: Microrun, scan: Path, tmp_path: Path) -> None:
    ran = encode(scan, "--lanes", 2, "--batch", 4)
    assert (ran.code, ran.err) == (0, "")
    for part in (
        "engine tiny.onnx with OpenVINO", "on cpu in f32, 2 workers with 4 patterns at a time",
        "scan scan.up2: 3×5 square map, step 1.5 µm, 15 patterns of 60×60 uint16",
        "encoded 15 patterns in", "per second, the first after", f"next microrun maps {tmp_path / 'scan.latents.h5'}",
    ):  # fmt: skip
        assert part in ran.said
    with open_latents(tmp_path / "scan.latents.h5") as opened:
        assert opened.written.all()
        assert opened.latents.dtype == np.float32


def test_the_engine_may_be_left_out(microrun: Microrun, scan: Path, tmp_path: Path) -> None:
    assert microrun("encode", scan, "--out", tmp_path / "out.h5", "--latents-type", "float16").code == 0
    with open_latents(tmp_path / "out.h5") as opened:
        assert opened.latents.shape == (3, 5, 32)
        assert opened.latents.dtype == np.float16
        assert np.isfinite(opened.latents).all()


def test_grid_and_step_may_be_given(encode: Microrun, tmp_path: Path) -> None:
    header = Header(version=1, sig_shape=SIG_SHAPE)
    scan = write_up(tmp_path / "old.up2", make_patterns(15, SIG_SHAPE), header)
    assert encode(scan, "--grid", "5x3", "--step", "0.25").code == 0
    with open_latents(tmp_path / "old.latents.h5") as opened:
        assert opened.origin.scan.nav_shape == (5, 3)
        assert opened.origin.scan.step_um == (0.25, 0.25)


def test_other_vendors_files_are_encoded(encode: Microrun, nickel: Any, tmp_path: Path) -> None:
    ran = encode(nickel.path, "--out", tmp_path / "nickel.h5")
    assert (ran.code, ran.err) == (0, "")
    with open_latents(tmp_path / "nickel.h5") as opened:
        assert opened.latents.shape == (3, 3, 8)


def test_a_header_that_promises_more_is_a_warning(encode: Microrun, tmp_path: Path) -> None:
    scan = write_up(tmp_path / "cut.up2", make_patterns(15, SIG_SHAPE), HEADER, cut=10_000)
    ran = encode(scan)
    assert ran.code == 0
    assert "holds 13 of the 15 patterns" in ran.err
    assert [line.partition(" ")[0] for line in ran.err.splitlines()] == ["warning:"]
    with open_latents(tmp_path / "cut.latents.h5") as opened:
        assert opened.written.sum() == 13


def bad_scans() -> dict[str, Callable[[Path], Path]]:
    """Files that are no scan, each made in a folder."""
    few = make_patterns(15, SIG_SHAPE)

    def with_header(name: str = "bad.up2", **changes: Any) -> Callable[[Path], Path]:
        header = Header(**{"sig_shape": SIG_SHAPE, "nav_shape": NAV_SHAPE, **changes})
        # Only what lies before the patterns may be damaged here: an offset beyond the end gets no filler.
        return lambda folder: write_raw(folder / name, header.to_bytes() + few.tobytes())

    def write_raw(path: Path, data: bytes) -> Path:
        path.write_bytes(data)
        return path

    def folder_named(name: str) -> Callable[[Path], Path]:
        def make(folder: Path) -> Path:
            (folder / name).mkdir()
            return folder / name

        return make

    return {
        "missing": lambda folder: folder / "none.up2",
        "missing other": lambda folder: folder / "none.h5",
        "empty": lambda folder: write_raw(folder / "bad.up2", b""),
        "truncated header": lambda folder: write_raw(folder / "bad.up2", HEADER.to_bytes()[:20]),
        "only a header": lambda folder: write_raw(folder / "bad.up2", HEADER.to_bytes()),
        "text": lambda folder: write_raw(folder / "bad.up2", b"this is no scan at all, but a long line of text"),
        "folder": folder_named("bad"),
        "folder with the ending": folder_named("bad.up2"),
        "version": with_header(version=7),
        "zero size": with_header(sig_shape=(0, 60)),
        "absurd size": with_header(sig_shape=(60, 1 << 31)),
        "absurd map": with_header(nav_shape=(1 << 31, 1 << 31)),
        "offset beyond the end": with_header(offset=10_000_000),
        "offset inside the header": with_header(offset=3),
        "impossible step": with_header(step_um=(float("nan"), 1.0)),
        "no grid": with_header(version=1),
        "renamed": lambda folder: write_up(folder / "bad.up2", few.astype(np.uint8), HEADER),
        "too small": lambda folder: write_up(
            folder / "bad.up2", make_patterns(15, (40, 40)), Header(sig_shape=(40, 40), nav_shape=NAV_SHAPE)
        ),
        "other vendor's": lambda folder: write_raw(folder / "bad.h5oina", b"no scan"),
        "no ending": lambda folder: write_raw(folder / "bad", b"no scan"),
    }


@pytest.mark.parametrize("make", bad_scans().values(), ids=bad_scans().keys())
def test_bad_scans(encode: Microrun, tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    check_refused(encode(path, "--out", tmp_path / "out.h5"))
    assert not (tmp_path / "out.h5").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--grid", "4x4"], "a grid of 4×4 has 16 patterns; the file holds 15"),
        (["--grid", "15"], "ROWSxCOLS"),
        (["--grid", "axb"], "ROWSxCOLS"),
        (["--grid", "0x15"], "grid"),
        (["--grid", "5x3", "--step", "-1"], "step"),
        (["--grid", "5x3", "--step", "nan"], "step"),
        (["--grid", "5x3", "--lanes", "0"], "lanes must be 1 to 4096; got 0"),
        (["--grid", "5x3", "--batch", "-3"], "batch must be 1 to 4096; got -3"),
        (["--grid", "5x3", "--background", "dark.npy"], "dark.npy"),
        (["--grid", "5x3", "--background", "dark.up2"], "dark.up2"),
    ],
)
def test_bad_options(encode: Microrun, tmp_path: Path, options: list[str], said: str) -> None:
    scan = write_up(tmp_path / "old.up2", make_patterns(15, SIG_SHAPE), Header(version=1, sig_shape=SIG_SHAPE))
    check_refused(encode(scan, *options), said)
    assert not (tmp_path / "old.latents.h5").exists()


def test_a_background_that_does_not_fit(encode: Microrun, scan: Path, tmp_path: Path) -> None:
    path = tmp_path / "dark.npy"
    for image in (np.zeros((7, 7)), np.full(SIG_SHAPE, np.nan), np.array(["text"])):
        np.save(path, image)
        check_refused(encode(scan, "--background", path), path)
    path.write_text("no image")
    check_refused(encode(scan, "--background", path), path)


def bad_engines() -> dict[str, Callable[[Path], Path]]:
    """Models that do not encode, each made at a path."""

    def write(data: bytes) -> Callable[[Path], Path]:
        def make(path: Path) -> Path:
            path.write_bytes(data)
            return path

        return make

    def folder(path: Path) -> Path:
        path.mkdir()
        return path

    return {
        "missing": lambda path: path,
        "a folder": folder,
        "empty": write(b""),
        "text": write(b"no model\n" * 100),
        "no spec": lambda path: save_model(path, encoder_graph(), None),
        "another spec": lambda path: save_model(path, encoder_graph(), tiny_spec("encoder", 99)),
        "a damaged spec": lambda path: save_model(path, encoder_graph(), "{}"),
        "a decoder": write_decoder,
        "a decoder that says encoder": lambda path: save_model(path, decoder_graph(), tiny_spec("encoder")),
    }


@pytest.mark.parametrize("make", bad_engines().values(), ids=bad_engines().keys())
def test_bad_engines(microrun: Microrun, scan: Path, tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path / "bad.onnx")
    check_refused(microrun("encode", scan, "--engine", path, "--device", "cpu"), path.name)
    assert not (tmp_path / "scan.latents.h5").exists()


def test_engines_by_a_name_that_is_none(microrun: Microrun, scan: Path) -> None:
    check_refused(microrun("encode", scan, "--engine", "vae33"), "vae33", "vae32")


def test_no_card(microrun: Microrun, scan: Path, engine: Path) -> None:
    from microrun.runtime.engines.libraries import offers_cuda

    if offers_cuda():
        pytest.skip("ONNX Runtime is built for CUDA here")
    check_refused(microrun("encode", scan, "--engine", engine, "--device", "cuda"), install_command("gpu"))


def test_following_what_never_comes(encode: Microrun, tmp_path: Path) -> None:
    check_refused(encode(tmp_path / "none.up2", "--follow", "--idle-timeout", "0.1"), "none.up2")
    empty = write_up(tmp_path / "new.up2", make_patterns(0, SIG_SHAPE), HEADER)
    check_refused(encode(empty, "--follow", "--idle-timeout", "0.1"), "new.up2")
    check_refused(encode(tmp_path, "--follow", "--idle-timeout", "60"), tmp_path)


def test_an_existing_file_is_kept(encode: Microrun, scan: Path, latents: Path) -> None:
    before = latents.read_bytes()
    check_refused(encode(scan), f"{latents}: exists", "--resume", "replace it with --overwrite")
    check_refused(encode(scan, "--resume", "--overwrite"), "give one of the two")
    assert latents.read_bytes() == before


@pytest.mark.parametrize("follow", [(), ("--follow", "--idle-timeout", "0.1")])
def test_resume_with_nothing_left_to_do(encode: Microrun, scan: Path, latents: Path, follow: tuple[str, ...]) -> None:
    before = latents.read_bytes()
    ran = encode(scan, "--resume", *follow)
    assert (ran.code, ran.err) == (0, "")
    assert "had all patterns of the scan" in ran.said and latents.read_bytes() == before


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def make_other_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["latents"] = np.zeros((3, 5, 8))


BAD_LATENTS: dict[str, Callable[[Path], object]] = {
    "truncated": cut_in_half,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no latents"),
    "other HDF5": make_other_hdf5,
}


@pytest.mark.parametrize("damage", BAD_LATENTS.values(), ids=BAD_LATENTS.keys())
def test_bad_latents(
    encode: Microrun, microrun: Microrun, scan: Path, latents: Path, damage: Callable[[Path], object]
) -> None:
    damage(latents)
    before = latents.read_bytes()
    check_refused(encode(scan, "--resume"), latents)
    check_refused(microrun("maps", latents), latents)
    check_refused(microrun("inspect", latents), latents)
    assert latents.read_bytes() == before


def test_latents_of_another_run(encode: Microrun, scan: Path, latents: Path, tmp_path: Path) -> None:
    before = latents.read_bytes()
    other = write_up(tmp_path / "other.up2", make_patterns(15, SIG_SHAPE, seed=1), HEADER)
    engine = write_encoder(tmp_path / "other.onnx", seed=1)
    check_refused(encode(other, "--out", latents, "--resume"), "another scan")
    check_refused(encode(scan, "--resume", "--background", "none"), "another background")
    check_refused(encode(scan, "--resume", "--engine", engine), "another engine")
    check_refused(encode(scan, "--resume", "--step", "7"), "another scan geometry")
    assert latents.read_bytes() == before


def test_output_that_cannot_be_written(encode: Microrun, microrun: Microrun, scan: Path, latents: Path) -> None:
    missing, file = scan.parent / "missing", scan
    check_refused(encode(scan, "--out", missing / "out.h5"), missing / "out.h5", f"there is no folder {missing}")
    check_refused(encode(scan, "--out", file / "out.h5"), "is a file; expected a folder")
    check_refused(encode(scan, "--out", scan.parent / "out.csv"), "out.csv: expected a name that ends in .h5")
    check_refused(encode(scan, "--out", scan, "--overwrite"), "expected a name that ends in .h5")
    check_refused(microrun("maps", latents, "--pca", "--folder", file / "maps"), "is a file; expected a folder")
    check_refused(microrun("maps", latents, "--pca", "--folder", "maps.png"), "maps.png: is the name of a picture")
    check_refused(microrun("replay", scan, missing / "copy.up2", "--rate", "0"), missing / "copy.up2")
    assert not missing.exists()


def test_the_headers_step_places_the_latents(latents: Path) -> None:
    with open_latents(latents) as opened:
        x, _ = opened.positions_um
        assert_array_equal(x[0], [0, 1.5, 3, 4.5, 6])


def test_a_grid_that_contradicts_the_header_is_said(encode: Microrun, scan: Path) -> None:
    rows, cols = FileSource(scan).scan.nav_shape
    ran = encode(scan, "--grid", f"{cols}x{rows}")
    assert ran.code == 0
    assert f"the header states a grid of {rows}×{cols}; {cols}×{rows} is used as asked" in ran.err


def test_a_resumed_run_keeps_its_background(encode: Microrun, scan: Path) -> None:
    assert encode(scan, "--background", "running").code == 0
    ran = encode(scan, "--resume")
    assert (ran.code, ran.err) == (0, "")


def test_this_folder_is_no_scan(encode: Microrun) -> None:
    check_refused(encode(Path()), "is a folder without TIFF, PNG or BMP pictures, so it is not a scan")


def test_a_grid_smaller_than_the_scan_is_refused(encode: Microrun, scan: Path) -> None:
    ran = encode(scan, "--grid", "2x2")
    assert ran.code == 2
    assert "a grid of 2×2 has 4 patterns; the file holds 15" in ran.err.splitlines()[-1]
