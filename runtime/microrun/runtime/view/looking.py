"""The pattern under the cursor, and what the model makes of it."""

from __future__ import annotations

import threading
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32
from microrun.runtime.encoding.decode import check_decoder, find_decoder
from microrun.runtime.engines.engine import Engine, EngineRequest, Lane
from microrun.runtime.engines.open import open_engine
from microrun.runtime.errors import LatentsError, MicrorunError, ScanError
from microrun.runtime.files.closing import Closing
from microrun.runtime.files.stems import stem_of
from microrun.runtime.latents.reader import Latents
from microrun.runtime.latents.same_scan import check_same_scan
from microrun.runtime.patterns.background import BLOCK, RunningBackground
from microrun.runtime.patterns.bands import band_correlation, smooth
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.open import ScanFile, fingerprint, open_scan
from microrun.runtime.scans.part_source import PartSource
from microrun.runtime.scans.pat_source import PAT
from microrun.runtime.scans.up2 import PIXEL_TYPES, ScanWarning, count_patterns
from microrun.runtime.scans.up_source import FileSource
from microrun.runtime.view.growing_map import GrowingMap
from microrun.runtime.view.layers import latent_of

OTHER_ENDINGS = (PAT, ".h5", ".hdf5", ".oh5", ".edaxh5", ".h5oina", ".ebsp", ".dat")
AGAIN_S = 5.0  # after which a scan that could not be opened is tried again
LATENTS_ENDING = ".latents"


@dataclass(frozen=True)
class Look:
    """What is known of a point.

    Parameters
    ----------
    latent
        (D,) float32.
    seen, informative
        Whether it is there, and its pattern told anything.
    pattern, reconstruction
        (H, W) float32 in [−1, 1] inside the mask; None where they cannot be had.
    difference
        (H, W) float32, what the pattern has and its reconstruction, at its brightness and contrast, has not; None
        without one of them.
    correlation
        Of the bands of the two, as models are judged by; None without one of them.
    notes
        Why something is missing.
    """

    latent: Float32
    seen: bool
    informative: bool
    pattern: Float32 | None
    reconstruction: Float32 | None
    difference: Float32 | None
    correlation: float | None
    notes: tuple[str, ...]


class Looker(Closing):
    """Look up points of a latents file.

    Parameters
    ----------
    scan
        The scan; None for the one beside the latents.
    decoder
        An .onnx file, or the name of a built-in model; None for the built-in one of the encoder.
    scan_name
        Which scan of an HDF5 file that holds several.
    """

    def __init__(self, scan: Path | None = None, decoder: str | None = None, scan_name: str | None = None) -> None:
        self._asked_scan, self._asked_decoder, self._scan_name = scan, decoder, scan_name
        self._using = threading.RLock()  # several pages look at once
        self._forget()

    def _forget(self) -> None:
        self._latents: Latents | None = None
        self._source: ScanFile | None = None
        self._scan_options: tuple[str, ...] = ()
        self._preprocessor: Preprocessor | None = None
        self._engine: Engine | None = None
        self._lane: Lane | None = None
        self._scan_note, self._decoder_note = "", ""
        self._first_mean: Float32 | None = None
        self._mean_of = 0
        self._tried_at = -AGAIN_S

    def close(self) -> None:
        """Close the decoder."""
        with self._using:
            if self._engine is not None:
                self._engine.close()
            self._forget()

    @property
    def scan_words(self) -> tuple[str, ...]:
        """The scan and the options that it was opened with, as commands take them; nothing where none was found."""
        source, options = self._source, self._scan_options  # which another thread may forget meanwhile
        return (str(source.path), *options) if source else ()

    def ahead(self, points: GrowingMap) -> int:
        """Patterns that the scan has by now beyond those that are encoded; 0 where that cannot be told."""
        if not isinstance(self._source, FileSource):
            return 0
        try:
            return max(0, min(points.scan.total, count_patterns(self._source.path, self._source.header)) - points.done)
        except (OSError, MicrorunError):
            return 0

    def look(self, points: GrowingMap, row: int, col: int) -> Look:
        """Look at a point.

        Parameters
        ----------
        points
            The map.
        row, col
            On it.

        Raises
        ------
        LatentsError
            If the latents cannot be read.
        """
        latent, seen, informative = latent_of(points, row, col)
        with self._using:
            self.find_scan(points)
            pattern = self._read_pattern(points, row, col)
            made = self._decode(points.latents, latent) if informative else None
        notes = tuple(note for note in (self._scan_note, self._decoder_note) if note)
        if pattern is None or made is None or not informative:
            return Look(latent, seen, informative, pattern, made, None, None, notes)
        keep = self._keep(pattern.shape)
        correlation = float(band_correlation(made[None], smooth(pattern[None], keep), keep)[0])
        return Look(latent, seen, informative, pattern, made, _subtract(pattern, made, keep), correlation, notes)

    def find_scan(self, points: GrowingMap) -> None:
        """Open the scan, unless it is open; one that is not there is looked for again later."""
        with self._using:
            if self._latents is None or self._latents.origin != points.latents.origin:
                self.close()
                self._latents = points.latents
            if self._source is None and time.monotonic() - self._tried_at >= AGAIN_S:
                self._open_scan(points.latents)
                self._tried_at = time.monotonic()

    def _open_scan(self, latents: Latents) -> None:
        path = self._asked_scan or find_scan(latents.path)
        if path is None:
            self._scan_note = "no scan lies beside the latents; microrun view --scan takes it from elsewhere"
            return
        try:
            self._source, self._scan_options = open_scan_of(latents, path, self._scan_name)
            origin = latents.origin
            how = replace(origin.spec.preprocessing, scale_background=origin.scale_background, inverted=origin.inverted)
            bad = latents.bad_pixels if origin.bad_pixels else None
            self._preprocessor = Preprocessor(how, origin.scan.sig_shape, bad, origin.warp)
            self._scan_note = ""
        except (MicrorunError, OSError, ModuleNotFoundError) as error:
            self._source, self._scan_note = None, str(error)

    def _open_decoder(self, latents: Latents) -> None:
        try:
            name = self._asked_decoder or find_decoder(latents)
            engine = open_engine(name, "cpu", EngineRequest(lanes=1, batch=1))
            self._engine = engine
            check_decoder(engine, latents)
            self._lane = engine.lane()
        except (MicrorunError, ImportError) as error:
            self._decoder_note = str(error).replace("--engine", "--decoder")

    def _read_pattern(self, points: GrowingMap, row: int, col: int) -> Float32 | None:
        if self._source is None or self._preprocessor is None:
            return None
        place = row * points.shape[1] + col
        number = int(points.exists[:place].sum())
        if not points.exists[place]:
            return None
        raw = np.empty((1, *self._source.scan.sig_shape), self._source.scan.dtype)
        try:
            self._source.read_patterns(np.array([number]), raw)
            background = self._background(points, self._source, self._preprocessor)
        except ScanError as error:
            self._source, self._scan_note, self._tried_at = None, str(error), time.monotonic()
            return None
        out = np.empty((1, *self._preprocessor.input_shape), np.float32)
        self._preprocessor.prepare(raw, background, out, np.empty((1, 2), np.float32), np.empty(1, bool))
        prepared: Float32 = out[0]
        return prepared

    def _background(self, points: GrowingMap, source: ScanFile, preprocessor: Preprocessor) -> Float32:
        """As subtracted; a running mean reaches the file at its end, until then that of its first block stands in."""
        stored = points.latents.background
        if points.latents.origin.background != "running" or stored.any():
            return stored
        count = min(BLOCK, points.done)
        if not count:
            return stored
        if self._first_mean is None or self._mean_of != count:
            raw = np.empty((count, *source.scan.sig_shape), source.scan.dtype)
            source.read_patterns(np.arange(count), raw)
            binned = np.empty((count, *preprocessor.input_shape), np.float32)
            preprocessor.bin(raw, binned)
            informative = ~preprocessor.find_blank(binned)  # as in the run
            self._first_mean = RunningBackground(preprocessor.input_shape).update(binned, informative)
            self._mean_of = count
        return self._first_mean

    def _decode(self, latents: Latents, latent: Float32) -> Float32 | None:
        if self._lane is None and not self._decoder_note:
            self._open_decoder(latents)
        if self._lane is None:
            return None
        made: Float32 = self._lane.run(latent[None])[0, 0].copy()
        keep = self._keep(made.shape)
        made[~keep] = 0
        return made

    def _keep(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        return np.ones(shape, bool) if self._preprocessor is None else self._preprocessor.pixel_keep


def name_engine(latents: Latents) -> str:
    """What `microrun encode --engine` takes for the encoder of latents: its file's usual name unless it is built in.

    Parameters
    ----------
    latents
        Open.
    """
    name = latents.origin.spec.name
    try:
        find_decoder(latents)
    except (MicrorunError, ImportError):
        return f"{name}.onnx"
    return name


def _subtract(pattern: Float32, made: Float32, keep: NDArray[np.bool_]) -> Float32:
    """What is left of a pattern: models give back no noise, and so less contrast, at a brightness of their own."""
    one, other = pattern - pattern[keep].mean(), made - made[keep].mean()
    contrast = float(one[keep] @ other[keep]) / max(float(other[keep] @ other[keep]), 1e-12)
    left: Float32 = np.where(keep, one - np.float32(contrast) * other, np.float32(0))
    return left


def find_scan(latents: Path) -> Path | None:
    """The scan that `microrun encode` made these latents of, by its name beside them; None if there is none."""
    stem = latents.stem.removesuffix(LATENTS_ENDING)
    try:
        beside = [path for path in sorted(latents.parent.iterdir()) if stem_of(path) == stem and path != latents]
    except OSError:
        return None
    for endings in (tuple(PIXEL_TYPES), OTHER_ENDINGS):
        for path in beside:
            if path.suffix.lower() in endings and path.is_file():
                return path
    return next((path for path in beside if path.is_dir()), None)


def open_scan_of(latents: Latents, path: Path, scan_name: str | None = None) -> tuple[ScanFile, tuple[str, ...]]:
    """Open a scan, growing or not, if latents were made from it.

    Parameters
    ----------
    latents
        Open.
    path
        The scan.
    scan_name
        Which scan of an HDF5 file that holds several.

    Returns
    -------
    The scan, and the options that commands open it with.

    Raises
    ------
    LatentsError
        If they were made from another.
    ScanError
        If it cannot be read, or is none.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScanWarning)  # that it is not complete is seen
        part = latents.origin.part
        grid = part.whole if part else latents.origin.scan.nav_shape
        whole = _open_as_stated(path, grid, latents.origin.scan.grid, scan_name)
        options = () if whole else ("--grid", f"{grid[0]}x{grid[1]}")
        source = whole or open_scan(path, grid, scan_name=scan_name)
        source = PartSource(source, part) if part else source
    if latents.origin.fingerprint and fingerprint(source) != latents.origin.fingerprint:
        raise LatentsError(f"{path}: is not the scan that {latents.path} was made from")
    check_same_scan(latents, source)
    return source, (*options, *(["--scan-name", scan_name] if scan_name else []))


def _open_as_stated(path: Path, grid: tuple[int, int], kind: str, scan_name: str | None) -> ScanFile | None:
    """Open a scan that states this grid itself; None where the user must."""
    try:
        source = open_scan(path, scan_name=scan_name)
    except ScanError:
        return None
    return source if (source.scan.nav_shape, source.scan.grid) == (grid, kind) else None
