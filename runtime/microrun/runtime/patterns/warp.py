"""From the geometry of a scan to that which a model knows, and back: a change of pattern centre.

In the gnomonic plane a detector with another pattern centre sees the same bands, shifted and scaled. So each axis of an
image is resampled by itself, which binning does anyway.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.binning import area_weights, bin_area
from microrun.runtime.array_types import Float32
from microrun.runtime.patterns.pattern_centre import Centre, check_centre, crop_centre

Span = tuple[float, float]
Axes = tuple[NDArray[np.int64], Float32, NDArray[np.int64], Float32]


class Window(NamedTuple):
    """What part of a square image another one shows.

    Parameters
    ----------
    rows, cols
        First and last edge in shares of the image's side, from the top and from the left; they may lie beside it.
    """

    rows: Span = (0.0, 1.0)
    cols: Span = (0.0, 1.0)

    def axes(self, side: int, out_side: int) -> Axes:
        """Weights that resample rows and columns by area, each as `area_weights` gives them."""
        rows, cols = (area_weights(side, out_side, first * side, last * side) for first, last in self)
        return *rows, *cols


@dataclasses.dataclass(frozen=True)
class Warp:
    """Change of the pattern centre from a scan's to that which a model knows.

    Parameters
    ----------
    scan
        (x*, y*, z*) in EDAX's convention, of the whole detector.
    model
        The same of the model's detector, which is square.

    Raises
    ------
    ScanError
        If one of them is no pattern centre.

    Notes
    -----
    Tilts of the sample and of the camera stay as they are: seen from the detector, they turn the crystal only.
    """

    scan: Centre
    model: Centre

    def __post_init__(self) -> None:
        for name in ("scan", "model"):
            object.__setattr__(self, name, check_centre(getattr(self, name)))

    def __str__(self) -> str:
        scan, model = (", ".join(f"{value:g}" for value in centre) for centre in (self.scan, self.model))
        return f"{scan} warped to {model}"

    def to_model(self, sig_shape: tuple[int, int]) -> Window:
        """What part of the square in the middle of a detector of (rows, cols) pixels the model sees."""
        return _window(crop_centre(self.scan, sig_shape), crop_centre(self.model, (1, 1)))

    def to_scan(self, sig_shape: tuple[int, int]) -> Window:
        """What part of the model's view the square in the middle of that detector shows."""
        return _window(crop_centre(self.model, (1, 1)), crop_centre(self.scan, sig_shape))


class Unwarp:
    """Back from a model's view to the scan's, for what a decoder gives.

    Parameters
    ----------
    warp
        By which the patterns were encoded.
    sig_shape
        (rows, cols) of the scan's detector, of which the square in the middle is made.
    mask
        (n, n) bool, that of the model.

    Attributes
    ----------
    shown : (n, n) bool
        Pixels inside the mask that the model's view shows.
    """

    def __init__(self, warp: Warp, sig_shape: tuple[int, int], mask: NDArray[np.bool_]) -> None:
        self._axes, self._mask = warp.to_scan(sig_shape).axes(len(mask), len(mask)), mask
        share = resample(mask, self._axes)
        self.shown: NDArray[np.bool_] = mask & (share >= 0.5)
        self._share = share[self.shown]

    def apply(self, patterns: Float32) -> Float32:
        """Warp (n, H, W) patterns as they are inside the model's mask; 0 where it shows nothing."""
        out = np.zeros_like(patterns)
        for pattern, warped in zip(patterns, out, strict=True):
            warped[self.shown] = resample(np.where(self._mask, pattern, 0), self._axes)[self.shown] / self._share
        return out


def resample(image: NDArray[Any], axes: Axes) -> Float32:
    """Resample an image by area, with weights of `Window.axes` for its size."""
    out = np.empty((len(axes[0]), len(axes[2])), np.float32)
    bin_area(image.astype(np.float32), *axes, out)
    return out


def _window(seen: Centre, wanted: Centre) -> Window:
    """Part of an image with one pattern centre that an image with another shows; both of squares, in Bruker's."""
    scale = seen[2] / wanted[2]
    col, row = (seen[axis] - wanted[axis] * scale for axis in (0, 1))
    return Window((row, row + scale), (col, col + scale))
