"""What `microrun bench latency` measures: how long one pattern takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from microrun.cli.bench.measurement import Table
from microrun.runtime.array_types import Raw
from microrun.runtime.encoding.stream import encode
from microrun.runtime.engines.engine import Engine
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.source import MemorySource

SIG_SHAPE = (480, 480)
POOL = 16  # patterns that the camera shows in turns
WARM_RUNS = 10
PERCENTILES = {"p50": 50, "p90": 90, "p99": 99, "worst": 100}
DELIVERED = "delivered"


def note_percentiles(table: Table, name: str, seconds: NDArray[np.float64]) -> None:
    """Note percentiles that were really measured, none between two runs; their names begin with the given one."""
    for percentile, share in PERCENTILES.items():
        table.note(name + percentile, "ms", float(np.percentile(1000 * seconds, share, method="inverted_cdf")))


def make_patterns(count: int) -> Raw:
    """Noise on a bell, (count, 480, 480) uint16; what is in the patterns does not matter to the speed."""
    rng = np.random.default_rng(0)
    y, x = (np.arange(n)[:, None] / n - 0.5 for n in SIG_SHAPE)
    bell = 20_000 * np.exp(-4 * (y**2 + x.T**2))
    return (bell + rng.normal(0, 800, (count, *SIG_SHAPE))).clip(0, 65535).astype(np.uint16)


def measure_latency(engine: Engine, runs: int, rate: float) -> list[Table]:
    """Measure preprocessing, an engine of one lane and a batch of one, and both in a stream of some patterns/s."""
    engine.spec.require("encoder", source=engine.info.path.name, task="encoding")
    patterns = make_patterns(POOL)
    stream_taken, delivered = stream_seconds(engine, patterns, runs, rate)
    stream = f"push to latents, {rate:g}/s"
    taken = {
        "preprocessing alone": _prepare_seconds(engine, patterns, runs),
        "engine alone": engine_seconds(engine, runs),
        stream: stream_taken,
    }
    tables = [Table(title) for title in taken]
    for table, seconds in zip(tables, taken.values(), strict=True):
        note_percentiles(table, "", seconds)
    tables[-1].facts["rate_patterns_s"] = rate
    tables[-1].note(DELIVERED, "patterns/s", delivered)
    return tables


def engine_seconds(engine: Engine, runs: int) -> NDArray[np.float64]:
    """Time of every run of one prepared pattern, one after the other."""
    lane = engine.lane()
    pattern = np.random.default_rng(0).uniform(-1, 1, (1, *engine.spec.input_shape)).astype(np.float32)
    return _time(lambda number: lane.run(pattern), runs)


def stream_seconds(engine: Engine, patterns: Raw, runs: int, rate: float) -> tuple[NDArray[np.float64], float]:
    """Time of every pattern from its push to its latents, and the patterns per second that came out.

    The background is none, for a running one lets the first 64 patterns wait for one another.
    """
    source = MemorySource(Scan((1, runs), SIG_SHAPE, "uint16"))
    pushed, came = np.zeros(runs), np.zeros(runs)

    def play_camera() -> None:
        for number in range(runs):
            time.sleep(max(0.0, began + number / rate - time.perf_counter()))
            pushed[number] = time.perf_counter()
            source.push(patterns[number % len(patterns)])
        source.finish()

    camera = threading.Thread(target=play_camera, daemon=True)
    with encode(source, engine) as stream:
        began = time.perf_counter()
        camera.start()
        for batch in stream:
            came[batch.indices] = time.perf_counter()
    camera.join()
    return came - pushed, runs / (came[-1] - began + 1 / rate)


def _prepare_seconds(engine: Engine, patterns: Raw, runs: int) -> NDArray[np.float64]:
    preprocessor = Preprocessor(engine.spec.preprocessing, SIG_SHAPE)
    preprocessor.warm("uint16")
    background = np.zeros(preprocessor.input_shape, np.float32)
    out, ranges, flags = background[None].copy(), np.empty((1, 2), np.float32), np.empty(1, bool)

    def prepare(number: int) -> None:
        first = number % len(patterns)
        preprocessor.prepare(patterns[first : first + 1], background, out, ranges, flags)

    return _time(prepare, runs)


def _time(work: Callable[[int], object], runs: int) -> NDArray[np.float64]:
    for number in range(WARM_RUNS):
        work(number)
    marks = np.empty(runs + 1)
    marks[0] = time.perf_counter()
    for number in range(runs):
        work(number)
        marks[number + 1] = time.perf_counter()
    return np.diff(marks)
