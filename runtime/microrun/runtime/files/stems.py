"""What files are named after that are made of another one."""

from __future__ import annotations

from pathlib import Path


def stem_of(path: Path) -> str:
    """Name of a file without its ending; of a folder, in whose name no dot begins an ending, all of it.

    Parameters
    ----------
    path
        It need not be there.
    """
    return path.resolve().name if path.is_dir() else path.stem
