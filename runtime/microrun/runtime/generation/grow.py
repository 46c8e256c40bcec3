"""Grow volumes of any size and shape, block by block (Hoffman et al., GrainPaint, arXiv:2503.04776)."""

from __future__ import annotations

import queue
from collections.abc import Generator
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.engines.denoiser import Denoiser
from microrun.runtime.generation.block_folder import BlockFolder
from microrun.runtime.generation.block_maker import BlockMaker
from microrun.runtime.generation.effort import check_block, evaluations_of_blocks
from microrun.runtime.generation.tiling import Tiling
from microrun.runtime.progress import Progress

TICK_S = 0.5  # between signs of life


@dataclass(frozen=True)
class Grown(Progress):
    """How far a volume has come.

    Parameters
    ----------
    done, total
        Evaluations of the network: since the start of this run, and of the whole run.
    phase
        Empty while blocks grow.
    blocks
        Finished ones, those of earlier runs among them.
    """

    blocks: int = 0


class ReadyBlocks:
    """Blocks that wait for no other any more, in the order of the tiling.

    Parameters
    ----------
    tiling
        Blocks and what they wait for.
    finished
        (n,) bool: blocks that are there already.

    Attributes
    ----------
    first : list of int
        Those that are ready at once.
    """

    def __init__(self, tiling: Tiling, finished: NDArray[np.bool_]) -> None:
        blocks = np.repeat(np.arange(len(tiling)), np.diff(tiling.starts))
        self._finished = finished
        self._waits_for = np.bincount(blocks[~finished[tiling.earlier]], minlength=len(tiling))
        order = np.argsort(tiling.earlier, kind="stable")
        self._later = blocks[order]
        self._starts = np.searchsorted(tiling.earlier[order], np.arange(len(tiling) + 1))
        self.first: list[int] = np.flatnonzero((self._waits_for == 0) & ~finished).tolist()

    def finish(self, number: int) -> list[int]:
        """Take note of a finished block; returns those that it was the last to keep waiting, ascending."""
        later = self._later[self._starts[number] : self._starts[number + 1]]
        self._waits_for[later] -= 1
        ready: list[int] = later[(self._waits_for[later] == 0) & ~self._finished[later]].tolist()
        return ready


def grow(folder: BlockFolder, denoiser: Denoiser) -> Generator[Grown, None, None]:
    """Make all blocks of a volume that are missing, on this machine.

    Blocks start as soon as those that they wait for are finished. The volume is the same, to the last bit on the
    CPU, for any lanes and batch, and wherever the work was interrupted.

    Parameters
    ----------
    folder
        Of the volume.
    denoiser
        That draws the blocks.

    Yields
    ------
    Grown
        About twice a second.

    Raises
    ------
    EngineError
        If the denoiser is no block's, or fails.
    VolumeError, OutputError
        If a block cannot be read or stored. What is finished stays.
    """
    check_block(denoiser.spec)
    finished, evaluations = folder.finished(), evaluations_of_blocks(folder)
    waiting, done = ReadyBlocks(folder.tiling, finished), queue.SimpleQueue[tuple[int, Future[None]]]()
    with BlockMaker(denoiser, folder) as maker:

        def submit(number: int) -> None:
            maker.submit(number).add_done_callback(lambda future: done.put((number, future)))

        for number in waiting.first:
            submit(number)
        total, count = int(evaluations[~finished].sum()), int(finished.sum())
        while count < len(finished):
            yield Grown(maker.evaluations, total, blocks=count)
            try:
                number, future = done.get(timeout=TICK_S)
            except queue.Empty:
                continue
            future.result()
            count += 1
            for later in waiting.finish(number):
                submit(later)
        yield Grown(maker.evaluations, total, blocks=count)
