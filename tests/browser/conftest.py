"""A real browser, and the page of a latents file in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from browsers import Open
from growing_latents import Scribe

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
LONG_MS = 60_000.0  # for what would otherwise hang; nothing waits that long


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    if CHROMIUM is None:
        pytest.skip("no chromium is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield found
        found.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens an address; whatever the page's console says, or asks of other machines, fails the test in the end."""
    said: list[str] = []
    pages: list[Page] = []

    def open_in(address: str, scheme: str = "light", painted: bool = True) -> Page:
        page = browser.new_page(viewport={"width": 1000, "height": 700}, color_scheme=scheme)  # type: ignore[arg-type]
        page.set_default_timeout(LONG_MS)
        pages.append(page)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda sent: _note_foreign(sent.url, address, said))
        page.goto(address)
        if painted:
            page.wait_for_selector("#map[data-painted]")
        return page

    yield open_in
    for page in pages:
        page.close()
    assert said == []


def _note_foreign(asked: str, address: str, said: list[str]) -> None:
    if not asked.startswith((address.partition("?")[0], "data:", "blob:")):
        said.append(asked)


@pytest.fixture(scope="session")
def scribe() -> Iterator[Scribe]:
    """Writes latents files."""
    found = Scribe()
    yield found
    found.end()
