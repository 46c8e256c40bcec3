"""Heat in a box that moves with the laser: the metal enters in front and leaves behind, cell by cell.

The laser crosses one cell in a whole number of steps; then all moves back by one cell. So the field is always seen with
the laser at the same place of a cell, and no numerical diffusion comes from the motion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.conduction import conduct, find_potentials, find_temperatures
from microrun.runtime.workers import Workers
from microrun.training.simulate.melt_pool.box import Box, beam_shares, depth_shares
from microrun.training.simulate.melt_pool.field import Balance
from microrun.training.simulate.melt_pool.material import Material
from microrun.training.simulate.melt_pool.process import Process

STEFAN_BOLTZMANN = 5.670374419e-8
SAFETY = 0.9  # of the largest stable step


@dataclass
class Ledger:
    """Heat in J, of both halves of the box, and time in s, since it was begun."""

    seconds: float = 0.0
    absorbed: float = 0.0
    carried: float = 0.0
    lost: float = 0.0


def stable_step(material: Material, start_k: float, edge_m: float) -> float:
    """Longest stable step of explicit conduction in three dimensions, in s: dx²/(6 α).

    Parameters
    ----------
    material
        Its largest diffusivity counts.
    start_k
        Lowest temperature in K.
    edge_m
        Edge of a cell.
    """
    kelvin = np.linspace(start_k, material.liquidus_k, 64)
    return edge_m**2 / (6 * max(map(material.diffusivity, kelvin)))


class MovingHeat:
    """Heat in a box that moves with the laser.

    Parameters
    ----------
    box
        Where.
    process, material
        What is simulated.
    workers
        Threads that share the work; the result does not depend on their number.
    """

    def __init__(self, box: Box, process: Process, material: Material, workers: Workers) -> None:
        self.box, self.process, self.material, self.workers = box, process, material, workers
        self.law = material.heat_law(process.preheat_k)
        self.enthalpy = np.zeros(box.shape, np.float32)
        self.potential = np.zeros(box.shape, np.float32)
        self.ledger = Ledger()
        self._spare = np.empty_like(self.potential)
        self.window = np.array([[0, side, 1] for side in box.shape])
        self._shares = depth_shares(box, process).astype(np.float32)
        self._beams: dict[tuple[int, int], NDArray[np.float32]] = {}

    @property
    def edge_m(self) -> float:
        """Edge of a cell in m."""
        return self.box.step_um * 1e-6

    @property
    def cell_kg(self) -> float:
        """Mass of a cell, and of its twin behind the mirror plane."""
        return 2 * self.material.density_kg_m3 * self.edge_m**3

    @property
    def stored(self) -> float:
        """Heat in the box and its twin, in J."""
        return float(self.enthalpy.sum(dtype=np.float64)) * self.cell_kg

    @property
    def divergence(self) -> float:
        """As in `Balance`."""
        return 0.0

    def begin_ledger(self) -> float:
        """Begin a new ledger; gives the heat in J that is stored now."""
        self.ledger = Ledger()
        return self.stored

    def balance(self, stored: float, drift_k: float, travelled_um: float) -> Balance:
        """Powers since the ledger was begun.

        Parameters
        ----------
        stored
            Heat in J that was stored then.
        drift_k, travelled_um
            As in `Balance`.
        """
        ledger = self.ledger
        absorbed, carried, lost = (heat / ledger.seconds for heat in (ledger.absorbed, ledger.carried, ledger.lost))
        growth = (self.stored - stored) / ledger.seconds
        return Balance(absorbed, carried, lost, growth, self.divergence, drift_k, travelled_um)

    @property
    def temperature(self) -> NDArray[np.float32]:
        """(Z, Y, X) float32 in K, a new array."""
        found = np.empty_like(self.enthalpy)
        self.workers.run(find_temperatures, self.window, self.law, self.enthalpy, found)
        return found

    def take(self, other: MovingHeat) -> None:
        """Begin with the heat of another box, where they overlap.

        Parameters
        ----------
        other
            A box no larger, of the same edge or of twice the edge.
        """
        enthalpy, laser_cells = other.enthalpy, other.box.laser_cells
        if other.box.step_um > self.box.step_um:
            for axis in range(3):
                enthalpy = np.repeat(enthalpy, 2, axis)
            laser_cells *= 2
        depth, rows, cols = enthalpy.shape
        first = self.box.laser_cells - laser_cells
        self.enthalpy[-depth:, :rows, first : first + cols] = enthalpy
        self.workers.run(find_potentials, self.window, self.law, self.enthalpy, self.potential)

    def travel(self) -> None:
        """Let the laser cross one cell."""
        crossing = self.edge_m / self.process.speed_m_s
        steps = math.ceil(crossing / (SAFETY * stable_step(self.material, self.process.preheat_k, self.edge_m)))
        for step in range(steps):
            self.advance(step, steps)
        self.move_back()

    def advance(self, step: int, steps: int) -> None:
        """Advance by one of the steps in which the laser crosses a cell.

        Parameters
        ----------
        step, steps
            Which of how many.
        """
        seconds = self.edge_m / self.process.speed_m_s / steps
        number = np.float32(seconds / (self.material.density_kg_m3 * self.edge_m**2))
        self._cool(seconds)
        self.workers.run(
            conduct, self.window, self.law, number, self._beam(step, steps), self._shares, self.potential,
            self.enthalpy, self._spare,
        )  # fmt: skip
        self.potential, self._spare = self._spare, self.potential
        self.ledger.seconds += seconds
        self.ledger.absorbed += self.process.absorptivity * self.process.power_w * seconds

    def move_back(self) -> None:
        """Move all by one cell against the laser's way; what comes in is cold."""
        self.ledger.carried += float(self.enthalpy[:, :, 0].sum(dtype=np.float64)) * self.cell_kg
        for values in (self.potential, self.enthalpy):
            values[:, :, :-1] = values[:, :, 1:]
            values[:, :, -1] = 0

    def _beam(self, step: int, steps: int) -> NDArray[np.float32]:
        if (step, steps) not in self._beams:
            if step == 0:
                self._beams.clear()
            joule = self.process.absorptivity * self.process.power_w * self.edge_m / self.process.speed_m_s / steps
            shares = beam_shares(self.box, self.process, (step + 0.5) / steps)
            self._beams[step, steps] = (shares * joule / (self.cell_kg / 2)).astype(np.float32)
        return self._beams[step, steps]

    def _cool(self, seconds: float) -> None:
        convection, emissivity = self.process.convection_w_m2k, self.process.emissivity
        if convection == 0 and emissivity == 0:
            return
        found = np.empty_like(self.enthalpy[-1:])
        find_temperatures(np.array([[0, 1, 1]]), self.law, self.enthalpy[-1:], found)
        top, around = found[0].astype(np.float64), self.process.preheat_k
        flux = convection * (top - around) + emissivity * STEFAN_BOLTZMANN * (top**4 - around**4)
        loss = flux * seconds / (self.material.density_kg_m3 * self.edge_m)
        self.enthalpy[-1] -= loss.astype(np.float32)
        self.ledger.lost += float(loss.sum()) * self.cell_kg
