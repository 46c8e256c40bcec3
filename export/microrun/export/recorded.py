"""Patterns that ship with the package, to measure models on: ``recorded.npz``, CC BY 4.0.

Nickel: 9 measured patterns of 60×60, Ånes et al., doi:10.5281/zenodo.3265037. Diamond: 1 pattern of 480×480 of a
crystal of that structure, simulated by ``tests/help/make_diamond.py``. Both come with their static background.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.spec import Preprocessing

MATERIALS = ("nickel", "diamond")
_FILE = Path(__file__).with_name("recorded.npz")


def recorded_patterns(material: str, preprocessing: Preprocessing) -> Float32:
    """Prepared patterns.

    Parameters
    ----------
    material
        "nickel" or "diamond".
    preprocessing
        From the model's spec.

    Returns
    -------
    (n, H, W) float32
    """
    with np.load(_FILE) as file:
        patterns: NDArray[np.uint8] = file[material]
        image = file[f"{material}_background"]
    preprocessor = Preprocessor(preprocessing, (patterns.shape[1], patterns.shape[2]))
    out = np.empty((len(patterns), *preprocessor.input_shape), np.float32)
    ranges, flags = np.empty((len(out), 2), np.float32), np.empty(len(out), bool)
    preprocessor.prepare(patterns, preprocessor.bin_image(image), out, ranges, flags)
    return out
