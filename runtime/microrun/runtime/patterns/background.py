"""The static background of a scan: from the scan itself, from a file, or as a running mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32
from microrun.runtime.errors import ScanError, VolumeError
from microrun.runtime.files.kinds import PATTERN_PICTURES
from microrun.runtime.files.npy import map_array
from microrun.runtime.patterns.informative import sample_informative, say_left_out
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.picture_file import read_picture, require_pillow
from microrun.runtime.scans.source import IndexedSource
from microrun.runtime.scans.up2 import PIXEL_TYPES, count_patterns, read_header
from microrun.runtime.scans.up_source import FileSource

SUBSET = 512  # patterns that a mean over a finished scan takes
BLOCK = 64  # patterns after which a running mean is renewed
LEAST = BLOCK // 2  # informative patterns that make a mean: of fewer, each would be subtracted from itself


def mean_background(source: IndexedSource, preprocessor: Preprocessor, subset: int = SUBSET) -> Float32:
    """Mean over an evenly spaced, bounded subset of a finished scan, of the patterns that carry information.

    Parameters
    ----------
    source
        The scan; its patterns are read by number.
    preprocessor
        For its binning.
    subset
        Patterns to read; up to eight times as many where most carry no information.

    Returns
    -------
    (H, W) float32, binned; zeros where no pattern carries information

    Warns
    -----
    ScanWarning
        If patterns without information were left out; it says how many.

    Raises
    ------
    ScanError
        If the source gives each pattern once only.

    Examples
    --------
    >>> from microrun.runtime import FileSource, Preprocessor, mean_background, open_engine
    >>> source = FileSource("scan.up1")
    >>> with open_engine("vae32") as engine:
    ...     preprocessor = Preprocessor(engine.spec.preprocessing, source.scan.sig_shape)
    >>> mean_background(source, preprocessor).shape
    (120, 120)
    """
    mean, blank, looked_at = _average(source, preprocessor, subset)
    say_left_out(source, blank, looked_at, "the mean background")
    return mean


def _average(source: IndexedSource, preprocessor: Preprocessor, subset: int) -> tuple[Float32, int, int]:
    """Mean of the informative patterns of a subset, how many others it has, and of how many; zeros for no mean."""
    total, blank, informative = np.zeros(preprocessor.input_shape), 0, 0
    for batch in sample_informative(source, preprocessor, subset):
        total += batch.binned.sum(axis=0, dtype=np.float64)
        informative, blank = informative + len(batch.binned), blank + batch.blank
    return (total / max(1, informative)).astype(np.float32), blank, blank + informative


def static_background(choice: str, source: IndexedSource, preprocessor: Preprocessor) -> Float32:
    """Background of a finished scan.

    Parameters
    ----------
    choice
        "auto" for the mean of the scan, "none", or a file as `load_background` takes it.
    source
        The scan.
    preprocessor
        For its binning.

    Returns
    -------
    (H, W) float32, binned
    """
    if choice == "auto":
        return mean_background(source, preprocessor)
    if choice == "none":
        return np.zeros(preprocessor.input_shape, np.float32)
    return load_background(Path(choice), preprocessor)


def load_background(path: Path, preprocessor: Preprocessor) -> Float32:
    """Background from a file: an image, as .npy, TIFF, PNG or BMP, or the mean over a UP1/UP2 file's patterns.

    Parameters
    ----------
    path
        The image has the detector's shape, or is already binned, unless patterns are warped.
    preprocessor
        For its binning.

    Returns
    -------
    (H, W) float32, binned

    Raises
    ------
    ScanError
        If the file cannot be read, or its shape does not fit.

    Examples
    --------
    >>> from pathlib import Path
    >>> from microrun.runtime import FileSource, Preprocessor, load_background, open_engine
    >>> with open_engine("vae32") as engine:
    ...     preprocessor = Preprocessor(engine.spec.preprocessing, FileSource("scan.up1").scan.sig_shape)
    >>> load_background(Path("scan.up1"), preprocessor).shape
    (120, 120)
    """
    if path.suffix.lower() in PIXEL_TYPES:
        header = read_header(path)
        stated = header.nav_shape and 0 not in header.nav_shape
        source = FileSource(path, None if stated else (1, max(1, count_patterns(path, header))))
        if source.scan.sig_shape != preprocessor.sig_shape:
            expected = f"the detector's shape {preprocessor.sig_shape}"
            raise ScanError(f"{path}: a background must have {expected}; got {source.scan.sig_shape}")
        mean, blank, looked_at = _average(source, preprocessor, SUBSET)
        if blank == looked_at:
            raise ScanError(f"{path}: none of its patterns carries information, so that it is not a background")
        say_left_out(source, blank, looked_at, "the mean background")
        return mean
    if not path.exists():
        raise ScanError(f"{path}: no such file; a background is auto, running, none, or a file")
    image = _read_image(path)
    if image.dtype.kind not in "uif" or not (np.abs(image) < 3e38).all():
        raise ScanError(f"{path}: a background must be an array of finite numbers")
    if image.size == 0 or image.min() < 0 or image.min() == image.max():
        raise ScanError(f"{path}: a background must not be negative or constant; use --background none for none")
    if image.shape == preprocessor.input_shape != preprocessor.sig_shape and preprocessor.warp is None:
        binned: Float32 = image.astype(np.float32)
        return -binned if preprocessor.preprocessing.inverted else binned
    try:
        return preprocessor.bin_image(image)
    except ScanError as error:
        raise ScanError(f"{path}: {error}") from None


def _read_image(path: Path) -> NDArray[Any]:
    if path.suffix.lower() in PATTERN_PICTURES:
        require_pillow(path)
        try:
            return read_picture(path)
        except ScanError as error:
            raise ScanError(f"{path}: {error}; a background is a grey picture") from None
    try:
        return map_array(path)
    except VolumeError as error:
        raise ScanError(f"{error}; a background is a .npy image, a grey picture or a .up1/.up2 file") from None


class RunningBackground:
    """Mean over the informative patterns before the current block of 64; the first block uses its own mean.

    Where less than half of the first block carries information, the blocks after it belong to it, until there are
    32 informative patterns. It depends on the order of the patterns alone, not on how they are batched: call it in
    that order.

    Parameters
    ----------
    shape
        (H, W) of binned patterns.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._sum = np.zeros(shape)
        self._count = 0
        self.informative = 0  # patterns in the mean

    @property
    def known(self) -> bool:
        """True once later patterns cannot change the mean that the first block uses."""
        return self.informative >= LEAST

    @property
    def room(self) -> int:
        """Patterns until the next block starts; a batch must not cross it."""
        return BLOCK - self._count % BLOCK

    def update(self, binned: NDArray[np.float32], informative: NDArray[np.bool_] | None = None) -> Float32:
        """Add the next patterns and return the background to subtract from them.

        Parameters
        ----------
        binned
            (n, H, W) float32, n at most `room`; whole blocks until `known`, unless the scan ends before.
        informative
            (n,) bool, True for patterns that the mean takes in; None for all.

        Returns
        -------
        (H, W) float32; zeros while no pattern has carried information
        """
        first_block = not self.known
        if self._count % BLOCK == 0 and not first_block:
            self._renew()
        taken = binned if informative is None else binned[informative]
        for pattern in taken:  # one by one, so that rounding cannot depend on the batches
            self._sum += pattern
        self._count += len(binned)
        self.informative += len(taken)
        if first_block:
            self._renew()
        return self._mean

    def _renew(self) -> None:
        self._mean: Float32 = (self._sum / max(1, self.informative)).astype(np.float32)
