"""Prepared patterns for training, from scans, through the runtime's own reader and preprocessing."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32, Raw
from microrun.runtime.errors import ScanError, SpecError
from microrun.runtime.patterns.background import mean_background
from microrun.runtime.patterns.bad_pixels import preprocessor_for
from microrun.runtime.patterns.informative import say_left_out
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.progress import Job, Progress
from microrun.runtime.scans.open import whole_of
from microrun.runtime.scans.source import IndexedSource
from microrun.runtime.spec import Preprocessing
from microrun.training.vae.cache import make_cache, open_cache

Chosen = tuple[NDArray[np.int64], NDArray[np.int64]]  # numbers of the patterns to train on, and to test on

_CHUNK = 64
_FINGERPRINTS = 16  # patterns of a scan that tell it from others

# What a new model is trained with. A background that is scaled to each pattern was measured to be better than the
# published method's, with and without a drifting beam current (docs/blank-frames-and-bad-pixels.md).
NEW = Preprocessing(scale_background=True)


@dataclass(frozen=True)
class Selection:
    """Which patterns are taken from scans.

    Parameters
    ----------
    patterns_per_scan
        Random patterns from each scan, at most.
    held_out
        Share of each scan's patterns kept for testing.
    seed
        Of the choice.
    """

    patterns_per_scan: int = 16_000
    held_out: float = 0.05
    seed: int = 0

    def choose(self, scans: Sequence[IndexedSource]) -> list[Chosen]:
        """Choose patterns to train and to test on.

        Parameters
        ----------
        scans
            Finished ones.

        Returns
        -------
        list of (n,) int64 and (m,) int64
            Numbers of the patterns of each scan; ascending, as disks like it.
        """
        rng = np.random.default_rng(self.seed)
        chosen = []
        for scan in scans:
            indices = rng.permutation(scan.available)[: self.patterns_per_scan]
            split = round(len(indices) * self.held_out)
            chosen.append((np.sort(indices[split:]), np.sort(indices[:split])))
        return chosen


@dataclass(frozen=True)
class Prepared:
    """Prepared patterns of several scans.

    Parameters
    ----------
    patterns
        (n, H, W) float16 in [−1, 1], memory-mapped.
    training
        Numbers of the patterns to train on, those of each scan in an array of their own.
    held_out
        Numbers of the patterns to test on.
    preprocessing
        Of the patterns.
    identity
        Hash of the scans, the selection and the preprocessing.
    """

    patterns: NDArray[np.float16]
    training: tuple[NDArray[np.int64], ...]
    held_out: NDArray[np.int64]
    preprocessing: Preprocessing
    identity: str

    @property
    def count(self) -> int:
        """Patterns to train on."""
        return sum(map(len, self.training))

    @property
    def pixel_keep(self) -> NDArray[np.bool_]:
        """(H, W) bool, True inside the mask."""
        return Preprocessor(self.preprocessing, self.preprocessing.input_shape).pixel_keep

    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation inside the mask, over a bounded subset of the training patterns."""
        numbers = np.concatenate(self.training or (self.held_out,))
        subset = self.patterns[numbers[:: max(1, len(numbers) // 1000)]]
        pixels = subset[:, self.pixel_keep].astype(np.float64)
        return float(pixels.mean()), float(pixels.std())


def prepare_scans(
    scans: Sequence[IndexedSource],
    preprocessing: Preprocessing,
    cache: Path,
    selection: Selection,
) -> Job[Prepared]:
    """Take random patterns from each scan and prepare them into one memory-mapped file.

    A file that was made before from the same scans, with the same selection and preprocessing, is used again, and
    there is no progress to tell.

    Parameters
    ----------
    scans
        Finished scans of one detector shape; each gets its own background.
    preprocessing
        As the model's spec will state.
    cache
        The .npy file to make; what it was made from stands in a .json beside it.
    selection
        Which patterns.

    Returns
    -------
    Prepared
        Patterns without information are left out.

    Raises
    ------
    ScanError
        If the detector shapes differ, or no pattern of a scan carries information.
    OutputError
        If the disk has no room.
    """
    record = describe_data(scans, preprocessing, selection)
    chosen = selection.choose(scans)
    cached = open_cache(cache, record)
    if cached is None:
        shape = (sum(len(training) + len(tested) for training, tested in chosen), *preprocessing.input_shape)
        yield from make_cache(cache, record, shape, partial(_prepare_all, scans, chosen, preprocessing))
        cached = open_cache(cache, record)
        assert cached is not None
    patterns, informative = cached
    training, held_out = _number(scans, chosen, informative)
    return Prepared(patterns, training, held_out, preprocessing, identity_of(record))


def check_simulations_fit(preprocessing: Preprocessing, source: object) -> None:
    """Refuse a model that takes other patterns than are simulated.

    Parameters
    ----------
    preprocessing
        The model's.
    source
        Its name or file.

    Raises
    ------
    SpecError
        If input or mask differ.
    """
    if dataclasses.replace(preprocessing, scale_background=NEW.scale_background) != NEW:
        rows, cols = preprocessing.input_shape
        raise SpecError(
            f"{source}: takes patterns of {rows}×{cols} with mask radius {preprocessing.mask_radius}"
            f"{' and dark bands' * preprocessing.inverted}; simulated ones are of {NEW.input_shape[0]}×"
            f"{NEW.input_shape[1]} inside the inscribed circle, with bright bands"
        )


def describe_data(scans: Sequence[IndexedSource], preprocessing: Preprocessing, selection: Selection) -> dict[str, Any]:
    """Describe by values that JSON keeps what prepared patterns depend on.

    Parameters
    ----------
    scans
        Each is told by its size and a hash of 16 of its patterns, not by its name.
    preprocessing, selection
        As in `prepare_scans`.

    Raises
    ------
    ScanError
        If the detector shapes differ.
    """
    first = scans[0]
    for scan in scans:
        if scan.scan.sig_shape != first.scan.sig_shape:
            raise ScanError(
                f"{_name(scan)}: patterns of {scan.scan.sig_shape}; {_name(first)} has {first.scan.sig_shape}. "
                f"Train on scans of one detector shape"
            )
        Preprocessor(preprocessing, scan.scan.sig_shape)  # raises where the detector is too small
    record = {
        "scans": [_fingerprint(scan) for scan in scans],
        "preprocessing": _describe_preprocessing(preprocessing),
        "selection": dataclasses.asdict(selection),
    }
    kept: dict[str, Any] = json.loads(json.dumps(record))
    return kept


def identity_of(record: dict[str, Any]) -> str:
    """Hash what prepared patterns depend on.

    Parameters
    ----------
    record
        From `describe_data`.

    Returns
    -------
    str
        SHA-256, in hexadecimal.
    """
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _describe_preprocessing(preprocessing: Preprocessing) -> dict[str, Any]:
    values = dataclasses.asdict(preprocessing)
    for name in ("scale_background", "inverted"):  # caches of version 0.1 name neither
        if not values[name]:
            del values[name]
    return values


def _fingerprint(scan: IndexedSource) -> dict[str, Any]:
    numbers = np.unique(np.linspace(0, scan.available - 1, _FINGERPRINTS).round().astype(np.int64))
    raw = _read(scan, numbers, np.empty((len(numbers), *scan.scan.sig_shape), scan.scan.dtype))
    values = {
        "patterns": scan.available,
        "sig_shape": scan.scan.sig_shape,
        "dtype": scan.scan.dtype,
        "sha256": hashlib.sha256(raw.tobytes()).hexdigest(),
    }
    whole = whole_of(scan)
    return values if whole is scan else {**values, "part_of": _fingerprint(whole)}  # whose background it has


def _prepare_all(
    scans: Sequence[IndexedSource],
    chosen: Sequence[Chosen],
    preprocessing: Preprocessing,
    out: NDArray[np.float16],
) -> Job[NDArray[np.bool_]]:
    """Fill ``out`` scan by scan; return which patterns carry information."""
    informative, done = np.empty(len(out), bool), 0
    for scan, numbers in zip(scans, map(np.concatenate, chosen), strict=True):
        for first, prepared, flags in _prepare(scan, numbers, preprocessing):
            part = slice(done + first, done + first + len(prepared))
            out[part], informative[part] = prepared, ~flags
            yield Progress(part.stop, len(out))
        done += len(numbers)
    return informative


def _prepare(
    scan: IndexedSource, numbers: NDArray[np.int64], preprocessing: Preprocessing
) -> Iterator[tuple[int, Float32, NDArray[np.bool_]]]:
    """Prepare a scan's patterns: yield the first's place, some patterns, and which are without information."""
    whole = whole_of(scan)  # a part is prepared as in a run over all of it
    preprocessor = preprocessor_for(whole, preprocessing)
    background = mean_background(whole, preprocessor)
    raw = np.empty((_CHUNK, *scan.scan.sig_shape), scan.scan.dtype)
    prepared = np.empty((_CHUNK, *preprocessor.input_shape), np.float32)
    ranges, flags = np.empty((_CHUNK, 2), np.float32), np.empty(_CHUNK, bool)
    for first in range(0, len(numbers), _CHUNK):
        n = min(_CHUNK, len(numbers) - first)
        _read(scan, numbers[first : first + n], raw[:n])
        preprocessor.prepare(raw[:n], background, prepared[:n], ranges[:n], flags[:n])
        yield first, prepared[:n], flags[:n]


def _read(scan: IndexedSource, numbers: NDArray[np.int64], out: Raw) -> Raw:
    """Read patterns by their numbers."""
    scan.read_patterns(numbers, out)
    return out


def _number(
    scans: Sequence[IndexedSource], chosen: Sequence[Chosen], informative: NDArray[np.bool_]
) -> tuple[tuple[NDArray[np.int64], ...], NDArray[np.int64]]:
    """Numbers, in the cache, of the patterns to train on, scan by scan, and of those to test on."""
    training: list[NDArray[np.int64]] = []
    held_out: list[NDArray[np.int64]] = []
    done = 0
    for scan, pair in zip(scans, chosen, strict=True):
        taken = informative[done : done + sum(map(len, pair))]
        for numbers, parts in zip(pair, (training, held_out), strict=True):
            parts.append(done + np.flatnonzero(informative[done : done + len(numbers)]))
            done += len(numbers)
        if not len(training[-1]):
            raise ScanError(f"{_name(scan)}: none of its patterns carries information; leave it out")
        say_left_out(scan, int((~taken).sum()), len(taken), "training")
    return tuple(training), np.concatenate(held_out)


def _name(scan: IndexedSource) -> object:
    return getattr(scan, "path", "a scan")
