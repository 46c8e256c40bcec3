"""What other libraries warn of while they read a file, said by us: once, in a line, with the file's name."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from microrun.runtime.scans.up2 import ScanWarning


@contextmanager
def said_as_ours(path: Path, library: str, known: str = "") -> Iterator[None]:
    """Collect what a library warns of, and warn of it when it is done.

    What is meant for programmers, such as that something is deprecated, is left out.

    Parameters
    ----------
    path
        The file that it reads.
    library
        Its name.
    known
        Part of a warning that is said better elsewhere; empty for none.

    Warns
    -----
    ScanWarning
        For each different text.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        yield
    meant = (one for one in said if issubclass(one.category, UserWarning | RuntimeWarning))
    texts = dict.fromkeys(" ".join(str(one.message).split()) for one in meant if "Deprec" not in one.category.__name__)
    for text in texts:
        if not (known and known in text):
            warnings.warn(f"{path}: {text} (said by {library})", ScanWarning, stacklevel=2)
