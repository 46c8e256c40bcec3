"""Whether the bytes of a pattern file are pixels of 8 or of 16 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

PIECES, PIECE_BYTES = 16, 1 << 15


def looks_eight_bit(path: Path, offset: int) -> bool:
    """Tell whether a file's pixels have 8 bits rather than 16, by how alike bytes are that follow each other.

    Pixels beside each other are alike, and so are the upper bytes of 16-bit pixels. A lower byte beside an upper one
    is not; in patterns that were stretched from 8 bits it is exactly the same, or always 0.

    Parameters
    ----------
    path
        The file.
    offset
        Byte where its patterns start.

    Returns
    -------
    bool
        True also for noise over the whole range, in which nothing tells.
    """
    size = path.stat().st_size - offset
    starts = np.unique(np.linspace(0, max(0, size - PIECE_BYTES), PIECES).astype(np.int64) // 2 * 2)
    within = between = 0.0
    for start in starts.tolist():
        piece = np.fromfile(path, np.uint8, PIECE_BYTES, offset=offset + start)
        first, second = piece[: len(piece) // 2 * 2].reshape(-1, 2).astype(np.int64).T
        within += float(np.abs(first - second).sum())
        between += float(np.abs(np.diff(second)).sum())
    return between / 4 < within < 1.5 * between
