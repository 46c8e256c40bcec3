"""HDF5's errors in words for people."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


def reason_of(error: BaseException) -> str:
    """HDF5's message without its stack: the system's reason if there is one."""
    message = getattr(error, "strerror", None) or str(error)
    text = message.splitlines()[0] if message else type(error).__name__
    _, found, reason = text.partition("error message = '")
    return reason.partition("'")[0] if found else text


@contextlib.contextmanager
def hdf5_errors() -> Iterator[None]:
    """Turn RuntimeError into OSError: HDF5 raises either when a disk is full."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(reason_of(error)) from None
