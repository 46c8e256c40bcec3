"""Grow volumes of any size and shape, block by block (Hoffman et al., GrainPaint, arXiv:2503.04776)."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.block_maker import BlockMaker
from microrun.runtime.denoiser import Denoiser, StepLane
from microrun.runtime.engine import EngineInfo
from microrun.runtime.errors import EngineError, OutputError
from microrun.runtime.sampling import Sampling, plan_steps
from microrun.runtime.schedule import Schedule
from microrun.runtime.segment import SUFFIXES, SegmentOptions, Summary, Volume, write_labels
from microrun.runtime.spec import Diffusion, ModelSpec
from microrun.runtime.tiling import BLOCK, Mask, Shape, Tiling
from microrun.runtime.volume import (
    BlockFolder,
    Blueprint,
    Order,
    hash_mask,
    make_folder,
    name_computed,
    tile_volume,
)

# Of known voxels, measured: with less, borders of blocks show; with more, sizes of grains suffer.
LEAD = 0.16
PRESETS = {
    "default": Sampling(50, n_resample=2, plain_steps=5, known_lead=LEAD),
    "fast": Sampling(25, n_resample=2, plain_steps=2, known_lead=LEAD),
}
# Of a grain, 3³: voxels that a network is not sure of look like tiny ones. Of Potts' 8 % are smaller, with 0.2 % of the
# voxels.
MIN_VOXELS = 27
VALUE_SCALE = 100.0  # of GrainPaint's labels: the side of its training volumes
MOST_COLOURS = 128  # of int8
# Of GrainPaint's plan for every block: 249 steps, all but the last 25 resampled 10 times, also where nothing is known.
GRAINPAINT_EVALUATIONS = 224 * 11 + 25
EVEN_STEP = (1, 0, 0.9, -0.1, 0.4)  # coefficients under which samples neither fade nor grow
TICK_S = 0.5  # between signs of life
Progress = Callable[["Grown"], None]


@dataclass(frozen=True)
class Work:
    """What a volume takes.

    Parameters
    ----------
    blocks, first_blocks
        All, and those that find no known voxels.
    evaluations
        Of the network.
    """

    blocks: int
    first_blocks: int
    evaluations: int


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


@dataclass(frozen=True, eq=False)
class GenerateRequest:
    """What to grow.

    Parameters
    ----------
    out
        The .npy or .h5 file to make; blocks lie beside it in OUT.blocks until it is done.
    shape
        (z, y, x) in voxels; without a part 32 or more each.
    seed
        The same seed and engine give the same volume.
    sampling
        How each block is drawn.
    order
        Of the blocks.
    part
        Bool of that shape, True in the part; None for the whole box.
    min_voxels
        Smaller grains are absorbed by a neighbour; 0 keeps all.

    Raises
    ------
    VolumeError
        If there is no such volume.
    OutputError
        If a file of this name cannot be made.
    """

    out: Path
    shape: Shape
    seed: int = 0
    sampling: Sampling = PRESETS["default"]
    order: Order = "isotropic"
    part: Mask | None = None
    min_voxels: int = MIN_VOXELS

    def __post_init__(self) -> None:
        if self.out.suffix.lower() not in SUFFIXES:
            raise OutputError(f"{self.out}: volumes are written as .npy or .h5")
        if not self.out.parent.is_dir():
            raise OutputError(f"{self.out.parent}: no such folder")
        if self.out.is_dir():
            raise OutputError(f"{self.out}: is a folder; choose another name")

    @property
    def folder(self) -> Path:
        """Of the blocks."""
        return self.out.with_name(self.out.name + ".blocks")

    def blueprint(self, info: EngineInfo) -> Blueprint:
        """All that the volume is a function of, with the engine that computes it."""
        part = "" if self.part is None else hash_mask(self.part)
        return Blueprint(self.shape, self.seed, self.order, self.sampling, info.sha256, name_computed(info), part)

    def open_folder(self, spec: ModelSpec, info: EngineInfo) -> BlockFolder:
        """Make the folder of the blocks, or go on with it.

        Raises
        ------
        EngineError
            If the denoiser draws no blocks.
        VolumeError
            If the folder is that of another volume.
        MicrorunError
            If so many timesteps do not fit the denoiser's schedule.
        """
        diffusion = check_block(spec)
        evaluations_per_block(diffusion.schedule, self.sampling)  # refuses before there is a folder
        self.check()
        make_folder(self.folder, self.blueprint(info), self.part)
        return BlockFolder(self.folder, diffusion)

    def check(self) -> None:
        """Raise VolumeError if the volume cannot be tiled."""
        _ = self.tiling

    @cached_property
    def tiling(self) -> Tiling:
        """The blocks and their order; VolumeError if there are none."""
        return tile_volume(self.order, self.shape, self.part)


def evaluations_per_block(schedule: Schedule, sampling: Sampling) -> tuple[int, int]:
    """Evaluations of the network for a block without known voxels, and for one with."""
    bare, known = (len(plan_steps(schedule, sampling, has_known).timesteps) for has_known in (False, True))
    return bare, known


def evaluations_of_blocks(folder: BlockFolder) -> NDArray[np.int64]:
    """Evaluations of the network for every block of a volume, (n,)."""
    each = evaluations_per_block(folder.diffusion.schedule, folder.blueprint.sampling)
    return np.array(each)[folder.tiling.has_known.astype(np.int64)]


def count_work(tiling: Tiling, schedule: Schedule, sampling: Sampling) -> Work:
    """Count what a volume takes."""
    bare, known = evaluations_per_block(schedule, sampling)
    first = int((~tiling.has_known).sum())
    return Work(len(tiling), first, first * bare + (len(tiling) - first) * known)


def check_block(spec: ModelSpec) -> Diffusion:
    """What a denoiser draws; EngineError if volumes are not tiled with that."""
    diffusion = spec.diffusion
    assert diffusion is not None
    if diffusion.n_colours > MOST_COLOURS:
        raise EngineError(f"{spec.name}: a volume holds at most {MOST_COLOURS} colours; got {diffusion.n_colours}")
    if diffusion.sides != (BLOCK, BLOCK, BLOCK) or (not diffusion.n_colours and diffusion.sample_shape[0] != 1):
        raise EngineError(
            f"{spec.name}: volumes grow from blocks of {BLOCK}³ voxels in one channel, or in colours; "
            f"this denoiser draws {diffusion.sample_shape}"
        )
    return diffusion


def measure_speed(denoiser: Denoiser, seconds: float = 2.0) -> float:
    """Evaluations of the network per second of all lanes, every slot at work."""
    batch, shape = denoiser.info.batch, denoiser.diffusion.sample_shape
    noise = np.random.default_rng(0).standard_normal((batch, *shape), np.float32)
    timesteps = np.full(batch, denoiser.diffusion.schedule.training_steps // 2, np.int32)
    coefficients = np.tile(np.array(EVEN_STEP, np.float32), (batch, 1))

    def run(lane: StepLane, seconds: float) -> int:
        started, steps = time.perf_counter(), 0
        while steps == 0 or time.perf_counter() - started < seconds:
            lane.step(timesteps, coefficients, noise)
            steps += 1
        lane.read(0)  # a card may still be busy
        return steps * batch

    lanes = [denoiser.lane() for _ in range(denoiser.info.lanes)]
    for lane in lanes:
        for slot in range(batch):
            lane.load(slot, noise[slot], noise[slot], np.zeros(shape, bool))
        run(lane, 0)
    started = time.perf_counter()
    with ThreadPoolExecutor(len(lanes)) as pool:
        done = sum(pool.map(partial(run, seconds=seconds), lanes))
    return done / (time.perf_counter() - started)


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
