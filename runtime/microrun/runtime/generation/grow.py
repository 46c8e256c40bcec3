"""Grow volumes of any size and shape, block by block (Hoffman et al., GrainPaint, arXiv:2503.04776)."""

from __future__ import annotations

import queue
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.engines.denoiser import Denoiser
from microrun.runtime.generation.block_folder import BlockFolder
from microrun.runtime.generation.block_maker import BlockMaker
from microrun.runtime.generation.effort import check_block, evaluations_of_blocks
from microrun.runtime.generation.tiling import Tiling
from microrun.runtime.volumes.segment import SegmentOptions, Summary, write_labels
from microrun.runtime.volumes.volume import Volume

VALUE_SCALE = 100.0  # of GrainPaint's labels: the side of its training volumes
TICK_S = 0.5  # between signs of life
Progress = Callable[["Grown"], None]


@dataclass(frozen=True)
class Grown:
    """How far a volume has come.

    Parameters
    ----------
    blocks
        Finished ones.
    evaluations
        Of the network since the start of this run.
    remaining
        Evaluations that are still to be done.
    """

    blocks: int
    evaluations: int
    remaining: int


class Queue:
    """Blocks that are ready, in the order of the tiling.

    Parameters
    ----------
    tiling
        Blocks and what they wait for.
    finished
        (n,) bool: blocks that are there already.
    """

    def __init__(self, tiling: Tiling, finished: NDArray[np.bool_]) -> None:
        blocks = np.repeat(np.arange(len(tiling)), np.diff(tiling.starts))
        self._finished = finished
        self._waits_for = np.bincount(blocks[~finished[tiling.earlier]], minlength=len(tiling))
        order = np.argsort(tiling.earlier, kind="stable")
        self._later = blocks[order]
        self._starts = np.searchsorted(tiling.earlier[order], np.arange(len(tiling) + 1))
        self.ready: list[int] = np.flatnonzero((self._waits_for == 0) & ~finished).tolist()

    def finish(self, number: int) -> list[int]:
        """Take note of a finished block; returns those that it was the last to keep waiting, ascending."""
        later = self._later[self._starts[number] : self._starts[number + 1]]
        self._waits_for[later] -= 1
        ready: list[int] = later[(self._waits_for[later] == 0) & ~self._finished[later]].tolist()
        return ready


def grow(folder: BlockFolder, denoiser: Denoiser, progress: Progress = lambda _: None) -> None:
    """Make all blocks of a volume that are missing, on this machine.

    Blocks start as soon as those that they wait for are finished. The volume is the same, to the last bit on the
    CPU, for any lanes and batch, and wherever the work was interrupted.

    Parameters
    ----------
    folder
        Of the volume.
    denoiser
        That draws the blocks.
    progress
        Called about twice a second.

    Raises
    ------
    EngineError
        If the denoiser is no block's, or fails.
    VolumeError, OutputError
        If a block cannot be read or stored. What is finished stays.
    """
    check_block(denoiser.spec)
    finished, evaluations = folder.finished(), evaluations_of_blocks(folder)
    waiting, done = Queue(folder.tiling, finished), queue.SimpleQueue[tuple[int, Future[None]]]()
    with BlockMaker(denoiser, folder) as maker:

        def submit(number: int) -> None:
            maker.submit(number).add_done_callback(lambda future: done.put((number, future)))

        for number in waiting.ready:
            submit(number)
        total, count = int(evaluations[~finished].sum()), int(finished.sum())
        while count < len(finished):
            progress(Grown(count, maker.evaluations, total - maker.evaluations))
            try:
                number, future = done.get(timeout=TICK_S)
            except queue.Empty:
                continue
            future.result()
            count += 1
            for later in waiting.finish(number):
                submit(later)
        progress(Grown(count, maker.evaluations, 0))


def write_grains(folder: BlockFolder, min_voxels: int, out: Path) -> Summary:
    """Put the finished blocks together, tell their grains apart and write those.

    Voxels of one colour that hang together by faces are a grain; values that are no colours are clustered as
    GrainPaint does.

    Parameters
    ----------
    folder
        Of the volume, all blocks finished.
    min_voxels
        Smaller grains are absorbed by a neighbour; 0 keeps all.
    out
        A .npy or .h5 file to make or replace: (z, y, x) int32, −1 outside the part.

    Raises
    ------
    VolumeError, OutputError
        As `write_labels`.
    """
    values = folder.assemble()
    colours = values.dtype == np.int8
    options = (
        SegmentOptions(components=6, min_voxels=min_voxels)
        if colours
        else SegmentOptions(VALUE_SCALE, fill=True, min_voxels=min_voxels)
    )
    about = {"blueprint": folder.blueprint.to_json()}
    return write_labels(Volume(values, str(folder.path), positive=colours), options, out, about=about)
