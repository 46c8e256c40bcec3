"""The phase field of solidification, measured against the paper's equations in NumPy on the same box."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from microrun.cli.bench.machine import COPY, copying, machine_table
from microrun.cli.bench.measurement import Measuring, Table
from microrun.cli.bench.timing import seconds_of
from microrun.kernels.solidification import ORIENTATIONS, UNDERCOOLINGS, Place, Step, Window, advance_window
from microrun.runtime.array_types import Float64
from microrun.runtime.errors import MicrorunError
from microrun.runtime.progress import Progress
from microrun.runtime.workers import Workers
from microrun.training.simulate.solidify.laws import STEEL_LAWS

BOX = (32, 64, 96)  # of which order parameters take 63 MB: no cache holds them
LIQUIDUS_K, CELL_M, STEP_S = 1723.0, 2e-6, 4e-7
STEPS = 8  # of each measurement
LEAST_BYTES = 4 * ORIENTATIONS  # that must be read for a cell and step, and as many written
COPY_BYTES = 1 << 28
TOLERANCE = 1e-5  # between float32 and float64 after a few steps
PEER = "NumPy"
NS = "per hot cell and thread"
Eta = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Box:
    """A box of cells that are all hot, liquid on one side and grains on the other.

    Parameters
    ----------
    eta
        (z, y, x, `ORIENTATIONS`) float32.
    temperature
        (z, y, x) float32, K.
    """

    eta: Eta
    temperature: NDArray[np.float32]

    @property
    def cells(self) -> int:
        """How many."""
        return self.temperature.size


def make_box(shape: tuple[int, int, int] = BOX) -> Box:
    """Make grains of a few cells, and temperatures from 1,400 K at one end to 2,000 K at the other."""
    ids = np.random.default_rng(0).integers(0, ORIENTATIONS, [-(-side // 4) for side in shape])
    grains = ids.repeat(4, 0).repeat(4, 1).repeat(4, 2)[: shape[0], : shape[1], : shape[2]]
    temperature = (np.linspace(1400, 2000, shape[2]) + np.zeros(shape)).astype(np.float32)
    eta = (grains[..., None] == np.arange(ORIENTATIONS)).astype(np.float32)
    eta[temperature > LIQUIDUS_K] = 0
    return Box(eta, temperature)


class Stepper:
    """The kernel on a box that stands still.

    Parameters
    ----------
    box
        Where.
    workers
        Threads.
    """

    def __init__(self, box: Box, workers: Workers) -> None:
        depth, width, length = box.temperature.shape
        padded = np.pad(box.temperature, ((0, 0), (0, 0), (1, 1)), mode="edge")
        mobility = STEEL_LAWS.mobility_at(padded.astype(np.float64)).astype(np.float32)
        first, stop = np.ones((depth, width), np.int64), np.full((depth, width), length + 1)
        self._window, self._place = Window(padded, mobility, first, stop), Place(-1, np.float32(0), length)
        reaction, diffusion = STEP_S * STEEL_LAWS.barrier, STEP_S * STEEL_LAWS.gradient / CELL_M**2
        none = np.zeros(UNDERCOOLINGS)
        self._step = Step(np.float32(reaction), np.float32(diffusion), np.float32(LIQUIDUS_K), none, np.uint64(0))
        self._workers, self._shares = workers, workers.share(np.full(depth, width * length))
        self.eta, self._next = box.eta.copy(), box.eta.copy()

    def advance(self, steps: int) -> None:
        """Do some steps."""
        nuclei = np.zeros(len(self.eta), np.int64)
        for _ in range(steps):
            now, after = self.eta, self._next
            self._workers.run_parts(partial(self._advance_part, now, nuclei, after), self._shares)
            self.eta, self._next = after, now

    def _advance_part(self, now: Eta, nuclei: NDArray[np.int64], after: Eta, part: NDArray[np.int64]) -> None:
        advance_window(part, now, self._window, self._place, self._step, nuclei, after)


def advance_numpy(eta: Float64, temperature: Float64) -> Float64:
    """One step of Xie et al. (2026), Eq. 11–15, for all cells at once in float64; arguments as those of `Box`."""
    squares = (eta**2).sum(-1, keepdims=True)
    liquid = np.where(temperature < LIQUIDUS_K, 0.0, 1.0)[..., None]
    local = eta**3 - eta + 4 * eta * (squares - eta**2) + 2 * liquid * eta
    padded = np.pad(eta, ((1, 1), (1, 1), (1, 1), (0, 0)), mode="edge")
    laplacian = (
        padded[2:, 1:-1, 1:-1] + padded[:-2, 1:-1, 1:-1] + padded[1:-1, 2:, 1:-1] + padded[1:-1, :-2, 1:-1]
        + padded[1:-1, 1:-1, 2:] + padded[1:-1, 1:-1, :-2] - 6 * eta
    ) / CELL_M**2  # fmt: skip
    mobility = STEEL_LAWS.mobility_at(temperature)[..., None]
    after: Float64 = eta - STEP_S * mobility * (STEEL_LAWS.barrier * local - STEEL_LAWS.gradient * laplacian)
    return np.maximum(after, 0)


def measure_solidification(threads: int, repeats: int, shape: tuple[int, int, int] = BOX) -> Measuring:
    """Measure the kernel on one thread and on all, and NumPy on the same box.

    Raises
    ------
    MicrorunError
        If both do not come to the same.
    """
    yield Progress(0, repeats, "memory")
    box, machine = make_box(shape), machine_table()
    copy = copying(np.ones(COPY_BYTES, np.uint8), threads)
    machine.note(COPY, "GB/s", *(COPY_BYTES / copy() / 1e9 for _ in range(2 * repeats + 1)))
    machine.note("memory allows", "Mcell/s", machine[COPY] * 1e3 / LEAST_BYTES)
    counts = sorted({1, threads})
    tables = {count: Table(f"{count} thread{'s' * (count > 1)}") for count in counts}
    yield Progress(0, repeats, PEER)
    check_with_numpy(box)
    eta, temperature = box.eta.astype(np.float64), box.temperature.astype(np.float64)
    for number in range(repeats):
        yield Progress(number, repeats, "phase field")
        slow = seconds_of(lambda: advance_numpy(eta, temperature)) / box.cells
        for count, table in tables.items():
            with Workers(count) as workers:
                stepper = Stepper(box, workers)
                stepper.advance(1)  # memory is touched now
                seconds = seconds_of(partial(stepper.advance, STEPS)) / STEPS / box.cells
            table.note("speed", "Mcell/s", 1e-6 / seconds)
            table.note(NS, "ns", 1e9 * seconds * count, remark="(≤ 30)")
            table.note(PEER, "ns per cell", 1e9 * slow)
            table.note(f"× {PEER}", "", slow / seconds, remark="(≥ 100)")
    for table in tables.values():
        table.ratio("of memory", "speed", "memory allows", of=machine)
    return [machine, *tables.values()]


def check_with_numpy(box: Box) -> None:
    """Compare both after a few steps; MicrorunError if they differ."""
    with Workers(1) as workers:
        stepper = Stepper(box, workers)
        stepper.advance(3)
    expected = box.eta.astype(np.float64)
    for _ in range(3):
        expected = advance_numpy(expected, box.temperature.astype(np.float64))
    worst = float(np.abs(stepper.eta - expected).max())
    if worst > TOLERANCE:
        raise MicrorunError(f"the phase field differs from NumPy's by {worst:.1e}: a defect; please report it")
