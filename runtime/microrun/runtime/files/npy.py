"""Arrays in .npy files."""

from __future__ import annotations

from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.errors import VolumeError, first_line
from microrun.runtime.json_text import UNREADABLE

_OF_PYTHON = (SyntaxError, TokenError, RecursionError, MemoryError, EOFError)  # which parses the header


def map_array(path: Path) -> NDArray[Any]:
    """Map a .npy file into memory; VolumeError if it is missing or damaged."""
    if not path.is_file():
        raise VolumeError(f"{path}: no such file")
    try:
        with np.errstate(over="ignore"):  # sides whose product no index holds are refused later
            return np.asarray(np.lib.format.open_memmap(path, "c"))
    except (OSError, *UNREADABLE, *_OF_PYTHON) as error:
        raise VolumeError(f"{path}: is not a .npy file of numbers, or it is damaged ({first_line(error)})") from None
