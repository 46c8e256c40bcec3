"""Where a stream of patterns stands: what is done, how fast, and how far behind."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

from microrun.runtime.progress import Progress

RATE_WINDOW_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Statistics(Progress):
    """Where a stream stands.

    Parameters
    ----------
    done, total
        Patterns delivered by this stream; patterns that it will deliver if the scan is completed.
    rate
        Patterns per second over the last five seconds.
    lag, mean_lag, worst_lag
        Patterns that exist but are not delivered: now, on average over the batches, and at worst.
    latency_s, worst_latency_s
        From taking a batch to its results, of the last batch and the worst.
    dropped, flagged
        Patterns that the source lost; patterns without information.
    elapsed_s, first_s
        Since the stream started; until its first results.
    """

    rate: float
    lag: int
    mean_lag: float
    worst_lag: int
    latency_s: float
    worst_latency_s: float
    dropped: int
    flagged: int
    elapsed_s: float
    first_s: float

    @property
    def remaining_s(self) -> float:
        """Expected time to the end; infinite while nothing moves."""
        return (self.total - self.done) / self.rate if self.rate else float("inf")

    @property
    def mean_rate(self) -> float:
        """Patterns per second since the stream started."""
        return self.done / self.elapsed_s if self.elapsed_s else 0.0


class Meter:
    """What is counted of a stream; its clock starts when it is made.

    Parameters
    ----------
    total
        Patterns that will be delivered.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._began = time.perf_counter()
        self._marks = deque([(self._began, 0)])  # when, and how many were done then
        self._done = self._flagged = self._batches = self._lags = self._worst_lag = 0
        self._first_s = self._latency_s = self._worst_latency_s = 0.0

    def count(self, patterns: int, flagged: int, taken_at: float, available: int) -> None:
        """Take note of a batch that is delivered now.

        Parameters
        ----------
        patterns, flagged
            How many it holds, and how many of them carry no information.
        taken_at
            When it was taken, by `time.perf_counter`.
        available
            Patterns that exist for this stream by now.
        """
        now = time.perf_counter()
        lag = self._lag(available)
        self._first_s = self._first_s or now - self._began
        self._latency_s = now - taken_at
        self._worst_latency_s = max(self._worst_latency_s, self._latency_s)
        self._lags, self._worst_lag = self._lags + lag, max(self._worst_lag, lag)
        self._batches, self._done, self._flagged = self._batches + 1, self._done + patterns, self._flagged + flagged
        self._marks.append((now, self._done))
        while len(self._marks) > 1 and now - self._marks[1][0] > RATE_WINDOW_S:
            self._marks.popleft()

    def read(self, available: int, dropped: int = 0) -> Statistics:
        """Where the stream stands now; arguments as for `count` and in `Statistics`."""
        now = time.perf_counter()
        first_time, first_done = self._marks[0]
        span = now - first_time
        return Statistics(
            done=self._done,
            total=self._total,
            rate=(self._done - first_done) / span if span > 0 else 0.0,
            lag=self._lag(available),
            mean_lag=self._lags / max(1, self._batches),
            worst_lag=self._worst_lag,
            latency_s=self._latency_s,
            worst_latency_s=self._worst_latency_s,
            dropped=dropped,
            flagged=self._flagged,
            elapsed_s=now - self._began,
            first_s=self._first_s,
        )

    def _lag(self, available: int) -> int:
        return max(0, available - self._done)
