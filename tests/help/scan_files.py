"""Scan files in tests: read as they lie, copied, listed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from microrun.runtime.scans.up_source import FileSource


def read_patterns(path: Path) -> np.ndarray:
    """All patterns of an UP file, (n, rows, cols)."""
    source = FileSource(path)
    shape = (source.available, *source.scan.sig_shape)
    return np.array(np.memmap(path, source.scan.dtype, "r", source.header.offset, shape))


def copy_with_truth(scan: Path, folder: Path) -> Path:
    """Copy a simulated scan and its truth."""
    for path in (scan, scan.with_suffix(".truth.npz")):
        shutil.copy(path, folder / path.name)
    return folder / scan.name


def names_in(folder: Path, pattern: str = "*") -> list[str]:
    """Names of the files in a folder, in their order."""
    return sorted(path.name for path in folder.glob(pattern))
