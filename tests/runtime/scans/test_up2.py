"""UP files: headers of every version, damaged ones, and a writer that others can read."""

from __future__ import annotations

import struct
import warnings
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from write_up2 import Header, make_patterns, pattern_bytes, write_up

from microrun.runtime.errors import OutputError, ScanError
from microrun.runtime.scans.scan import MAX_SIDE, Scan
from microrun.runtime.scans.up2 import ScanWarning, UpHeader, UpWriter, count_patterns, pixel_type, read_header
from microrun.runtime.scans.up_source import FileSource

FULL_DISK = Path("/dev/full")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def read_all(source: FileSource) -> NDArray[Any]:
    out = np.empty((source.available, *source.scan.sig_shape), source.scan.dtype)
    claim = source.claim(len(out))
    assert claim is not None
    source.read(claim, 0, out)
    return out


# Headers


def test_version_1_states_no_grid(tmp_path: Path) -> None:
    path = write_up(tmp_path / "a.up2", make_patterns(6), Header(version=1))
    assert read_header(path) == UpHeader(1, (4, 5), 16)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("hexagonal", [0, 1])
@pytest.mark.parametrize("extra", [0, 1])
def test_versions_2_and_3_state_all(tmp_path: Path, version: int, hexagonal: int, extra: int) -> None:
    header = Header(version, extra=extra, hexagonal=hexagonal, step_um=(0.25, 0.5))
    path = write_up(tmp_path / "a.up1", make_patterns(6, dtype="uint8"), header)
    grid = "hexagonal" if hexagonal else "square"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_header(path) == UpHeader(version, (4, 5), 42, (2, 3), grid, (0.25, 0.5), bool(extra))


def test_version_4_is_read_as_3_with_a_warning(tmp_path: Path) -> None:
    path = write_up(tmp_path / "a.up2", make_patterns(6), Header(version=4))
    with pytest.warns(ScanWarning, match="version 4"):
        header = read_header(path)
    assert replace(header, version=3) == UpHeader(3, (4, 5), 42, (2, 3), "square", (1.5, 1.5))


@pytest.mark.parametrize(
    ("name", "dtype"), [("a.up1", "uint8"), ("a.UP1", "uint8"), ("a.up2", "uint16"), ("B.C.Up2", "uint16")]
)
def test_the_ending_gives_the_pixel_type(tmp_path: Path, name: str, dtype: str) -> None:
    assert pixel_type(Path(name)) == dtype
    patterns = make_patterns(6, dtype=dtype)
    source = FileSource(write_up(tmp_path / name, patterns))
    assert_array_equal(read_all(source), patterns)


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("offset", [None, 64, 4096])
def test_patterns_start_at_the_offset(tmp_path: Path, version: int, offset: int | None) -> None:
    patterns = make_patterns(6)
    source = FileSource(write_up(tmp_path / "a.up2", patterns, Header(version, offset=offset)), grid=(2, 3))
    assert_array_equal(read_all(source), patterns)


@pytest.mark.parametrize("cut", [0, 1, 39, 40, 41, 239, 240])
def test_only_whole_patterns_count(tmp_path: Path, cut: int) -> None:
    path = write_up(tmp_path / "a.up2", make_patterns(6), cut=cut)
    assert count_patterns(path, read_header(path)) == (240 - cut) // 40


def test_products_beyond_32_bits_do_not_overflow(tmp_path: Path) -> None:
    path = tmp_path / "a.up2"
    header = Header(sig_shape=(MAX_SIDE, MAX_SIDE), nav_shape=(1 << 16, 1 << 16))
    path.write_bytes(header.to_bytes())
    with path.open("r+b") as file:
        file.truncate(42 + 9 * 2 * MAX_SIDE * MAX_SIDE)  # sparse: no disk is used
    assert count_patterns(path, read_header(path)) == 9


# Damaged files


def damaged(folder: Path) -> dict[str, Path]:
    """Files that are no scan, by what is wrong with them."""
    patterns, plain = make_patterns(6), Header()
    changes: dict[str, dict[str, Any]] = {
        "inside the header": {"offset": 41},
        "at byte 0": {"offset": 0},
        "beyond its end": {"offset": 1 << 31},
        "no rows": {"sig_shape": (0, 5)},
        "no columns": {"sig_shape": (4, 0)},
        "too wide": {"sig_shape": (4, MAX_SIDE + 1)},
        "absurdly wide": {"sig_shape": ((1 << 32) - 1, (1 << 32) - 1)},
        "absurd map": {"nav_shape": ((1 << 32) - 1, (1 << 32) - 1)},
        "empty map": {"nav_shape": (0, 0)},
        "no map rows": {"nav_shape": (0, 6)},
        "negative step": {"step_um": (-1.0, 1.0)},
        "step is no number": {"step_um": (1.0, float("nan"))},
        "infinite step": {"step_um": (float("inf"), 1.0)},
        "one column that alternates": {"nav_shape": (6, 1), "hexagonal": 1},
        "version 0": {"version": 0},
        "version 5": {"version": 5},
    }
    files = {name: folder / f"{number}.up2" for number, name in enumerate(changes)}
    for name, change in changes.items():
        header = replace(plain, **change)
        files[name].write_bytes(header.to_bytes() + pattern_bytes(patterns))
    for size in (0, 1, 3, 4, 15, 16, 41, 42, 81):
        files[f"cut to {size} bytes"] = cut = folder / f"cut{size}.up2"
        cut.write_bytes((plain.to_bytes() + pattern_bytes(patterns))[:size])
    for size in (8, 15, 16, 55):
        files[f"version 1 cut to {size} bytes"] = cut = folder / f"v1cut{size}.up2"
        cut.write_bytes((Header(1).to_bytes() + pattern_bytes(patterns))[:size])
    files["not there"] = folder / "missing.up2"
    files["folder not there"] = folder / "missing" / "a.up2"
    files["below a file"] = files["version 0"] / "a.up2"
    files["directory"] = folder / "directory.up2"
    files["directory"].mkdir()
    files["wrong ending"] = write_up(folder / "a.bmp", patterns)
    files["no ending"] = write_up(folder / "a", patterns)
    return files


def test_each_error_is_one_line_and_names_the_file(tmp_path: Path) -> None:
    for wrong, path in damaged(tmp_path).items():
        with pytest.raises(ScanError) as caught:
            FileSource(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: "), wrong
        assert len(message.splitlines()) == 1, wrong


@pytest.mark.parametrize("function", [read_header, FileSource])
def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: Any) -> None:
    path = write_up(tmp_path / "a.up2", make_patterns(6))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ScanError, match=r"a\.up2: cannot be read \(Permission denied\)"):
        function(path)


def test_a_renamed_file_is_recognised(tmp_path: Path) -> None:
    eight, sixteen = make_patterns(6, dtype="uint8"), make_patterns(6)
    with pytest.raises(ScanError, match=r"6 patterns of uint8; was a \.up1 file renamed"):
        FileSource(write_up(tmp_path / "a.up2", eight))
    with pytest.raises(ScanError, match=r"6 patterns of uint16; was a \.up2 file renamed"):
        FileSource(write_up(tmp_path / "b.up1", sixteen))


def smooth(count: int, top: float) -> NDArray[Any]:
    """Patterns like a camera's: noise on bands on a slope, up to ``top``."""
    y, x = np.mgrid[:24, :20]
    bands = 0.4 + 0.2 * np.sin(x / 3 + y / 5) + 0.01 * y
    return (bands + np.random.default_rng(0).normal(0, 0.03, (count, 24, 20))) * top


@pytest.mark.parametrize("top", [200, 4000, 16_000, 60_000])
def test_a_scan_that_stopped_at_half_is_unfinished(tmp_path: Path, top: int) -> None:
    patterns = smooth(30, top).astype(np.uint16)
    path = write_up(tmp_path / "a.up2", patterns[:15], Header(sig_shape=(24, 20), nav_shape=(5, 6)))
    with pytest.warns(ScanWarning, match="holds 15 of the 30 patterns that it promises"):
        source = FileSource(path)
    assert_array_equal(read_all(source), patterns[:15])


def test_a_half_scan_that_was_stretched_from_8_bits_is_unfinished(tmp_path: Path) -> None:
    for factor in (256, 257):
        patterns = smooth(15, 200).astype(np.uint16) * factor
        path = write_up(tmp_path / "a.up2", patterns, Header(sig_shape=(24, 20), nav_shape=(5, 6)))
        with pytest.warns(ScanWarning, match="holds 15 of the 30 patterns"):
            FileSource(path)


def test_half_a_scan_of_blank_frames_is_unfinished(tmp_path: Path) -> None:
    patterns = np.zeros((15, 24, 20), np.uint16)
    with pytest.warns(ScanWarning, match="holds 15 of the 30 patterns"):
        FileSource(write_up(tmp_path / "a.up2", patterns, Header(sig_shape=(24, 20), nav_shape=(5, 6))))


@pytest.mark.parametrize("top", [60, 120, 200])
def test_a_renamed_file_is_recognised_by_its_pixels(tmp_path: Path, top: int) -> None:
    patterns = smooth(30, top).astype(np.uint8)
    path = write_up(tmp_path / "a.up2", patterns, Header(sig_shape=(24, 20), nav_shape=(5, 6)))
    with pytest.raises(ScanError, match=r"30 patterns of uint8; was a \.up1 file renamed"):
        FileSource(path)


EXTREMES = st.sampled_from([0, 1, 2, 3, 4, 5, 16, 41, 42, 43, MAX_SIDE, MAX_SIDE + 1, 1 << 31, (1 << 32) - 1])
NUMBERS = st.one_of(st.integers(0, 64), EXTREMES, st.integers(0, (1 << 32) - 1))
PAIRS = st.tuples(NUMBERS, NUMBERS)
BYTES = st.integers(0, 255)
HEADERS = st.builds(
    Header,
    version=st.one_of(st.integers(1, 4), NUMBERS),
    sig_shape=st.one_of(st.tuples(st.integers(1, 6), st.integers(1, 6)), PAIRS),
    nav_shape=st.one_of(st.tuples(st.integers(0, 4), st.integers(0, 4)), PAIRS),
    offset=st.one_of(st.none(), NUMBERS),
    extra=BYTES,
    hexagonal=BYTES,
    step_um=st.tuples(st.floats(), st.floats()),
).map(Header.to_bytes)


@settings(max_examples=300)
@given(
    st.one_of(st.binary(max_size=60), HEADERS),
    st.binary(max_size=200),
    st.sampled_from([".up1", ".up2", ".UP1"]),
    st.one_of(st.none(), st.tuples(st.integers(0, 5), st.integers(0, 5))),
)
@example(Header(sig_shape=(1, 1), nav_shape=(9, 1), hexagonal=1, extra=1).to_bytes(), bytes(9), ".up1", None)
@example(Header(1, sig_shape=(2, 2)).to_bytes(), bytes(25), ".up2", (3, 1))
def test_any_bytes_are_a_scan_or_a_scan_error(
    folder: Path, header: bytes, body: bytes, ending: str, grid: tuple[int, int] | None
) -> None:
    path = folder / f"fuzz{ending}"
    path.write_bytes(header + body)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ScanWarning)
        try:
            source = FileSource(path, grid)
        except ScanError as error:
            assert str(path) in str(error)
            return
        patterns = read_all(source)
    start = source.header.offset
    assert start >= 16
    assert len(patterns) <= source.scan.total
    assert patterns.tobytes() == (header + body)[start : start + patterns.nbytes]
    assert patterns.nbytes == len(patterns) * source.scan.pattern_bytes > 0
    if source.scan.total < 1 << 16:
        rows, cols = source.scan.locate(np.arange(len(patterns)))
        assert source.scan.exists()[rows, cols].all()


# Writer


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("version", [1, 3])
def test_written_bytes_are_those_of_the_format(tmp_path: Path, version: int, dtype: Any) -> None:
    patterns = make_patterns(6, dtype=dtype)
    ending = ".up1" if dtype == "uint8" else ".up2"
    scan = Scan((2, 3), (4, 5), dtype, step_um=(0.5, 0.75))
    with UpWriter(tmp_path / f"ours{ending}", scan, version) as writer:
        writer.write(patterns[:1])
        writer.write(patterns[1:1])
        writer.write(patterns[1:])
    assert writer.written == 6
    other = write_up(tmp_path / f"other{ending}", patterns, Header(version, step_um=(0.5, 0.75)))
    assert writer.path.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("alternating", [False, True])
def test_hexagonal_scans_come_back(tmp_path: Path, alternating: bool) -> None:
    scan = Scan((3, 4), (4, 5), "uint8", "hexagonal", (1.0, 0.75), alternating)
    patterns = make_patterns(scan.total, dtype="uint8")
    with UpWriter(tmp_path / "a.up1", scan) as writer:
        writer.write(patterns)
    source = FileSource(writer.path)
    assert source.scan == scan
    assert_array_equal(read_all(source), patterns)


def test_views_are_written_as_they_look(tmp_path: Path) -> None:
    patterns = make_patterns(6, (8, 10))[:, ::2, ::-2]
    with UpWriter(tmp_path / "a.up2", Scan((2, 3), (4, 5))) as writer:
        writer.write(patterns)
    assert_array_equal(read_all(FileSource(writer.path)), patterns)


def test_flushed_patterns_are_on_disk(tmp_path: Path) -> None:
    with UpWriter(tmp_path / "a.up2", Scan((2, 3), (4, 5))) as writer:
        writer.write(make_patterns(2))
        writer.flush()
        assert count_patterns(writer.path, read_header(writer.path)) == 2


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("version", [1, 3])
@pytest.mark.parametrize("reader", ["kikuchipy", "pyebsdindex"])
def test_others_read_what_we_write(tmp_path: Path, reader: str, version: int, dtype: Any) -> None:
    scan = Scan((2, 3), (8, 6), dtype, step_um=(0.5, 0.75))
    patterns = make_patterns(6, (8, 6), dtype)
    with UpWriter(tmp_path / ("a.up1" if dtype == "uint8" else "a.up2"), scan, version) as writer:
        writer.write(patterns)
    read = read_with_kikuchipy if reader == "kikuchipy" else read_with_pyebsdindex
    others = read(writer.path, version)
    assert others.dtype == dtype
    for ours, theirs in zip(patterns, others, strict=True):
        assert_array_equal(ours, theirs)


def read_with_kikuchipy(path: Path, version: int) -> NDArray[Any]:
    import kikuchipy

    signal = kikuchipy.load(path, nav_shape=(2, 3) if version == 1 else None)
    assert signal.data.shape == (2, 3, 8, 6)
    data: NDArray[Any] = signal.data.reshape(6, 8, 6)
    return data


def read_with_pyebsdindex(path: Path, version: int) -> NDArray[Any]:
    from pyebsdindex.ebsd_pattern import UPFile

    file = UPFile(str(path))
    assert file.read_header() == 0
    assert file.version == version
    assert file.nPatterns == 6
    patterns: NDArray[Any] = file.pat_reader(patStart=0, nPatToRead=6)[0]
    return patterns


def test_misfits_are_not_written(tmp_path: Path) -> None:
    path, scan = tmp_path / "a.up2", Scan((2, 3), (4, 5))
    with pytest.raises(ScanError, match=r"a\.up1: uint16 patterns"):
        UpWriter(path.with_suffix(".up1"), scan)
    with pytest.raises(ScanError, match="version 1 or 3; got 2"):
        UpWriter(path, scan, version=2)
    assert list(tmp_path.iterdir()) == []
    with UpWriter(path, scan) as writer:
        for wrong in (make_patterns(1, (5, 4)), make_patterns(1, dtype="uint8"), make_patterns(1)[0]):
            with pytest.raises(ScanError, match=r"a\.up2: patterns must be \(n, 4, 5\) uint16"):
                writer.write(wrong)
        writer.write(make_patterns(5))
        with pytest.raises(ScanError, match=r"a\.up2: the scan has 6 patterns"):
            writer.write(make_patterns(2))
    assert_array_equal(path.stat().st_size, 42 + 5 * 40)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"a\.up2: cannot be written"):
        UpWriter(tmp_path / "missing" / "a.up2", Scan((2, 3), (4, 5)))


@pytest.mark.skipif(not FULL_DISK.exists(), reason="needs /dev/full, a disk that is always full")
@pytest.mark.parametrize("step", ["write", "flush", "close"])
def test_a_full_disk_is_an_output_error(tmp_path: Path, step: str) -> None:
    path = tmp_path / "a.up2"
    path.symlink_to(FULL_DISK)
    side = 400 if step == "write" else 4  # more or less than the buffer holds
    writer = UpWriter(path, Scan((2, 3), (side, side)))
    with pytest.raises(OutputError, match=r"a\.up2: cannot be written") as caught:
        writer.write(make_patterns(6, (side, side)))
        writer.flush() if step == "flush" else writer.close()
    assert caught.value.exit_code == 1
    with suppress(OutputError):
        writer.close()


def test_header_bytes_are_those_of_the_format() -> None:
    header = UpHeader(3, (4, 5), 42, (2, 3), "hexagonal", (0.5, 0.75), full_rows=True)
    assert header.to_bytes() == struct.pack("<IIIIBIIBdd", 3, 5, 4, 42, 1, 3, 2, 1, 0.5, 0.75)
    assert UpHeader(1, (4, 5), 16).to_bytes() == struct.pack("<IIII", 1, 5, 4, 16)
