"""HDF5 files as other vendors write them, as far as a reader looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray


def write_h5oina(path: Path, nav_shape: tuple[int, int], scans: dict[str, NDArray[Any]]) -> Path:
    """Write scans of Oxford's, each (n, rows, cols); n may be less than the header promises."""
    with h5py.File(path, "w") as file:
        file["Manufacturer"] = np.array([b"Oxford Instruments"])
        file["Format Version"] = np.array([b"5.0"])
        for name, patterns in scans.items():
            header = {
                "Y Cells": nav_shape[0], "X Cells": nav_shape[1], "Y Step": 0.5, "X Step": 0.5,
                "Pattern Height": patterns.shape[1], "Pattern Width": patterns.shape[2], "Tilt Angle": 1.2217,
            }  # fmt: skip
            for key, value in header.items():
                file[f"{name}/EBSD/Header/{key}"] = np.array([value])
            file[f"{name}/EBSD/Header/Detector Orientation Euler"] = np.array([[0.0, 1.6, 0.0]])
            file[f"{name}/EBSD/Data/Processed Patterns"] = patterns
    return path
