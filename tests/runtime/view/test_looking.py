"""The pattern under the cursor, its reconstruction, and what is said where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_latents import Contents, make_contents, make_origin, write_contents
from make_models import tiny_spec, write_decoder
from numpy.testing import assert_allclose
from pages import serve_pages
from vendor_files import write_h5oina
from write_up2 import Header, make_patterns, write_up

from microrun.runtime.engines.catalogue import find_model
from microrun.runtime.engines.open import read_model_spec
from microrun.runtime.errors import LatentsError, ScanError
from microrun.runtime.latents.origin import Origin
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.open import fingerprint, open_scan
from microrun.runtime.view.desk import Desk
from microrun.runtime.view.growing_map import GrowingMap
from microrun.runtime.view.looking import Look, Looker, find_scan, name_engine

NAV_SHAPE, SIDE = (6, 7), 60
PATTERNS = make_patterns(42, (SIDE, SIDE))
FLAGGED, MISSING = (0, 3), (1, 1)


def write_pair(folder: Path) -> tuple[Path, Origin, Contents]:
    """A scan, and latents of it beside."""
    scan = write_up(folder / "a.up2", PATTERNS, Header(sig_shape=(SIDE, SIDE), nav_shape=NAV_SHAPE))
    source = open_scan(scan)
    origin = replace(make_origin(source.scan, tiny_spec()), fingerprint=fingerprint(source))
    contents = make_contents(source.scan, tiny_spec())
    return write_contents(folder / "a.latents.h5", origin, contents), origin, contents


@pytest.fixture
def latents(tmp_path: Path) -> Path:
    return write_pair(tmp_path)[0]


@pytest.fixture
def points(latents: Path) -> Iterator[GrowingMap]:
    with GrowingMap(open_latents(latents)) as found:
        yield found


def prepared(number: int, background: np.ndarray) -> np.ndarray:
    preprocessor = Preprocessor(tiny_spec().preprocessing, (SIDE, SIDE))
    out = np.empty((1, *preprocessor.input_shape), np.float32)
    preprocessor.prepare(PATTERNS[number][None], background, out, np.empty((1, 2), np.float32), np.empty(1, bool))
    return out[0]


def test_the_pattern_is_that_of_the_point_as_the_model_saw_it(points: GrowingMap, tmp_path: Path) -> None:
    with Looker(decoder=str(write_decoder(tmp_path / "tiny.decoder.onnx"))) as looker:
        found = looker.look(points, 2, 3)
        assert found.pattern is not None
        assert_allclose(found.pattern, prepared(17, points.latents.background), atol=1e-6)
        assert found.reconstruction is not None
        assert found.difference is not None
        assert found.correlation is not None
        assert found.notes == ()
        assert not looker.look(points, *MISSING).seen
        assert not looker.look(points, *FLAGGED).informative
        assert looker.look(points, *FLAGGED).reconstruction is None


def test_a_running_mean_that_is_not_written_yet_is_stood_in_for(tmp_path: Path) -> None:
    path, origin, contents = write_pair(tmp_path)
    path.unlink()
    nothing = np.zeros_like(contents.background)
    write_contents(path, replace(origin, background="running"), replace(contents, background=nothing))
    with GrowingMap(open_latents(path)) as points, Looker() as looker:
        found = looker.look(points, 2, 3).pattern
        preprocessor = Preprocessor(tiny_spec().preprocessing, (SIDE, SIDE))
        binned = np.empty((points.done, *preprocessor.input_shape), np.float32)
        preprocessor.bin(PATTERNS[: points.done], binned)
        assert found is not None
        assert_allclose(found, prepared(17, binned.mean(axis=0)), atol=1e-6)


def test_blank_frames_are_no_part_of_what_stands_in_for_a_running_mean(tmp_path: Path) -> None:
    path, origin, contents = write_pair(tmp_path)
    path.unlink()
    blanked = PATTERNS.copy()
    blanked[:10] = 0  # the beam was off
    write_up(tmp_path / "a.up2", blanked, Header(sig_shape=(SIDE, SIDE), nav_shape=NAV_SHAPE))
    running = replace(origin, background="running", fingerprint="")
    write_contents(path, running, replace(contents, background=np.zeros_like(contents.background)))
    with GrowingMap(open_latents(path)) as points, Looker() as looker:
        found = looker.look(points, 2, 3).pattern
        preprocessor = Preprocessor(tiny_spec().preprocessing, (SIDE, SIDE))
        binned = np.empty((points.done - 10, *preprocessor.input_shape), np.float32)
        preprocessor.bin(PATTERNS[10 : points.done], binned)
        assert found is not None
        assert_allclose(found, prepared(17, binned.mean(axis=0)), atol=1e-6)


def test_before_the_first_pattern_is_encoded_there_is_no_mean_to_subtract(tmp_path: Path) -> None:
    path, origin, contents = write_pair(tmp_path)
    path.unlink()
    nothing = np.zeros_like(contents.background)
    none = replace(contents, background=nothing, written=np.zeros_like(contents.written))
    write_contents(path, replace(origin, background="running"), none)
    with GrowingMap(open_latents(path)) as points, Looker() as looker:
        found = looker.look(points, 2, 3)
        assert found.pattern is not None
        assert_allclose(found.pattern, prepared(17, nothing), atol=1e-6)
        assert not found.seen


def test_a_scan_that_cannot_be_read_does_not_end_the_answers(latents: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = [ScanError("the disk is away")]
    look = Looker.look

    def failing(*arguments: Any) -> Look:
        if errors:
            raise errors.pop()
        return look(*arguments)

    monkeypatch.setattr(Looker, "look", failing)
    with serve_pages(latents) as pages, pages.open() as page:
        page.fill()
        page.ask(point=[2, 3])
        assert page.listen("refused") == "the disk is away"
        page.ask(point=[2, 4])
        assert page.listen("point")["point"] == [2, 4]


def test_one_of_two_scans_of_a_file_is_looked_at_by_its_name(tmp_path: Path) -> None:
    pytest.importorskip("kikuchipy")
    path, origin, contents = write_pair(tmp_path)
    path.unlink()
    (tmp_path / "a.up2").unlink()
    two = write_h5oina(tmp_path / "a.h5oina", NAV_SHAPE, {"Area 1": PATTERNS[::-1], "Area 2": PATTERNS})
    source = open_scan(two, scan_name="Area 2")
    write_contents(path, replace(origin, scan=source.scan, fingerprint=fingerprint(source)), contents)
    with GrowingMap(open_latents(path)) as points:
        with Looker() as looker:
            assert "'Area 1', 'Area 2'; say which with --scan-name" in looker.look(points, 2, 3).notes[0]
        with Looker(scan_name="Area 1") as looker:
            assert "is not the scan" in looker.look(points, 2, 3).notes[0]
        with Looker(scan_name="Area 2") as looker:
            looker.find_scan(points)
            assert looker.scan_words == (str(two), "--scan-name", "Area 2")
            assert_allclose(looker.look(points, 2, 3).pattern, prepared(17, contents.background), atol=1e-6)


def test_a_copied_command_opens_a_scan_that_states_no_grid(tmp_path: Path) -> None:
    path, _, _ = write_pair(tmp_path)
    scan = tmp_path / "a.up2"
    for version, options in ((3, ""), (1, " --grid 6x7")):
        write_up(scan, PATTERNS, Header(version, (SIDE, SIDE), NAV_SHAPE))
        with Looker() as looker, Desk(path, looker) as desk:
            looker.find_scan(desk.points)
            assert desk.state()["scan"] == f"{scan}{options}"
            assert desk.describe()["engine"] == "tiny.onnx"


def test_a_copied_command_encodes_with_the_model_that_was_used(latents: Path) -> None:
    built_in = read_model_spec(find_model("vae32"))
    with open_latents(latents) as opened:
        opened.origin = replace(opened.origin, spec=built_in)
        assert name_engine(opened) == "vae32"


def test_a_file_that_is_replaced_while_its_run_is_asked_is_no_trouble(
    latents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look() -> None:
        raise LatentsError("the file is another now")

    with Looker() as looker, Desk(latents, looker) as desk:
        monkeypatch.setattr(desk.run, "look", look)
        assert desk.poll()
        assert not desk.follower.trouble


def test_what_is_missing_is_said(points: GrowingMap, tmp_path: Path) -> None:
    (tmp_path / "a.up2").unlink()
    with Looker() as looker:
        notes = " ".join(looker.look(points, 2, 3).notes)
    assert "no scan lies beside" in notes
    assert "--decoder tiny.decoder.onnx" in notes


def test_another_scan_is_refused(points: GrowingMap, tmp_path: Path) -> None:
    other = write_up(tmp_path / "b.up2", PATTERNS[::-1], Header(sig_shape=(SIDE, SIDE), nav_shape=NAV_SHAPE))
    with Looker(other) as looker:
        found = looker.look(points, 2, 3)
    assert found.pattern is None
    assert f"{other}: is not the scan" in found.notes[0]


def test_a_scan_that_vanishes_while_it_is_looked_at(points: GrowingMap, tmp_path: Path) -> None:
    with Looker() as looker:
        assert looker.look(points, 2, 3).pattern is not None
        (tmp_path / "a.up2").write_bytes(b"")
        found = looker.look(points, 2, 4)
    assert found.pattern is None
    assert "became shorter" in found.notes[0]


def test_the_scan_beside_is_found_by_its_name(tmp_path: Path) -> None:
    for name in ("a.decoded.up2", "b.up2", "a.h5", "a.txt"):
        (tmp_path / name).touch()
    assert find_scan(tmp_path / "a.latents.h5") == tmp_path / "a.h5"
    (tmp_path / "a.UP1").touch()
    assert find_scan(tmp_path / "a.latents.h5") == tmp_path / "a.UP1"
    assert find_scan(tmp_path / "c.latents.h5") is None
    (tmp_path / "c.pat").touch()
    assert find_scan(tmp_path / "c.latents.h5") == tmp_path / "c.pat"
    (tmp_path / "my.pictures").mkdir()
    assert find_scan(tmp_path / "my.pictures.latents.h5") == tmp_path / "my.pictures"


def test_a_page_gets_pictures_of_the_point(latents: Path, tmp_path: Path) -> None:
    decoder = str(write_decoder(tmp_path / "tiny.decoder.onnx"))
    with serve_pages(latents, decoder=decoder) as pages, pages.open() as page:
        page.fill()
        page.ask(point=[2, 3])
        about = page.listen("point")
        assert about["pattern"] and about["reconstruction"] and about["difference"]
        assert page.pictures is not None
        assert page.pictures.shape == (3 * 120 * 120,)
        assert len(about["latent"]) == 8
