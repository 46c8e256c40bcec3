"""What the benchmarks share."""

from __future__ import annotations

from collections.abc import Callable

from microrun.cli.bench import timing as _bench_timing


def median_seconds(work: Callable[[], object], repeats: int) -> float:
    """Median time of some repeats, after one that does not count."""
    work()
    return _bench_timing.median_seconds(work, repeats)
