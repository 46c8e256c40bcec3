"""What the benchmarks share."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from microrun.cli.bench.timing import seconds_of


def median_seconds(work: Callable[[], object], repeats: int) -> float:
    """Median time of some repeats, after one that does not count."""
    work()
    return statistics.median(seconds_of(work) for _ in range(repeats))
