"""Pattern centres, of a whole detector and of the square in its middle."""

from __future__ import annotations

Centre = tuple[float, float, float]


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
