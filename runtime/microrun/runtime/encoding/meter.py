"""Where a stream stands: what is done, how fast, and how far behind."""

from __future__ import annotations

from dataclasses import dataclass

RATE_WINDOW_S = 5.0


@dataclass(frozen=True)
class Statistics:
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

    done: int
    total: int
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
