"""The page of `microrun view` in a real browser: what it shows, and what the hand does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from browsers import Open, view
from growing_latents import Scribe
from make_latents import SCANS, make_contents, make_origin, write_contents, write_features
from numpy.typing import NDArray
from pages import TOKEN

from microrun.runtime.scans.part import Part

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PIXEL = "([x, y]) => [...microrunView.context.getImageData(x, y, 1, 1).data]"
PLACE = "([row, col]) => microrunView.toPixel(microrunView.centre([row, col]))"
COLOUR = "([row, col]) => microrunView.colours[row * microrunView.info.cols + col]"
ROWS, COLS = 6, 7
HALVES = np.where(np.arange(ROWS)[:, None, None] < 3, [1.0, 2, 3, 4], [-4.0, 3, -2, 1]) * np.ones((ROWS, COLS, 1))
NOISY = HALVES + np.random.default_rng(0).normal(0, 0.05, HALVES.shape)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A finished map of two halves, that differ in all features."""
    folder = tmp_path_factory.mktemp("browser")
    with view(write_features(folder / "halves.latents.h5", NOISY), "--port", 0) as (_, found):
        yield found


def place(page: Page, row: int, col: int) -> tuple[float, float]:
    """Where a point of the map is on the page."""
    x, y = page.evaluate(PLACE, [row, col])
    box = page.locator("#map").bounding_box()
    assert box
    return box["x"] + x, box["y"] + y


def pixel(page: Page, row: int, col: int) -> list[int]:
    """Colour of the middle of a point."""
    x, y = page.evaluate(PLACE, [row, col])
    return list(page.evaluate(PIXEL, [x, y]))


def wait_for_layer(page: Page, name: str) -> None:
    page.wait_for_selector(f"#map[data-layer='{name}']")
    page.wait_for_timeout(200)


def test_a_map_grows_on_the_page_and_what_is_not_measured_is_hatched(
    open_page: Open, scribe: Scribe, tmp_path: Path
) -> None:
    path = tmp_path / "a.latents.h5"
    with scribe.writes(path):
        scribe.tell("write", 0, 21)
        with view(path, "--port", 0) as (_, address):
            page = open_page(address)
            page.wait_for_selector("#map[data-done='21']")
            assert page.inner_text("#state") == "live"
            assert "21 of 42" in page.inner_text("#counts")
            x, y = page.evaluate(PLACE, [4, 3])
            hatch = {tuple(page.evaluate(PIXEL, [x + step, y])) for step in range(16)}
            assert len(hatch) == 2
            assert (255, 255, 255, 255) not in hatch
            before = pixel(page, 5, 5)
            scribe.tell("write", 21, 42)
            page.wait_for_selector("#map[data-done='42']")
            page.wait_for_timeout(200)
            assert pixel(page, 5, 5) != before
            scribe.tell("close")
            page.wait_for_selector("#state.finished")


def test_the_cursor_tells_the_point_and_a_click_its_latent_distance(open_page: Open, address: str) -> None:
    page = open_page(address)
    page.mouse.move(*place(page, 4, 2))
    assert page.inner_text("#place").startswith("row 4, column 2 · 1.00, 2.00 µm")
    page.mouse.click(*place(page, 1, 1))
    wait_for_layer(page, "distance")
    near, far = pixel(page, 2, 5), pixel(page, 5, 5)
    assert near[2] > near[1]  # the dark end, violet
    assert far[1] > far[2]  # the bright end, yellow
    assert page.inner_text("#command").endswith("--pick 1,1")
    page.keyboard.down("Shift")
    page.mouse.click(*place(page, 5, 1))
    page.keyboard.up("Shift")
    page.wait_for_timeout(300)
    assert page.inner_text("#profilecaption") == "row 1, column 1 to row 5, column 1: 2 µm"


def test_signed_features_have_the_middle_colour_at_zero(open_page: Open, address: str) -> None:
    page = open_page(address)
    page.select_option("#kind", "feature")
    wait_for_layer(page, "feature")
    above, below = pixel(page, 1, 1), pixel(page, 5, 1)
    assert above[0] > above[2]
    assert below[2] > below[0]
    page.select_option("#kind", "rgb")
    wait_for_layer(page, "rgb")
    assert page.inner_text("#command").endswith("--features 0,1,2")
    assert limits_of(page) == pytest.approx(np.percentile(NOISY[..., :3], (1, 99), axis=(0, 1)).T, rel=1e-4)
    page.fill("#high", "60")
    page.press("#high", "Enter")
    assert limits_of(page) == pytest.approx(np.percentile(NOISY[..., :3], (1, 60), axis=(0, 1)).T, rel=1e-4)


def limits_of(page: Page) -> NDArray[np.float64]:
    return np.array(page.evaluate("microrunView.layer.limits"))


def test_zoom_to_the_pixel_and_back(open_page: Open, address: str) -> None:
    page = open_page(address)
    x, y = place(page, 2, 3)
    page.mouse.move(x, y)
    for _ in range(12):
        page.mouse.wheel(0, -600)
    page.wait_for_timeout(300)
    assert page.evaluate("microrunView.zoom * microrunView.sx") == pytest.approx(200)
    word = page.evaluate(COLOUR, [2, 3])
    corner = page.evaluate("microrunView.toPixel([3 * microrunView.sx, 2 * microrunView.sy])")
    inside = [page.evaluate(PIXEL, [corner[0] + dx, corner[1] + dy]) for dx in (8, 190) for dy in (8, 190)]
    assert all(found == [word & 255, word >> 8 & 255, word >> 16 & 255, 255] for found in inside)
    page.keyboard.press("Tab")
    page.click("#fit")
    page.wait_for_timeout(200)
    assert page.evaluate("microrunView.fitted")


def test_a_dragged_rectangle_is_a_region(open_page: Open, address: str) -> None:
    page = open_page(address)
    page.click("#select")
    page.mouse.move(*place(page, 1, 2))
    page.mouse.down()
    page.mouse.move(*place(page, 4, 5))
    page.mouse.up()
    assert page.inner_text("#region") == "--region 1:5,2:6"


def test_a_region_of_a_part_counts_in_the_whole_scan(open_page: Open, tmp_path: Path) -> None:
    scan, part = SCANS["square"], Part((20, 30), (2, 19), (5, 25), 3)
    path = write_contents(tmp_path / "a.latents.h5", replace(make_origin(scan), part=part), make_contents(scan))
    with view(path, "--port", 0) as (_, address):
        page = open_page(address)
        page.mouse.move(*place(page, 4, 2))
        assert page.inner_text("#place").startswith("row 4, column 2 (14, 11 of the scan) · 1.83, 1.17 µm")
        page.click("#select")
        for row, col, region in ((4, 5, "5:17,11:23"), (5, 6, "5:19,11:25")):
            page.mouse.move(*place(page, 1, 2))
            page.mouse.down()
            page.mouse.move(*place(page, row, col))
            page.mouse.up()
            assert page.inner_text("#region") == f"--region {region}"


def test_what_is_seen_is_saved(open_page: Open, address: str, tmp_path: Path) -> None:
    page = open_page(address)
    with page.expect_download() as saving:
        page.click("#save")
    assert saving.value.suggested_filename == "halves.pca.png"
    saving.value.save_as(tmp_path / "seen.png")
    assert (tmp_path / "seen.png").read_bytes().startswith(b"\x89PNG")


def test_light_and_dark(open_page: Open, address: str) -> None:
    corner = [pixel_at(open_page(address, scheme), 2, 2) for scheme in ("light", "dark")]
    assert sum(corner[0][:3]) > 700 > 150 > sum(corner[1][:3])


def pixel_at(page: Page, x: int, y: int) -> list[int]:
    return list(page.evaluate(PIXEL, [x, y]))


def test_the_page_comes_back_when_the_server_does(open_page: Open, tmp_path: Path) -> None:
    path = write_features(tmp_path / "a.latents.h5", HALVES)
    with view(path, "--port", 0) as (_, address):
        page = open_page(address)
        port = address.rstrip("/").rpartition(":")[2]
        page.mouse.click(*place(page, 1, 1))
        wait_for_layer(page, "distance")
    page.wait_for_selector("#state.reconnecting")
    with view(path, "--port", port):
        page.wait_for_selector("#state.finished")
        wait_for_layer(page, "distance")


def test_a_wrong_token_shows_nothing(open_page: Open, tmp_path: Path) -> None:
    path = write_features(tmp_path / "a.latents.h5", HALVES)
    with view(path, "--port", 0, "--token", TOKEN) as (_, address):
        wrong = open_page(address.replace(TOKEN, "x" * 16), painted=False)
        assert "Not from here" in wrong.inner_text("body")
        assert open_page(address).inner_text("#state") == "finished"


def test_hexagons_are_hexagons(open_page: Open, tmp_path: Path) -> None:
    features = np.random.default_rng(1).standard_normal((6, 7, 3))
    cells = [(row, col) for row in (0, 2, 3, 5) for col in (0, 3, 6)]
    with view(write_features(tmp_path / "square.latents.h5", features), "--port", 0) as (_, address):
        page = open_page(address)
        squares = [pixel(page, *cell) for cell in cells]
    path = write_features(tmp_path / "a.latents.h5", features, SCANS["hexagonal"])
    with view(path, "--port", 0) as (_, address):
        page = open_page(address)
        found: list[Any] = [page.evaluate("([u, v]) => microrunView.cellAt(u, v)", place) for place in POINTS_OF_CELL]
        assert found == [[2, 3]] * len(POINTS_OF_CELL)
        x = page.evaluate(PLACE, [3, 3])[0]  # an odd row, half a step to the right
        assert x - page.evaluate(PLACE, [2, 3])[0] == pytest.approx(page.evaluate("microrunView.zoom / 2"))
        assert [pixel(page, *cell) for cell in cells] == squares  # each point has the colour of its own latent
        corners = page.evaluate("places => places.map(place => microrunView.toPixel(place))", POINTS_OF_CELL)
        assert [page.evaluate(PIXEL, corner) for corner in corners] == [pixel(page, 2, 3)] * len(corners)


SIDE = 1 / np.sqrt(3)  # of a hexagon of width 1 about (3.5, 2.5 · 0.866)
CORNERS = [(0, SIDE), (0.5, SIDE / 2), (0.5, -SIDE / 2), (0, -SIDE), (-0.5, -SIDE / 2), (-0.5, SIDE / 2)]
POINTS_OF_CELL = [[3.5 + 0.95 * x, 2.5 * 0.866 + 0.95 * y] for x, y in [(0, 0), *CORNERS]]
