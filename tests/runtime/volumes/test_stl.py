"""STL files as programs write them: what is read, what is said about it, and what is refused."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh
from numpy.testing import assert_allclose, assert_array_equal
from trimesh import creation

from microrun.runtime.errors import VolumeError
from microrun.runtime.volumes.stl import read_stl

BOX = creation.box((2, 3, 4))
BINARY: bytes = BOX.export(file_type="stl")
TEXT: str = BOX.export(file_type="stl_ascii")
EXPECTED = BOX.triangles[..., ::-1]


def with_count(count: int, records: bytes = BINARY[84:]) -> bytes:
    return BINARY[:80] + struct.pack("<I", count) + records


def named(name: str, end: str = "endsolid") -> bytes:
    """The text with another name."""
    faces = TEXT[TEXT.index("facet") : TEXT.rindex("endsolid")]
    return f"solid {name}\n{faces}{end} {name}\n".encode()


READ = {
    "binary": (BINARY, None),
    "a binary file that begins with solid": (b"solid " + BINARY[6:], None),
    "a binary file that begins with solid and has a tail": (b"solid facet" + BINARY[11:] + bytes(37), "37 bytes"),
    "a tail": (BINARY + b"x" * 37, "37 bytes behind the last triangle"),
    "zeros behind the last triangle": (BINARY + bytes(100), "100 bytes behind"),
    "a count of 0": (with_count(0), "does not know its count of triangles (0); all 12 are taken"),
    "a count of -1": (with_count(2**32 - 1), "all 12 are taken"),
    "a count of 0 and a tail": (with_count(0) + b"x" * 37, "37 bytes"),
    "text": (TEXT.encode(), None),
    "end solid": (named("part", "end solid"), None),
    "a name with facet in it": (named("my facet 3"), None),
    "a name with vertex in it": (named("vertex 1 2 3"), None),
    "no name": (named(""), None),
    "capitals": (TEXT.upper().encode(), None),
    "one line": (" ".join(TEXT.split()).encode(), None),
    "lines of old Macs": (TEXT.replace("\n", "\r").encode(), None),
    "lines of Windows": (b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode(), None),
    "a name in another encoding": ("solid Gehäuse\n".encode("latin-1") + named("x").split(b"\n", 1)[1], None),
    "no endsolid": (named("x").rsplit(b"endsolid", 1)[0], "no 'endsolid'"),
}


@pytest.mark.parametrize("name", READ)
def test_a_part_is_read_however_its_file_was_written(name: str, tmp_path: Path) -> None:
    content, said = READ[name]
    (tmp_path / "part.stl").write_bytes(content)
    file = read_stl(tmp_path / "part.stl")
    assert_allclose(file.triangles, EXPECTED, atol=1e-6)
    assert (said is None) == (file.remarks == ())
    assert said is None or any(said in remark for remark in file.remarks)


def test_all_solids_of_a_text_are_read(tmp_path: Path) -> None:
    (tmp_path / "part.stl").write_bytes(named("one") + named("two"))
    assert_array_equal(read_stl(tmp_path / "part.stl").triangles, np.concatenate([EXPECTED, EXPECTED]))


REFUSED = {
    "nothing": (b"", "found no triangles"),
    "another format": (b"# OBJ\nv 1 2 3\n", "found no triangles"),
    "zeros": (bytes(84), "found no triangles"),
    "text without faces": (b"solid a\nendsolid a\n", "found no triangles"),
    "bytes that are no numbers": (b"\xff" * 1000, "18 of 18 triangles have corners that are not numbers"),
    "cut short": (BINARY[:-100], "12 triangles and 10 are there: cut short"),
    "a count that is too small": (with_count(6), "6 triangles and 12 are there: which is right?"),
    "a text that is cut short": (TEXT.encode()[:-100], "only 11 of 12 faces are triangles"),
    "a text that is cut within a face": (TEXT.encode()[:-50], "only 11 of 12 faces are triangles"),
    "faces of four corners": (
        TEXT.replace("endloop", "vertex 0 0 0\nendloop", 1).encode(),
        "only 11 of 12 faces are triangles",
    ),
    "decimal commas": (TEXT.replace(".", ",").encode(), "a corner is not a number"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_stl_or_damaged_is_one_line(name: str, tmp_path: Path) -> None:
    content, said = REFUSED[name]
    (tmp_path / "part.stl").write_bytes(content)
    with pytest.raises(VolumeError, match="expected an STL file") as error:
        read_stl(tmp_path / "part.stl")
    assert said in str(error.value)
    assert str(tmp_path / "part.stl") in str(error.value)
    assert "\n" not in str(error.value)


def test_trimesh_reads_the_same(tmp_path: Path) -> None:
    sphere = creation.icosphere(3)
    sphere.export(tmp_path / "part.stl")
    peer = trimesh.load_mesh(tmp_path / "part.stl", process=False)
    assert_array_equal(read_stl(tmp_path / "part.stl").triangles, peer.triangles[..., ::-1])
