"""Files of sections: read as written, and refused in one line when they are damaged or another's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from section_sets import draw_cells, make_set

from microrun.runtime.errors import OutputError, SectionsError
from microrun.runtime.sections.section_set import (
    ARRAYS,
    SectionSet,
    find_hatch,
    held_planes,
    is_sections_file,
    read_sections,
    write_sections,
)


@pytest.fixture
def sections() -> SectionSet:
    cells = draw_cells((3, 10, 12))
    cells[0, :2, :3] = -1
    return make_set(cells, grain=np.where(cells < 0, -1, cells * 3).astype(np.int32))


@pytest.fixture
def path(tmp_path: Path, sections: SectionSet) -> Path:
    path = tmp_path / "sections.h5"
    along = make_set(draw_cells((2, 8, 8)), plane="along", step_um=1.5, origin="measured")
    write_sections(path, [sections, along])
    return path


def test_a_set_reads_as_written(path: Path, sections: SectionSet) -> None:
    read = read_sections(path)
    for name in ARRAYS:
        written = getattr(sections, name)
        np.testing.assert_array_equal(getattr(read, name), written)
        assert getattr(read, name).dtype == written.dtype
    assert (read.plane, read.step_um, read.origin, read.details) == ("across", 2.0, "simulation", {"seed": "7"})


def test_planes_are_apart(path: Path) -> None:
    along = read_sections(path, "along")
    assert (len(along), along.step_um, along.origin, along.grain) == (2, 1.5, "measured", None)
    assert held_planes(path) == ("across", "along")
    assert is_sections_file(path)


def test_take_gives_sections_in_order(sections: SectionSet) -> None:
    taken = sections.take([2, 0])
    np.testing.assert_array_equal(taken.case, [2, 0])
    np.testing.assert_array_equal(taken.orientation, sections.orientation[[2, 0]])
    np.testing.assert_array_equal(sections.take(sections.case == 1).case, [1])
    with pytest.raises(SectionsError, match="int8"):
        sections.take(sections.case == 9)


def test_a_plane_that_is_not_held_is_named(tmp_path: Path, sections: SectionSet) -> None:
    path = tmp_path / "one.h5"
    write_sections(path, [sections])
    with pytest.raises(SectionsError, match=r"one.h5: contains no sections along the tracks, only: across"):
        read_sections(path, "along")


def test_two_sets_of_one_plane_are_refused(tmp_path: Path, sections: SectionSet) -> None:
    for sets in ([], [sections, sections]):
        with pytest.raises(SectionsError, match="one set of sections a plane"):
            write_sections(tmp_path / "two.h5", sets)
    assert not list(tmp_path.iterdir())


def test_no_folder_to_write_to(tmp_path: Path, sections: SectionSet) -> None:
    with pytest.raises(OutputError, match="no folder"):
        write_sections(tmp_path / "none" / "x.h5", [sections])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"plane": "up"}, "across or along; got 'up'"),
        ({"origin": "guess"}, "origin of sections is one of"),
        ({"step_um": 0.0}, "more than 0 µm; got 0"),
        ({"step_um": float("nan")}, "more than 0 µm; got nan"),
        ({"power_w": np.array([150.0, 0.0])}, "power_w is more than 0 W; section 1 has 0"),
        ({"speed_m_s": np.array([-1.0, 1.0])}, "speed_m_s is more than 0 m/s; section 0 has -1"),
        ({"speed_m_s": np.array([np.nan, 1.0])}, "section 0 has nan"),
        ({"power_w": np.ones(3)}, "a float64 for each of 2 sections"),
        ({"case": np.array([0, -1], np.int32)}, "case holds an int32"),
        ({"case": np.array([0, 1])}, "case holds an int32"),
        ({"euler": np.zeros((3, 3))}, "run from −1 to 2"),
        ({"euler": np.full((20, 3), np.inf)}, "not all finite"),
        ({"euler": np.zeros((20, 4))}, r"Euler angles are \(1 to 127, 3\)"),
        ({"grain": np.zeros((2, 3, 3), np.int32)}, "as orientations"),
        ({"grain": np.full((2, 6, 7), -1, np.int32)}, "they differ"),
    ],
)
def test_sets_that_do_not_fit_are_refused(changes: dict[str, object], message: str) -> None:
    cells = draw_cells((2, 6, 7))
    cells[0, 0, 0] = 19
    with pytest.raises(SectionsError, match=message):
        make_set(cells, **changes)


def test_an_empty_section_is_named() -> None:
    cells = draw_cells((3, 4, 4))
    cells[1] = -1
    with pytest.raises(SectionsError, match="section 1 is empty"):
        make_set(cells)


def _remove(name: str) -> Callable[[h5py.File], None]:
    return lambda file: file.__delitem__(name)


def _put(name: str, values: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = values

    return change


def _claim_much(file: h5py.File) -> None:
    del file["across/orientation"]
    file.create_dataset("across/orientation", (1 << 20, 100, 100), np.int8, chunks=(1, 100, 100))


def _set_attribute(name: str, value: object) -> Callable[[h5py.File], None]:
    return lambda file: file["across"].attrs.__setitem__(name, value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_remove("across/euler"), "across/euler is missing"),
        (_put("across/case", np.array([0.5, 1, 2])), "across/case is missing, or not of whole numbers"),
        (_put("across/power_w", np.array([b"a", b"b", b"c"])), "not of numbers"),
        (_put("across/power_w", np.array([1.0, 2.0])), "for each of 3 sections"),
        (_put("across", 1), "damaged"),
        (_claim_much, "claims 10,485,760,000 bytes and has 0 on disk"),
        (_set_attribute("details", "{"), "damaged"),
        (_set_attribute("details", "[1]"), "not a JSON object"),
        (_set_attribute("step_um", "two"), "damaged"),
        (lambda file: file["across"].attrs.__delitem__("origin"), "damaged"),
        (
            lambda file: file.attrs.__setitem__("format", "microrun volumes 1"),
            "is a file of simulated volumes, not a file of sec",
        ),
        (lambda file: file.attrs.__setitem__("format", "another 1"), "this file is 'another 1'"),
        (lambda file: file.attrs.__delitem__("format"), "does not say what it is"),
    ],
)
def test_damaged_files_are_refused_in_one_line(path: Path, damage: Callable[[h5py.File], None], message: str) -> None:
    with h5py.File(path, "r+") as file:
        damage(file)
    with pytest.raises(SectionsError, match=message) as caught:
        read_sections(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_cells_that_were_changed_on_disk_are_noticed(path: Path) -> None:
    with h5py.File(path) as file:
        chunk = file["across/orientation"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + chunk.size // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(SectionsError, match="damaged"):
        read_sections(path)


@pytest.mark.parametrize(
    ("details", "hatch"),
    [
        ({"hatch_um": "80"}, 80.0),
        ({"seed": "7", "plan": '{"tracks": 3, "hatch_um": 95.5}'}, 95.5),
        ({"campaign": '{"plan": {"hatch_um": 100}}', "note": "{hatch_um: 3}"}, 100.0),
        ({"hatch_um": "none"}, None),
        ({"hatch_um": "-3"}, None),
        ({}, None),
    ],
)
def test_the_hatch_is_found_in_the_details(details: dict[str, str], hatch: float | None) -> None:
    assert find_hatch(make_set(draw_cells((1, 4, 4)), details=details)) == hatch


def test_files_that_are_no_hdf5(tmp_path: Path, path: Path) -> None:
    text, cut = tmp_path / "text.h5", tmp_path / "cut.h5"
    text.write_text("power,speed\n")
    cut.write_bytes(path.read_bytes()[:3000])
    for wrong, said in ((text, "is a text file, not a file of sections"), (cut, "not an HDF5 file, or a damaged one")):
        with pytest.raises(SectionsError, match=said):
            read_sections(wrong)
        assert not is_sections_file(wrong)
    with pytest.raises(SectionsError, match="no such file"):
        read_sections(tmp_path / "none.h5")
