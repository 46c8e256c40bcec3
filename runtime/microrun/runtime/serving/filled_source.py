"""Pushed patterns whose bad pixels are filled, as those of a scan that is followed."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Raw
from microrun.runtime.patterns.background import BLOCK
from microrun.runtime.patterns.bad_pixels import find_bad_pixels
from microrun.runtime.patterns.pixel_filling import PixelFilling
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.source import Claim
from microrun.runtime.serving.ring_source import RingSource

HELD_BYTES = 1 << 30  # of patterns that are taken from the ring while bad pixels are looked for
NAP_S = 0.001


@dataclass(frozen=True)
class FirstPatterns:
    """The first patterns that were pushed, to be looked at by their places.

    Parameters
    ----------
    scan
        Geometry.
    patterns
        (n, rows, cols) of the scan's pixel type.
    """

    scan: Scan
    patterns: Raw

    @property
    def available(self) -> int:
        """How many there are."""
        return len(self.patterns)

    def read_patterns(self, indices: NDArray[np.int64], out: Raw) -> None:
        """Copy those at these places into ``out``."""
        out[:] = self.patterns[indices]


@dataclass(frozen=True, kw_only=True)
class HeldClaim(Claim):
    """Patterns that are in memory: ``patterns`` is (n, rows, cols)."""

    patterns: Raw


class FilledSource:
    """A source of what is pushed to a ring: whatever is read of it has its bad pixels filled.

    Parameters
    ----------
    ring
        What is pushed.
    preprocessor
        For what it calls no information.

    Attributes
    ----------
    bad_pixels : (rows, cols) bool
        True for bad pixels; known once anything was claimed.

    Notes
    -----
    Bad pixels are looked for in the first 64 patterns, which are held back until then. That takes seconds with a large
    camera, so patterns that come meanwhile are taken from the ring, as long as they find room in 1 GB.
    """

    def __init__(self, ring: RingSource, preprocessor: Preprocessor) -> None:
        self._ring, self._preprocessor = ring, preprocessor
        self.bad_pixels = np.zeros(ring.scan.sig_shape, bool)
        self._filling: PixelFilling | None = None
        self._held: deque[HeldClaim] = deque()
        self._taken = 0  # patterns that were claimed of the ring
        self._known = False

    @property
    def scan(self) -> Scan:
        """Geometry of the scan."""
        return self._ring.scan

    @property
    def available(self) -> int:
        """Patterns accepted so far."""
        return self._ring.available

    @property
    def dropped(self) -> int:
        """Patterns that found no room in time."""
        return self._ring.dropped

    def stop(self) -> None:
        """End the stream."""
        self._ring.stop()

    def claim(self, limit: int) -> Claim | None:
        """Wait for patterns, at first for 64; None at the end. One thread at a time."""
        if not self._known:
            self._hold_until_known()
        if not self._held:
            return self._ring.claim(limit)
        first = self._held.popleft()
        if len(first) > limit:
            self._held.appendleft(HeldClaim(first.indices[limit:], patterns=first.patterns[limit:]))
        return HeldClaim(first.indices[:limit], patterns=first.patterns[:limit])

    def read(self, claim: Claim, first: int, out: Raw) -> None:
        """Copy patterns of a claim into ``out``, filled."""
        if isinstance(claim, HeldClaim):
            out[:] = claim.patterns[first : first + len(out)]
        else:
            self._ring.read(claim, first, out)
        if self._filling is not None:
            out[:] = self._filling.fill(out)

    def _hold_until_known(self) -> None:
        patterns, numbers = self._room(min(BLOCK, self.scan.total)), list[NDArray[np.int64]]()
        while self._taken < len(patterns) and (claim := self._ring.claim(len(patterns) - self._taken)) is not None:
            self._ring.read(claim, 0, patterns[self._taken : self._taken + len(claim)])
            numbers.append(claim.indices)
            self._taken += len(claim)
        self._known = True
        if not numbers:
            return
        patterns = patterns[: self._taken]
        self._held.append(HeldClaim(np.concatenate(numbers), patterns=patterns))
        found: list[NDArray[np.bool_] | BaseException] = []
        looking = threading.Thread(target=self._look, args=(patterns, found), name="bad pixels", daemon=True)
        looking.start()
        most = HELD_BYTES // self.scan.pattern_bytes
        while looking.is_alive():
            if self._ring.available <= self._taken or self._taken >= most or not self._hold(BLOCK):
                looking.join(NAP_S)
        if isinstance(found[0], BaseException):
            raise found[0]
        self.bad_pixels = found[0]
        self._filling = PixelFilling(self.bad_pixels) if self.bad_pixels.any() else None

    def _hold(self, limit: int) -> bool:
        """Take patterns from the ring, so many at most; False at the end."""
        claim = self._ring.claim(limit)
        if claim is None:
            return False
        patterns = self._room(len(claim))
        self._ring.read(claim, 0, patterns)
        self._held.append(HeldClaim(claim.indices, patterns=patterns))
        self._taken += len(claim)
        return True

    def _room(self, count: int) -> Raw:
        return np.empty((count, *self.scan.sig_shape), self.scan.dtype)

    def _look(self, patterns: Raw, found: list[NDArray[np.bool_] | BaseException]) -> None:
        try:
            found.append(find_bad_pixels(FirstPatterns(self.scan, patterns), self._preprocessor, len(patterns)))
        except BaseException as error:  # whatever it is, who asked must hear of it
            found.append(error)
