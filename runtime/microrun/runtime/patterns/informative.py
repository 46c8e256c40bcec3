"""Patterns that carry information, for all that is computed over a scan: one choice of them, and what is left out."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32, Raw
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.source import IndexedSource, require_indexed
from microrun.runtime.scans.up2 import ScanWarning

ROUNDS = 8  # looks at a scan that is mostly blank
_CHUNK = 8


class BinnedBatch(NamedTuple):
    """Some patterns of a scan, of which only the informative ones are given.

    Parameters
    ----------
    binned
        (n, H, W) float32, those that carry information.
    blank
        How many beside them do not.
    """

    binned: Float32
    blank: int


class _Looked(NamedTuple):
    """Patterns as they were read, valid until the next are; binned; and which carry information."""

    raw: Raw
    binned: Float32
    informative: NDArray[np.bool_]


def sample_informative(source: IndexedSource, preprocessor: Preprocessor, count: int) -> Iterator[BinnedBatch]:
    """Binned patterns, evenly spaced over a finished scan, that carry information.

    Where less than half of what is looked at carries information, patterns between them are looked at, too.

    Parameters
    ----------
    source
        The scan; its patterns are read by number.
    preprocessor
        For its binning, and for what it calls no information.
    count
        Patterns to look at in one round.

    Yields
    ------
    BinnedBatch
        Of at most 8 patterns.

    Raises
    ------
    ScanError
        If the source gives each pattern once only, or cannot be read.
    """
    for raw, binned, informative in _look(source, preprocessor, count):
        yield BinnedBatch(binned[informative], len(raw) - int(informative.sum()))


def sample_raw(
    source: IndexedSource, preprocessor: Preprocessor, count: int, among: int | None = None
) -> Iterator[Raw]:
    """Single patterns as they were recorded, (rows, cols), chosen as by `sample_informative`; arguments as there.

    They are ``among`` so many first ones; None for all that there are.
    """
    for raw, _, informative in _look(source, preprocessor, count, among):
        yield from raw[informative]


def _look(source: IndexedSource, preprocessor: Preprocessor, count: int, among: int | None = None) -> Iterator[_Looked]:
    require_indexed(source)
    there = min(source.available, source.scan.total) if among is None else among
    raw = np.empty((_CHUNK, *source.scan.sig_shape), source.scan.dtype)
    found = 0
    for numbers in _rounds(there, count):
        for first in range(0, len(numbers), _CHUNK):
            part = numbers[first : first + _CHUNK]
            source.read_patterns(part, raw[: len(part)])
            binned = np.empty((len(part), *preprocessor.input_shape), np.float32)
            preprocessor.bin(raw[: len(part)], binned)
            informative = ~preprocessor.find_blank(binned)
            found += int(informative.sum())
            yield _Looked(raw[: len(part)], binned, informative)
        if 2 * found >= min(count, there):
            return


def say_left_out(source: object, blank: int, total: int, purpose: str) -> None:
    """Warn that patterns without information were left out, if any were.

    Parameters
    ----------
    source
        The scan; it is named where it has a path.
    blank, total
        How many were left out, and of how many.
    purpose
        What they were left out of.

    Warns
    -----
    ScanWarning
        If any were.
    """
    if blank:
        name = getattr(source, "path", "the scan")
        carry = "carries" if blank == 1 else "carry"
        text = f"{name}: {blank:,} of {total:,} patterns {carry} no information; left out of {purpose}"
        warnings.warn(text, ScanWarning, stacklevel=2)


def _rounds(there: int, count: int) -> Iterator[NDArray[np.int64]]:
    """Numbers of patterns evenly spaced over a scan, then of others between them, each number once."""
    seen = np.unique(np.linspace(0, there - 1, min(count, there)).round().astype(np.int64))
    yield seen
    for turn in range(1, ROUNDS):
        shifted = ((np.arange(count) + turn / ROUNDS) * (there / count)).astype(np.int64)
        unseen = np.setdiff1d(shifted, seen)
        yield unseen
        seen = np.union1d(seen, unseen)
