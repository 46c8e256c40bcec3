"""The memory-mapped file of prepared patterns, and the JSON beside it that says what it was made from."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.errors import OutputError
from microrun.runtime.files.disk import take_room
from microrun.runtime.files.output import write_text, written_beside
from microrun.runtime.json_text import UNREADABLE, parse_object
from microrun.runtime.progress import Job

Fill = Callable[[NDArray[np.float16]], Job[NDArray[np.bool_]]]

_FORMAT = 2  # to be raised whenever the same scans would be prepared to other numbers


def open_cache(cache: Path, record: dict[str, Any]) -> tuple[NDArray[np.float16], NDArray[np.bool_]] | None:
    """Open prepared patterns that were made from what a record describes.

    Parameters
    ----------
    cache
        The .npy file.
    record
        Of JSON's types.

    Returns
    -------
    (n, H, W) float16, memory-mapped, and (n,) bool, which of them carry information
        None if there is no such file, or it was made from something else.
    """
    try:
        stored = parse_object(_record_beside(cache).read_bytes())
        # Format 1 is another only where patterns without information were part of the mean.
        known = (_FORMAT,) if stored["without_information"] else (1, _FORMAT)
        if stored["record"] != record or stored["format"] not in known:
            return None
        patterns = np.load(cache, mmap_mode="r", allow_pickle=False)
        informative = np.ones(len(patterns), bool)
        informative[stored["without_information"]] = False
    except (OSError, *UNREADABLE):  # damaged: it is made again
        return None
    return patterns, informative


def make_cache(cache: Path, record: dict[str, Any], shape: tuple[int, ...], fill: Fill) -> Job[None]:
    """Make the file; its JSON comes last, so that no half of it is ever used.

    Parameters
    ----------
    cache, record
        As in `open_cache`.
    shape
        (n, H, W).
    fill
        A job that writes all patterns into the array it is given, and returns which of them carry information.

    Raises
    ------
    OutputError
        If the disk has no room; it is all taken before the first pattern is prepared.
    """
    with written_beside(cache) as beside:
        patterns = _take_file(beside, shape)
        informative = yield from fill(patterns)
        patterns.flush()
        del patterns  # Windows renames no file that is mapped
        _record_beside(cache).unlink(missing_ok=True)
    without = np.flatnonzero(~informative).tolist()
    write_text(_record_beside(cache), json.dumps({"format": _FORMAT, "record": record, "without_information": without}))


def _take_file(path: Path, shape: tuple[int, ...]) -> np.memmap[Any, np.dtype[np.float16]]:
    try:
        patterns: np.memmap[Any, np.dtype[np.float16]] = np.lib.format.open_memmap(path, "w+", np.float16, shape)
        take_room(path)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}); {2 * math.prod(shape) / 1e9:.1f} GB are needed. "
            f"Make room, choose another --folder, or take fewer --patterns-per-scan"
        ) from None
    return patterns


def _record_beside(cache: Path) -> Path:
    return cache.with_suffix(".json")
