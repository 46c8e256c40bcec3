"""What growing a volume takes: blocks, evaluations of the network, and how fast those are here."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.conditions import GRAIN_VOXELS
from microrun.runtime.engines.denoiser import Denoiser, StepLane
from microrun.runtime.errors import EngineError
from microrun.runtime.generation.block_folder import BlockFolder
from microrun.runtime.generation.overlaps import BLOCK
from microrun.runtime.generation.sampling import Sampling, tabulate_steps
from microrun.runtime.generation.tiling import Tiling
from microrun.runtime.schedule import Schedule
from microrun.runtime.spec import Diffusion, ModelSpec

MOST_COLOURS = 128  # of int8
# What GrainPaint takes for every block: 249 steps, all but the last 25 resampled 10 times, also where nothing is known.
GRAINPAINT_EVALUATIONS = 224 * 11 + 25
EVEN_STEP = (1, 0, 0.9, -0.1, 0.4)  # coefficients under which samples neither fade nor grow


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


def evaluations_per_block(schedule: Schedule, sampling: Sampling) -> tuple[int, int]:
    """Evaluations of the network for a block without known voxels, and for one with."""
    bare, known = (len(tabulate_steps(schedule, sampling, has_known).timesteps) for has_known in (False, True))
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
    told = [condition.name for condition in diffusion.conditions]
    is_block = diffusion.sides == (BLOCK, BLOCK, BLOCK) and told in ([], [GRAIN_VOXELS])
    if not is_block or (not diffusion.n_colours and diffusion.sample_shape[0] != 1):
        drawn = "sections" if diffusion.plane else f"{diffusion.sample_shape}" + (f" by {told}" if told else "")
        raise EngineError(
            f"{spec.name}: volumes grow from blocks of {BLOCK}³ voxels in one channel, or in colours, told nothing "
            f"but the size of their grains; this denoiser draws {drawn}"
        )
    return diffusion


def measure_speed(denoiser: Denoiser, seconds: float = 2.0) -> float:
    """Evaluations of the network per second of all lanes, every slot at work."""
    batch, shape = denoiser.info.batch, denoiser.diffusion.sample_shape
    noise = np.random.default_rng(0).standard_normal((batch, *shape), np.float32)
    timesteps = np.full(batch, denoiser.diffusion.schedule.training_steps // 2, np.int32)
    coefficients = np.tile(np.array(EVEN_STEP, np.float32), (batch, 1))
    count = len(denoiser.diffusion.conditions)
    condition = np.zeros(count, np.float32) if count else None

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
            lane.load(slot, noise[slot], noise[slot], np.zeros(shape, bool), condition)
        run(lane, 0)
    started = time.perf_counter()
    with ThreadPoolExecutor(len(lanes)) as pool:
        done = sum(pool.map(partial(run, seconds=seconds), lanes))
    return done / (time.perf_counter() - started)
