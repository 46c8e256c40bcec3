"""What samples, microscopes and cameras do to patterns: spans that the values of every pattern are drawn from."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from microrun.runtime.errors import MicrorunError

Span = tuple[float, float]
SIDE = 120  # lengths in pixels are of patterns of this side


@dataclass(frozen=True)
class Conditions:
    """How the patterns of a set differ. Strengths are against the bands, whose standard deviation is 1.

    Parameters
    ----------
    pattern_centre
        Spans of x*, y* and z* in EDAX's convention, each drawn evenly.
    tilt_deg
        Of the sample, less the camera's elevation.
    pixels
        Sides of the detector; one is drawn, so that one named twice comes twice as often. Larger ones are averaged to
        120 before anything else, which only makes their noise less.
    energy_mixing
        Share of patterns to which electrons of several energies contribute, as they do in all real ones; of a phase
        that is known at one energy it does nothing. Winkelmann et al., doi:10.1016/j.ultramic.2007.10.006.
    fine_detail, flanks
        What becomes of detail finer than about 3 px, and of that from 3 to 6 px: 1 leaves it, 0 takes it away. In real
        patterns edges are sharper and flanks fainter than in simulated ones: fitted to the nine of nickel, 0.8 and 0.
    saturation
        How much brighter bands and zone axes are held back: b becomes (1 − exp(−s·b))/s. Fitted likewise, s is 0.13;
        simulations of single energies make zone axes too bright.
    excess_deficiency
        Standard deviation in px of the shift between two sides of a band: the edge towards the beam is darker.
        Winkelmann, doi:10.1016/j.ultramic.2008.01.006.
    point_spread_px
        Standard deviation of the blur by phosphor, lens and deformed lattice.
    envelope_width
        Standard deviation of the bell that the scattered electrons' background is, in detector widths: bands and
        noise follow it.
    even
        Share of patterns without such a bell: of cameras that divide by their background.
    noise
        Standard deviation of shot and read-out noise, drawn by its logarithm.
    correlated_noise, correlation_px
        Share of patterns whose noise is not white, for light spreads in the phosphor, and over how far.
    blotches
        Share of patterns with a fixed pattern: dust, grain of the phosphor, gain of columns, a background of another
        day.
    fine_blotches, coarse_blotches
        Largest standard deviations of the fixed pattern of 0.8 to 2 px and of 2 to 6 px.
    brightness, brightness_order
        Standard deviation of the smooth residue that a background leaves which is of another topography, composition
        or dose, and how many half-waves along an axis it has: from gradients to patches.
    high_passed, locally_scaled
        Share of patterns whose local mean was taken away in acquisition ("dynamic background"), and of those the
        share whose local contrast was made even, too.
    shadowed
        Share of patterns with a screen that ends inside the mask, or a shadow on it.
    bad_pixels
        Share of patterns with dead or hot pixels, up to seven.
    clipped
        Share of patterns whose darkest and brightest pixels are clipped, up to 2 % of them.
    gamma
        Share of patterns whose brightness is raised to a power of 0.6 to 1.6.
    mixed
        Share of patterns from a boundary, where another orientation adds up to a third.
    inverted
        Share of patterns whose bands are dark.
    """

    pattern_centre: tuple[Span, Span, Span] = ((0.36, 0.56), (0.68, 0.88), (0.44, 0.62))
    tilt_deg: Span = (69.0, 71.0)
    pixels: tuple[int, ...] = (60, 60, 80, 96, 120, 120, 120, 120, 120)
    energy_mixing: float = 0.6
    fine_detail: Span = (0.4, 1.4)
    flanks: Span = (-0.2, 1.2)
    saturation: Span = (0.0, 0.3)
    excess_deficiency: float = 0.5
    point_spread_px: Span = (0.2, 2.4)
    envelope_width: Span = (0.25, 0.8)
    even: float = 0.35
    noise: Span = (0.1, 3.0)
    correlated_noise: float = 0.3
    correlation_px: Span = (0.3, 1.0)
    blotches: float = 0.5
    fine_blotches: float = 0.6
    coarse_blotches: float = 0.6
    brightness: Span = (0.0, 1.3)
    brightness_order: Span = (0.7, 6.0)
    high_passed: float = 0.25
    locally_scaled: float = 0.4
    shadowed: float = 0.15
    bad_pixels: float = 0.05
    clipped: float = 0.25
    gamma: float = 0.25
    mixed: float = 0.1
    inverted: float = 0.0

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if name == "pattern_centre":
                for span in value:
                    _check_span(name, span)
            elif name == "pixels":
                if not value or not all(isinstance(side, int) and SIDE // 2 <= side <= SIDE for side in value):
                    raise MicrorunError(f"pixels must be sides from {SIDE // 2} to {SIDE}; got {value}")
            elif isinstance(value, tuple):
                _check_span(name, value)
            elif not (math.isfinite(value) and value >= 0):
                raise MicrorunError(f"{name} must not be negative; got {value}")
        if min(self.pattern_centre[2][0], self.noise[0], self.brightness_order[0]) <= 0:
            raise MicrorunError("the detector's distance, the least noise and brightness_order must be positive")

    def describe(self) -> dict[str, Any]:
        """All spans, by values that JSON keeps."""
        return dataclasses.asdict(self)


def _check_span(name: str, span: Span) -> None:
    low, high = span
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise MicrorunError(f"{name} must go from a smaller to a larger number; got {span}")
