"""Grow a volume on the workers of a Dask cluster, each with an engine of its own on its GPU or its share of the cores.

A block is a task that reads the blocks it waits for from a folder that all workers see, and stores its own there. So
a worker may be killed at any time: its tasks run again elsewhere, and the volume is the same.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.engines.denoiser import Denoiser
from microrun.runtime.engines.engine import Device, EngineInfo, EngineRequest, Precision
from microrun.runtime.engines.open import open_denoiser
from microrun.runtime.errors import EngineError, VolumeError
from microrun.runtime.files.closing import Closing
from microrun.runtime.generation.block_folder import BlockFolder
from microrun.runtime.generation.block_maker import BlockMaker
from microrun.runtime.generation.blueprint import Blueprint, name_computed
from microrun.runtime.generation.effort import check_block, evaluations_of_blocks
from microrun.runtime.generation.grow import Grown, Progress
from microrun.runtime.generation.tiling import Tiling
from microrun.runtime.spec import ModelSpec

TIMEOUT_S = 20.0  # until a scheduler answers and has a worker
TICK_S = 0.2  # between looks at the workers
SCHEMES = ("tcp", "tls")
INSTALLED = "microrun must be installed, in this version, where the scheduler and the workers run"


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


@dataclass(frozen=True)
class Run:
    """One growth of a volume.

    Parameters
    ----------
    job
        The denoiser.
    path
        Folder of the volume.
    blueprint
        Of the volume; it holds the hash of the denoiser, whose file may be replaced.
    name
        Unlike that of any other run.
    """

    job: Job
    path: Path
    blueprint: Blueprint
    name: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(eq=False)
class _Workshop(Closing):
    """Where a worker makes the blocks of a volume: its engine, its maker, and how many tasks wait for them."""

    denoiser: Denoiser
    maker: BlockMaker
    tasks: int = 0

    def close(self) -> None:
        """Fail the blocks that are being made, and free the engine once no thread computes any more."""
        self.maker.close()
        self.denoiser.close()


_lock = threading.Lock()
_workshops: dict[Run, _Workshop] = {}  # of this worker's process, the one used last at the end
_ended: deque[Run] = deque(maxlen=100)  # tasks of the last few may still come in


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
        _hear(address, timeout_s)
        client = Client(address, timeout=timeout_s, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, TimeoutError, ValueError) as error:
        raise EngineError(f"{address}: no Dask scheduler answers there within {timeout_s:g} s ({error})") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=timeout_s)
        except TimeoutError:
            raise EngineError(f"{address}: the scheduler has no worker; start one with `dask worker`") from None
        yield client


def _hear(address: str, timeout_s: float) -> None:
    """Wait for the first word of a scheduler; OSError or ValueError if none comes.

    A client waits for it without end, and one that failed at what is no address hangs when it is deleted.
    """
    from distributed.comm.addressing import get_address_host_port, parse_address
    from distributed.security import Security

    scheme, _ = parse_address(address)
    if scheme not in SCHEMES:
        raise ValueError(f"an address begins with {' or '.join(f'{known}://' for known in SCHEMES)}")
    security: Any = Security
    if scheme == "tls" and security().get_connection_args("client")["ssl_context"] is None:
        raise ValueError("Dask's settings name no certificates: see distributed.comm.tls")
    with socket.create_connection(get_address_host_port(address), timeout_s) as peer:
        # An encrypted one waits for the client's word.
        if scheme == "tcp" and not peer.recv(1):
            raise OSError("it hung up")


def describe(client: Any, job: Job) -> tuple[ModelSpec, EngineInfo]:
    """What the denoiser is, and how a worker runs it.

    Raises
    ------
    EngineError, SpecError
        As `open_denoiser`; or if workers end instead of an answer.
    """
    with _plain_errors():
        future = client.submit(_describe, job, pure=False)
        while not future.done():
            if not client.nthreads():
                raise EngineError(f"the last Dask worker ended: see its log. {INSTALLED}")
            time.sleep(TICK_S)
        described: tuple[ModelSpec, EngineInfo] = future.result()
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
        As `generate.grow`; or if a worker computes otherwise than the blueprint says, or does not see the folder, or
        the cluster is lost.
    """
    from distributed import as_completed

    spec, info = describe(client, job)
    job = replace(job, device="cuda" if info.device == "cuda" else "cpu")
    check_block(spec)
    run = Run(job, folder.path.resolve(), folder.blueprint)
    with _plain_errors():  # what a client that was killed left, perhaps of another volume of this name
        client.run(_forget, run.path, on_error="ignore")
    finished, evaluations = folder.finished(), evaluations_of_blocks(folder)
    count, done, total = int(finished.sum()), 0, int(evaluations[~finished].sum())
    progress(Grown(count, 0, total))
    with _submitted(client, run, folder.tiling, finished) as futures, _plain_errors():
        for future in as_completed(futures, loop=client.loop):  # type: ignore[no-untyped-call]
            done += int(evaluations[future.result()])
            count += 1
            progress(Grown(count, done, total - done))


@contextmanager
def _submitted(client: Any, run: Run, tiling: Tiling, finished: NDArray[np.bool_]) -> Iterator[list[Any]]:
    """Have missing blocks made; at the end, whatever its reason, no worker goes on with them."""
    futures: dict[int, Any] = {}
    try:
        for number in np.flatnonzero(~finished).tolist():
            waits_for = [futures[other] for other in tiling.dependencies(number).tolist() if other in futures]
            futures[number] = client.submit(make_block, run, number, *waits_for, pure=False)
        yield list(futures.values())
    finally:
        with contextlib.suppress(Exception):  # of a cluster that is lost
            client.cancel(list(futures.values()))
            client.run(_end, run, on_error="ignore")


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Turn Dask's own errors into ours."""
    from distributed.comm.core import CommClosedError
    from distributed.scheduler import KilledWorker

    try:
        yield
    except KilledWorker:
        raise EngineError("worker after worker died at one block; see their logs, then run again to go on") from None
    except RuntimeError as error:  # of pickle, far away
        if "deserializ" not in str(error):
            raise
        raise EngineError(f"the Dask scheduler or a worker cannot read what it is given. {INSTALLED}") from None
    except (CancelledError, CommClosedError):
        raise EngineError("the Dask scheduler was lost; start it and run again to go on") from None


def make_block(run: Run, number: int, *_: int) -> int:
    """Make a block on a worker, if it is not there yet; returns its number."""
    with _maker(run) as maker:
        if not maker.folder.has(number):  # Dask asks again for what a lost worker had finished
            maker.submit(number).result()
    return number


def _describe(job: Job) -> tuple[ModelSpec, EngineInfo]:
    with open_denoiser(job.engine, job.device, EngineRequest(job.precision, batch=job.batch)) as denoiser:
        return denoiser.spec, denoiser.info


@contextmanager
def _maker(run: Run) -> Iterator[BlockMaker]:
    """This process's maker for a run, which is not cleared up meanwhile."""
    with _lock:
        if run in _ended:  # workers hear of it before they hear that its tasks are cancelled
            raise EngineError(f"{run.path}: this run has ended; run again to go on")
        if run not in _workshops:
            _clear_up()
            _workshops[run] = _open_workshop(run)
        workshop = _workshops[run] = _workshops.pop(run)
        workshop.tasks += 1
    try:
        yield workshop.maker
    finally:
        with _lock:
            workshop.tasks -= 1


def _clear_up() -> None:
    """Close what clients that were killed left here; one without tasks stays, as two volumes may grow by turns."""
    idle = [run for run, workshop in _workshops.items() if not workshop.tasks]
    for run in idle[:-1]:
        _workshops.pop(run).close()


def _end(run: Run) -> None:
    """Give up what a run is making, and what it has not begun."""
    with _lock:
        _ended.append(run)
    _forget(run.path)


def _forget(path: Path) -> None:
    """Give up what is being made in a folder."""
    with _lock:
        given_up = [_workshops.pop(run) for run in list(_workshops) if run.path == path]
    for workshop in given_up:
        workshop.close()


def _open_workshop(run: Run) -> _Workshop:
    """Open the engine, on the CPU with as many lanes as the worker has threads, and begin to wait for blocks."""
    from distributed import get_worker

    job = run.job
    lanes = None if job.device == "cuda" else get_worker().state.nthreads
    with ExitStack() as unless_used:
        denoiser = open_denoiser(job.engine, job.device, EngineRequest(job.precision, lanes, job.batch))
        unless_used.enter_context(denoiser)
        workshop = _Workshop(denoiser, BlockMaker(denoiser, _open_folder(run.path, run.blueprint, denoiser)))
        unless_used.pop_all()
    return workshop


def _open_folder(path: Path, blueprint: Blueprint, denoiser: Denoiser) -> BlockFolder:
    if not path.is_dir():
        raise VolumeError(f"{path}: a worker does not see this folder; put --out where all workers see it")
    folder = BlockFolder(path, denoiser.diffusion)
    if folder.blueprint != blueprint:
        raise VolumeError(f"{path}: a worker sees another folder of this name; put --out where all workers see it")
    computed = name_computed(denoiser.info)
    if (blueprint.engine, blueprint.computed) != (denoiser.info.sha256, computed):
        raise EngineError(
            f"{path}: its blocks are made by {blueprint.computed}; a worker has {computed}, or another file. "
            f"Give all workers the same"
        )
    return folder
