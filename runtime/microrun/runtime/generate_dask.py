"""Grow a volume on the workers of a Dask cluster, each with an engine of its own on its GPU or its share of the cores.

A block is a task that reads the blocks it waits for from a folder that all workers see, and stores its own there. So
a worker may be killed at any time: its tasks run again elsewhere, and the volume is the same.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from microrun.runtime.block_maker import BlockMaker
from microrun.runtime.denoiser import Denoiser, open_denoiser
from microrun.runtime.engine import Device, EngineInfo, EngineRequest, Precision
from microrun.runtime.errors import EngineError, VolumeError
from microrun.runtime.generate import Grown, Progress, check_block, evaluations_per_block
from microrun.runtime.spec import ModelSpec
from microrun.runtime.volume import BlockFolder, name_computed

TIMEOUT_S = 20.0  # until a scheduler answers and has a worker


@dataclass(frozen=True)
class Job:
    """What every worker needs to know.

    Parameters
    ----------
    engine
        File or name of the denoiser, as workers find it.
    device, precision
        To open it with.
    batch
        Slots of a lane; None for what the device does well.
    """

    engine: str
    device: Device = "auto"
    precision: Precision = "auto"
    batch: int | None = None


_lock = threading.Lock()
_denoisers: dict[Job, Denoiser] = {}  # of this worker's process
_makers: dict[tuple[Job, Path], BlockMaker] = {}


@contextmanager
def connect(address: str, timeout_s: float = TIMEOUT_S) -> Iterator[Any]:
    """Connect to a scheduler that has a worker.

    Parameters
    ----------
    address
        Such as tcp://host:8786.
    timeout_s
        How long to wait for it, and then for a worker.

    Raises
    ------
    EngineError
        If it does not answer, or no worker comes.
    """
    from distributed import Client

    try:
        client = Client(address, timeout=timeout_s)  # type: ignore[no-untyped-call]
    except (OSError, TimeoutError, ValueError) as error:
        raise EngineError(f"{address}: no Dask scheduler answers there within {timeout_s:g} s ({error})") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=timeout_s)
        except TimeoutError:
            raise EngineError(f"{address}: the scheduler has no worker; start one with `dask worker`") from None
        yield client


def describe(client: Any, job: Job) -> tuple[ModelSpec, EngineInfo]:
    """What the denoiser is, and how a worker runs it; errors as of `open_denoiser`."""
    described: tuple[ModelSpec, EngineInfo] = client.submit(_describe, job, pure=False).result()
    return described


def grow_on_dask(client: Any, job: Job, folder: BlockFolder, progress: Progress = lambda _: None) -> None:
    """Make all blocks of a volume that are missing.

    Parameters
    ----------
    client
        Of `connect`.
    job
        The denoiser.
    folder
        Of the volume, under a path that is the same for all workers.
    progress
        Called after every block.

    Raises
    ------
    EngineError, VolumeError, OutputError
        As `generate.grow`; or if a worker computes otherwise than the blueprint says, or does not see the folder.
    """
    from distributed import as_completed

    spec, _ = describe(client, job)
    check_block(spec)
    assert spec.diffusion is not None
    tiling, finished = folder.tiling, folder.finished()
    each = evaluations_per_block(spec.diffusion.schedule, folder.blueprint.sampling)
    lengths = np.array(each)[tiling.has_known.astype(int)]
    path, total = folder.path.resolve(), int(lengths[~finished].sum())
    futures: dict[int, Any] = {}
    for number in np.flatnonzero(~finished).tolist():
        waits_for = [futures[other] for other in tiling.dependencies(number).tolist() if other in futures]
        futures[number] = client.submit(make_block, job, path, number, *waits_for, pure=False)
    count, done = int(finished.sum()), 0
    progress(Grown(count, 0, total))
    for future in as_completed(futures.values()):  # type: ignore[no-untyped-call]
        done += int(lengths[future.result()])
        count += 1
        progress(Grown(count, done, total - done))


def make_block(job: Job, path: Path, number: int, *_: int) -> int:
    """Make a block on a worker; returns its number."""
    _maker(job, path).submit(number).result()
    return number


def _describe(job: Job) -> tuple[ModelSpec, EngineInfo]:
    denoiser = _denoiser(job)
    return denoiser.spec, denoiser.info


def _denoiser(job: Job) -> Denoiser:
    """This process's engine; on the CPU of as many lanes as the worker has threads."""
    from distributed import get_worker

    with _lock:
        if job not in _denoisers:
            lanes = None if job.device == "cuda" else get_worker().state.nthreads
            _denoisers[job] = open_denoiser(job.engine, job.device, EngineRequest(job.precision, lanes, job.batch))
        return _denoisers[job]


def _maker(job: Job, path: Path) -> BlockMaker:
    denoiser = _denoiser(job)
    with _lock:
        if (job, path) not in _makers:
            if not path.is_dir():
                raise VolumeError(f"{path}: a worker does not see this folder; put --out where all workers see it")
            folder = BlockFolder(path, denoiser.diffusion)
            computed = name_computed(denoiser.info)
            if (folder.blueprint.engine, folder.blueprint.computed) != (denoiser.info.sha256, computed):
                raise EngineError(
                    f"{path}: its blocks are made by {folder.blueprint.computed}; a worker has {computed}, or another "
                    f"file. Give all workers the same"
                )
            _makers[job, path] = BlockMaker(denoiser, folder)
        return _makers[job, path]
