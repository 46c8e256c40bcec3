"""Writing small files so that their names never stand for half of one."""

from __future__ import annotations

import contextlib
from pathlib import Path

from microrun.runtime.errors import OutputError


def write_text(path: Path, text: str) -> None:
    """Write beside and rename.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    beside = path.with_name("part-" + path.name)
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from None
