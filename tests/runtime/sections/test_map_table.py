"""Tables of maps: sections with their labels, and one line for every mistake."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from map_files import blocks, write_ang_map, write_ctf_map
from PIL import Image

from microrun.runtime.errors import SectionsError
from microrun.runtime.progress import finish
from microrun.runtime.sections.map_table import cut_maps, read_map, read_map_table
from microrun.runtime.sections.orientations import TABLE_1, paint_orientations
from microrun.runtime.sections.section_set import read_sections, write_sections


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    holed = blocks(50, 100, 6)
    holed[10, :50] = -1
    write_ang_map(tmp_path / "a.ang", holed, 4.0)
    write_ctf_map(tmp_path / "b.ctf", blocks(50, 50, 5), 4.0)
    pixels = 255 * paint_orientations(blocks(64, 64, 8) % 20, TABLE_1)
    Image.fromarray(np.round(pixels).astype(np.uint8)).save(tmp_path / "c.png")
    return tmp_path


def write_table(folder: Path, *lines: str) -> Path:
    path = folder / "labels.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8-sig")
    return path


def test_maps_become_sections(folder: Path) -> None:
    table = write_table(
        folder,
        "file,power_w,speed_m_s,plane,case,step_um",
        "a.ang,150,0.9,across,one,",
        "b.ctf,200,0.5,across,two,",
        "",
        "c.png,150,0.9,along,one,2",
    )
    made = finish(cut_maps(table))
    across, along = made.sets
    np.testing.assert_array_equal(across.power_w, [150, 150, 200])
    np.testing.assert_array_equal(across.speed_m_s, [0.9, 0.9, 0.5])
    np.testing.assert_array_equal(across.case, [0, 0, 1])
    assert (along.plane, len(along), along.case[0], along.origin) == ("along", 1, 0, "measured")
    assert across.grain is not None
    assert across.grain.min() >= 0
    assert not set(np.unique(across.grain[:2])) & set(np.unique(across.grain[2]))
    assert made.notes[0] == (
        "a.ang: 400×200 µm in steps of 4 µm, 158 grains, 1.0% not indexed and filled; "
        "2 sections across, 0% of the map left over"
    )
    write_sections(folder / "out.h5", made.sets)
    np.testing.assert_array_equal(read_sections(folder / "out.h5").orientation, across.orientation)


def test_origin_and_hatch_are_kept(folder: Path) -> None:
    table = write_table(folder, "file,power_w,speed_m_s,origin,hatch_um", "a.ang,150,0.9,emulated experiment,80")
    made = finish(cut_maps(table)).sets[0]
    assert (made.origin, made.details["hatch_um"]) == ("emulated experiment", "80")


def test_the_same_table_gives_the_same_sections(folder: Path) -> None:
    table = write_table(folder, "file;power_w;speed_m_s", "a.ang;150;0.9")
    one, same, other = (finish(cut_maps(table, seed)).sets[0].orientation for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((), "its first line names the columns file,power_w,speed_m_s"),
        (("file,power,speed_m_s", "a.ang,1,1"), "got file,power,speed_m_s"),
        (("file,power_w,speed_m_s,file", "a.ang,1,1,a.ang"), "names the columns"),
        (("file,power_w,speed_m_s",), "names no maps"),
        (("file,power_w,speed_m_s", "a.ang,0,0.9"), "line 2: power_w is a number more than 0; got '0'"),
        (
            ("file,power_w,speed_m_s", "b.ctf,1,1", "a.ang,150,-1"),
            "line 3: speed_m_s is a number more than 0",
        ),
        (("file,power_w,speed_m_s", "a.ang,150,fast"), "got 'fast'"),
        (("file,power_w,speed_m_s", "a.ang,150,inf"), "got 'inf'"),
        (("file,power_w,speed_m_s", "a.ang,150"), "line 2: has 2 values for 3 columns"),
        (("file,power_w,speed_m_s", "a.ang,150,0,9"), "has 4 values for 3 columns; decimals take a point"),
        (("file;power_w;speed_m_s", "a.ang;150;0,9"), "got '0,9'; decimals take a point"),
        (("file,power_w,speed_m_s", "x.ang,150,1"), "line 2: there is no map"),
        (("file,power_w,speed_m_s", f"{'x' * 5000}.ang,150,1"), "line 2: there is no map"),
        (("file,power_w,speed_m_s", "a.ang,150,1", "a.ang,150,1"), "names a map twice"),
        (("file,power_w,speed_m_s,plane", "a.ang,150,1,up"), "a plane is across or along; got 'up'"),
        (("file,power_w,speed_m_s,origin", "a.ang,150,1,guessed"), "an origin is measured or emulated experiment"),
        (("file,power_w,speed_m_s,hatch_um", "a.ang,150,1,80", "b.ctf,150,1,90"), "the same in every line"),
        (("file,power_w,speed_m_s,step_um", "c.png,150,1,0"), "step_um is a number more than 0"),
    ],
)
def test_tables_that_do_not_match(folder: Path, lines: tuple[str, ...], message: str) -> None:
    table = write_table(folder, *lines)
    with pytest.raises(SectionsError, match=message) as caught:
        read_map_table(table)
    assert str(caught.value).startswith(str(table))
    assert "\n" not in str(caught.value)


def test_tables_that_cannot_be_read(folder: Path) -> None:
    with pytest.raises(SectionsError, match="cannot be read as a table"):
        read_map_table(folder / "none.csv")
    with pytest.raises(SectionsError, match="cannot be read as a table"):
        read_map_table(folder / "c.png")
    with pytest.raises(SectionsError, match=r"maps are read from .ang, .ctf, .png"):
        read_map(folder / "labels.txt")
    with pytest.raises(SectionsError, match="takes 200×200 µm"):
        finish(cut_maps(write_table(folder, "file,power_w,speed_m_s,step_um", "c.png,150,1,2")))
