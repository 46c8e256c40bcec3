"""What the training of an autoencoder is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microrun.cli.region import asked_region
from microrun.runtime.errors import MicrorunError
from microrun.runtime.scans.open import ScanFile, open_scan, take_part


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
    region
        Rows and columns to take of each scan, as `parse_region` takes them; None for all.
    start
        What to fine-tune, or None.
    hours
        That it may take.

    Raises
    ------
    MicrorunError
        If there is a region without a scan, or it is none.
    """

    scans: list[Path]
    folder: Path
    settings: dict[str, Any]
    grid: tuple[int, int] | None
    scan_name: str | None
    region: str | None
    start: Path | None
    hours: float

    def __post_init__(self) -> None:
        if asked_region(self.region) is not None and not self.scans:
            raise MicrorunError("--region takes a part of a scan: name one, or leave it out")

    def open_scans(self) -> list[ScanFile]:
        """The scans, or the region of each; ScanError if one cannot be opened, or lacks the region."""
        region = asked_region(self.region)
        return [take_part(open_scan(scan, self.grid, scan_name=self.scan_name), region) for scan in self.scans]

    @property
    def data(self) -> str:
        """Names of the scans, as models state what they were trained with."""
        return ", ".join(" ".join(filter(None, (scan.name, self.region))) for scan in self.scans)

    @property
    def state(self) -> Path:
        """What is there to go on with, if it exists."""
        return self.folder / "state.pt"

    @property
    def fills_hours(self) -> bool:
        """Whether the run shall be as long as fits into the hours."""
        return math.isfinite(self.hours) and "epochs" not in self.settings and not self.state.exists()
