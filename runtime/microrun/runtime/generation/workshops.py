"""A Dask worker's side: for each volume that it has a part in, an engine and threads that make blocks.

A worker keeps its workshops itself, so that they end with it.
"""

from __future__ import annotations

import threading
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from microrun.runtime.engines.denoiser import Denoiser
from microrun.runtime.engines.engine import Device, EngineInfo, EngineRequest, Precision
from microrun.runtime.engines.open import open_denoiser
from microrun.runtime.errors import EngineError, VolumeError
from microrun.runtime.files.closing import Closing
from microrun.runtime.generation.block_folder import BlockFolder
from microrun.runtime.generation.block_maker import BlockMaker
from microrun.runtime.generation.blueprint import Blueprint, name_computed
from microrun.runtime.spec import ModelSpec

KEPT_AS = "microrun_workshops"  # attribute of a worker
REMEMBERED = 100  # runs that have ended; tasks of the last few may still come in


@dataclass(frozen=True)
class RemoteEngine:
    """A denoiser as workers open it.

    Parameters
    ----------
    name
        File or name of the denoiser, as workers find it.
    device, precision
        To open it with.
    batch
        Slots of a lane; None for what the device does well.
    """

    name: str
    device: Device = "auto"
    precision: Precision = "auto"
    batch: int | None = None

    def open(self, lanes: int | None = None) -> Denoiser:
        """Open it here; raises as `open_denoiser`."""
        return open_denoiser(self.name, self.device, EngineRequest(self.precision, lanes, self.batch))


@dataclass(frozen=True)
class Run:
    """One growth of a volume.

    Parameters
    ----------
    engine
        The denoiser.
    path
        Folder of the volume.
    blueprint
        Of the volume; it holds the hash of the denoiser, whose file may be replaced.
    name
        Unlike that of any other run.
    """

    engine: RemoteEngine
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


class Workshops:
    """All workshops of a worker."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[Run, _Workshop] = {}  # the one used last at the end
        self._ended: deque[Run] = deque(maxlen=REMEMBERED)

    @property
    def folders(self) -> list[Path]:
        """Folders in which blocks are made, the one used last at the end."""
        return [run.path for run in self._open]

    @property
    def evaluations(self) -> int:
        """Evaluations of the network so far, of all volumes."""
        return sum(workshop.maker.evaluations for workshop in list(self._open.values()))

    @contextmanager
    def maker(self, run: Run, threads: int) -> Iterator[BlockMaker]:
        """The maker of a run, which is not cleared up meanwhile; on the CPU it has a lane for each thread."""
        with self._lock:
            if run in self._ended:  # workers hear of it before they hear that its tasks are cancelled
                raise EngineError(f"{run.path}: this run has ended; run again to go on")
            if run not in self._open:
                self._clear_up()
                self._open[run] = _open_workshop(run, threads)
            workshop = self._open[run] = self._open.pop(run)
            workshop.tasks += 1
        try:
            yield workshop.maker
        finally:
            with self._lock:
                workshop.tasks -= 1

    def end(self, run: Run) -> None:
        """Give up what a run is making, and what it has not begun."""
        with self._lock:
            self._ended.append(run)
        self.forget(run.path)

    def forget(self, path: Path) -> None:
        """Give up what is being made in a folder."""
        with self._lock:
            given_up = [self._open.pop(run) for run in list(self._open) if run.path == path]
        for workshop in given_up:
            workshop.close()

    def _clear_up(self) -> None:
        """Close what clients that were killed left; one without tasks stays, as two volumes may grow by turns."""
        idle = [run for run, workshop in self._open.items() if not workshop.tasks]
        for run in idle[:-1]:
            self._open.pop(run).close()


def workshops_of(worker: Any) -> Workshops:
    """The workshops of a worker."""
    workshops: Workshops = vars(worker).setdefault(KEPT_AS, Workshops())
    return workshops


def make_block(run: Run, number: int, *_: int) -> int:
    """Make a block on a worker, if it is not there yet; returns its number."""
    from distributed import get_worker

    worker = get_worker()
    with workshops_of(worker).maker(run, worker.state.nthreads) as maker:
        if not maker.folder.has(number):  # Dask asks again for what a lost worker had finished
            maker.submit(number).result()
    return number


def end_run(run: Run, dask_worker: Any) -> None:
    """End a run on a worker, which Dask fills in."""
    workshops_of(dask_worker).end(run)


def forget_folder(path: Path, dask_worker: Any) -> None:
    """Give up what a worker, which Dask fills in, is making in a folder."""
    workshops_of(dask_worker).forget(path)


def describe_engine(engine: RemoteEngine) -> tuple[ModelSpec, EngineInfo]:
    """What an engine is on a worker."""
    with engine.open() as denoiser:
        return denoiser.spec, denoiser.info


def _open_workshop(run: Run, threads: int) -> _Workshop:
    """Open the engine, and begin to wait for blocks."""
    with ExitStack() as unless_used:
        denoiser = unless_used.enter_context(run.engine.open(None if run.engine.device == "cuda" else threads))
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
