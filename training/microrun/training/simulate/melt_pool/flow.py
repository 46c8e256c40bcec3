"""Heat and flow of liquid metal in a box that moves with the laser: Eq. 1–10 of Xie et al. (2026).

The flow is incompressible, on a staggered grid. The paper adds the drag of the mushy zone with the wrong sign; here it
slows. The surface is flat; its tension falls with the temperature and shears it (Marangoni). Pressure is found by a
cosine transform, in increments: at rest nothing has to be corrected any more, so that no flow leaks into the solid.
The flow is computed in a region around the pool, which grows with it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.conduction import find_potentials, find_temperatures
from microrun.kernels.melt_flow import GHOSTS, FlowLaw, advect, push
from microrun.runtime.workers import Workers
from microrun.training.simulate.melt_pool.box import Box
from microrun.training.simulate.melt_pool.conduction import SAFETY, MovingHeat, stable_step
from microrun.training.simulate.melt_pool.material import Material
from microrun.training.simulate.melt_pool.process import Process

COURANT = 0.45  # of the sum of the three velocities: van Leer's scheme in one stage needs less than 0.5
GAIN = 1.1  # by which the flow may grow while the laser crosses a cell
MARGIN = 4  # cells of solid around the pool
EVEN = 4  # cells of which a region's sides are multiples
Region = tuple[slice, slice, slice]
INSIDE = (slice(GHOSTS, -GHOSTS),) * 3


class Flow:
    """Velocities and pressure in a region, with two more cells on each side.

    Parameters
    ----------
    shape
        (z, y, x) cells of the region; its last plane lies under the surface, its first row at the mirror plane.
    threads
        Of the transforms.
    """

    def __init__(self, shape: tuple[int, int, int], threads: int) -> None:
        padded = tuple(side + 2 * GHOSTS for side in shape)
        self.shape, self.threads = shape, threads
        self.velocities = [np.zeros(padded, np.float32) for _ in range(3)]  # along z, y and x, at lower faces
        self.pressure = np.zeros(padded, np.float32)
        self.temperature = np.zeros(padded, np.float32)
        self.enthalpy = np.zeros(padded, np.float32)
        self.carried = np.zeros(padded, np.float32)
        self.shear = np.zeros(padded[0], np.float32)
        self.shear[-GHOSTS - 1] = 1
        self.strides = np.array([padded[1] * padded[2], padded[2], 1])
        self._next = [np.zeros(padded, np.float32) for _ in range(3)]
        self._inverse = 1 / _laplacian(shape)

    @property
    def fastest(self) -> float:
        """Largest sum of the three speeds of a cell, in m/s."""
        return float(np.abs(self.velocities).sum(axis=0).max())

    @property
    def divergence(self) -> float:
        """Largest flow out of a cell that nothing balances, by speed and area."""
        speed = max(float(np.abs(velocity).max()) for velocity in self.velocities)
        return float(np.abs(self._sources()).max()) / speed if speed else 0.0

    def push(self, law: FlowLaw, workers: Workers) -> None:
        """Advance the velocities by a step, and take their sources out.

        Parameters
        ----------
        law
            Of material and step.
        workers
            Threads.
        """
        self._fill_ghosts()
        flat = [velocity.ravel() for velocity in self.velocities]
        for axis in range(3):
            order = [axis, *(other for other in range(3) if other != axis)]
            window = self.window()
            window[axis, 0] += 1  # the first face is a wall, or the mirror plane
            shear = self.shear if axis else np.zeros_like(self.shear)
            workers.run(
                push, window, self.strides[order], law, tuple(flat[other] for other in order),
                self.temperature.ravel(), self.pressure.ravel(), shear, self._next[axis].ravel(),
            )  # fmt: skip
        self.velocities, self._next = self._next, self.velocities
        self._project(float(law.seconds))

    def advect(self, courant: np.float32, workers: Workers) -> None:
        """Carry the enthalpy along; the result is in `carried`.

        Parameters
        ----------
        courant
            Step of time by edge.
        workers
            Threads.
        """
        self.enthalpy[:, :GHOSTS] = self.enthalpy[:, 2 * GHOSTS - 1 : GHOSTS - 1 : -1]
        self.enthalpy[-GHOSTS:] = self.enthalpy[-GHOSTS - 1 : -2 * GHOSTS - 1 : -1]
        flat = tuple(velocity.ravel() for velocity in self.velocities)
        workers.run(advect, self.window(), self.strides, courant, flat, self.enthalpy.ravel(), self.carried.ravel())

    def move_back(self) -> None:
        """Move all by one cell against the laser's way."""
        for values in (*self.velocities, self.pressure):
            values[:, :, :-1] = values[:, :, 1:]
        self.velocities[2][:, :, : GHOSTS + 1] = 0  # a wall

    def take(self, other: Flow, offset: list[int]) -> None:
        """Take over the flow of a region that lies within.

        Parameters
        ----------
        other
            Of that region.
        offset
            Its first cell.
        """
        place = tuple(slice(more, more + side + 2 * GHOSTS) for more, side in zip(offset, other.shape, strict=True))
        for own, values in zip(self.velocities, other.velocities, strict=True):
            own[place] = values
        self.pressure[place] = other.pressure
        for axis, velocity in enumerate(self.velocities):  # faces of the region, and what lies beyond
            np.moveaxis(velocity, axis, 0)[: GHOSTS + 1] = 0
            np.moveaxis(velocity, axis, 0)[-GHOSTS:] = 0

    def window(self) -> NDArray[np.int64]:
        """All cells of the region, counted with those beyond."""
        return np.array([[GHOSTS, GHOSTS + side, 1] for side in self.shape])

    def _fill_ghosts(self) -> None:
        upright, across, along = self.velocities
        for values in (upright, along, self.temperature):
            values[:, :GHOSTS] = values[:, 2 * GHOSTS - 1 : GHOSTS - 1 : -1]
        across[:, :GHOSTS] = -across[:, 2 * GHOSTS : GHOSTS : -1]
        for values in (across, along, self.temperature):
            values[-GHOSTS:] = values[-GHOSTS - 1 : -2 * GHOSTS - 1 : -1]
        upright[-1] = -upright[-2 * GHOSTS + 1]

    def _sources(self) -> NDArray[np.float32]:
        found = np.zeros(self.shape, np.float32)
        for axis, velocity in enumerate(self.velocities):
            after = list(INSIDE)
            after[axis] = slice(GHOSTS + 1, velocity.shape[axis] - GHOSTS + 1)
            found += velocity[tuple(after)] - velocity[INSIDE]
        return found

    def _project(self, seconds: float) -> None:
        from scipy.fft import dctn, idctn

        spectrum = dctn(self._sources(), type=2, norm="ortho", workers=self.threads)
        change = idctn(spectrum * self._inverse, type=2, norm="ortho", workers=self.threads, overwrite_x=True)
        for axis, velocity in enumerate(self.velocities):
            faces = list(INSIDE)
            faces[axis] = slice(GHOSTS + 1, -GHOSTS)
            velocity[tuple(faces)] -= np.diff(change, axis=axis)
        self.pressure[INSIDE] += change / np.float32(seconds)


class MovingFlow(MovingHeat):
    """Heat and flow in a box that moves with the laser.

    Parameters
    ----------
    box, process, material, workers
        As for `MovingHeat`.
    """

    def __init__(self, box: Box, process: Process, material: Material, workers: Workers) -> None:
        super().__init__(box, process, material, workers)
        self._region: Region | None = None
        self.flow = Flow((1, 1, 1), workers.threads)

    @property
    def divergence(self) -> float:
        """As in `Balance`."""
        return self.flow.divergence

    def travel(self) -> None:
        """Let the laser cross one cell, in steps that heat and flow bear."""
        self._follow_pool()
        crossing = self.edge_m / self.process.speed_m_s
        steady = SAFETY * stable_step(self.material, self.process.preheat_k, self.edge_m)
        fastest = max(GAIN * self.flow.fastest, 1.0)
        steps = math.ceil(crossing / min(steady, COURANT * self.edge_m / fastest))
        for step in range(steps):
            self.advance(step, steps)
        self.move_back()

    def advance(self, step: int, steps: int) -> None:
        """Advance flow and heat by one of the steps in which the laser crosses a cell.

        Parameters
        ----------
        step, steps
            Which of how many.
        """
        if self._region:
            seconds = self.edge_m / self.process.speed_m_s / steps
            self._flow(self._region, seconds)
        super().advance(step, steps)

    def move_back(self) -> None:
        """Move heat and flow by one cell against the laser's way."""
        super().move_back()
        self.flow.move_back()

    def _flow(self, region: Region, seconds: float) -> None:
        flow, law = self.flow, self._law(seconds)
        flow.enthalpy[INSIDE] = self.enthalpy[region]
        self.workers.run(find_temperatures, flow.window(), self.law, flow.enthalpy, flow.temperature)
        flow.push(law, self.workers)
        flow.advect(law.courant, self.workers)
        self.enthalpy[region] = flow.carried[INSIDE]
        self.workers.run(find_potentials, flow.window(), self.law, flow.carried, flow.enthalpy)  # it is filled anew
        self.potential[region] = flow.enthalpy[INSIDE]

    def _law(self, seconds: float) -> FlowLaw:
        material, edge = self.material, self.edge_m
        kinematic = material.viscosity_pa_s / material.density_kg_m3
        values = (
            seconds / edge, kinematic * seconds / edge**2,
            material.surface_tension_slope_n_mk * seconds / (material.density_kg_m3 * edge**2), seconds,
            180 * kinematic / (material.dendrite_spacing_um * 1e-6) ** 2, material.solidus_k,
            material.liquidus_k - material.solidus_k,
        )  # fmt: skip
        return FlowLaw(*map(np.float32, values))

    def _follow_pool(self) -> None:
        """Widen the region until the pool and a margin of solid lie within, or the box ends."""
        melts = self.temperature > self.material.solidus_k
        if not melts.any():
            return
        needed = _around(melts, MARGIN)
        now = self._region
        if now and all(old.start <= new.start and new.stop <= old.stop for old, new in zip(now, needed, strict=True)):
            return
        wider = _around(melts, 2 * MARGIN)
        if now:
            first, second, third = (
                slice(min(old.start, new.start), max(old.stop, new.stop)) for old, new in zip(now, wider, strict=True)
            )
            wider = (first, second, third)
        depth, rows, cols = (part.stop - part.start for part in wider)
        flow = Flow((depth, rows, cols), self.workers.threads)
        if now:
            flow.take(self.flow, [old.start - new.start for old, new in zip(now, wider, strict=True)])
        self._region, self.flow = wider, flow


def _around(melts: NDArray[np.bool_], margin: int) -> Region:
    """A region around what melts, from the mirror plane and up to the surface; its sides suit transforms."""
    found = []
    for axis, side in enumerate(melts.shape):
        places = np.flatnonzero(melts.any(axis=tuple(other for other in range(3) if other != axis)))
        first = (places[0] - margin) // EVEN * EVEN if axis != 1 else 0
        stop = -(-(places[-1] + 1 + margin) // EVEN) * EVEN if axis else side
        found.append(slice(max(int(first), 0), min(int(stop), side)))
    return found[0], found[1], found[2]


def _laplacian(shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Eigenvalues of the sum over neighbours, less the cell itself, where nothing flows through the faces."""
    values = np.zeros(shape)
    for axis, side in enumerate(shape):
        along = 2 * np.cos(np.pi * np.arange(side) / side) - 2
        values += np.expand_dims(along, [other for other in range(3) if other != axis])
    values[0, 0, 0] = np.inf  # the mean of a pressure is free
    return values.astype(np.float32)
