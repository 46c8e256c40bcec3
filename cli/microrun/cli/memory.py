"""Too little memory, in words: what libraries raise then, and limits under which they raise nothing but die."""

from __future__ import annotations

import errno
import sys

from microrun.runtime.errors import MicrorunError, first_line

LEAST_BYTES = 1_300_000_000  # of addresses: with less, LLVM may end the process without a word, or wait for ever
ADVICE = "free some, or lift the limit that `ulimit -v` or the batch system sets"
SAID = ("std::bad_alloc", "annot allocate memory", "can't start new thread", "error return without exception set")


class MemoryShortageError(MicrorunError):
    """There is not enough memory for a command."""

    exit_code = 1


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that memory is exhausted; by its text only where a limit makes that likely."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    return _limit_bytes() is not None and any(said in str(error) for said in SAID)


def describe_shortage(error: BaseException) -> str:
    """One line for an error that `lacks_memory`."""
    return f"not enough memory ({first_line(error)}); {ADVICE}"


def check_limit() -> None:
    """Refuse to start where the shell allows so few addresses that libraries die.

    Raises
    ------
    MemoryShortageError
        If it does.
    """
    limit = _limit_bytes()
    if limit is not None and limit < LEAST_BYTES:
        found, least = (f"{size / 1e9:.2g} GB" for size in (limit, LEAST_BYTES))
        raise MemoryShortageError(f"not enough memory: `ulimit -v` allows {found} of addresses; lift it to {least}")


def _limit_bytes() -> int | None:
    """Addresses that the shell allows; None without a limit."""
    if sys.platform == "win32":
        return None
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit in (-1, resource.RLIM_INFINITY) else limit
