"""The box around a laser in which a melt pool is computed: half of it, to the one side of the mirror plane."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import MicrorunError
from microrun.training.simulate.melt_pool.field import HOT_K
from microrun.training.simulate.melt_pool.material import Material
from microrun.training.simulate.melt_pool.process import Process

MOST_CELLS = 12_000_000  # half a gigabyte with all that is kept of a cell


@dataclass(frozen=True)
class Box:
    """Cubic cells on one side of the mirror plane.

    Parameters
    ----------
    shape
        (z, y, x) cells; the last plane lies under the surface, y rises away from the mirror plane.
    step_um
        Edge of a cell.
    laser_cells
        Cells behind the beam's axis.
    """

    shape: tuple[int, int, int]
    step_um: float
    laser_cells: int

    @property
    def laser_um(self) -> float:
        """Place of the beam's axis, from the face of low x."""
        return self.laser_cells * self.step_um

    def coarser(self) -> Box:
        """The same box in cells of twice the edge; its sides must be even."""
        depth, rows, cols = self.shape
        return Box((depth // 2, rows // 2, cols // 2), 2 * self.step_um, self.laser_cells // 2)

    def finer(self) -> Box:
        """The same box in cells of half the edge."""
        depth, rows, cols = self.shape
        return Box((2 * depth, 2 * rows, 2 * cols), self.step_um / 2, 2 * self.laser_cells)

    def grown(self, back: bool, side: bool, bottom: bool) -> Box:
        """A box longer, wider or deeper by half; the sides stay even.

        Parameters
        ----------
        back, side, bottom
            Which of its faces move out.
        """
        depth, rows, cols = self.shape
        more = _more(self.laser_cells, back) - self.laser_cells
        return Box((_more(depth, bottom), _more(rows, side), cols + more), self.step_um, self.laser_cells + more)

    def check(self) -> None:
        """Refuse a box that is too large.

        Raises
        ------
        MicrorunError
            If it has more cells than the memory should hold.
        """
        if (cells := math.prod(self.shape)) > MOST_CELLS:
            raise MicrorunError(
                f"the melt pool needs a box of {cells / 1e6:.0f} million cells of {self.step_um:g} µm, more than "
                f"{MOST_CELLS / 1e6:.0f} million: take a larger --cell, or less power"
            )


def choose_box(process: Process, material: Material, step_um: float) -> Box:
    """Choose a box by Rosenthal's point source (Trans. ASME 68, 1946, p. 849), so that what is hot lies within.

    On the line behind the laser the point source is T − T₀ = η P/(2π k r), whatever the speed. Heat spreads
    sideways by 2 √(α t) until it has been left behind.

    Parameters
    ----------
    process, material
        What is simulated.
    step_um
        Edge of a cell.

    Returns
    -------
    Box
        Of even sides.
    """
    diffusivity = material.diffusivity(material.liquidus_k)
    hot = HOT_K if process.preheat_k < HOT_K - 100 else material.solidus_k
    rise = hot - process.preheat_k
    conductivity = material.conductivity((hot + process.preheat_k) / 2)
    reach = process.absorptivity * process.power_w / (2 * math.pi * conductivity * rise)
    beam = process.beam_radius_um * 1e-6
    behind = 1.2 * reach + beam + 40e-6
    spread = math.sqrt(diffusivity * behind / process.speed_m_s)
    wide = min(2 * spread, 1.5 * reach) + beam + 20e-6
    deep = min(2 * spread, 1.5 * reach) + process.depth_um * 1e-6 + 20e-6
    ahead = 2 * beam + min(8 * diffusivity / process.speed_m_s, 1.5 * reach)
    edge = step_um * 1e-6
    cells = [2 * math.ceil(length / (2 * edge)) for length in (deep, wide, behind, ahead)]
    return Box((cells[0], cells[1], cells[2] + cells[3]), step_um, cells[2])


def beam_shares(box: Box, process: Process, moved: float) -> Float64:
    """Share of the beam's power that each column of cells takes: the integral of the Gaussian over its face.

    Parameters
    ----------
    box
        Where.
    process
        Beam.
    moved
        Way of the beam's axis from `Box.laser_cells`, in cells.

    Returns
    -------
    (Y, X) float64
        Of the whole beam: half of it falls on the box.
    """
    _, rows, cols = box.shape
    width = math.sqrt(2) * box.step_um / process.beam_radius_um
    along = _gaussian_shares(np.arange(cols + 1, dtype=np.float64) - box.laser_cells - moved, width)
    across = _gaussian_shares(np.arange(rows + 1, dtype=np.float64), width)
    shares: Float64 = across[:, None] * along[None, :]
    return shares


def depth_shares(box: Box, process: Process) -> Float64:
    """Share of the heat that each plane takes: evenly down to the source's depth.

    Parameters
    ----------
    box
        Where.
    process
        Its depth.

    Returns
    -------
    (Z,) float64
        Of sum 1, the last under the surface.
    """
    tops = np.arange(box.shape[0])[::-1] * box.step_um
    shares: Float64 = np.clip(process.depth_um - tops, 0, box.step_um) / process.depth_um
    return shares


def hot_faces(temperature: NDArray[np.float32]) -> tuple[bool, bool, bool]:
    """Whether the back, the side and the bottom of a box are hot.

    Parameters
    ----------
    temperature
        (Z, Y, X) float32 in K.
    """
    back, side, bottom = (float(face.max()) for face in (temperature[:, :, 0], temperature[:, -1], temperature[0]))
    return back > HOT_K, side > HOT_K, bottom > HOT_K


def _gaussian_shares(edges: Float64, width: float) -> Float64:
    shares: Float64 = np.diff([0.5 * math.erf(edge * width) for edge in edges])
    return shares


def _more(side: int, grows: bool) -> int:
    return side + 2 * max(1, round(side / 4)) if grows else side
