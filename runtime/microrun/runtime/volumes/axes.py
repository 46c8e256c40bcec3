"""Axes along which a volume is periodic, by their letters: "zyx" all of them, "yx" two, "" none."""

from __future__ import annotations

from typing import Any

import numpy as np

from microrun.runtime.errors import VolumeError

LETTERS = "zyx"  # in the order of a volume's axes
Wraps = tuple[bool, bool, bool]
NO_WRAPS: Wraps = (False, False, False)


def parse_axes(text: str) -> str:
    """Read axes as people write them.

    Parameters
    ----------
    text
        Letters z, y and x in any order, with or without commas between; or "all".

    Returns
    -------
    str
        The letters in the order z, y, x.

    Raises
    ------
    VolumeError
        If it is something else.
    """
    letters = LETTERS if text == "all" else text.replace(",", "").replace(" ", "")
    if not set(letters) <= set(LETTERS) or len(set(letters)) < len(letters):
        raise VolumeError(f"periodic axes are z, y and x, such as z,y,x or x,y, or all; got {text!r}")
    return "".join(letter for letter in LETTERS if letter in letters)


def stated_axes(attribute: Any) -> str:
    """Read what a data set's attribute ``periodic`` says: axes, or a bool for all or none; "" if it is another's."""
    if isinstance(attribute, str):
        try:
            return parse_axes(attribute)
        except VolumeError:
            return ""
    return LETTERS if isinstance(attribute, (bool, np.bool_)) and attribute else ""


def wraps_of(axes: str) -> Wraps:
    """Whether a volume is periodic along z, y and x, from the letters."""
    z, y, x = (letter in axes for letter in LETTERS)
    return z, y, x


def list_axes(axes: str) -> str:
    """Axes for people: "z, y, x"."""
    return ", ".join(axes)
