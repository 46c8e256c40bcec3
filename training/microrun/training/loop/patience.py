"""Stopping early: when what is held out has not become better for long."""

from __future__ import annotations

import csv
from pathlib import Path


class Patience:
    """The best of a measure that shall fall, and how long it has not.

    Parameters
    ----------
    steps
        Without a better value after which it is spent; 0 for never.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._best: tuple[float, int] | None = None
        self._last = 0

    @property
    def best_step(self) -> int:
        """Step of the best value; 0 before the first."""
        return self._best[1] if self._best else 0

    @property
    def spent(self) -> bool:
        """Whether it has not become better for so many steps."""
        return bool(self._steps) and self._last - self.best_step >= self._steps

    def take(self, step: int, value: float) -> None:
        """Take in a value, as exactly as a run's table keeps it: so a run that goes on stops where it would have."""
        kept = float(f"{value:.6g}")
        self._last = step
        if self._best is None or kept < self._best[0]:
            self._best = kept, step

    def recall(self, metrics: Path, column: str, until: int) -> None:
        """Take in what a run's table holds up to a step; nothing if there is none."""
        if not metrics.exists():
            return
        with metrics.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if int(row["step"]) <= until:
                    self.take(int(row["step"]), float(row[column]))
