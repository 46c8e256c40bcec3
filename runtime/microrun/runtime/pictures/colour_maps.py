"""Colour maps by the names that matplotlib has for them."""

from __future__ import annotations

import difflib

from microrun.runtime.errors import MicrorunError

# Those whose middle means something, as matplotlib's documentation lists them.
DIVERGING = (
    "PiYG", "PRGn", "BrBG", "PuOr", "RdGy", "RdBu", "RdYlBu", "RdYlGn", "Spectral", "coolwarm", "bwr", "seismic",
    "berlin", "managua", "vanimo",
)  # fmt: skip


def check_cmap(name: str) -> str:
    """Refuse a name that matplotlib does not know.

    Parameters
    ----------
    name
        As it is typed.

    Returns
    -------
    The name.

    Raises
    ------
    MicrorunError
        If there are no such colours; it names those that are spelled most alike.
    """
    from matplotlib import colormaps

    if name in colormaps:
        return name
    by_small = {known.lower(): known for known in colormaps}
    alike = [by_small[each] for each in difflib.get_close_matches(name.lower(), by_small, 3)]
    said = f"; did you mean {' or '.join(alike)}?" if alike else ", such as viridis, gray or RdBu_r"
    raise MicrorunError(f"--cmap must be the name of a colour map of matplotlib; got {name!r}{said}")


def is_diverging(name: str) -> bool:
    """Whether the middle of the colours means something, so that 0 belongs there.

    Parameters
    ----------
    name
        As matplotlib has it; with _r they run the other way.
    """
    return name.removesuffix("_r") in DIVERGING
