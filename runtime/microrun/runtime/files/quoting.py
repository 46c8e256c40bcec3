"""Paths as they are typed in a shell."""

from __future__ import annotations

import os
import shlex

TROUBLE = frozenset(" \t&()[]{}^=;!'+,`~%$@")  # of the shells of Windows


def quoted(word: object) -> str:
    """A path or an argument as it is typed: in quotes where it holds spaces, or anything else of the shell's.

    Parameters
    ----------
    word
        A path, or whatever else.
    """
    text = str(word)
    if os.name != "nt":
        return shlex.quote(text)
    return f'"{text}"' if not text or TROUBLE & set(text) else text
