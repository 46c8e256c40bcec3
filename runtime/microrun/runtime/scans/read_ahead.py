"""Patterns that threads read before they are asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Raw


class ReadAhead:
    """Read single patterns by several threads, those that are expected before they are wanted.

    Parameters
    ----------
    load
        Gives the pattern of a number, (rows, cols); called from any thread. What it raises, `read` raises.
    threads
        How many read at a time.
    """

    def __init__(self, load: Callable[[int], Raw], threads: int) -> None:
        self._load = load
        self._pool = ThreadPoolExecutor(threads, "reading")
        self._ahead: dict[int, Future[Raw]] = {}
        self._changing = threading.RLock()  # `forget` may come from a signal handler, at any moment

    def expect(self, numbers: Iterable[int]) -> None:
        """Begin to read patterns; each is kept until it is read."""
        with self._changing:
            for number in numbers:
                if number not in self._ahead:
                    self._ahead[number] = self._pool.submit(self._load, number)

    def read(self, numbers: NDArray[np.int64], out: Raw) -> None:
        """Copy patterns into ``out``, (n, rows, cols), and keep none of them."""
        wanted = numbers.tolist()
        if len(wanted) > 1:
            self.expect(wanted)
        with self._changing:
            coming = [self._ahead.pop(number, None) for number in wanted]
        for number, future, place in zip(wanted, coming, out, strict=True):
            place[:] = self._load(number) if future is None else future.result()

    def forget(self) -> None:
        """Drop what nobody has asked for."""
        with self._changing:
            for future in list(self._ahead.values()):  # a signal may have them forgotten meanwhile
                future.cancel()
            self._ahead.clear()
