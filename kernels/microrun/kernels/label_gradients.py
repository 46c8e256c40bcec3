"""Structure tensors of pictures of labels: which way the borders of grains run, whatever the numbers of the grains."""

from __future__ import annotations

from typing import Any

import numpy as np

from microrun.kernels.compiling import exact_kernel


@exact_kernel
def label_tensors(labels: Any, across: Any, down: Any, out: Any) -> None:
    """Sum the squared gradients of all labels at every cell.

    The gradient of a label is that of the picture that is 1 in its cells and 0 elsewhere, so that no number is nearer
    to another. A window of one label has none.

    Parameters
    ----------
    labels
        (n, rows, cols) of integers.
    across, down
        (2 r + 1, 2 r + 1) float64, weights of the derivatives to the right and downwards; the sum of each is 0.
    out
        (n, rows − 2 r, cols − 2 r, 3) float64: right × right, down × down and right × down, of the cells whose window
        lies within the section.
    """
    count, rows, cols, _ = out.shape
    side = across.shape[0]
    found = np.empty(side * side, labels.dtype)
    right, below = np.empty(side * side), np.empty(side * side)
    for n in range(count):
        for y in range(rows):
            for x in range(cols):
                first, same = labels[n, y, x], True
                for row in range(side):
                    for col in range(side):
                        same &= labels[n, y + row, x + col] == first
                if same:
                    out[n, y, x] = 0.0
                    continue
                kinds = gather(labels[n, y : y + side, x : x + side], across, down, found, right, below)
                both, squares, products = 0.0, 0.0, 0.0
                for kind in range(kinds):
                    both += right[kind] * right[kind]
                    squares += below[kind] * below[kind]
                    products += right[kind] * below[kind]
                out[n, y, x, 0], out[n, y, x, 1], out[n, y, x, 2] = both, squares, products


@exact_kernel
def gather(window: Any, across: Any, down: Any, found: Any, right: Any, below: Any) -> int:
    """Add up the weights of each label in a window.

    Parameters
    ----------
    window
        (side, side) of integers.
    across, down
        (side, side) float64 weights.
    found, right, below
        (side²,) written up to the number returned: the labels, and the sums of their weights.

    Returns
    -------
    int
        Number of different labels.
    """
    kinds = 0
    for row in range(window.shape[0]):
        for col in range(window.shape[1]):
            label, kind = window[row, col], 0
            while kind < kinds and found[kind] != label:
                kind += 1
            if kind == kinds:
                found[kind], right[kind], below[kind] = label, 0.0, 0.0
                kinds += 1
            right[kind] += across[row, col]
            below[kind] += down[row, col]
    return kinds
