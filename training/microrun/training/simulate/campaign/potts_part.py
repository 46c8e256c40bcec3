"""A printed part by another physics than the phase field: the Potts model, driven by the temperature of a melt pool."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.potts import FULL, MOLTEN
from microrun.runtime.errors import MicrorunError
from microrun.runtime.progress import Job, Progress
from microrun.runtime.workers import Workers
from microrun.training.simulate.melt_pool.field import MovingField
from microrun.training.simulate.potts import Growth, PoolSweeps, Spins, chances, grow_potts

LENGTHS = ("length_um", "hatch_um", "layer_um", "substrate_um")


@dataclass(frozen=True)
class PottsPlan:
    """Layers of tracks on a substrate, every other track backwards.

    Parameters
    ----------
    layers, tracks
        Numbers of.
    length_um
        Along the tracks. The pool comes from outside and leaves again, so that no end of a track is in the part.
    hatch_um, layer_um
        From track to track, and from layer to layer.
    substrate_um
        Height of the equiaxed grains below the first layer.
    cell_um
        Edge of a voxel.
    still_k
        Temperature at which grain boundaries stand still. Between it and the liquidus their mobility rises evenly.
    sweep_s
        Time that a sweep stands for: it sets how much grains grow while the pool moves by a voxel.
    substrate_steps
        Units of time of `Growth` by which the substrate's grains have grown.

    Raises
    ------
    MicrorunError
        If a value is not possible.
    """

    layers: int = 4
    tracks: int = 3
    length_um: float = 240.0
    hatch_um: float = 100.0
    layer_um: float = 30.0
    substrate_um: float = 84.0
    cell_um: float = 2.0
    still_k: float = 1550.0
    sweep_s: float = 2.67e-6
    substrate_steps: int = 20

    def __post_init__(self) -> None:
        for name in ("layers", "tracks", "substrate_steps"):
            if getattr(self, name) < 1:
                raise MicrorunError(f"{name} is at least 1; got {getattr(self, name)}")
        for name in LENGTHS:
            if not 2 * self.cell_um <= getattr(self, name) < 1e5:
                raise MicrorunError(
                    f"{name} is at least two cells, {2 * self.cell_um:g} µm; got {getattr(self, name):g}"
                )
        for name in ("cell_um", "still_k", "sweep_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise MicrorunError(f"{name} is above 0; got {getattr(self, name):g}")

    def cells(self, length_um: float) -> int:
        """Whole cells nearest to a length."""
        return round(length_um / self.cell_um)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along z, y, x."""
        height = self.cells(self.substrate_um) + self.layers * self.cells(self.layer_um)
        return height, self.tracks * self.cells(self.hatch_um), self.cells(self.length_um)

    def middle(self, track: int) -> int:
        """Voxels beside the middle of a track, on its side of low y."""
        return round((track + 0.5) * self.cells(self.hatch_um))


def grow_part(field: MovingField, plan: PottsPlan, seed: int, threads: int | None = None) -> Job[Spins]:
    """Melt a part layer upon layer, with a record of progress after each track.

    Spins within the liquidus isotherm are random; behind it they grow as in `build_potts`. Each voxel of powder is a
    grain of its own, until it melts or grows into others.

    Parameters
    ----------
    field
        Of the melt pool.
    plan
        What is built.
    seed
        The same seed gives the same spins, whatever the number of threads.
    threads
        None for as many as there are cores.

    Returns
    -------
    (Z, Y, X) int32
        Spins: z rises, voxels of one spin that touch are a grain.

    Raises
    ------
    MicrorunError
        If nothing melts.
    """
    forth = find_mobility(field, plan)
    advance = field.process.speed_m_s * plan.sweep_s / (plan.cell_um * 1e-6)
    spins = _lay_substrate(plan, seed, threads)
    depth, width, length = forth.shape
    # the place of the pool's face of low x, in sweep after sweep
    ahead = np.arange(0, length + plan.shape[2], advance).astype(np.int64) - length
    ways = ((forth, ahead), (np.ascontiguousarray(forth[:, :, ::-1]), plan.shape[2] - length - ahead))
    done, total = 0, plan.layers * plan.tracks
    with Workers(threads) as workers:
        sweeps = PoolSweeps(seed, chances(0), workers)
        for layer in range(plan.layers):
            top = plan.cells(plan.substrate_um) + (layer + 1) * plan.cells(plan.layer_um)
            for track in range(plan.tracks):
                yield Progress(done, total, "tracks")
                mobility, places = ways[track % 2]
                for step, x in enumerate(places):
                    corner = np.array([top - depth, plan.middle(track) - width // 2, x])
                    sweeps.run(done * len(places) + step, mobility, corner, spins[:top])
                done += 1
    yield Progress(done, total, "tracks")
    return spins


def find_mobility(field: MovingField, plan: PottsPlan) -> NDArray[np.int32]:
    """Mobilities of the voxels around a melt pool, by their temperature.

    Parameters
    ----------
    field
        Temperatures.
    plan
        Its edge of a voxel, and the temperature at which boundaries stand still.

    Returns
    -------
    (D, W, L) int32
        As of `MeltPool.mobility`, cut to what is mobile; the pool travels to higher x.

    Raises
    ------
    MicrorunError
        If nothing melts, or boundaries would move at the liquidus alone.
    """
    from scipy.ndimage import zoom

    liquidus = field.material.liquidus_k
    if plan.still_k >= liquidus:
        raise MicrorunError(f"still_k is below the liquidus, {liquidus:g} K; got {plan.still_k:g} K")
    temperature = zoom(field.temperature, field.step_um / plan.cell_um, order=1, mode="nearest", grid_mode=True)
    molten = temperature >= liquidus
    if not molten.any():
        raise MicrorunError(
            f"nothing melts at {field.process.power_w:g} W and {field.process.speed_m_s:g} m/s: there is no track"
        )
    share = np.clip((temperature - plan.still_k) / (liquidus - plan.still_k), 0, 1)
    mobility = np.where(molten, np.int32(MOLTEN), np.rint(share * FULL).astype(np.int32))
    z, y, x = (np.flatnonzero((mobility != 0).any(axis=other)) for other in ((1, 2), (0, 2), (0, 1)))
    return np.ascontiguousarray(mobility[z[0] :, y[0] : y[-1] + 1, x[0] : x[-1] + 1])


def _lay_substrate(plan: PottsPlan, seed: int, threads: int | None) -> Spins:
    """Grains of the substrate, and above it powder, each voxel for itself."""
    spins: Spins = np.arange(np.prod(plan.shape), dtype=np.int32).reshape(plan.shape)
    height = plan.cells(plan.substrate_um)
    *_, grown = grow_potts(Growth((max(height, 3), *plan.shape[1:]), plan.substrate_steps), seed, threads)
    spins[:height] = grown[:height]
    return spins
