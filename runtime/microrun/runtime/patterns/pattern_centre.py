"""Pattern centres, of a whole detector and of the square in its middle."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real

from microrun.runtime.errors import ScanError

Centre = tuple[float, float, float]
BESIDE, FARTHEST = 0.5, 5.0  # how far x* and y* may lie beside the detector, and z* from it; pixels are far more


def check_centre(centre: Sequence[float]) -> Centre:
    """Refuse what is no pattern centre in EDAX's convention.

    Parameters
    ----------
    centre
        (x*, y*, z*).

    Returns
    -------
    x*, y*, z*
        The same.

    Raises
    ------
    ScanError
        If it is not three finite numbers, z* is not positive, or it is evidently in pixels: x* and y* must be between
        −0.5 and 1.5, z* below 5.
    """
    if len(centre) != 3 or not all(isinstance(value, Real) and not isinstance(value, bool) for value in centre):
        raise ScanError(f"a pattern centre is three numbers, such as 0.42, 0.79, 0.50; got {centre!r}")
    x, y, z = map(float, centre)
    if not (all(-BESIDE <= value <= 1 + BESIDE for value in (x, y)) and 0 < z < FARTHEST):
        raise ScanError(
            f"a pattern centre is stated in shares of the detector's side, in EDAX's convention, x and y from "
            f"{-BESIDE} to {1 + BESIDE}, z above 0; got {x:g}, {y:g}, {z:g}"
        )
    return x, y, z


def crop_centre(centre: Centre, sig_shape: tuple[int, int]) -> Centre:
    """EDAX's pattern centre of a detector to Bruker's of the square in its middle.

    Parameters
    ----------
    centre
        (x*, y*, z*) in EDAX's convention, of the whole detector.
    sig_shape
        (rows, cols) of the detector.

    Returns
    -------
    x*, y*, z*
        In Bruker's convention, of the square.

    Notes
    -----
    EDAX counts x* in widths, y* in heights from the lower edge, z* in shares of the shorter side; Bruker counts y
    from the upper edge. Where the sides differ by an odd number, the crop lies half a pixel off the middle.
    """
    rows, cols = sig_shape
    side = min(rows, cols)
    x, y, z = centre
    return (x * cols - (cols - side) // 2) / side, ((1 - y) * rows - (rows - side) // 2) / side, z


def uncrop_centre(centre: Centre, sig_shape: tuple[int, int]) -> Centre:
    """Invert `crop_centre`."""
    rows, cols = sig_shape
    side = min(rows, cols)
    x, y, z = centre
    return (x * side + (cols - side) // 2) / cols, 1 - (y * side + (rows - side) // 2) / rows, z
