"""Crystal structures that can be indexed."""

from __future__ import annotations

from typing import NamedTuple

from microrun.runtime.errors import ScanError


class Structure(NamedTuple):
    """What indexing takes of a crystal structure.

    Parameters
    ----------
    space_group
        Its number.
    planes
        Families of planes with strong bands.
    axis_ratio
        c/a. Hough indexing uses angles only, so that in cubic crystals the lattice parameter is of no matter.
    """

    space_group: int
    planes: list[list[int]]
    axis_ratio: float = 1.0


# The ratio of hcp is between those of titanium and magnesium, and does for zirconium and cobalt; zinc's is 1.856.
PHASES = {
    "fcc": Structure(225, [[1, 1, 1], [0, 0, 2], [0, 2, 2], [1, 1, 3]]),
    "bcc": Structure(229, [[0, 1, 1], [0, 0, 2], [1, 1, 2], [0, 1, 3]]),
    "diamond": Structure(227, [[1, 1, 1], [0, 2, 2], [0, 0, 4], [1, 1, 3]]),
    "hcp": Structure(194, [[1, 0, 0], [0, 0, 2], [1, 0, 1], [1, 0, 2], [1, 1, 0], [1, 0, 3], [1, 1, 2]], 1.6),
}


def find_structure(phase: str) -> Structure | None:
    """Structure of a phase that can be indexed.

    Parameters
    ----------
    phase
        One of `PHASES`, or "hcp:" and c/a, such as "hcp:1.856" for zinc.

    Returns
    -------
    Structure
        None for another phase, or a ratio that no crystal has.
    """
    name, colon, ratio = phase.partition(":")
    found = PHASES.get(name)
    if not colon or found is None:
        return found
    try:
        axis_ratio = float(ratio)
    except ValueError:
        return None
    return found._replace(axis_ratio=axis_ratio) if name == "hcp" and 1 <= axis_ratio <= 2.5 else None


def check_phase(phase: str) -> None:
    """Refuse a phase that cannot be indexed.

    Parameters
    ----------
    phase
        As `find_structure` takes it.

    Raises
    ------
    ScanError
        If it is another.
    """
    if find_structure(phase) is None:
        raise ScanError(f"phase {phase!r} cannot be indexed; it must be one of {', '.join(PHASES)}, or hcp:C/A")
