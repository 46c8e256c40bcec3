"""What all pages of a file share: the file that is followed, the axes of the colours, scan and decoder."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

import numpy as np

from microrun.runtime.array_types import Float32
from microrun.runtime.errors import LatentsError, MicrorunError
from microrun.runtime.files.closing import Closing
from microrun.runtime.files.quoting import quoted
from microrun.runtime.scans.part import Part
from microrun.runtime.view.follower import Follower
from microrun.runtime.view.growing_map import GrowingMap
from microrun.runtime.view.layers import (
    Basis,
    Layer,
    Shown,
    first_points,
    fit_basis,
    latent_of,
    list_stored,
    stated_basis,
)
from microrun.runtime.view.looking import Look, Looker, name_engine
from microrun.runtime.view.run_watch import RunWatch

WATCH_S = 1.0  # between looks at what a run says of itself
POLL_S = 0.1  # asks the file's time of change, no more
LEAST_POINTS = 16  # of which colours are made for the time being, again with each doubling until they are fixed


class Desk(Closing):
    """Everything that pages of one latents file are made of. Its methods may be called from any thread.

    Parameters
    ----------
    path
        The latents file.
    looker
        Finds patterns and reconstructions.

    Attributes
    ----------
    points : GrowingMap
        What the file holds.
    epoch : int
        Counts the files that had this name.
    basis : Basis
        Axes of the colours, the same for all pages.
    stored : dict of str to str
        Maps in the file, "labels" or "values" by their names.
    run : RunWatch
        What the file says of the run that writes it.
    version : int
        Counts changes of the basis and of the file, after which a page shows everything anew.
    """

    def __init__(self, path: Path, looker: Looker) -> None:
        self.follower, self.looker = Follower(path), looker
        self.version = self.epoch = 0
        self._waiting: set[asyncio.Event] = set()
        self.points: GrowingMap
        self.run: RunWatch
        self._looked_at = 0.0
        self._limits: dict[tuple[int, Layer], list[tuple[float, float]]] = {}
        self._begin()

    @property
    def pages(self) -> int:
        """How many are open."""
        return len(self._waiting)

    @property
    def first(self) -> int | None:
        """How many points colours are made of, the first ones; None for all."""
        return self._first_of(self.points)

    def close(self) -> None:
        """Close file and decoder."""
        self.follower.close()
        self.looker.close()

    @contextlib.contextmanager
    def open_page(self) -> Any:
        """Yield an event that is set whenever something has changed, as long as a page is open."""
        changed = asyncio.Event()
        self._waiting.add(changed)
        try:
            yield changed
        finally:
            self._waiting.discard(changed)

    async def watch(self) -> None:
        """Look after the file for ever."""
        while True:
            try:
                if self.follower.is_due() and await asyncio.to_thread(self.poll):
                    self.wake()
            except (MicrorunError, OSError) as error:
                self.follower.fail(error)
                self.wake()
            await asyncio.sleep(POLL_S)

    def wake(self) -> None:
        """Tell all pages that something has changed; from the thread of the event loop."""
        for changed in self._waiting:
            changed.set()

    def poll(self) -> bool:
        """Look what is new in the file, and make colours of it while there are too few points; True if anything is."""
        growing = self.points.latents.growing
        if not self.follower.poll():
            return False
        if self.follower.epoch != self.epoch:
            self._begin()
        elif growing and not self.points.latents.growing:
            self.stored = list_stored(self.points)
        if time.monotonic() - self._looked_at >= WATCH_S or not self.points.latents.growing:
            with contextlib.suppress(LatentsError):  # replaced just now: the next look finds it
                self.run.look()
            self._looked_at = time.monotonic()
        self.looker.find_scan(self.points)
        with contextlib.suppress(LatentsError):
            self._refine()
        return True

    def recolour(self, anew: bool) -> None:
        """Make the axes of the colours anew, of all points that are there; or take those that the model states."""
        self._recoloured, self._everything = anew, anew or not self.points.latents.growing
        self._fit()

    def show(self, layer: Layer) -> Shown:
        """Take what a layer needs beside the values."""
        origin: Float32 = np.zeros(self.points.latents.shape[2], np.float32)
        if layer.kind == "distance":
            origin, _, informative = latent_of(self.points, *layer.numbers)
            if not informative:
                raise LatentsError("there is no latent at this point yet")
        return Shown(layer, self.points, self.basis, origin)

    def limits(self, shown: Shown, version: int) -> list[tuple[float, float]]:
        """What colours of a layer end at, the same for all pages until axes are made anew."""
        key = version, shown.layer
        if key not in self._limits:
            everything = shown.layer.kind in ("distance", "stored")
            self._limits.setdefault(key, shown.limits(None if everything else self.first))
        return self._limits[key]

    def look(self, row: int, col: int) -> Look:
        """Look at a point."""
        return self.looker.look(self.points, row, col)

    def describe(self) -> dict[str, Any]:
        """What a page must know of the file before it shows anything."""
        points, scan = self.points, self.points.scan
        rows, cols = scan.nav_shape
        part = points.latents.origin.part or Part(scan.nav_shape, (0, rows), (0, cols))
        return {
            "name": self.follower.path.name,
            "file": quoted(self.follower.path),
            "rows": rows,
            "cols": cols,
            "step": list(scan.step_um),
            "hexagonal": scan.grid == "hexagonal",
            "firstShifted": scan.first_shifted,
            "alternating": scan.alternating,
            "features": points.latents.shape[2],
            "side": list(points.latents.origin.spec.preprocessing.input_shape),
            "model": points.latents.origin.spec.name,
            "engine": quoted(name_engine(points.latents)),
            "stored": self.stored,
            "total": scan.total,
            "part": {"rows": list(part.rows), "cols": list(part.cols), "every": part.every},  # of the whole scan
        }

    def state(self) -> dict[str, Any]:
        """Where the run stands."""
        points, rate, status, state = self.points, self.follower.rate, self.run.status, self.follower.state
        if state == "interrupted" and not self.follower.seen_writer and self.run.is_alive():  # on another machine
            state = "live"
        familiarity = None
        if not self.follower.trouble and not points.latents.growing:  # a run tells it when it ends
            with contextlib.suppress(LatentsError):
                familiarity = points.latents.familiarity
        return {
            "state": state,
            "ended": self.run.ended,
            "trouble": self.follower.trouble,
            "done": points.done,
            "missing": points.missing,
            "rate": round(rate, 1),
            "left": round((points.scan.total - points.done) / rate) if rate else None,
            "ahead": max(0, status.there - points.done) if status else self.looker.ahead(points),
            "scan": " ".join(map(quoted, self.looker.scan_words)),
            "dropped": status.dropped if status else 0,
            "colours": self._say_colours(),
            "recoloured": self._recoloured,
            "stated": points.latents.origin.spec.known is not None,
            "familiarity": familiarity and {"median": familiarity.median, "expected": familiarity.expected},
        }

    def _say_colours(self) -> str:
        model = self.points.latents.origin.spec.name
        if self.basis.limits is not None:
            return f"of what {model} knows, the same for all scans"
        of = f"all {self.basis.points:,}" if self._everything else f"the first {self.basis.points:,}"
        return f"of {of} patterns of this scan" + ("" if self._recoloured else f": {model} states none")

    def _begin(self) -> None:
        points = self.follower.map
        self._recoloured, self._everything = False, not points.latents.growing
        stored, basis = list_stored(points), self._make_basis(points)
        self.points, self.stored, self.basis = points, stored, basis  # pages look at any moment
        self.run = RunWatch(points)
        self._looked_at = time.monotonic()
        self._count()
        self.epoch = self.follower.epoch

    def _first_of(self, points: GrowingMap) -> int | None:
        return None if self._everything else first_points(points)

    def _make_basis(self, points: GrowingMap) -> Basis:
        stated = None if self._recoloured else stated_basis(points)
        return stated or fit_basis(points, self._first_of(points))

    def _fit(self) -> None:
        self.basis = self._make_basis(self.points)
        self._count()

    def _count(self) -> None:
        self._next_at = max(LEAST_POINTS, 2 * self.basis.points)
        self.version += 1
        self._limits = {}

    def _refine(self) -> None:
        """Make colours anew of twice as many points, until they are fixed."""
        most = self.first
        if most is None or self.basis.points >= most or self.points.done < self._next_at:
            return
        if self._next_at > most // 2 and self.points.done < most:
            return
        self._fit()
        if self.points.done >= most:
            self._next_at = self.points.scan.total + 1  # blank patterns count for none: that was the last time
