"""Threads that share what kernels do."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.cores import count_cores

Window = NDArray[np.int64]  # (3, 3): first, end and step along z, y and x


class Workers:
    """Threads that share the planes of a window; the work must not depend on how they are shared.

    Parameters
    ----------
    threads
        None for as many as there are cores.
    """

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or count_cores()
        self._pool = ThreadPoolExecutor(self.threads)

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    def run(self, kernel: Callable[..., None], window: Window, *arguments: object) -> None:
        """Run a kernel on all parts of a window, and wait.

        Parameters
        ----------
        kernel
            Takes a window first.
        window
            What is shared, plane by plane.
        arguments
            What the kernel takes after it.
        """
        planes = np.arange(*window[0])
        parts = [part for part in np.array_split(planes, self.threads) if len(part)]
        windows = [np.array([(part[0], part[-1] + 1, window[0, 2]), *window[1:]]) for part in parts]
        self.run_parts(lambda part: kernel(part, *arguments), windows)

    def share(self, costs: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Share planes so that each thread has about the same to do.

        Parameters
        ----------
        costs
            (planes,) int64: what each of them takes.

        Returns
        -------
        list of (2,) int64
            First plane and the one after the last, of each thread that has anything to do.
        """
        done = np.cumsum(costs)
        bounds = np.searchsorted(done, done[-1] * np.arange(1, self.threads) / self.threads)
        ends = np.unique([0, *bounds, len(costs)])
        return [np.array(part) for part in itertools.pairwise(ends) if costs[slice(*part)].any()]

    def run_parts(self, work: Callable[[NDArray[np.int64]], None], parts: Sequence[NDArray[np.int64]]) -> None:
        """Do all parts, and wait.

        Parameters
        ----------
        work
            What is done with each, by kernels that let other threads run.
        parts
            That may be done at the same time.
        """
        if len(parts) == 1:
            work(parts[0])
        else:
            list(self._pool.map(work, parts))
