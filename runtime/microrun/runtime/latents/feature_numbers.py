"""Which features of latents there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from microrun.runtime.errors import LatentsError

if TYPE_CHECKING:
    from microrun.runtime.latents.reader import Latents

NAMED = 3  # numbers that an error names, at most


def check_features(latents: Latents, numbers: Sequence[int]) -> None:
    """Refuse numbers that no feature has, and none at all.

    Parameters
    ----------
    latents
        Whose features they are.
    numbers
        From 0.

    Raises
    ------
    LatentsError
        That names the first of them.
    """
    size = latents.shape[2]
    wrong = [number for number in numbers if not 0 <= number < size]
    if not numbers or wrong:
        named = ", ".join(map(str, wrong[:NAMED])) or "none"
        more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        raise LatentsError(f"{latents.path}: features are 0 to {size - 1}; got {named}{more}")
