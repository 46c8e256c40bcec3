"""Frames of the page of `microrun view`, as a scan is acquired whose focus drifts: docs/images/view-at-*.png.

    python tests/benchmarks/view_frames.py FOLDER [--scan SCAN.up2] [--rate 1000]

blurs patterns of a simulated scan, or of a given one, from 60 % on, plays them back by `microrun replay` while
`microrun encode --follow --view` encodes them, and takes pictures of the page in Chromium at 10, 50 and 100 %; the last
one in a dark browser, too. What the page said stands in FOLDER/said.txt.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from microrun.runtime.scans.up2 import UpWriter
from microrun.runtime.scans.up_source import FileSource

if TYPE_CHECKING:
    from playwright.sync_api import Page

COMMAND = [sys.executable, "-m", "microrun.cli.main"]
SIMULATE = ("--grid", "100x120", "--grains", "40", "--step", "0.5")
DRIFT_AT, RAMP, BLUR_PX = 0.6, 0.02, 4.0  # shares of the scan: where the drift begins, and within which it is complete
SHARES = (10, 50, 100)
SIZE = {"width": 1280, "height": 800}
COLOURS = 160  # of a picture that shall be small
LONG_MS = 600_000


def defocus(scan: Path, out: Path) -> None:
    """Blur the patterns of a scan from where the drift begins."""
    source = FileSource(scan)
    total = source.scan.total
    raw = np.empty((1, *source.scan.sig_shape), source.scan.dtype)
    with UpWriter(out, source.scan) as writer:
        for number in range(total):
            source.read_patterns(np.array([number]), raw)
            share = np.clip((number / total - DRIFT_AT) / RAMP, 0, 1)
            writer.write(
                np.rint(gaussian_filter(raw.astype(np.float32), (0, *[share * BLUR_PX] * 2))).astype(raw.dtype)
            )


def await_address(process: subprocess.Popen[str]) -> str:
    """Where the page of a run is, which the run says once its engine is open."""
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="", flush=True)
        found = re.search(r"http://\S+", line)
        if found:
            return found[0]
    raise SystemExit("the run ended before it showed a page")


def take(page: Page, folder: Path, name: str) -> None:
    """Save what is seen, small, and note what the page says."""
    path = folder / f"{name}.png"
    page.evaluate("command.parentElement.hidden = true")  # it names the folder
    page.screenshot(path=path)
    Image.open(path).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    said = " | ".join(
        page.inner_text(where).replace("\n", " ") for where in ("#alarms", "footer") if page.is_visible(where)
    )
    with (folder / "said.txt").open("a", encoding="utf-8") as file:
        file.write(f"{name}: {said}\n")
    print(f"{path} ({path.stat().st_size / 1000:.0f} kB): {said}", flush=True)


def watch(page: Page, folder: Path, total: int) -> None:
    """Take the pictures, when so much is on the map."""
    for share in SHARES:
        reached = "least => Number(document.querySelector('#map')?.dataset.done ?? 0) >= least"
        page.wait_for_function(reached, arg=total * share / 100, timeout=LONG_MS)
        if share == 100:
            page.wait_for_selector("#state.finished", timeout=LONG_MS)
            page.wait_for_timeout(2000)
        take(page, folder, f"view-at-{share}")
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(1000)
    take(page, folder, "view-at-100-dark")


def main() -> None:
    """Read the command line, play, follow and look."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scan", type=Path)
    parser.add_argument("--rate", default="1000")
    asked = parser.parse_args()
    folder: Path = asked.folder
    folder.mkdir(parents=True, exist_ok=True)
    scan, drifting, live = asked.scan or folder / "sharp.up2", folder / "drifting.up2", folder / "live.up2"
    if not scan.exists():
        subprocess.run([*COMMAND, "simulate", "scan", scan, *SIMULATE], check=True)
    if not drifting.exists():
        defocus(scan, drifting)
    source = FileSource(drifting)
    live.write_bytes(drifting.read_bytes()[: source.header.offset])  # so that the run waits for the first pattern
    encode = [*COMMAND, "encode", live, "--follow", "--view", "--overwrite", "--idle-timeout", "30"]
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with (
        sync_playwright() as playwright,
        subprocess.Popen(encode, stdout=subprocess.PIPE, text=True) as run,
    ):
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport=SIZE, color_scheme="light")  # type: ignore[arg-type]
        address = await_address(run)
        with subprocess.Popen([*COMMAND, "replay", drifting, live, "--rate", asked.rate, "--overwrite"]):
            page.goto(address, timeout=LONG_MS)
            watch(page, folder, source.scan.total)
        browser.close()
        run.communicate()


if __name__ == "__main__":
    main()
