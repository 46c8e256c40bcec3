"""What pages are sent of finished, growing and vanishing files."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from growing_latents import Scribe
from latents_runs import BACKGROUND, ORIGIN, leave_behind, write_all
from make_latents import SCANS, make_contents, make_origin, write_contents, write_features
from numpy.testing import assert_allclose, assert_array_equal
from pages import Page, Pages, serve_pages

from microrun.runtime.errors import LatentsError
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.latents.stored_maps import store_maps
from microrun.runtime.latents.writer import LatentsWriter
from microrun.runtime.maps.features import principal_colours
from microrun.runtime.scans.part import Part
from microrun.runtime.view import desk

NONSENSE = [
    "", "{", "[]", "null", "7", '"x"', "{}", '{"show": 3}', '{"show": {"kind": "pca", "numbers": "x"}}',
    '{"show": {"kind": "features", "numbers": [5]}}', '{"show": {"kind": "features", "numbers": [-1]}}',
    '{"show": {"kind": "features", "numbers": [1, 2]}}', '{"show": {"kind": "features", "numbers": [true]}}',
    '{"show": {"kind": "features", "numbers": [1e400]}}', '{"show": {"kind": "distance", "numbers": [6, 0]}}',
    '{"show": {"kind": "stored", "name": "../latents"}}', '{"show": {"kind": "stored", "name": ["a"]}}',
    '{"point": [0]}', '{"point": [0, 7]}', '{"point": [-1, 0]}', '{"point": [0.5, 0]}', '{"point": null}',
    '{"recolour": 1}', '{"delete": true}', "[" * 2000,
]  # fmt: skip


@pytest.fixture(scope="module", params=sorted(SCANS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def finished(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    scan = SCANS[kind]
    path = tmp_path_factory.mktemp("view") / f"{kind}.latents.h5"
    return write_contents(path, make_origin(scan), make_contents(scan))


@pytest.fixture(scope="module")
def pages(finished: Path) -> Iterator[Pages]:
    with serve_pages(finished) as found:
        yield found


def expected(path: Path) -> Any:
    """Latents as a page has them: infinite without information, NaN where not measured."""
    with open_latents(path) as latents:
        values = latents.latents.astype(np.float32)
        values[latents.flags] = np.inf
        values[~latents.written] = np.nan
        return values


def test_features_come_as_they_are_stored(pages: Pages, finished: Path) -> None:
    with pages.open() as page:
        page.fill()
        page.ask(show={"kind": "features", "numbers": [3]})
        assert_array_equal(page.fill()[..., 0], expected(finished)[..., 3])
        page.ask(show={"kind": "features", "numbers": [4, 0, 2]})
        assert_array_equal(page.fill(), expected(finished)[..., [4, 0, 2]])


def test_distances_are_those_in_latent_space(pages: Pages, finished: Path) -> None:
    with pages.open() as page:
        page.fill()
        page.ask(show={"kind": "distance", "numbers": [2, 2]})
        latents = expected(finished)
        informative = np.isfinite(latents[..., 0])
        wanted = np.linalg.norm(latents[informative] - latents[2, 2], axis=1)
        assert_allclose(page.fill()[informative, 0], wanted, rtol=1e-6)
        assert page.heard["layer"]["limits"][0][0] == 0


def test_colours_of_a_finished_file_are_those_of_microrun_maps(tmp_path: Path) -> None:
    features = np.random.default_rng(0).standard_normal((6, 7, 5)) * [5, 3, 2, 1, 1]
    with serve_pages(write_features(tmp_path / "a.h5", features)) as pages, pages.open() as page:
        components = page.fill()
        low, high = np.array(page.heard["layer"]["limits"]).T
    assert_allclose(np.clip((components - low) / (high - low), 0, 1), principal_colours(features), atol=2e-6)


def test_nonsense_is_refused_in_a_line_and_the_page_lives_on(pages: Pages) -> None:
    with pages.open() as page:
        page.fill()
        for text in NONSENSE:
            page.socket.send_text(text)
            said = page.listen("refused")
            assert said, text
            assert "\n" not in said
        page.ask(show={"kind": "features", "numbers": [0]})
        assert page.listen("layer")["numbers"] == [0]


@pytest.mark.parametrize("point", [[0, 3], [1, 1]])  # blank, and not measured
def test_a_click_on_a_point_without_a_latent_leaves_what_is_shown(pages: Pages, point: list[int]) -> None:
    with pages.open() as page:
        page.fill()
        page.ask(show={"kind": "distance", "numbers": point})
        assert "no latent" in page.listen("refused")
        page.ask(recolour=True)  # which shows everything anew
        assert page.listen("layer")["kind"] == "pca"


def test_bytes_are_nonsense_too(pages: Pages) -> None:
    with pages.open() as page:
        page.socket.send_bytes(struct.pack("<4I", 1, 2, 3, 4))
        assert page.listen("refused")


@pytest.fixture(scope="module")
def scribe() -> Iterator[Scribe]:
    found = Scribe()
    yield found
    found.end()


def wait_for(page: Page, **state: object) -> dict[str, Any]:
    while True:
        found = page.listen("state")
        if state.items() <= found.items():
            return dict(found)


def test_a_map_grows_row_by_row_until_its_run_is_finished(tmp_path: Path, scribe: Scribe) -> None:
    path = tmp_path / "a.latents.h5"
    with scribe.writes(path):
        scribe.tell("write", 0, 10)
        with serve_pages(path) as pages, pages.open() as page:
            assert wait_for(page, done=10)["state"] == "live"
            page.ask(show={"kind": "features", "numbers": [2]})
            page.fill()
            scribe.tell("write", 10, 33)
            wait_for(page, done=33)
            assert page.written() == 33
            scribe.tell("write", 35, 40)
            assert wait_for(page, done=38)["missing"] == 2
            scribe.tell("familiar", 0.7, 0.8)
            scribe.tell("write", 33, 35)
            scribe.tell("write", 40, 42)
            scribe.tell("close")
            state = wait_for(page, state="finished", done=42)
            assert state["familiarity"] == {"median": 0.7, "expected": 0.8}
            assert_array_equal(page.values, expected(path)[..., 2:3])


def test_colours_stay_while_a_map_grows_until_they_are_asked_for_anew(
    tmp_path: Path, scribe: Scribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("microrun.runtime.view.layers.FIRST_POINTS", 20)
    path = tmp_path / "a.latents.h5"
    with scribe.writes(path):
        scribe.tell("write", 0, 24)
        with serve_pages(path) as pages, pages.open() as page:
            page.listen("layer")
            first = page.heard["layer"]
            assert "first" in wait_for(page, done=24)["colours"]
            for stop in (30, 36):
                scribe.tell("write", stop - 6, stop)
                wait_for(page, done=stop)
            assert page.heard["layer"] == first
            page.ask(recolour=True)
            anew = page.listen("layer")["limits"]
            assert anew != first["limits"]
            scribe.tell("write", 36, 42)
            wait_for(page, done=42)
            with pages.open() as other:  # whoever comes later sees the same
                assert other.listen("layer")["limits"] == anew


def test_a_killed_run_is_interrupted_not_live(tmp_path: Path) -> None:
    with serve_pages(leave_behind(tmp_path / "a.latents.h5")) as pages, pages.open() as page:
        assert page.listen("state")["state"] == "interrupted"
        page.values = None
        assert page.heard["state"]["done"] == 20


def test_a_file_that_vanishes_and_comes_back_as_another(tmp_path: Path) -> None:
    path, other = tmp_path / "a.latents.h5", tmp_path / "b.latents.h5"
    write_contents(path, make_origin(SCANS["square"]), make_contents(SCANS["square"]))
    with serve_pages(path) as pages, pages.open() as page:
        page.fill()
        path.unlink()
        assert str(path) in wait_for(page, state="gone")["trouble"]
        features = np.random.default_rng(1).standard_normal((4, 9, 3))
        shutil.move(write_features(other, features), path)
        assert page.listen("hello")["cols"] == 9
        assert wait_for(page, state="finished")["done"] == 36
        path.unlink()
        path.write_bytes(b"no HDF5")
        assert "not a latents file" in wait_for(page, state="gone")["trouble"]


def test_one_error_of_the_following_does_not_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, other = tmp_path / "a.latents.h5", tmp_path / "b.latents.h5"
    write_features(path, np.random.default_rng(1).standard_normal((6, 7, 3)))
    write_features(other, np.random.default_rng(2).standard_normal((4, 9, 3)))
    errors = [OSError("the disk is away"), LatentsError("the file is half there")]

    def list_stored(points: object) -> dict[str, str]:
        if errors:
            raise errors.pop()
        return {}

    with serve_pages(path) as pages, pages.open() as page:
        page.fill()
        monkeypatch.setattr(desk, "list_stored", list_stored)
        shutil.move(other, path)
        assert wait_for(page, state="gone")["trouble"] == "the file is half there"
        assert page.listen("hello")["cols"] == 9
        assert wait_for(page, state="finished")["done"] == 36
    assert not errors


def test_a_page_of_a_part_knows_where_it_lies_in_the_scan(tmp_path: Path) -> None:
    scan, part = SCANS["square"], Part((20, 30), (2, 19), (5, 25), 3)
    path = write_contents(tmp_path / "a.h5", replace(make_origin(scan), part=part), make_contents(scan))
    with serve_pages(path) as pages, pages.open() as page:
        assert page.listen("hello")["part"] == {"rows": [2, 19], "cols": [5, 25], "every": 3}


def test_maps_stored_in_the_file_are_shown_beside(tmp_path: Path) -> None:
    path = write_features(tmp_path / "a.latents.h5", np.random.default_rng(0).standard_normal((5, 6, 4)))
    spread, segments = np.arange(30.0).reshape(5, 6), np.arange(30).reshape(5, 6)
    with serve_pages(path) as pages, pages.open() as page:
        assert page.listen("hello")["stored"] == {}
        store_maps(path, "analysis", {"spread": spread, "segments": segments, "order": np.arange(4)}, {})
        assert page.listen("hello")["stored"] == {"analysis/spread": "values", "analysis/segments": "labels"}
        page.listen("layer")
        page.ask(show={"kind": "stored", "name": "analysis/spread"})
        assert_array_equal(page.fill()[..., 0], spread)
        page.ask(show={"kind": "stored", "name": "analysis/segments"})
        assert page.listen("layer")["labels"]


def test_a_page_reads_only(tmp_path: Path) -> None:
    path = write_features(tmp_path / "a.latents.h5", np.zeros((3, 4, 2)))
    before = path.read_bytes()
    with serve_pages(path) as pages, pages.open() as page:
        page.fill()
        page.ask(recolour=True)
        page.listen("layer")
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_a_run_goes_on_beside_pages_that_come_and_go(tmp_path: Path, scribe: Scribe) -> None:
    path, alone = tmp_path / "a.latents.h5", tmp_path / "b.latents.h5"
    with scribe.writes(path):
        scribe.tell("write", 0, 1)
        with serve_pages(path) as pages:
            for number in range(1, 4):
                with pages.open() as page, pages.open():
                    scribe.tell("write", number, number + 1)
                    wait_for(page, done=number + 1)
            scribe.tell("write", 4, 42)
    with LatentsWriter.create(alone, ORIGIN, BACKGROUND) as writer:
        write_all(writer)
    assert_array_equal(expected(path), expected(alone))
