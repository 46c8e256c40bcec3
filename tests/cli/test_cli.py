"""Every command, and every bad input: one line, exit code 2 (1 where nothing can be written), no traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from command_line import Microrun, check_refused, run_here
from make_models import decoder_graph, encoder_graph, save_model, tiny_spec, write_decoder, write_encoder
from numpy.testing import assert_array_equal
from write_up2 import Header, make_patterns, write_up

from microrun.runtime.latents.reader import open_latents
from microrun.runtime.scans.up_source import FileSource

SIG_SHAPE = (60, 60)
NAV_SHAPE = (3, 5)
HEADER = Header(sig_shape=SIG_SHAPE, nav_shape=NAV_SHAPE)
COMMANDS = [
    ["encode"], ["maps"], ["analyse"], ["decode"], ["convert"], ["physics"], ["inspect"], ["models"], ["demo"],
    ["replay"], ["train"], ["train", "vae"], ["evaluate"], ["probe"], ["generate-patterns"], ["simulate"],
    ["simulate", "scan"], ["simulate", "potts"], ["simulate", "am"], ["voxelize"], ["segment"], ["grains"], ["export"],
    ["bench"], ["bench", "encode"], ["bench", "latency"], ["doctor"],
]  # fmt: skip


@pytest.fixture
def microrun(capsys: pytest.CaptureFixture[str]) -> Microrun:
    return lambda *arguments: run_here(capsys, *arguments)


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    return write_encoder(tmp_path / "tiny.onnx")


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_up(tmp_path / "scan.up2", make_patterns(15, SIG_SHAPE), HEADER)


@pytest.fixture
def encode(microrun: Microrun, engine: Path) -> Microrun:
    """`microrun encode` on the CPU with a tiny engine."""
    options = ("--engine", engine, "--device", "cpu", "--precision", "f32")
    return lambda *arguments: microrun("encode", *options, *arguments)


@pytest.fixture
def latents(encode: Microrun, scan: Path, tmp_path: Path) -> Path:
    assert encode(scan).code == 0
    return tmp_path / "scan.latents.h5"


# --- what every command does


@pytest.mark.parametrize("command", [[], *COMMANDS], ids=" ".join)
def test_help_suffices(microrun: Microrun, command: list[str]) -> None:
    ran = microrun(*command, "--help")
    assert ran.code == 0
    assert ran.err == ""
    assert "Usage:" in ran.out
    assert len(ran.out.splitlines()) > 5


def test_every_command_is_listed(microrun: Microrun) -> None:
    listed = microrun("--help").out
    for command in COMMANDS:
        assert command[0] in listed


def test_options_of_encode_are_those_promised(microrun: Microrun) -> None:
    listed = microrun("encode", "--help").out
    for option in (
        "engine", "out", "follow", "grid", "step", "background", "device", "precision", "lanes", "batch", "resume",
    ):  # fmt: skip
        assert f"--{option}" in listed


def test_the_version_is_printed(microrun: Microrun) -> None:
    assert microrun("--version").out.startswith("microrun 0.")


@pytest.mark.parametrize(
    "arguments",
    [
        ["encode"],
        ["encode", "scan.up2", "--device", "gpu"],
        ["encode", "scan.up2", "--precision", "f8"],
        ["encode", "scan.up2", "--lanes", "two"],
        ["encode", "scan.up2", "--nonsense"],
        ["nonsense"],
        ["export", "checkpoint.safetensors", "--to", "plan"],
    ],
    ids=" ".join,
)
def test_a_command_line_that_makes_no_sense_is_one_line(microrun: Microrun, arguments: list[str]) -> None:
    check_refused(microrun(*arguments))


# --- encode


def test_encode_says_what_it_did(encode: Microrun, scan: Path, tmp_path: Path) -> None:
    ran = encode(scan, "--lanes", 2, "--batch", 4)
    assert (ran.code, ran.err) == (0, "")
    for part in (
        "engine tiny.onnx with OpenVINO", "on cpu in f32, 2 lanes of 4 patterns",
        "scan scan.up2: 3×5 square map, step 1.5 µm, 15 patterns of 60×60 uint16",
        "encoded 15 patterns in", "first latents after", "0 dropped", f"microrun maps {tmp_path / 'scan.latents.h5'}",
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
    from microrun.runtime.engines.onnx_cpu import offers_cuda

    if offers_cuda():
        pytest.skip("ONNX Runtime is built for CUDA here")
    check_refused(microrun("encode", scan, "--engine", engine, "--device", "cuda"), "microrun[gpu]")


def test_following_what_never_comes(encode: Microrun, tmp_path: Path) -> None:
    check_refused(encode(tmp_path / "none.up2", "--follow", "--idle-timeout", "0.1"), "none.up2")
    empty = write_up(tmp_path / "new.up2", make_patterns(0, SIG_SHAPE), HEADER)
    check_refused(encode(empty, "--follow", "--idle-timeout", "0.1"), "new.up2")
    check_refused(encode(tmp_path, "--follow", "--idle-timeout", "60"), tmp_path)


def test_an_existing_file_is_kept(encode: Microrun, scan: Path, latents: Path) -> None:
    before = latents.read_bytes()
    check_refused(encode(scan), latents, "--resume")
    assert latents.read_bytes() == before


def test_resume_with_nothing_left_to_do(encode: Microrun, scan: Path, latents: Path) -> None:
    ran = encode(scan, "--resume")
    assert (ran.code, ran.err) == (0, "")
    assert "had all patterns of the scan" in ran.said


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
    check_refused(encode(scan, "--out", missing / "out.h5"), missing / "out.h5", code=1)
    check_refused(encode(scan, "--out", file / "out.h5"), code=1)
    check_refused(microrun("maps", latents, "--pca", "--out", file / "maps"), code=1)
    check_refused(microrun("maps", latents, "--pca", "--out", "maps.png"), "maps.png", code=1)
    check_refused(microrun("replay", scan, missing / "copy.up2", "--rate", "0"), missing / "copy.up2", code=1)


# --- maps


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.png"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["scan.overview.png"]),
        (["--features", "0, 7"], ["scan.features.png"]),
        (["--montage", "--pca"], ["scan.montage.png", "scan.pca.png"]),
    ],
)
def test_maps_are_drawn(microrun: Microrun, latents: Path, options: list[str], expected: list[str]) -> None:
    ran = microrun("maps", latents, *options)
    assert (ran.code, ran.err) == (0, "")
    assert names(latents.parent) == expected
    for name in expected:
        assert f"wrote {latents.parent / name}" in ran.said
        assert (latents.parent / name).read_bytes().startswith(b"\x89PNG")


def test_maps_go_into_a_folder(microrun: Microrun, latents: Path, tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    assert microrun("maps", latents, "--pca", "--out", tmp_path / "maps").code == 0
    assert names(tmp_path / "maps") == ["scan.pca.png"]


@pytest.mark.parametrize("features", ["8", "-1", "0,99", "a", "1,,2", "1.5"])
def test_features_that_do_not_exist(microrun: Microrun, latents: Path, features: str) -> None:
    check_refused(microrun("maps", latents, f"--features={features}"), "features are")
    assert names(latents.parent) == []


def test_maps_of_nothing(microrun: Microrun, scan: Path, tmp_path: Path) -> None:
    check_refused(microrun("maps", tmp_path / "none.h5"), "none.h5")
    check_refused(microrun("maps", tmp_path), tmp_path)
    check_refused(microrun("maps", scan), scan)


# --- inspect


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
        "encoder tiny latent size 8 input 120×120, mask: inscribed circle, crop: centre weights f32"
        in microrun("inspect", engine).said
    )
    assert "decoder tiny" in microrun("inspect", write_decoder(tmp_path / "tiny.decoder.onnx")).said
    assert "latent size 32" in microrun("inspect", "vae32").said


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
             "text.h5", "text.npy", "text.onnx", "text.safetensors", "text.txt", "text", "folder", "folder.up2",
             "folder.h5", "folder.onnx", "folder.safetensors"],
)  # fmt: skip
def test_what_cannot_be_inspected(microrun: Microrun, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.startswith("text"):
        path.write_text("neither scan nor model nor latents\n" * 10)
    if name.startswith("folder"):
        path.mkdir()
    check_refused(microrun("inspect", path), path)


# --- replay


@pytest.mark.parametrize("version", [1, 3])
@pytest.mark.parametrize("rate", ["0", "5000"])
def test_a_scan_is_played_back(microrun: Microrun, tmp_path: Path, version: int, rate: str) -> None:
    header = Header(version=version, sig_shape=SIG_SHAPE, nav_shape=NAV_SHAPE, offset=64)
    scan = write_up(tmp_path / "scan.up2", make_patterns(15, SIG_SHAPE), header)
    ran = microrun("replay", scan, tmp_path / "copy.up2", "--rate", rate)
    assert (ran.code, ran.err) == (0, "")
    assert "replayed 15 patterns" in ran.said
    assert (tmp_path / "copy.up2").read_bytes() == scan.read_bytes()


def test_what_cannot_be_played_back(microrun: Microrun, scan: Path, tmp_path: Path) -> None:
    before = scan.read_bytes()
    check_refused(microrun("replay", scan, tmp_path / "copy.up2", "--rate", "-5"), "--rate")
    check_refused(microrun("replay", scan, tmp_path / "copy.up2", "--rate", "nan"), "--rate")
    check_refused(microrun("replay", scan, tmp_path / "copy.up1"), "copy.up1")
    check_refused(microrun("replay", scan, scan), scan)
    check_refused(microrun("replay", tmp_path / "none.up2", tmp_path / "copy.up2"), "none.up2")
    check_refused(microrun("replay", tmp_path, tmp_path / "copy.up2"), tmp_path)
    assert not (tmp_path / "copy.up2").exists()
    assert scan.read_bytes() == before


# --- train, export


def test_what_cannot_be_trained_on(microrun: Microrun, scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    other = write_up(tmp_path / "other.up2", make_patterns(15, (62, 62)), Header(sig_shape=(62, 62), nav_shape=(3, 5)))
    check_refused(microrun("train", "vae", tmp_path / "none.up2", "--out", out), "none.up2")
    check_refused(microrun("train", "vae", scan, "--latent", "33", "--out", out), "33")
    check_refused(microrun("train", "vae", scan, "--grid", "3", "--out", out), "ROWSxCOLS")
    check_refused(microrun("train", "vae", scan, other, "--out", out), "one detector shape")
    assert not out.exists()


def test_what_cannot_be_exported(microrun: Microrun, tmp_path: Path) -> None:
    text = tmp_path / "text.safetensors"
    text.write_text("no checkpoint")
    check_refused(microrun("export", text), text)
    check_refused(microrun("export", tmp_path / "none.safetensors"), "none.safetensors")
    check_refused(microrun("export", text, "--out", tmp_path / "model.pt"), "model.pt")
    check_refused(microrun("export", text, "--out", tmp_path / "missing" / "model.onnx"), tmp_path / "missing")
    assert list(tmp_path.iterdir()) == [text]


def test_the_headers_step_places_the_latents(latents: Path) -> None:
    with open_latents(latents) as opened:
        x, _ = opened.positions_um
        assert_array_equal(x[0], [0, 1.5, 3, 4.5, 6])


def test_replay_does_not_overwrite_unasked(microrun: Microrun, scan: Path, tmp_path: Path) -> None:
    out = tmp_path / f"copy{scan.suffix}"
    out.write_bytes(b"precious")
    check_refused(microrun("replay", scan, out, "--rate", "0"), out, code=1)
    assert out.read_bytes() == b"precious"
    assert microrun("replay", scan, out, "--rate", "0", "--overwrite").code == 0
    assert out.read_bytes() == scan.read_bytes()


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
    check_refused(encode(Path()), "directory")


def test_a_grid_smaller_than_the_scan_is_refused(encode: Microrun, scan: Path) -> None:
    ran = encode(scan, "--grid", "2x2")
    assert ran.code == 2
    assert "a grid of 2×2 has 4 patterns; the file holds 15" in ran.err.splitlines()[-1]
