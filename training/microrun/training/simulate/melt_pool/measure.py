"""What a melt pool measures, how it solidifies, and what its reader must know."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.training.simulate.melt_pool.box import hot_faces
from microrun.training.simulate.melt_pool.field import HOT_K, MovingField

KEYHOLE = 0.5  # depth by width, above which a pool is no half circle any more
UNSTEADY_K = 20.0  # change over 20 µm of the way
FEWEST_CELLS = 3  # in the depth of a pool that is resolved


@dataclass(frozen=True, eq=False)
class Front:
    """The liquidus isotherm over the cross-section, and how the metal solidifies at its back.

    All are (z, y) float64, over the whole width, NaN where nothing melts; z rises as in `MovingField`.

    Parameters
    ----------
    fore_um, back_um
        Where the metal melts and where it solidifies, along x from the beam's axis.
    gradient_k_m
        G = |∇T|, at the back as all that follows.
    growth_m_s
        R: the speed of the isotherm along its normal.
    """

    fore_um: Float64
    back_um: Float64
    gradient_k_m: Float64
    growth_m_s: Float64

    @property
    def cooling_k_s(self) -> Float64:
        """Cooling rate G R."""
        return self.gradient_k_m * self.growth_m_s

    @property
    def melts(self) -> NDArray[np.bool_]:
        """Where anything melts."""
        return ~np.isnan(self.back_um)


@dataclass(frozen=True, eq=False)
class Pool:
    """Size of a melt pool at the liquidus.

    Parameters
    ----------
    width_um, depth_um, length_um
        0 if nothing melts. The length is measured along the surface's middle.
    peak_k
        Highest temperature of a cell.
    front
        Its isotherm.
    """

    width_um: float
    depth_um: float
    length_um: float
    peak_k: float
    front: Front

    def averages(self) -> tuple[float, float, float]:
        """Means of G in K/m, of R in m/s and of G R in K/s over the metal that solidifies; NaN if none does.

        Each part of the cross-section counts by its area.
        """
        front = self.front
        if not front.melts.any():
            return math.nan, math.nan, math.nan
        maps = (front.gradient_k_m, front.growth_m_s, front.cooling_k_s)
        gradient, growth, cooling = (float(np.nanmean(values)) for values in maps)
        return gradient, growth, cooling


def measure_pool(field: MovingField) -> Pool:
    """Measure a melt pool, between cells by linear interpolation.

    Parameters
    ----------
    field
        Temperatures.
    """
    half = field.temperature[:, field.temperature.shape[1] // 2 :].astype(np.float64)
    liquidus, step = field.material.liquidus_k, field.step_um
    front = _find_front(field, half)
    top = half[-1, 0]
    molten = np.flatnonzero(top >= liquidus)
    length = 0.0
    if len(molten):
        fore, back = length_above(top[molten[0] :], liquidus), length_above(top[molten[-1] :: -1], liquidus)
        length = fore + back - float(molten[-1] - molten[0] + 1)
    return Pool(
        2 * step * max(length_above(column, liquidus) for column in half[-1].T),
        step * max(length_above(column[::-1], liquidus) for column in half[:, 0].T),
        step * length,
        float(half.max()),
        front,
    )


def find_warnings(field: MovingField, pool: Pool) -> list[str]:
    """What a reader must know of a field, a line each.

    Parameters
    ----------
    field
        What was computed.
    pool
        Of this field.
    """
    said, process, boiling = [], field.process, field.material.boiling_k
    if not pool.width_um:
        said.append(
            f"no metal melts at {process.power_w:g} W and {process.speed_m_s:g} m/s: the highest temperature is "
            f"{pool.peak_k:,.0f} K, the liquidus {field.material.liquidus_k:,.0f} K"
        )
    elif pool.depth_um > KEYHOLE * pool.width_um:
        said.append(
            f"the pool is {pool.depth_um / pool.width_um:.2g} times as deep as wide, like a keyhole: vapour and its "
            "recoil, which are not in the model, shape such pools"
        )
    if pool.width_um and pool.depth_um < FEWEST_CELLS * field.step_um:
        cells = pool.depth_um / field.step_um
        said.append(f"the pool is {cells:.2g} cells deep: its size is known better with smaller cells")
    if pool.peak_k > boiling:
        peak = f"{pool.peak_k:,.0f} K, is beyond boiling ({boiling:,.0f} K)"
        said.append(f"the highest temperature, {peak}: nothing evaporates in the model")
    faces = [name for name, hot in zip(("back", "side", "bottom"), hot_faces(field.temperature), strict=True) if hot]
    if faces:
        said.append(f"the box cuts what is above {HOT_K:,.0f} K at its {' and '.join(faces)}")
    drift = field.balance.drift_k if field.balance else 0.0
    if drift > UNSTEADY_K:
        said.append(f"the field is not steady: temperatures still change by up to {drift:.3g} K over 20 µm")
    return said


def length_above(line: Float64, level: float) -> float:
    """Length in cells of what lies above a level, from the face before the first cell; between cells linearly.

    Parameters
    ----------
    line
        (N,) float64.
    level
        Of the same unit.
    """
    above = np.flatnonzero(line >= level)
    if not len(above):
        return 0.0
    last = int(above[-1])
    if last + 1 == len(line):
        return float(len(line))
    return last + 0.5 + float((line[last] - level) / (line[last] - line[last + 1]))


def _find_front(field: MovingField, half: Float64) -> Front:
    """The isotherm of one half, mirrored."""
    step, liquidus = field.step_um, field.material.liquidus_k
    molten = half >= liquidus
    melts = molten.any(axis=2)
    cols = half.shape[2]
    first = np.argmax(molten, axis=2)
    last = cols - 1 - np.argmax(molten[:, :, ::-1], axis=2)
    back = _crossing(half, np.maximum(first - 1, 0), liquidus)
    fore = _crossing(half, np.minimum(last, cols - 2), liquidus)
    gradients: list[Float64] = list(np.gradient(half, step * 1e-6))
    gradients[1][:, 0] /= 2  # across the mirror plane, and across the surface, the twin of a cell is as warm
    gradients[0][-1] /= 2
    upwards, sideways, forwards = (_take(part, back) for part in gradients)
    steepness = np.sqrt(upwards**2 + sideways**2 + forwards**2)
    with np.errstate(invalid="ignore", divide="ignore"):
        growth = field.process.speed_m_s * forwards / steepness
    maps = [(fore + 0.5) * step - field.laser_um, (back + 0.5) * step - field.laser_um, steepness, growth]
    shown = [np.where(melts, values, np.nan) for values in maps]
    return Front(*(np.concatenate([values[:, ::-1], values], axis=1) for values in shown))


def _crossing(half: Float64, left: NDArray[np.int64], level: float) -> Float64:
    """Place, in cells along x, of a level between a cell and the next."""
    low, high = (np.take_along_axis(half, (left + more)[..., None], axis=2)[..., 0] for more in (0, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.clip((level - low) / (high - low), 0, 1)
    place: Float64 = left.astype(np.float64) + np.nan_to_num(part)
    return place


def _take(values: Float64, place: Float64) -> Float64:
    """Values between cells along x."""
    left = np.minimum(place.astype(np.int64), values.shape[2] - 2)
    low, high = (np.take_along_axis(values, (left + more)[..., None], axis=2)[..., 0] for more in (0, 1))
    between: Float64 = low + (place - left) * (high - low)
    return between
