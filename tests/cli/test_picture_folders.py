"""A folder of pictures as a new user gives it to the commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import Microrun, check_refused, hide_library
from encode_runs import assert_same
from numpy.testing import assert_array_equal
from picture_folders import counted, write_pictures
from small_scan import NAV_SHAPE, SIG_SHAPE
from write_up2 import make_patterns

from microrun.runtime.files.extras import install_command
from microrun.runtime.latents.reader import open_latents

GRID = ("--grid", "3x5")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The patterns of the small scan, one a picture, in a folder that looks as if it had an ending."""
    return write_pictures(tmp_path / "Probe 1.5 µm", make_patterns(15, SIG_SHAPE))


def test_latents_of_pictures_are_those_of_the_scan(encode: Microrun, folder: Path, latents: Path) -> None:
    ran = encode(folder, *GRID, "--step", "1.5")
    assert (ran.code, ran.err) == (0, "")
    assert "3×5 square map, step 1.5 µm, 15 patterns of 60×60 uint16, numbered 1 to 15, in scan order" in ran.said
    assert_same(folder.with_name("Probe 1.5 µm.latents.h5"), latents)
    ran = encode(folder, *GRID, "--step", "1.5", "--resume")
    assert "had all patterns" in ran.said


def test_what_a_damaged_or_missing_picture_gets(encode: Microrun, folder: Path) -> None:
    (folder / counted(4)).unlink()
    (folder / counted(9)).write_bytes(b"")
    ran = encode(folder, *GRID)
    assert ran.code == 0
    assert "1 of the 15 patterns have no picture" in ran.err
    assert ran.err.count("scan0010.tif is left out as a blank frame: it is empty") == 1
    assert "2 patterns are constant after the mask" in ran.err
    latents = folder.with_name("Probe 1.5 µm.latents.h5")
    with open_latents(latents) as opened:
        assert opened.flags.ravel().nonzero()[0].tolist() == [4, 9]
    write_pictures(folder, make_patterns(1, SIG_SHAPE), lambda number: counted(9))
    assert encode(folder, *GRID, "--resume").code == 0  # of the picture that is there again
    with open_latents(latents) as opened:
        assert opened.flags.ravel().nonzero()[0].tolist() == [4]


def test_a_first_picture_that_is_back_is_encoded_by_resume(encode: Microrun, folder: Path) -> None:
    (folder / counted(0)).unlink()
    options = (*GRID, "--background", "none")
    assert encode(folder, *options).code == 0
    write_pictures(folder, make_patterns(15, SIG_SHAPE, seed=1))
    check_refused(encode(folder, *options, "--resume"), "is of another scan than", "pattern 1 was another")
    write_pictures(folder, make_patterns(15, SIG_SHAPE))
    assert encode(folder, *options, "--resume").code == 0
    with open_latents(folder.with_name("Probe 1.5 µm.latents.h5")) as opened:
        assert not opened.flags.any()


def test_rows_and_columns_in_names_need_no_grid(encode: Microrun, tmp_path: Path) -> None:
    patterns = make_patterns(15, SIG_SHAPE, "uint8")
    folder = write_pictures(tmp_path / "Körner", patterns, lambda n: f"Zeile {n // 5}, Spalte {n % 5}.bmp")
    ran = encode(folder)
    assert "named by row (0 to 2) and column (0 to 4)" in ran.said
    with open_latents(tmp_path / "Körner.latents.h5") as opened:
        assert_array_equal(opened.written, True)
        assert opened.shape[:2] == NAV_SHAPE


def test_this_folder_is_a_scan(encode: Microrun, folder: Path, latents: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert encode(".", *GRID, "--step", "1.5").code == 0
    assert_same(folder / "Probe 1.5 µm.latents.h5", latents)


def test_the_background_may_be_a_picture(encode: Microrun, folder: Path, tmp_path: Path) -> None:
    image = make_patterns(1, SIG_SHAPE, seed=1)
    np.save(tmp_path / "background.npy", image[0])
    write_pictures(tmp_path, image, lambda number: "Hintergrund.tif")
    outs = [tmp_path / "npy.h5", tmp_path / "tif.h5"]
    for out, name in zip(outs, ("background.npy", "Hintergrund.tif"), strict=True):
        assert encode(folder, *GRID, "--background", tmp_path / name, "--out", out).code == 0
    assert_same(*outs)
    (tmp_path / "Hintergrund.tif").write_bytes(b"")
    ran = encode(folder, *GRID, "--background", tmp_path / "Hintergrund.tif", "--out", tmp_path / "new.h5")
    check_refused(ran, "Hintergrund.tif: it is empty; a background is a grey picture")


def test_a_folder_is_inspected(microrun: Microrun, folder: Path, tmp_path: Path) -> None:
    ran = microrun("inspect", folder)
    assert (ran.code, ran.err) == (0, "")
    assert "patterns 15 of 60×60 uint16 names numbered 1 to 15, in scan order grid not stated (give --grid)" in ran.said
    named = write_pictures(tmp_path / "b", make_patterns(15, SIG_SHAPE), lambda n: f"r{n // 5}c{n % 5}.png")
    assert "named by row (0 to 2) and column (0 to 4) grid 3×5, square" in microrun("inspect", named).said


def test_a_folder_is_refused_in_a_line(
    encode: Microrun, microrun: Microrun, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_refused(encode(folder), "tells no rows: give --grid ROWSxCOLS, such as 3x5 or 5x3")
    check_refused(encode(folder, "--grid", "5x4"), "has 20 patterns", "which makes 15: 3x5 or 5x3 would fit")
    check_refused(encode(folder, *GRID, "--follow"), "is a folder; only .up1 and .up2 files are followed")
    check_refused(microrun("maps", folder), "is a folder of pictures, not a latents file; microrun encode takes them")
    hide_library(monkeypatch, "PIL")
    check_refused(encode(folder, *GRID), f"pictures are read through Pillow; {install_command('pictures')}")
    assert list(folder.parent.glob("*.h5")) == []
