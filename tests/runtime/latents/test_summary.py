"""Latents as Python and notebooks show them."""

from __future__ import annotations

import dataclasses
from html.parser import HTMLParser
from pathlib import Path

import pytest
from latents_runs import ORIGIN, SPEC, cut, write_file

from microrun.runtime.latents.reader import open_latents
from microrun.runtime.scans.scan import Scan


class Cells(HTMLParser):
    """Texts of a table, and the tags that it consists of."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.tags.append("/" + tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_one_line_says_what_is_there(path: Path) -> None:
    with open_latents(write_file(path, count=20)) as latents:
        line = "scan.latents.h5: 6×7 map × 5 features, float32, tiny, 20 of 42 patterns written"
        assert repr(latents) == str(latents) == f"<Latents {line}>"
    assert repr(latents) == "<Latents scan.latents.h5: 6×7 map × 5 features, float32, tiny, closed>"


def test_large_numbers_are_grouped(path: Path) -> None:
    scan = Scan((40, 50), (8, 8), grid="hexagonal", alternating=True)
    with open_latents(write_file(path, dataclasses.replace(ORIGIN, scan=scan, dtype="float16"))) as latents:
        assert repr(latents).endswith(": 40×50 map × 5 features, float16, tiny, 1,980 of 1,980 patterns written>")


def test_notebooks_show_a_table(path: Path) -> None:
    with open_latents(write_file(path, count=20)) as latents:
        cells = Cells(latents._repr_html_())
    assert cells.texts[0] == "Latents scan.latents.h5"
    assert dict(zip(cells.texts[1::2], cells.texts[2::2], strict=True)) == {
        "map": "6×7, square",
        "step": "0.5 × 0.25 µm",
        "features": "5, float32",
        "state": "20 of 42 patterns written",
        "patterns": "8×8 uint16, background: mean",
        "model": "tiny",
        "engine": "NumPy on cpu in f32",
        "file": str(path),
    }
    assert "closed" in latents._repr_html_()


@pytest.mark.parametrize("evil", ["<script>alert(1)</script>", "a & b", '"><img src=x>'])
def test_nothing_in_the_table_is_taken_for_html(tmp_path: Path, evil: str) -> None:
    path = tmp_path / f"{evil.replace('/', '')}.h5"
    origin = dataclasses.replace(ORIGIN, spec=dataclasses.replace(SPEC, name=evil), engine=evil)
    with open_latents(write_file(path, origin)) as latents:
        cells = Cells(latents._repr_html_())
    assert set(cells.tags) == {name for tag in ("table", "caption", "tr", "th", "td") for name in (tag, f"/{tag}")}
    assert path.name in cells.texts[0]
    assert {evil, f"{evil} in f32"} <= set(cells.texts)


def test_a_step_that_is_not_known_is_not_stated(path: Path) -> None:
    scan = dataclasses.replace(ORIGIN.scan, step_um=(0.0, 0.0))
    with open_latents(write_file(path, dataclasses.replace(ORIGIN, scan=scan))) as latents:
        assert "not stated" in Cells(latents._repr_html_()).texts


def test_a_file_that_is_lost_meanwhile_is_still_shown(path: Path) -> None:
    with open_latents(write_file(path)) as latents:
        cut(0.0)(path)
        assert repr(latents).endswith(", damaged>")
        assert "damaged" in Cells(latents._repr_html_()).texts
