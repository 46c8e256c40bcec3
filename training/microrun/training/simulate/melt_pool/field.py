"""The temperature around a moving laser, in the frame that moves along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from microrun.training.simulate.melt_pool.material import Material
from microrun.training.simulate.melt_pool.process import Process

FieldKind = Literal["eagar-tsai", "conduction", "flow"]
HOT_K = 1200.0  # what is warmer must lie within the box: where grains can change, Xie et al. (2026)


@dataclass(frozen=True)
class Balance:
    """Where the heat went, over the last stretch of the way, and how far the field is from steady.

    Parameters
    ----------
    absorbed_w
        Of the laser.
    carried_w
        With the metal, through the back of the box.
    lost_w
        From the surface, by convection and radiation.
    stored_w
        Growth of the heat within the box; 0 for a steady field.
    divergence
        Largest flow out of a cell that nothing balances, by speed and area; 0 without flow.
    drift_k
        Largest change of a temperature over the last 20 µm of the way, in K; 0 for a closed form.
    travelled_um
        Way of the laser until the field was taken; 0 for a closed form.
    """

    absorbed_w: float
    carried_w: float
    lost_w: float
    stored_w: float
    divergence: float
    drift_k: float
    travelled_um: float

    @property
    def error(self) -> float:
        """Power that is missing, by the absorbed one."""
        return (self.absorbed_w - self.carried_w - self.lost_w - self.stored_w) / self.absorbed_w


@dataclass(frozen=True, eq=False)
class MovingField:
    """Temperatures in the frame of a laser that moves to +x.

    Parameters
    ----------
    temperature
        (z, y, x) float32 in K, at the centres of cells. z rises; the last plane are the cells under the free surface.
        y is the whole width, with the mirror plane in the middle of an even number of cells. The pool trails to −x.
    step_um
        Edge of a cell.
    laser_um
        Place of the beam's axis, from the face of low x.
    process, material
        What was simulated.
    kind
        How; "file" for what comes from elsewhere.
    balance
        Of the heat; None where it is not known.
    """

    temperature: NDArray[np.float32]
    step_um: float
    laser_um: float
    process: Process
    material: Material
    kind: FieldKind | Literal["file"]
    balance: Balance | None = None
