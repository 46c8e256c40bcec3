"""Raw patterns to the engine's input; training and runtime both go through here."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.binning import bin_area, bin_whole
from microrun.kernels.intensity import prepare_area, prepare_whole, rescale_patterns
from microrun.kernels.masking import circular_keep
from microrun.kernels.measuring import MEASURES, find_saturated, find_spans, measure_patterns
from microrun.runtime.array_types import Float32, Raw
from microrun.runtime.errors import ScanError
from microrun.runtime.patterns.pixel_filling import PixelFilling, PixelsT
from microrun.runtime.patterns.warp import Axes, Warp, Window, resample
from microrun.runtime.spec import Preprocessing

ALL = 0.999  # of a pixel's area, but for rounding
LEAST_COVERED = 1 / 3  # of the mask: of less, bands that tell orientations are missing
LINES = 4  # of the rows after binning, each so many's first line is looked at for saturated pixels


class Preprocessor:
    """Bin, subtract the background, mask and rescale patterns of one detector.

    Parameters
    ----------
    preprocessing
        From the engine's spec.
    sig_shape
        (rows, cols) of the detector.
    bad_pixels
        (rows, cols) bool, True for pixels to fill from those around before anything else; None for none.
    warp
        Pattern centres of the scan and of the model, to bring patterns from the one to the other; None leaves them as
        they are. Neither the sample's tilt nor the camera's is changed.

    Attributes
    ----------
    shown_px : float
        Pixels of the detector, along its shorter side, that the model's input shows.
    pixel_keep : (H, W) bool
        Pixels inside the mask; of warped patterns those that the scan's mask covers, too.

    Raises
    ------
    ScanError
        If the detector has less than half the pixels per axis that the engine takes, or covers less than a third of the
        mask when it is warped.

    Notes
    -----
    Calvat et al. subtract the background and then bin; both are linear, so binning first and subtracting
    the binned background is the same with a 16th of the work. Safe to use from several threads.

    Examples
    --------
    >>> from microrun.runtime import FileSource, Preprocessor, open_engine
    >>> with open_engine("vae32") as engine:
    ...     preprocessor = Preprocessor(engine.spec.preprocessing, FileSource("scan.up1").scan.sig_shape)
    >>> preprocessor.input_shape, int(preprocessor.pixel_keep.sum())
    ((120, 120), 11304)
    """

    def __init__(
        self,
        preprocessing: Preprocessing,
        sig_shape: tuple[int, int],
        bad_pixels: NDArray[np.bool_] | None = None,
        warp: Warp | None = None,
    ) -> None:
        self.preprocessing, self.sig_shape, self.warp = preprocessing, sig_shape, warp
        self.input_shape = preprocessing.input_shape
        side, out_side = min(sig_shape), self.input_shape[0]
        _check_size(sig_shape, out_side)
        self.bad_pixels = np.zeros(sig_shape, bool) if bad_pixels is None else bad_pixels
        self._filling = PixelFilling(self.bad_pixels) if self.bad_pixels.any() else None
        top, left = ((size - side) // 2 for size in sig_shape)
        self._crop = (slice(None), slice(top, top + side), slice(left, left + side))
        whole = side % out_side == 0 and side // out_side <= 255  # the kernel sums in 32 bits
        self._factor = side // out_side if whole and warp is None else None
        window = Window() if warp is None else warp.to_model(sig_shape)
        self.shown_px = side * min(last - first for first, last in window)
        _check_resolved(self.shown_px, out_side, warp)
        self._axes = window.axes(side, out_side)
        mask = circular_keep(self.input_shape, preprocessing.mask_radius)
        # What lies outside the scan's own mask is dark on many cameras: no pixel may take in a part of it.
        self.pixel_keep: NDArray[np.bool_] = mask & (resample(mask, window.axes(out_side, out_side)) > ALL)
        _check_covered(self.pixel_keep.sum() / mask.sum(), warp)
        uncovered = (mask & ~self.pixel_keep).astype(np.float32)
        self._how = self.pixel_keep - uncovered, preprocessing.scale_background
        self._spans = find_spans(self.pixel_keep)
        self._lines = _choose_lines(self._spans, self._axes)

    def bin(self, patterns: Raw, out: Float32) -> None:
        """Crop and bin patterns only.

        Parameters
        ----------
        patterns
            (n, rows, cols) uint8 or uint16.
        out
            (n, H, W) float32.
        """
        for pattern, binned in zip(self._fill(patterns)[self._crop], out, strict=True):
            if self._factor:
                bin_whole(pattern, self._factor, binned)
            else:
                bin_area(pattern, *self._axes, binned)
        self._turn(out)

    def bin_image(self, image: NDArray[np.generic]) -> Float32:
        """Crop and bin one image of the detector's shape, such as a background.

        Raises
        ------
        ScanError
            If its shape is not the detector's.
        """
        if image.shape != self.sig_shape:
            raise ScanError(f"a background must have the detector's shape {self.sig_shape}; got {image.shape}")
        out = np.empty(self.input_shape, np.float32)
        filled = self._fill(np.asarray(image, np.float32)[None])
        cropped = np.ascontiguousarray(filled[self._crop][0])
        bin_area(cropped, *self._axes, out)
        self._turn(out)
        return out

    def prepare(
        self, patterns: Raw, background: Float32, out: Float32, ranges: Float32, flags: NDArray[np.bool_],
        measures: Float32 | None = None,
    ) -> None:  # fmt: skip
        """Prepare raw patterns in one pass.

        Parameters
        ----------
        patterns
            (n, rows, cols) uint8 or uint16.
        background
            (H, W) float32, binned; zeros for none.
        out
            (n, H, W) float32, in [−1, 1] inside the mask, 0 outside; where a warped pattern shows nothing, its mean.
        ranges
            (n, 2) float32: the values that −1 and 1 stand for, above the background; where that is scaled to
            each pattern, in a pattern brought to its brightness.
        flags
            (n,) bool: True for patterns without information, whose output is 0.
        measures
            (n, 5) float32: mean and so on, by the places in `microrun.kernels.measuring`; None if nobody asks.
        """
        measures = np.empty((len(patterns), MEASURES), np.float32) if measures is None else measures
        if self.preprocessing.inverted:
            self.bin(patterns, out)
            self.find_saturated(patterns, measures)
            self.measure(out, background, measures)
            self.rescale(out, background, out, ranges, flags)
            return
        cropped, measuring = self._fill(patterns)[self._crop], (self._spans, self._lines, measures)
        if self._factor:
            prepare_whole(cropped, self._factor, background, *self._how, out, ranges, flags, measuring)
        else:
            prepare_area(cropped, *self._axes, background, *self._how, out, ranges, flags, measuring)

    def measure(self, binned: Float32, background: Float32, measures: Float32) -> None:
        """Measure what `prepare` does, but for saturation, of (n, H, W) patterns that `bin` made."""
        measure_patterns(binned, background, self._spans, measures)

    def find_saturated(self, patterns: Raw, measures: Float32) -> None:
        """Measure the saturation of (n, rows, cols) raw patterns."""
        find_saturated(self._fill(patterns)[self._crop], self._lines, measures)

    def rescale(
        self, binned: Float32, background: Float32, out: Float32, ranges: Float32, flags: NDArray[np.bool_]
    ) -> None:
        """Do the rest of `prepare` on patterns that `bin` made; arguments as there."""
        rescale_patterns(binned, background, *self._how, out, ranges, flags)

    def _turn(self, binned: Float32) -> None:
        """Make dark bands bright: from here on all is the negative, background and ranges too."""
        if self.preprocessing.inverted:
            np.negative(binned, out=binned)

    def _fill(self, patterns: PixelsT) -> PixelsT:
        return patterns if self._filling is None else self._filling.fill(patterns)

    def find_blank(self, binned: Float32) -> NDArray[np.bool_]:
        """Find patterns without information: constant inside the mask, as those of a blanked or saturated camera are.

        No mean, fit or training takes them in, and `prepare` flags them whatever the background.

        Parameters
        ----------
        binned
            (n, H, W) float32 that `bin` made.

        Returns
        -------
        (n,) bool, True for those without information
        """
        flags = np.empty(len(binned), bool)
        nothing = np.zeros(self.input_shape, np.float32)
        self.rescale(binned, nothing, np.empty_like(binned), np.empty((len(binned), 2), np.float32), flags)
        return flags

    def warm(self, dtype: str) -> None:
        """Compile all that a stream of this pixel type needs."""
        for count in (1, 2):  # a crop of several patterns is laid out differently
            self._warm(np.zeros((count, *self.sig_shape), dtype))

    def _warm(self, patterns: Raw) -> None:
        background = np.zeros(self.input_shape, np.float32)
        out = np.empty((len(patterns), *self.input_shape), np.float32)
        ranges, flags = np.empty((len(patterns), 2), np.float32), np.empty(len(patterns), bool)
        self.prepare(patterns, background, out, ranges, flags)
        self.bin(patterns, out)
        measures = np.empty((len(patterns), MEASURES), np.float32)
        self.find_saturated(patterns, measures)
        self.measure(out, background, measures)
        self.rescale(out, background, out, ranges, flags)


def _choose_lines(spans: NDArray[np.int64], axes: Axes) -> NDArray[np.int64]:
    """Raw pixels that are looked at for saturation: row, first column and one after the last, (n, 3)."""
    row_first, col_first = axes[0], axes[2]
    used = np.flatnonzero(spans[:, 0] < spans[:, 1])[::LINES]
    starts, stops = col_first[spans[used, 0]], col_first[spans[used, 1] - 1] + 1
    return np.ascontiguousarray(np.stack([row_first[used], starts, stops], axis=1))


def _check_size(sig_shape: tuple[int, int], out_side: int) -> None:
    if 2 * min(sig_shape) < out_side:
        raise ScanError(
            f"patterns of {sig_shape[0]}×{sig_shape[1]} are too small for an engine that takes "
            f"{out_side}×{out_side}: expected at least {-(-out_side // 2)} pixels a side"
        )


def _check_resolved(shown_px: float, out_side: int, warp: Warp | None) -> None:
    if 4 * shown_px < out_side:
        raise ScanError(
            f"{warp}: only {shown_px:.0f} of the detector's pixels a side show what the model looks at, "
            f"{-(-out_side // 4)} at least are needed; is the pattern centre in EDAX's convention?"
        )


def _check_covered(share: float, warp: Warp | None) -> None:
    if share < LEAST_COVERED:
        raise ScanError(
            f"{warp}: the detector shows {share:.0%} of what the model looks at, a third at least is needed; is the "
            f"pattern centre in EDAX's convention?"
        )


def restore_patterns(prepared: Float32, ranges: Float32, background: Float32 | None = None) -> Float32:
    """Invert the rescaling: intensities as they were before, at the binned size.

    Parameters
    ----------
    prepared
        (n, H, W) float32 in [−1, 1].
    ranges
        (n, 2) float32 from `Preprocessor.prepare`.
    background
        (H, W) float32 to add, or None.

    Returns
    -------
    (n, H, W) float32
    """
    low, high = ranges[:, 0, None, None], ranges[:, 1, None, None]
    restored = low + (prepared + np.float32(1)) * (high - low) / np.float32(2)
    return (restored if background is None else restored + background).astype(np.float32, copy=False)
