"""What the page of `microrun view` costs while a map grows, and how soon a point is on it: the table of docs/view.md.

    python tests/benchmarks/bench_view.py [--seconds 25]

writes a map of 1000×1000 points of 32 features at 5,000 points/s, from 850,000 points on, and looks at it in Chromium.
Times run from the end of a flush to the frame that shows it; shares are of one core, by the processes' own clocks.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from psutil import Process

sys.path.insert(0, str(Path(__file__).parents[1] / "help"))
from browsers import view
from make_latents import SPEC, make_origin

from microrun.runtime.latents.batch import EncodedBatch
from microrun.runtime.latents.writer import FLUSH_S, LatentsWriter
from microrun.runtime.scans.scan import Scan

if TYPE_CHECKING:
    from playwright.sync_api import Page

SIDE, FEATURES = 1000, 32
THERE, RATE = 850_000, 5_000
IDLE_S = 10.0
# Frames are noted as the page paints them, with the points that they show.
NOTE_FRAMES = """() => {
  window.frames_seen = [];
  const note = () => window.frames_seen.push([Date.now(), Number(document.querySelector("#map").dataset.done)]);
  new MutationObserver(note).observe(document.querySelector("#map"), {attributeFilter: ["data-done"]});
}"""


def write(path: Path, seconds: float, told: Connection) -> None:
    """Write the first points, then more at the rate of a camera, when told; tell when each flush was done."""
    from dataclasses import replace

    scan = Scan((SIDE, SIDE), (60, 60), step_um=(0.5, 0.5))
    spec = replace(SPEC, latent_size=FEATURES)
    rng = np.random.default_rng(0)
    flushes = []
    with LatentsWriter.create(
        path, make_origin(scan, spec), np.zeros(spec.preprocessing.input_shape, np.float32)
    ) as file:
        for first in range(0, THERE, 50_000):
            file.write(make_batch(rng, first, 50_000))
        file.flush()
        told.send(os.getpid())
        told.recv()
        begun, done = time.monotonic(), THERE
        time.sleep(FLUSH_S)
        while (passed := time.monotonic() - begun) < seconds:
            count = int(THERE + RATE * passed) - done
            file.write(make_batch(rng, done, count))
            file.flush()
            done += count
            flushes.append((time.time() * 1e3, done))
            time.sleep(FLUSH_S)
        told.send(flushes)
        told.recv()


def make_batch(rng: np.random.Generator, first: int, count: int) -> EncodedBatch:
    """Latents of consecutive points."""
    latents = rng.standard_normal((count, FEATURES), np.float32)
    limits = np.tile(np.array([0, 1], np.float32), (count, 1))
    return EncodedBatch(np.arange(first, first + count), latents, limits, np.zeros(count, bool))


def used_s(processes: Iterable[Process]) -> float:
    """Seconds of a core that processes have used."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def memory_mb(processes: Iterable[Process]) -> float:
    """Memory that processes hold now."""
    return sum(process.memory_info().rss for process in processes) / 1e6


def delays_ms(flushes: list[tuple[float, int]], frames: list[tuple[float, int]]) -> NDArray[np.float64]:
    """Time from each flush to the first frame that shows all of it, but for flushes that no frame shows."""
    times, done = np.array(frames).T
    return np.array([times[done >= count][0] - at for at, count in flushes if (done >= count).any()])


def watch(page: Page, groups: dict[str, list[Process]], told: Connection, seconds: float) -> None:
    """Measure while the map grows, and print the table."""
    page.evaluate(NOTE_FRAMES)
    before = {name: used_s(processes) for name, processes in groups.items()}
    told.send("go")
    begun = time.monotonic()
    page.wait_for_timeout(1e3 * seconds)
    flushes = told.recv()
    lasted = time.monotonic() - begun
    used = {name: used_s(processes) - before[name] for name, processes in groups.items()}
    page.wait_for_timeout(2e3)
    delays = delays_ms(flushes, page.evaluate("window.frames_seen"))
    print(f"from the flush to the pixel, median of {len(flushes)}: {np.median(delays):.0f} ms (limit 300)")
    print(f"… of 95 in 100, at worst: {np.percentile(delays, 95):.0f} ms, {delays.max():.0f} ms")
    print(f"never shown: {len(flushes) - len(delays)}")
    for name, processes in groups.items():
        print(f"{name}: {100 * used[name] / lasted:.1f} % of a core, {memory_mb(processes):.0f} MB")
    told.send("end")
    page.wait_for_timeout(1e3 * IDLE_S / 2)
    idle = used_s(groups["server"])
    page.wait_for_timeout(1e3 * IDLE_S)
    print(f"server, of a file that does not change: {100 * (used_s(groups['server']) - idle) / IDLE_S:.1f} % of a core")


def main() -> None:
    """Start writer, server and browser."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=25.0)
    seconds: float = parser.parse_args().seconds
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    ours, theirs = multiprocessing.Pipe()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "growing.latents.h5"
        writer = multiprocessing.get_context("spawn").Process(target=write, args=(path, seconds, theirs), daemon=True)
        writer.start()
        writing = Process(ours.recv())
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        with view(path, "--port", 0) as (server, address):
            begun = time.monotonic()
            page.goto(address)
            page.wait_for_selector(f"#map[data-done='{THERE}']", timeout=120_000)
            print(f"the whole map on the page after {time.monotonic() - begun:.1f} s; load {os.getloadavg()[0]:.1f}")
            page.wait_for_timeout(3e3)
            others = {server.pid, *(child.pid for child in Process(server.pid).children(recursive=True)), writing.pid}
            browsers = [child for child in Process().children(recursive=True) if child.pid not in others]
            groups = {"server": [Process(server.pid)], "browser, all processes": browsers, "writer": [writing]}
            watch(page, groups, ours, seconds)
        browser.close()
        writer.join()


if __name__ == "__main__":
    main()
