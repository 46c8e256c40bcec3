"""A folder of pictures, one a pattern, is a scan."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from picture_folders import counted, write_pictures
from PIL import Image
from write_ang import write_ang
from write_up2 import make_patterns

from microrun.runtime.errors import ScanError
from microrun.runtime.scans.open import fingerprint, open_scan, state_geometry
from microrun.runtime.scans.picture_source import PictureSource
from microrun.runtime.scans.up2 import ScanWarning

SIG_SHAPE = (6, 8)


def by_row_and_column(number: int) -> str:
    return f"r{number // 4:02d}_c{number % 4:02d}.png"


def read_all(source: PictureSource) -> np.ndarray:
    out = np.empty((source.available, *source.scan.sig_shape), source.scan.dtype)
    source.read_patterns(np.arange(source.available), out)
    return out


@pytest.mark.parametrize(
    ("ending", "dtype"),
    [("tif", "uint8"), ("TIFF", "uint16"), ("png", "uint8"), ("PNG", "uint16"), ("bmp", "uint8")],
)
def test_pictures_are_patterns(tmp_path: Path, ending: str, dtype: str) -> None:
    patterns = make_patterns(12, SIG_SHAPE, dtype)
    folder = write_pictures(tmp_path / "Muster 1.5 µm", patterns, lambda number: f"Bild ({number + 1}).{ending}")
    source = open_scan(folder, (3, 4), 0.5)
    assert isinstance(source, PictureSource)
    scan = source.scan
    assert (scan.nav_shape, scan.sig_shape, scan.dtype, scan.step_um) == ((3, 4), SIG_SHAPE, dtype, (0.5, 0.5))
    assert_array_equal(read_all(source), patterns)
    assert (source.understood, source.dropped) == ("numbered 1 to 12, in scan order", 0)
    assert fingerprint(source) == fingerprint(open_scan(folder, (2, 6)))


def test_patterns_are_claimed_in_order_and_read_ahead(tmp_path: Path) -> None:
    patterns = make_patterns(12, SIG_SHAPE)
    source = PictureSource(write_pictures(tmp_path / "a", patterns), (3, 4), start=1)
    source.ahead = 3
    found = []
    while claim := source.claim(4):
        out = np.empty((len(claim), *SIG_SHAPE), np.uint16)
        source.read(claim, 0, out[:1])
        source.read(claim, 1, out[1:])
        found.append(out)
    assert_array_equal(np.concatenate(found), patterns[1:])
    source.seek(2)
    source.claim(2)
    source.stop()
    assert source.claim(1) is None


def test_rows_and_columns_need_no_grid(tmp_path: Path) -> None:
    patterns = make_patterns(12, SIG_SHAPE)
    folder = write_pictures(tmp_path / "a", patterns, by_row_and_column)
    assert_array_equal(read_all(PictureSource(folder)), patterns)
    with pytest.raises(ScanError, match=r"a grid of 4×3 was asked for; .*which is 3×4: leave out --grid"):
        PictureSource(folder, (4, 3))


def test_a_missing_picture_is_a_blank_frame(tmp_path: Path) -> None:
    patterns = make_patterns(12, SIG_SHAPE)
    folder = write_pictures(tmp_path / "a", patterns)
    for number in (5, 6, 11):  # the last: a camera that broke off
        (folder / counted(number)).unlink()
        patterns[number] = 0
    with pytest.warns(ScanWarning) as said:
        source = PictureSource(folder, (3, 4))
    where = "the first in row 1, column 1, counted from 0; number 1 is taken as the first pattern"
    text = f"{folder}: 3 of the 12 patterns have no picture ({where}): taken as blank frames"
    assert [str(one.message) for one in said] == [text]
    assert_array_equal(read_all(source), patterns)


@pytest.mark.parametrize("start", [0, 1])
def test_the_first_picture_is_missing_or_the_last(tmp_path: Path, start: int) -> None:
    patterns = make_patterns(12, SIG_SHAPE)
    folder = write_pictures(tmp_path / "a", patterns, lambda number: f"{number + start}.png")
    missing = [11] if start == 0 else [0, 1]
    for number in missing:
        (folder / f"{number + start}.png").unlink()
    with pytest.warns(ScanWarning, match=f"number {start} is taken as the first pattern"):
        source = PictureSource(folder, (3, 4))
    patterns[missing] = 0
    assert_array_equal(read_all(source), patterns)


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    other: Any = np.full(SIG_SHAPE, 7, np.uint8)
    if how == "coloured":
        other = np.stack([other, other, other + 1], axis=-1)
    if how == "large":
        other = np.full((12, 16), 7, np.uint16)
    if how in ("coloured", "large", "depth"):
        return Image.fromarray(other).save(path)
    path.write_bytes({"cut": data[:-20], "empty": b"", "text": b"no picture", "head": data[:10]}[how])
    return None


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # of Pillow, where a test asks for all warnings
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("cut", "it is damaged: "), ("empty", "it is empty"), ("head", "it is"),
        ("text", "it is not a TIFF, PNG or BMP picture"),
        ("coloured", "it is coloured; a pattern is grey"), ("large", "it is 12×16 uint16, the others 6×8 uint16"),
        ("depth", "it is 6×8 uint8, the others 6×8 uint16"),
    ],
)  # fmt: skip
def test_a_picture_that_cannot_be_used_is_named_and_left_out(tmp_path: Path, how: str, reason: str) -> None:
    patterns = make_patterns(12, SIG_SHAPE)
    source = PictureSource(write_pictures(tmp_path / "a", patterns), (3, 4))
    damage(tmp_path / "a" / counted(4), how)
    with pytest.warns(ScanWarning, match=rf"scan0005\.tif is left out as a blank frame: {reason}") as said:
        found = read_all(source)
        assert_array_equal(read_all(source), found)
    assert len([one for one in said if one.category is ScanWarning]) == 1
    patterns[4] = 0
    assert_array_equal(found, patterns)


def test_many_damaged_pictures_are_counted(tmp_path: Path) -> None:
    source = PictureSource(write_pictures(tmp_path / "a", make_patterns(12, SIG_SHAPE)), (3, 4))
    for number in range(3, 12):
        (tmp_path / "a" / counted(number)).write_bytes(b"")
    with pytest.warns(ScanWarning) as said:
        read_all(source)
        source.stop()
        source.stop()
    assert len(said) == 6
    assert "9 pictures were left out as blank frames, of which 5 were named" in str(said[-1].message)


def test_ctrl_c_at_any_moment_stops_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal's handler runs in the thread that it interrupts, whatever that thread holds."""
    source = PictureSource(write_pictures(tmp_path / "a", make_patterns(12, SIG_SHAPE)), (3, 4))

    def interrupted() -> Iterator[int]:
        for number in range(12):
            source.stop()
            yield number

    source._reading.expect(interrupted())
    (tmp_path / "a" / counted(4)).write_bytes(b"")
    said: list[str] = []

    def note(message: Warning | str, *others: object) -> None:
        said.append(str(message))
        source.stop()

    monkeypatch.setattr(warnings, "showwarning", note)
    source.read_patterns(np.array([4]), np.empty((1, *SIG_SHAPE), np.uint16))
    assert len(said) == 1


def test_grey_stored_as_colours_is_grey(tmp_path: Path) -> None:
    patterns = make_patterns(4, SIG_SHAPE, "uint8")
    folder = write_pictures(tmp_path / "a", np.repeat(patterns[..., None], 3, axis=-1))
    assert_array_equal(read_all(PictureSource(folder, (2, 2))), patterns)
    for number, pattern in enumerate(patterns):
        Image.fromarray(pattern).convert("P").save(folder / counted(number))
    assert_array_equal(read_all(PictureSource(folder, (2, 2))), patterns)


def test_a_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "a", make_patterns(12, SIG_SHAPE))
    with pytest.raises(ScanError, match=r"in scan order, which tells no rows: give --grid ROWSxCOLS, such as 3x4 or"):
        PictureSource(folder)
    with pytest.raises(ScanError, match=r"a grid of 4×4 has 16 patterns; .* makes 12: 3x4 or 4x3 or 2x6 or 6x2 would"):
        PictureSource(folder, (4, 4))
    with pytest.raises(ScanError, match="holds one scan, without a name"):
        open_scan(folder, (3, 4), scan_name="Scan 1")
    for number in range(1, 12):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(folder / counted(number))
    with pytest.raises(
        ScanError, match=r"scan0001\.tif is 6×8 uint16, most of its pictures are not, such as 4×4 uint8"
    ):
        PictureSource(folder, (3, 4))
    for number in range(12):
        (folder / counted(number)).write_bytes(b"")
    with pytest.raises(ScanError, match=r"none of its 12 pictures can be read; scan0001\.tif: it is empty"):
        PictureSource(folder, (3, 4))


def test_a_stack_of_many_patterns_in_one_file_is_refused(tmp_path: Path) -> None:
    pages = [Image.fromarray(pattern) for pattern in make_patterns(3, SIG_SHAPE)]
    (tmp_path / "a").mkdir()
    pages[0].save(tmp_path / "a" / "stack.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(ScanError, match=r"stack\.tif holds 3 pictures; expected one pattern in each file"):
        open_scan(tmp_path / "a")


def test_the_ang_beside_the_folder_tells_grid_and_step(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "Probe 1.5", make_patterns(12, SIG_SHAPE))
    write_ang(tmp_path / "Probe 1.5.ang", (3, 4))
    source = PictureSource(folder)
    assert (source.scan.nav_shape, source.scan.step_um) == ((3, 4), (0.5, 0.5))
    assert state_geometry(source)[0].source == "Probe 1.5.ang"


HEXAGONAL = """\
# GRID: HexGrid
# XSTEP: 0.25
# YSTEP: 0.2
# NCOLS_ODD: 4
# NCOLS_EVEN: 3
# NROWS: 3
"""


def test_pictures_named_by_row_and_column_lie_where_they_say_on_a_hexagonal_grid(tmp_path: Path) -> None:
    (tmp_path / "a.ang").write_text(HEXAGONAL)
    places = [(row, col) for row in range(3) for col in range(4 - row % 2)]
    patterns = make_patterns(len(places), SIG_SHAPE)
    folder = write_pictures(tmp_path / "a", patterns, lambda number: "r{}_c{}.png".format(*places[number]))
    source = PictureSource(folder)
    assert_array_equal(read_all(source), patterns)
    assert np.stack(source.scan.locate(np.arange(len(places))), axis=1).tolist() == [list(place) for place in places]
    Image.fromarray(patterns[0]).save(folder / "r1_c3.png")
    with pytest.raises(ScanError, match=r"r1_c3\.png is the last of 4 columns, in a row that has 3 as a\.ang states"):
        PictureSource(folder)


def test_a_grid_that_is_given_keeps_the_hexagonal_one_of_the_ang(tmp_path: Path) -> None:
    ang = tmp_path / "a.ang"
    ang.write_text(HEXAGONAL)
    folder = write_pictures(tmp_path / "a", make_patterns(11, SIG_SHAPE))
    assert PictureSource(folder, (3, 4)).scan == PictureSource(folder).scan
    assert (PictureSource(folder).scan.alternating, PictureSource(folder, (1, 11)).scan.grid) == (True, "square")
    Image.fromarray(make_patterns(1, SIG_SHAPE)[0]).save(folder / counted(11))
    with pytest.raises(ScanError, match=r"every other row one shorter as a\.ang states, has 11 .* makes 12: if a\.ang"):
        PictureSource(folder, (3, 4))
    ang.write_text("# GRID: HexGrid\n")
    assert PictureSource(folder, (3, 4)).scan.grid == "square"


def test_a_folder_that_vanishes_is_an_error(tmp_path: Path) -> None:
    source = PictureSource(write_pictures(tmp_path / "a", make_patterns(4, SIG_SHAPE)), (2, 2))
    shutil.rmtree(tmp_path / "a")
    with pytest.raises(ScanError, match="is gone, or cannot be reached"):
        read_all(source)
