"""What lies in a folder."""

from __future__ import annotations

from pathlib import Path


def names_in(folder: Path, pattern: str = "*") -> list[str]:
    """Sorted names of the files that match a pattern."""
    return sorted(path.name for path in folder.glob(pattern))
