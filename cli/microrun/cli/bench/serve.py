"""What `microrun bench serve` measures: pushing to a service through shared memory, against pushing in the process."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microrun.cli.bench.latency import POOL, SIG_SHAPE, make_patterns, stream_seconds
from microrun.cli.bench.measurement import Table
from microrun.runtime.array_types import Raw
from microrun.runtime.engines.engine import Engine
from microrun.runtime.errors import MicrorunError, first_line
from microrun.runtime.scans.scan import Scan
from microrun.runtime.serving.client import Client

START_S, ENOUGH_S = 120.0, 20.0  # that a service may take to start, and to end
WARM_RUNS = 64
FASTEST, DELIVERED = "as fast as taken", "delivered"
Push = Callable[[int, float], tuple[NDArray[np.float64], float]]  # number and rate to seconds each, and patterns/s


def measure_in_process(engine: Engine, patterns: int, runs: int, rate: float) -> Table:
    """Measure pushes to a stream in this process: patterns at full speed, and runs at a camera's rate."""
    return _measure("in process", partial(stream_seconds, engine, make_patterns(POOL)), patterns, runs, rate)


def measure_service(token_file: Path, patterns: int, runs: int, rate: float) -> Table:
    """Measure the same through a client of a service that runs."""
    return _measure("served", partial(client_seconds, token_file, make_patterns(POOL)), patterns, runs, rate)


def compare(served: Table, direct: Table) -> None:
    """Note what the service adds, and the share of the speed that is left."""
    served.ratio(f"{FASTEST}, of in process", FASTEST, FASTEST, of=direct)
    for name in ("p50", "p99"):
        served.note(f"{name} added", "ms", served[name] - direct[name])


def tell_queue(rate: float, *tables: Table) -> str:
    """What must be said of times that are of a queue, in a line; empty if none is."""
    slow = [f"{table.title} {table[FASTEST]:,.0f}" for table in tables if table[FASTEST] < rate]
    if not slow:
        return ""
    return (
        f"the camera's {rate:g} patterns/s are more than is taken ({', '.join(slow)}): p50 and p99 are of a queue that "
        "grows; give a lower --rate"
    )


def client_seconds(token_file: Path, patterns: Raw, runs: int, rate: float) -> tuple[NDArray[np.float64], float]:
    """Time of every pattern from its push to its latents, and the patterns per second that came out."""
    pushed, came = np.zeros(runs), np.zeros(runs)

    def play_camera() -> None:
        for number in range(runs):
            time.sleep(max(0.0, began + number / rate - time.perf_counter()))
            pushed[number] = time.perf_counter()
            client.push(patterns[number % len(patterns)])

    with Client(Scan((1, runs), SIG_SHAPE, "uint16"), token_file=token_file) as client:
        camera = threading.Thread(target=play_camera, daemon=True)
        began = time.perf_counter()
        camera.start()
        over = False
        while not over:
            answer = client.latents()
            came[answer.indices] = time.perf_counter()
            over = answer.over
        camera.join()
    return came - pushed, runs / (came[-1] - began + 1 / rate)


@contextmanager
def started_service(folder: Path, options: Sequence[str]) -> Iterator[Path]:
    """Start `microrun serve` as a process of its own; yields its token file."""
    token_file = folder / "serve.token"
    command = [sys.executable, "-c", "from microrun.cli.main import command; command()", "serve", *options]
    command += ["--folder", str(folder), "--token-file", str(token_file), "--background", "none"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + START_S
        while not token_file.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise MicrorunError(f"the service did not start ({first_line(process.communicate()[1])})")
            time.sleep(0.05)
        yield token_file
    finally:
        process.terminate()
        process.communicate(timeout=ENOUGH_S)


def _measure(title: str, push: Push, patterns: int, runs: int, rate: float) -> Table:
    table = Table(title)
    push(WARM_RUNS, math.inf)
    _, fastest = push(patterns, math.inf)
    seconds, delivered = push(runs, rate)
    table.note(FASTEST, "patterns/s", fastest)
    for name, share in (("p50", 50), ("p99", 99)):
        table.note(name, "ms", float(np.percentile(1000 * seconds, share, method="inverted_cdf")))
    table.note(DELIVERED, "patterns/s", delivered)
    table.facts["rate_patterns_s"] = rate
    return table
