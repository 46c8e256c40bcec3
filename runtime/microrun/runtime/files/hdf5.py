"""HDF5's errors in words for people."""

from __future__ import annotations


def reason_of(error: BaseException) -> str:
    """HDF5's message without its stack: the system's reason if there is one."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    _, found, reason = text.partition("error message = '")
    return reason.partition("'")[0] if found else text
