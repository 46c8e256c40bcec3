"""What all commands that write have in common: nothing is replaced unasked, no folder left empty, paths to paste."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest
from command_line import Microrun, check_refused
from files_in import names_in
from make_models import write_encoder
from small_scan import HEADER, SIG_SHAPE
from write_up2 import make_patterns, write_up

from microrun.cli import analyse, physics
from microrun.cli.outputs import command_line, say_next
from microrun.runtime.files import quoting
from microrun.runtime.files.quoting import quoted
from microrun.runtime.pictures import latent_maps as draw
from microrun.runtime.view import desk

REFUSED = "exists; replace it with --overwrite, or write to another place"


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    path = tmp_path / "grains.npy"
    np.save(path, np.arange(64, dtype=np.int32).reshape(4, 4, 4))
    return path


def check_kept(microrun: Microrun, made: Path, *command: object) -> None:
    """Run it thrice: it writes, it refuses and leaves all as it was, it replaces when told."""
    assert microrun(*command).code == 0
    made.write_bytes(b"mine")
    check_refused(microrun(*command), f"{made}: {REFUSED}")
    assert made.read_bytes() == b"mine"
    assert microrun(*command, "--overwrite").code == 0
    assert made.read_bytes() != b"mine"


def test_maps_are_kept(microrun: Microrun, latents: Path, tmp_path: Path) -> None:
    check_kept(microrun, tmp_path / "scan.pca.png", "maps", latents, "--pca")


@pytest.mark.parametrize(
    ("command", "module", "drawing", "picture"),
    [
        (("maps", "scan.latents.h5"), draw, "draw_overview", "scan.overview.png"),
        (("analyse", "scan.latents.h5"), analyse, "draw_analysis", "scan.analysis.png"),
        (("physics", "scan.up2", "--no-index"), physics, "draw_physics", "scan.physics.png"),
    ],
)
def test_what_appears_while_a_command_works_is_kept(
    microrun: Microrun, latents: Path, monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...], module: ModuleType, drawing: str, picture: str,
) -> None:  # fmt: skip
    appears, plain, before = latents.parent / picture, getattr(module, drawing), latents.read_bytes()

    def draws(*arguments: Any, **options: Any) -> Any:
        appears.write_text("mine")
        return plain(*arguments, **options)

    monkeypatch.setattr(module, drawing, draws)
    name, file, *options = command
    kept = names_in(latents.parent)
    check_refused(microrun(name, latents.parent / file, *options), f"{appears}: ", "write to another place")
    assert appears.read_text() == "mine" and latents.read_bytes() == before
    assert names_in(latents.parent) == sorted([*kept, picture])
    assert microrun(name, latents.parent / file, *options, "--overwrite").code == 0
    assert appears.read_bytes().startswith(b"\x89PNG")


def test_the_picture_of_a_volume_is_kept(microrun: Microrun, volume: Path, tmp_path: Path) -> None:
    out = tmp_path / "grains.png"
    check_kept(microrun, out, "render", volume, "--slices", "--out", out)
    check_refused(microrun("render", volume, "--out", volume, "--overwrite"), "expected a name that ends in .png")


def test_simulated_volumes_and_scans_that_play_are_kept(microrun: Microrun, scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "potts.h5"
    check_kept(microrun, out, "simulate", "potts", out, "--size", 4, "--duration", 1)
    copy = tmp_path / "copy.up2"
    check_kept(microrun, copy, "replay", scan, copy, "--rate", 0)


def test_no_empty_folder_is_left_where_nothing_was_written(microrun: Microrun, scan: Path, latents: Path) -> None:
    new = scan.parent / "new" / "deep"
    check_refused(microrun("maps", latents, "--features", 99, "--folder", new), "features are")
    check_refused(microrun("physics", scan, "--no-index", "--background", "none.npy", "--folder", new), "none.npy")
    check_refused(microrun("evaluate", scan, "--engine", "none.onnx", "--folder", new), "none.onnx")
    check_refused(microrun("demo", new, "--engine", "none.onnx"), "none.onnx")
    check_refused(microrun("probe", "--engine", "none.onnx", "--folder", new), "none.onnx")
    assert not new.parent.exists()


def test_printed_paths_can_be_pasted(microrun: Microrun, tmp_path: Path) -> None:
    folder = tmp_path / "my scans µm"
    folder.mkdir()
    scan = write_up(folder / "ferrite 1.up2", make_patterns(15, SIG_SHAPE), HEADER)
    engine = write_encoder(tmp_path / "tiny.onnx")
    ran = microrun("encode", scan, "--engine", engine, "--device", "cpu")
    last = shlex.split(ran.out.splitlines()[-1])
    assert last[:3] == ["next", "microrun", "maps"] and Path(last[3]).is_file()
    assert microrun(*last[2:]).code == 0
    assert names_in(folder, "*.png") == ["ferrite 1.overview.png"]


def test_words_are_quoted_where_they_must_be(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quoted(Path("a/b.h5")) == "a/b.h5"
    assert quoted("my scan.h5") == "'my scan.h5'"
    assert command_line("train", "vae", "a b.up2") == "microrun train vae 'a b.up2'"
    say_next("maps", "a b.h5")
    assert capsys.readouterr().out == "next     microrun maps 'a b.h5'\n"
    monkeypatch.setattr(quoting.os, "name", "nt")
    assert (quoted(r"C:\my scans\a.h5"), quoted(r"C:\scans\a.h5")) == (r'"C:\my scans\a.h5"', r"C:\scans\a.h5")


def test_a_path_copied_from_the_page_on_windows_keeps_its_ampersand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quoting.os, "name", "nt")
    assert desk.quoted(r"C:\R&D\a^b(1).h5") == r'"C:\R&D\a^b(1).h5"'


def test_the_volume_that_is_drawn_is_a_volume(microrun: Microrun, latents: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    said = f"{latents}: is a latents file, not a volume; microrun maps draws them"
    check_refused(microrun("render", latents, "--out", out), said)
    check_refused(microrun("segment", latents, "--components", 6, "--out", tmp_path / "a.npy"), said)
    with h5py.File(tmp_path / "maps.h5", "w") as file:
        file.attrs["format"] = "microrun physics 1"
    check_refused(microrun("render", tmp_path / "maps.h5", "--out", out), "is a file of conventional maps of a scan")
    assert not out.exists()
