"""What pages are told of the run that writes a file, and colours that the model states."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from make_latents import SCANS, make_contents, make_origin, write_contents, write_features
from numpy.testing import assert_allclose, assert_array_equal
from pages import serve_pages
from watched_runs import BLUR, BRIGHT, KNOWN, status, write_watched

from microrun.runtime.latents.reader import Latents, open_latents
from microrun.runtime.latents.watched import FAILED, STOPPED, WHOLE
from microrun.runtime.maps.features import colour_components, principal_colours
from microrun.runtime.maps.stored_features import StoredFeatures
from microrun.runtime.pictures.latent_maps import title_components
from microrun.runtime.scans.scan import Scan
from microrun.runtime.view.growing_map import GrowingMap
from microrun.runtime.view.run_watch import RunWatch


def test_a_page_is_told_what_was_measured_and_what_changed_where(tmp_path: Path) -> None:
    with serve_pages(write_watched(tmp_path / "a.h5", 400, state=STOPPED)) as pages, pages.open() as page:
        told, state = page.listen("watch"), page.listen("state")
    place = 1 + told["names"].index("sharpness")
    assert [(row[0], row[place]) for row in told["blocks"]] == [
        (0, 0.7),
        (4, 0.7),
        (8, 0.7),
        (12, 0.7),
        (16, 0.7),
        (20, 0.574),
    ]
    assert [row[1] for row in told["blocks"]] == [None] * 6  # NaN is no JSON
    assert [(alarm["row"], alarm["end"], alarm["text"]) for alarm in told["alarms"]] == [
        (4, 12, BRIGHT.text), (20, None, BLUR.text),
    ]  # fmt: skip
    assert (told["from"], told["learned"]) == (0, 8)
    assert (state["state"], state["ended"], state["dropped"], state["ahead"]) == ("interrupted", "stopped", 7, 30)
    json.dumps(told, allow_nan=False)


def test_under_the_cursor_stands_the_block_that_the_point_belongs_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watched_runs.SCAN", Scan((4, 96), (8, 8)))  # blocks of 64 begin within its rows
    with open_latents(write_watched(tmp_path / "a.h5", 256)) as latents, GrowingMap(latents) as points:
        places = [row[0] for row in RunWatch(points).tell(0)["blocks"]]
    assert places == [0, 64 / 96, 1 + 32 / 96, 2]


def test_a_file_of_an_older_version_has_nothing_to_tell(tmp_path: Path) -> None:
    import h5py

    scan = SCANS["square"]
    path = write_contents(tmp_path / "a.h5", make_origin(scan), make_contents(scan))
    with h5py.File(path, "r+", libver="latest") as file:
        for name in ("monitor", "alarms", "status"):
            del file[name]
    with serve_pages(path) as pages, pages.open() as page:
        told, state = page.listen("watch"), page.listen("state")
    assert (told["blocks"], told["alarms"], told["learned"]) == ([], [], None)
    assert (state["ended"], state["dropped"]) == ("", 0)


def test_only_what_is_new_is_told_again(tmp_path: Path) -> None:
    with open_latents(write_watched(tmp_path / "a.h5", 400)) as latents, GrowingMap(latents) as points:
        watch = RunWatch(points)
        watch.look()
        assert (watch.changed, len(watch.tell(0)["blocks"]), len(watch.tell(4)["blocks"])) == (1, 6, 2)


def test_a_writer_of_another_machine_lives_as_long_as_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_watched(tmp_path / "a.h5", 200)
    with open_latents(path) as latents, GrowingMap(latents) as points:
        watch = RunWatch(points)
        assert not watch.is_alive()  # what it said before is no sign
        monkeypatch.setattr(Latents, "status", status(200, age_s=-3600))  # by a clock that is fast
        watch.look()
        assert watch.is_alive()
        monkeypatch.setattr(Latents, "status", status(200, state=FAILED))
        watch.look()
        assert not watch.is_alive()
        assert watch.ended == "failed"


def test_colours_are_those_that_the_model_states_until_others_are_asked_for(tmp_path: Path) -> None:
    path = write_watched(tmp_path / "a.h5", 512, state=WHOLE)
    assert KNOWN is not None
    with open_latents(path) as latents:
        features = StoredFeatures(latents)
        stated, own = principal_colours(features, known=KNOWN), principal_colours(features)
    with serve_pages(path) as pages, pages.open() as page:
        for recolour, wanted, said in ((None, stated, "knows"), (True, own, "of this scan"), (False, stated, "knows")):
            if recolour is not None:
                page.ask(recolour=recolour)
            components = page.fill()
            low, high = np.array(page.heard["layer"]["limits"]).T
            shown = np.clip((components - low) / (high - low), 0, 1)
            there = np.isfinite(shown[..., 0]) & np.isfinite(wanted[..., 0])  # not those without information
            assert_allclose(shown[there], wanted[there], atol=1e-5)
            state = page.heard["state"]
            while state["recoloured"] is not bool(recolour):
                state = page.listen("state")
            assert said in state["colours"] and state["stated"]
    assert np.abs(stated - own)[there].max() > 0.1


def test_a_page_says_where_a_model_states_no_colours(tmp_path: Path) -> None:
    path = write_features(tmp_path / "a.h5", np.random.default_rng(0).standard_normal((6, 7, 5)))
    with serve_pages(path) as pages, pages.open() as page:
        page.fill()
        assert page.heard["state"]["colours"] == "of all 42 patterns of this scan: tiny states none"


def test_maps_draws_the_colours_that_the_model_states_and_others_when_asked(tmp_path: Path) -> None:
    with open_latents(write_watched(tmp_path / "a.h5", 512, state=WHOLE)) as latents:
        features = StoredFeatures(latents)
        stated = colour_components(latents, features)
        own = colour_components(latents, features, recolour=True)
        assert_array_equal(stated.image, principal_colours(features, known=KNOWN))
        assert_array_equal(own.image, principal_colours(features))
        said, plain = title_components(latents, stated), title_components(latents, own)
    assert said.startswith("components 1–3 of what tiny knows as red, green, blue: ")
    assert plain.startswith("components 1–3 as red, green, blue: ")
