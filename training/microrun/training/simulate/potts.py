"""Grain growth by the Potts model, in a periodic volume at rest or behind a moving melt pool.

**Time.** In the kinetic Monte Carlo model every voxel has one event for each different spin among its 26 neighbours,
of rate 1 where the flip costs no energy and exp(−ΔE/T) where it does. SPPARKS' ``potts/neigh`` (Plimpton et al.,
Sandia report SAND2009-6226) realises this by rejection: a voxel has at most 26 events, so a sweep in which each
voxel draws one of 26 places, of which as many as it has events are taken, lasts 1/26 of the unit of time. `grow_potts`
does the same: one unit of time is 26 sweeps, and nothing is left to calibrate. Events happen at random times, so a
sweep visits sub-lattices drawn at random, some twice, some not at all; in a fixed order grains become 4 % larger.
In 100³ voxels at T = 0 the mean grain volume at t = 10, 20, 30, 40, 50 is 67, 123, 175, 230, 288 voxels where SPPARKS
was measured to give 65, 121, 173, 233, 287, and the volume-weighted mean at t = 50 is 671, SPPARKS' 659: of grains
that the volume's faces cut into several. With faces joined it is 75, 143, 211, 283, 361 and 738. The volume-weighted
mean area (volume to the power of 2/3) grows linearly with time.

**Melt pools.** As in Rodgers et al. (2017, doi:10.1016/j.commatsci.2017.03.053) an ellipsoid moves along tracks, track
beside track, layer upon layer. Spins in it are random; around it the mobility falls with the distance d as
M(d) = 1 − d/mz; all else stands still. Time is counted in sweeps there, and every mobile voxel tries one of the
different spins around it in each, as SPPARKS' ``potts/neighonly`` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.potts import (
    CERTAIN,
    FULL,
    MOLTEN,
    NEIGHBOURS,
    UNKNOWN,
    every_second,
    melt,
    sweep_key,
    sweep_mobile,
    sweep_potts,
)
from microrun.runtime.errors import MicrorunError
from microrun.runtime.workers import Workers

Shape = tuple[int, int, int]
Spins = NDArray[np.int32]

SWEEPS_PER_STEP = NEIGHBOURS
LEAST_SIDE = 3  # below, a voxel is its own neighbour


@dataclass(frozen=True)
class Growth:
    """Grain growth in a periodic volume; every voxel starts as a grain of its own.

    Parameters
    ----------
    shape
        Voxels along z, y, x.
    steps
        Units of time, of 26 sweeps each.
    temperature
        In units of the energy between two neighbours of different spin.
    """

    kind: ClassVar[str] = "potts"
    periodic: ClassVar[bool] = True
    time_unit: ClassVar[str] = "26 sweeps: each event of rate 1 happens once on average"

    shape: Shape = (100, 100, 100)
    steps: int = 50
    temperature: float = 0.0

    def __post_init__(self) -> None:
        _check_shape(self.shape)
        if self.steps < 1:
            raise MicrorunError(f"grain growth takes at least 1 step, not {self.steps}")
        _check_temperature(self.temperature)


@dataclass(frozen=True)
class MeltPool:
    """An ellipsoid whose widest section lies in the surface, and the zone around it; lengths in voxels.

    Parameters
    ----------
    length, width
        Along and across the track, at the surface.
    depth
        Below the surface.
    mobile_zone
        mz, the distance from the pool at which grain boundaries stand still. Distances are measured along the line
        to the pool's centre.
    """

    length: int = 40
    width: int = 24
    depth: int = 14
    mobile_zone: int = 20

    def __post_init__(self) -> None:
        if min(self.length, self.width, self.depth, self.mobile_zone) < 1:
            raise MicrorunError(f"a melt pool's lengths are at least 1 voxel; these are {self}")

    def mobility(self) -> NDArray[np.int32]:
        """Give the mobilities around the pool.

        Returns
        -------
        (D, 2W + 1, 2L + 1) int32
            In units of 1/`FULL`, `MOLTEN` inside; the pool's centre is the voxel (D − 1, W, L).
        """
        axes = np.array([self.depth, self.width / 2, self.length / 2])
        down, across, along = (int(reach) for reach in np.ceil(axes + self.mobile_zone))
        z, y, x = np.mgrid[1 - down : 1, -across : across + 1, -along : along + 1].astype(np.float64)
        radius = np.sqrt((z / axes[0]) ** 2 + (y / axes[1]) ** 2 + (x / axes[2]) ** 2)  # 1 on the pool's face
        distance = np.sqrt(z**2 + y**2 + x**2) * (1 - 1 / np.maximum(radius, 1))
        mobility = np.rint(np.clip(1 - distance / self.mobile_zone, 0, 1) * FULL).astype(np.int32)
        return np.where(radius <= 1, np.int32(MOLTEN), mobility)


@dataclass(frozen=True)
class Build:
    """A volume melted track by track; z points up, tracks run along x.

    Every other track runs backwards, every other layer takes its tracks in the opposite order, so that mirroring
    x or y leaves the process the same.

    Parameters
    ----------
    shape
        Voxels along z, y, x.
    pool
        The melt pool.
    speed
        Voxels that the pool moves from one sweep to the next.
    hatch, layer
        Voxels from track to track, and from layer to layer.
    temperature
        As for `Growth`.
    inside
        Whether the volume is cut out of a larger build: without its substrate, last layers and faces.

    Raises
    ------
    MicrorunError
        If the pool leaves voxels between tracks and layers that were never molten.
    """

    kind: ClassVar[str] = "am"
    periodic: ClassVar[bool] = False
    time_unit: ClassVar[str] = "1 sweep, after which the pool moves on by its speed"

    shape: Shape = (100, 100, 100)
    pool: MeltPool = MeltPool()
    speed: int = 1
    hatch: int = 12
    layer: int = 6
    temperature: float = 0.0
    inside: bool = False

    def __post_init__(self) -> None:
        _check_shape(self.shape)
        _check_shape(self.simulated)
        _check_temperature(self.temperature)
        if min(self.speed, self.hatch, self.layer) < 1:
            raise MicrorunError(f"speed, hatch and layer are at least 1, not {self.speed}, {self.hatch}, {self.layer}")
        # Halfway between tracks and between sweeps the pool must reach down to the layer before, as in the
        # criterion for lack of fusion (Tang, Pistorius and Beuth, 2017, doi:10.1016/j.addma.2016.12.001).
        pool = self.pool
        if (self.hatch / pool.width) ** 2 + (self.layer / pool.depth) ** 2 + (self.speed / pool.length) ** 2 > 1:
            raise MicrorunError(
                f"a pool of {pool.length}×{pool.width}×{pool.depth} voxels leaves gaps at speed {self.speed}, hatch "
                f"{self.hatch} and layer {self.layer}: (speed/length)² + (hatch/width)² + (layer/depth)² is above 1; "
                "take a larger pool or lesser distances"
            )

    @property
    def steps(self) -> int:
        """Number of sweeps."""
        return len(self.path())

    @property
    def window(self) -> tuple[slice, slice, slice]:
        """Where the volume lies in what is simulated."""
        low = (2 * self.pool.depth, self.hatch, self.pool.mobile_zone) if self.inside else (0, 0, 0)
        return tuple(slice(first, first + side) for first, side in zip(low, self.shape, strict=True))  # type: ignore[return-value]

    @property
    def simulated(self) -> Shape:
        """Voxels along z, y, x that are simulated."""
        high = (self.pool.depth + self.layer, self.hatch, self.pool.mobile_zone) if self.inside else (0, 0, 0)
        return tuple(axis.stop + more for axis, more in zip(self.window, high, strict=True))

    def path(self) -> list[Shape]:
        """List the pool's centres, one a sweep: voxels of height so far, y and x."""
        margin, (depth, rows, cols) = self.pool.length // 2 + self.pool.mobile_zone, self.simulated
        forth = list(range(-margin, cols + margin, self.speed))
        tracks = list(range(self.hatch // 2, rows + self.hatch // 2, self.hatch))
        path = []
        for number, top in enumerate(range(self.layer, depth + self.layer, self.layer)):
            for track, row in enumerate(tracks[::-1] if number % 2 else tracks):
                path += [(min(top, depth), row, x) for x in (forth[::-1] if track % 2 else forth)]
        return path


def grow_potts(growth: Growth, seed: int, threads: int | None = None) -> Iterator[Spins]:
    """Simulate grain growth.

    Parameters
    ----------
    growth
        What to simulate.
    seed
        The same seed gives the same spins, whatever the number of threads.
    threads
        None for as many as there are cores.

    Yields
    ------
    (Z, Y, X) int32
        Spins after each unit of time: the same array, changed every time.
    """
    spins = np.arange(np.prod(growth.shape), dtype=np.int32).reshape(growth.shape)
    events = np.full(growth.shape, UNKNOWN, np.uint8)
    accept = chances(growth.temperature)
    windows = [np.array(window, np.int64) for window in product(*(every_second(side, True) for side in growth.shape))]
    visits = SWEEPS_PER_STEP * len(windows)
    with Workers(threads) as workers:
        for step in range(growth.steps):
            for visit in range(step * visits, (step + 1) * visits):
                key = np.uint64(sweep_key(seed, visit))
                window = windows[(int(key) >> 32) * len(windows) >> 32]
                workers.run(sweep_potts, window, key, accept, events, spins)
            yield spins


def build_potts(build: Build, seed: int, threads: int | None = None) -> Iterator[Spins]:
    """Simulate additive manufacturing.

    Parameters
    ----------
    build
        What to simulate.
    seed, threads
        As for `grow_potts`.

    Yields
    ------
    (Z, Y, X) int32
        Spins after each sweep: the same array, changed every time.
    """
    spins = np.arange(np.prod(build.simulated), dtype=np.int32).reshape(build.simulated)
    mobility = build.pool.mobility()
    reach = np.array([mobility.shape[0], mobility.shape[1] // 2, mobility.shape[2] // 2], np.int64)
    with Workers(threads) as workers:
        sweeps = PoolSweeps(seed, chances(build.temperature), workers)
        for number, centre in enumerate(build.path()):
            sweeps.run(number, mobility, centre - reach, spins[: centre[0]])  # what lies above is not there yet
            yield spins[build.window]


@dataclass(frozen=True)
class PoolSweeps:
    """Sweeps of a volume around a melt pool.

    Parameters
    ----------
    seed
        Of all that is drawn.
    accept
        (27,) uint64 of `chances`.
    workers
        Threads; spins do not depend on their number.
    """

    seed: int
    accept: NDArray[np.uint64]
    workers: Workers

    def run(self, number: int, mobility: NDArray[np.int32], corner: NDArray[np.int64], spins: Spins) -> None:
        """Melt what lies in the pool, and let all that is mobile try one flip.

        Parameters
        ----------
        number
            Of the sweep: another one draws anew.
        mobility
            (D, W, L) int32 as of `MeltPool.mobility`.
        corner
            (3,) int64: where in the volume the first voxel of `mobility` lies. What reaches out of it does nothing.
        spins
            (Z, Y, X) int32, changed in place.
        """
        first, end = np.maximum(corner, 0), np.minimum(corner + mobility.shape, spins.shape)
        melting, moving = (np.uint64(sweep_key(self.seed, 2 * number + part)) for part in range(2))
        whole = np.stack([first, end, np.ones(3, np.int64)], axis=1)
        self.workers.run(melt, whole, melting, mobility, corner, spins)
        for colour in product((0, 1), repeat=3):
            window = np.stack([first + (colour - first) % 2, end, np.full(3, 2)], axis=1)
            self.workers.run(sweep_mobile, window, moving, self.accept, mobility, corner, spins)


def chances(temperature: float) -> NDArray[np.uint64]:
    """Give the chance of a flip by the energy it costs.

    Parameters
    ----------
    temperature
        In units of the energy between two neighbours.

    Returns
    -------
    (27,) uint64
        In units of 2⁻³².
    """
    if temperature == 0:
        return np.array([CERTAIN] + [0] * NEIGHBOURS, np.uint64)
    boltzmann: NDArray[np.float64] = np.exp(-np.arange(NEIGHBOURS + 1) / temperature)
    return np.floor(boltzmann * CERTAIN).astype(np.uint64)


def _check_shape(shape: Shape) -> None:
    if min(shape) < LEAST_SIDE or np.prod(shape, dtype=np.float64) >= 2**31:
        raise MicrorunError(f"a volume has sides of at least {LEAST_SIDE} and fewer than 2³¹ voxels, not {shape}")


def _check_temperature(temperature: float) -> None:
    if not 0 <= temperature < np.inf:
        raise MicrorunError(f"a temperature is 0 or above, not {temperature}")
