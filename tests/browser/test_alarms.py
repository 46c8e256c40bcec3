"""What the page of `microrun view` says of a run that is not steady, and of colours and command lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from browsers import Open, view
from make_models import write_encoder
from scipy.ndimage import gaussian_filter
from watched_runs import BLUR, BRIGHT, write_watched
from write_up2 import Header, make_patterns, write_up

from microrun.runtime.latents.watched import WHOLE

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]
STRIP = """row => {
  const {context, ratio} = microrunView, y = microrunView.toPixel([0, (row + 0.5) * microrunView.sy])[1];
  return [25, 17, 9].map(x => [...context.getImageData(microrunView.toPixel([0, 0])[0] - x * ratio, y, 1, 1).data]);
}"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A finished file whose run had two alarms, one of which was over."""
    path = write_watched(tmp_path_factory.mktemp("watched") / "a.latents.h5", 512, state=WHOLE)
    with view(path, "--port", 0) as (_, found):
        yield found


def is_red(pixel: list[int]) -> bool:
    return pixel[0] > 150 and pixel[1] < 80


def is_amber(pixel: list[int]) -> bool:
    return pixel[0] > 100 and 60 < pixel[1] < 120 and pixel[2] < 60


def test_alarms_are_told_in_words_and_along_the_rows(open_page: Open, address: str) -> None:
    page = open_page(address)
    page.wait_for_selector("#alarms .lasting")
    assert page.inner_text("#alarms") == BLUR.text  # what lasts
    assert page.inner_text("#alarmlist").splitlines() == [f"{BRIGHT.text} Over at row 12.", BLUR.text]
    assert page.input_value("#measure") == "sharpness"
    page.wait_for_timeout(300)
    rows = {row: page.evaluate(STRIP, row) for row in (1, 6, 16, 24)}
    bright, blurred = (
        [row for row, lanes in rows.items() if test(lanes[lane])] for lane, test in ((0, is_amber), (1, is_red))
    )
    assert (bright, blurred) == ([6], [24])
    move(page, 24, 3)
    assert page.inner_text("#measured") == "sharpness 0.574"


def move(page: Page, row: int, col: int) -> None:
    x, y = page.evaluate("([row, col]) => microrunView.toPixel(microrunView.centre([row, col]))", [row, col])
    box = page.locator("#map").bounding_box()
    assert box
    page.mouse.move(box["x"] + x, box["y"] + y)


def test_colours_are_the_models_until_others_are_asked_for(open_page: Open, address: str) -> None:
    page = open_page(address)
    stated = page.evaluate("microrunView.layer.limits")
    assert page.inner_text("#colours") == "colours of what tiny knows, the same for all scans"
    page.click("#recolour")
    page.wait_for_selector("#recolour[aria-pressed='true']")
    page.wait_for_timeout(300)
    assert page.evaluate("microrunView.layer.limits") != stated
    assert page.inner_text("#command").endswith("--pca --recolour")
    page.click("#recolour")
    page.wait_for_selector("#recolour[aria-pressed='false']")
    page.wait_for_timeout(300)
    assert page.evaluate("microrunView.layer.limits") == stated
    assert page.inner_text("#command").endswith("--pca")


def test_a_region_becomes_the_command_line_that_is_asked_for(open_page: Open, address: str) -> None:
    page = open_page(address)
    page.click("#select")
    move(page, 2, 3)
    page.mouse.down()
    move(page, 5, 7)
    page.mouse.up()
    found: dict[str, Any] = {}
    for use in page.eval_on_selector_all("#regionuse option", "options => options.map(option => option.value)"):
        page.select_option("#regionuse", use)
        found[use] = page.inner_text("#regioncommand")
    assert all("--region 2:6,3:8" in line for line in found.values())
    words = [line.split()[1] for line in found.values()]
    assert words == ["physics", "analyse", "convert", "convert", "train", "encode"]
    assert " --engine tiny.onnx " in found["encoding"]
    page.click("#copy")
    page.wait_for_selector("#message:not([hidden])")


def test_a_run_without_a_heartbeat_is_interrupted(open_page: Open, tmp_path: Path) -> None:
    with view(write_watched(tmp_path / "a.latents.h5", 300, age_s=60, copy=True), "--port", 0) as (_, address):
        page = open_page(address)
        assert page.inner_text("#state") == "interrupted: its writer is gone"
        assert "7 dropped" in page.inner_text("#counts")


def test_a_scan_that_loses_its_focus_is_told(open_page: Open, microrun_here: Any, tmp_path: Path) -> None:
    patterns = make_patterns(64 * 64, (60, 60)).astype(np.float32)
    patterns = gaussian_filter(patterns, (0, 1, 1))
    patterns[2600:] = gaussian_filter(patterns[2600:], (0, 2, 2))
    scan = write_up(tmp_path / "scan.up2", patterns.astype(np.uint16), Header(sig_shape=(60, 60), nav_shape=(64, 64)))
    assert microrun_here("encode", scan, "--engine", write_encoder(tmp_path / "tiny.onnx"), "--device", "cpu") == 0
    with view(tmp_path / "scan.latents.h5", "--port", 0) as (_, address):
        page = open_page(address)
        page.wait_for_selector("#alarms .lasting")
        assert "sharpness −" in page.inner_text("#alarms")
        assert "defocus?" in page.inner_text("#alarms")


@pytest.fixture
def microrun_here() -> Any:
    """A command as a process; its exit code."""
    from command_line import finish, start

    return lambda *arguments: finish(start(*arguments)).code
