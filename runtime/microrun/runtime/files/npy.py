"""Arrays in .npy files."""

from __future__ import annotations

from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.errors import VolumeError


def map_array(path: Path) -> NDArray[Any]:
    """Map a .npy file into memory; VolumeError if it is missing or damaged."""
    if not path.is_file():
        raise VolumeError(f"{path}: no such file")
    try:
        array = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, TokenError) as error:  # the header is parsed as Python
        raise VolumeError(f"{path}: is no .npy file of numbers, or a damaged one ({error})") from None
    return np.asarray(array)
