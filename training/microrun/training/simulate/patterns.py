"""Kikuchi patterns as a camera would see them, from master patterns."""

from __future__ import annotations

import contextlib
import io
import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

import microrun.kernels.compiling  # noqa: F401 (before what orix compiles)
from microrun.training.simulate.masters.crystal import CRYSTALS
from microrun.training.simulate.masters.find import USUAL_KEV, Master, load_nickel
from microrun.training.simulate.masters.kinematical import compute_kinematical

Float32 = NDArray[np.float32]
PHASES = ("matrix", "titanium carbide")
MEAN_SIGNAL, SIGNAL_STD = -0.63, 0.235  # of nickel's patterns, each scaled to [−1, 1]


@dataclass(frozen=True)
class Exposure:
    """What beam and camera do to a pattern.

    Parameters
    ----------
    electrons
        Mean electrons per pixel where the background is brightest.
    contrast
        Amplitude of the bands against the background.
    read_noise
        Standard deviation in electrons.
    gain, offset
        Counts per electron; counts of a dark pixel.
    background_centre
        (x, y) of the brightest point from the middle, as shares of the width.
    background_width
        Standard deviation of the background's bell as a share of the width.
    """

    electrons: float = 600.0
    contrast: float = 0.12
    read_noise: float = 5.0
    gain: float = 40.0
    offset: float = 400.0
    background_centre: tuple[float, float] = (-0.05, -0.08)
    background_width: float = 0.33

    def background(self, shape: tuple[int, int]) -> Float32:
        """Background of the detector, 1 where brightest; (rows, cols) float32."""
        rows, cols = shape
        y = (np.arange(rows)[:, None] + 0.5) / cols - 0.5 * rows / cols - self.background_centre[1]
        x = (np.arange(cols)[None, :] + 0.5) / cols - 0.5 - self.background_centre[0]
        bell: Float32 = np.exp(-(x * x + y * y) / (2 * self.background_width**2)).astype(np.float32)
        return bell

    def expose(self, signal: Float32, background: Float32, rng: np.random.Generator) -> NDArray[np.uint16]:
        """Count electrons.

        Parameters
        ----------
        signal
            (rows, cols) float32 in [−1, 1].
        background
            (rows, cols) float32, relative to the brightest: from `background`, shaded.
        rng
            Source of the noise. Shot noise is normal: with hundreds of electrons a pixel it differs from
            Poisson's by less than its skewness of 1/√λ, and costs a tenth of the time.

        Returns
        -------
        (rows, cols) uint16
        """
        mean = self.electrons * background * (1 + self.contrast * (signal - MEAN_SIGNAL))
        noise = rng.standard_normal(signal.shape, np.float32)
        counts = self.gain * (mean + np.sqrt(mean + self.read_noise**2) * noise) + self.offset
        exposed: NDArray[np.uint16] = np.clip(np.rint(counts), 0, 65535).astype(np.uint16)
        return exposed


class PatternSimulator:
    """Project master patterns onto a detector.

    Parameters
    ----------
    sig_shape
        (rows, cols) of the detector.
    pattern_centre
        (x*, y*, z*) in EDAX's convention.
    sample_tilt
        In degrees.
    matrix
        Master pattern of the matrix; None for nickel at 20 kV.
    """

    def __init__(
        self,
        sig_shape: tuple[int, int],
        pattern_centre: tuple[float, float, float] = (0.42, 0.79, 0.50),
        sample_tilt: float = 70.0,
        matrix: Master | None = None,
    ) -> None:
        self.sig_shape = sig_shape
        self.pattern_centre = pattern_centre
        self.sample_tilt = sample_tilt
        self.matrix = matrix

    def project(
        self, rotations: NDArray[np.float64], centre_shift: NDArray[np.float64] | None = None, phase: int = 0
    ) -> Float32:
        """Noise-free patterns.

        Parameters
        ----------
        rotations
            (n, 4) unit quaternions, scalar first, in kikuchipy's convention (sample to crystal).
        centre_shift
            (n, 3) jitter of each pattern's centre, or None.
        phase
            Number in `PHASES`.

        Returns
        -------
        (n, rows, cols) float32
            Nickel's are scaled to [−1, 1] each; those of all others have the same mean and contrast, so that only
            the bands tell.
        """
        from kikuchipy.detectors import EBSDDetector
        from orix.quaternion import Rotation

        centre = np.asarray(self.pattern_centre)
        if centre_shift is not None:
            centre = centre + centre_shift
        detector = EBSDDetector(self.sig_shape, pc=centre, sample_tilt=self.sample_tilt, convention="edax")
        master = _titanium_carbide() if phase else self.matrix.signal if self.matrix else load_nickel()
        with contextlib.redirect_stdout(io.StringIO()):
            signal = master.get_patterns(
                Rotation(rotations), detector, energy=USUAL_KEV, compute=True, show_progressbar=False
            )
        patterns: Float32 = signal.data.reshape(len(rotations), *self.sig_shape).astype(np.float32, copy=False)
        if master is not load_nickel():
            axes = (1, 2)
            patterns -= patterns.mean(axis=axes, keepdims=True)
            patterns *= SIGNAL_STD / patterns.std(axis=axes, keepdims=True)
            patterns += MEAN_SIGNAL
        return patterns


def blur(pattern: Float32, sigma_px: float) -> Float32:
    """Blur one pattern, as a point spread or a density of dislocations does.

    Parameters
    ----------
    pattern
        (rows, cols) float32.
    sigma_px
        Standard deviation of the Gaussian, in pixels; 0 leaves the pattern as it is.
    """
    if sigma_px <= 0:
        return pattern
    blurred: Float32 = gaussian_filter(pattern, sigma_px, mode="nearest", truncate=math.pi)
    return blurred


@cache
def _titanium_carbide() -> Any:
    """Kinematical master pattern of the carbide whose particles lie in nickel alloys."""
    return compute_kinematical(next(crystal for crystal in CRYSTALS if crystal.formula == "TiC"), USUAL_KEV)
