"""Where the command line's text goes: terminals of any encoding, pipes, and nowhere."""

from __future__ import annotations

import codecs
import io
import os
import sys

NAME = "microrun.spell"
SPELLED = {
    "×": "x", "µ": "u", "−": "-", "–": "-", "—": "-", "°": " deg", "…": "...", "→": "->", "·": "*", "²": "2", "³": "3",
    "≤": "<=", "≥": ">=", "±": "+-", "≈": "~", "é": "e", "ö": "o", "ü": "u", "ä": "a", "σ": "sigma", "η": "eta",
    "θ": "theta",
}  # fmt: skip


def spell(error: UnicodeError) -> tuple[str, int]:
    """Replace what an encoding lacks, as an error handler of `codecs`: × becomes x in Japanese terminals."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(SPELLED.get(character, "?") for character in lacking), error.end


def prepare_streams() -> None:
    """Make standard output and error take any text, whatever their encoding and even if they are closed."""
    codecs.register_error(NAME, spell)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=NAME)
