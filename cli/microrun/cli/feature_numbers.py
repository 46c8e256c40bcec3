"""Numbers of features as they are written on the command line."""

from __future__ import annotations

import re

from microrun.runtime.errors import LatentsError

MOST = 4096  # that a range may name: no model has so many
RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")


def parse_features(text: str) -> list[int]:
    """Read numbers of features with commas between, and ranges.

    Parameters
    ----------
    text
        What the user wrote, such as "3, 17" or "3-7,12".

    Returns
    -------
    list of int
        The numbers, in the order written.

    Raises
    ------
    LatentsError
        If the text is anything else.
    """
    found = [RANGE.fullmatch(part.strip()) for part in text.split(",")]
    spans = [(int(one[1]), int(one[2] or one[1])) for one in found if one]
    if len(spans) < len(found) or any(not 0 <= last - first < MOST for first, last in spans):
        raise LatentsError(
            f"features are numbers with commas between, counted from 0, or ranges that rise, such as 3-7,12; "
            f"got {text!r}"
        )
    return [number for first, last in spans for number in range(first, last + 1)]
