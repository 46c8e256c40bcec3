"""What the training of an autoencoder is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Request:
    """What a run is asked for.

    Parameters
    ----------
    scans
        To learn from; none where it learns from simulations alone.
    folder
        Of the run.
    settings
        Those of its settings that were given.
    grid, scan_name
        As `open_scan` takes them.
    start
        What to fine-tune, or None.
    hours
        That it may take.
    """

    scans: list[Path]
    folder: Path
    settings: dict[str, Any]
    grid: tuple[int, int] | None
    scan_name: str | None
    start: Path | None
    hours: float

    @property
    def state(self) -> Path:
        """What is there to go on with, if it exists."""
        return self.folder / "state.pt"

    @property
    def fills_hours(self) -> bool:
        """Whether the run shall be as long as fits into the hours."""
        return math.isfinite(self.hours) and "epochs" not in self.settings and not self.state.exists()
