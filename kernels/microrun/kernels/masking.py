"""The circular mask of a detector."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def circular_keep(shape: tuple[int, int], radius: int) -> NDArray[np.bool_]:
    """Pixels to use, as a circle about the middle of the pattern.

    Parameters
    ----------
    shape
        (rows, cols) of the pattern.
    radius
        −1 keeps all pixels, 0 the inscribed circle, a positive number the circle of that radius in pixels.

    Returns
    -------
    pixel_keep : (rows, cols) bool
        True where the centre of the pixel lies within the circle.

    Raises
    ------
    ValueError
        For a radius below −1.
    """
    if radius < -1:
        raise ValueError(f"mask radius must be -1 (no mask), 0 (inscribed) or positive pixels; got {radius}")
    if radius == -1:
        return np.ones(shape, bool)
    rows, cols = shape
    y = np.arange(rows)[:, None] - (rows - 1) / 2
    x = np.arange(cols)[None, :] - (cols - 1) / 2
    return x * x + y * y <= (radius or min(rows, cols) / 2) ** 2
