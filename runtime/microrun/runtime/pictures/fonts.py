"""Letters that the usual font lacks, such as those of Chinese and Japanese names: from another that is installed."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BOXES = "Last Resort"  # of matplotlib: has all letters, each as a box
INSTEAD = "?"  # of a letter that no font has


class FontWarning(UserWarning):
    """Letters of a picture that no font has."""


def find_letters(figure: Figure) -> None:
    """Give texts of a figure the fonts that their letters need, and no bold ones; what no font has becomes a "?".

    Parameters
    ----------
    figure
        That is about to be written.

    Warns
    -----
    FontWarning
        If there are letters that no installed font has.
    """
    from matplotlib.font_manager import findfont
    from matplotlib.text import Text

    texts = [text for text in figure.findobj(Text) if isinstance(text, Text) and not text.get_text().isascii()]
    lacking = {letter for text in texts for letter in text.get_text() if letter.isprintable()}
    lacking -= _letters_of(findfont(texts[0].get_fontproperties())) if texts else set()
    if not lacking:
        return
    families, lost = _find_families(lacking)
    instead = str.maketrans(dict.fromkeys(lost, INSTEAD))
    for text in texts:
        if lacking.isdisjoint(text.get_text()):
            continue
        if families:  # of which few have bold letters
            text.set(fontfamily=[*text.get_fontfamily(), *families], fontweight="normal")
        text.set_text(text.get_text().translate(instead))
    if lost:
        shown = "".join(sorted(lost)[:10])
        warnings.warn(
            f"no font that is installed has {shown}: pictures show {INSTEAD} there; install a font such as Noto Sans "
            "CJK",
            FontWarning,
            stacklevel=3,
        )


def _find_families(lacking: Iterable[str]) -> tuple[list[str], set[str]]:
    """Fonts that together have the letters, each with some that those before it lack; and what none has."""
    from matplotlib.font_manager import fontManager

    families, left = [], set(lacking)
    fonts = [font for font in fontManager.ttflist if not font.name.startswith(BOXES)]
    for font in sorted(fonts, key=lambda one: (one.weight != 400, one.style != "normal", one.name)):
        if left and (found := left & _letters_of(font.fname)):
            families.append(font.name)
            left -= found
    return families, left


@functools.cache
def _letters_of(path: str) -> frozenset[str]:
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(map(chr, FT2Font(path).get_charmap()))
    except (OSError, RuntimeError):  # a font that is damaged, or has gone
        return frozenset()
