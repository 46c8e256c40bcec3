"""Melt pools written out: what the kernels do, slowly."""

from __future__ import annotations

from functools import cache

import numpy as np

from microrun.kernels.conduction import HeatLaw
from microrun.kernels.melt_flow import FlowLaw


def law_of(latent: float = 2.7e5, slope: float = 0.134, conductivity_slope: float = 0.0157) -> HeatLaw:
    """Of a metal like 316L that starts at 300 K."""
    capacity, solidus, liquidus, start = 462.0, 1650.0, 1723.0, 300.0
    at_solidus = capacity * (solidus - start) + slope * (solidus**2 - start**2) / 2
    at_liquidus = at_solidus + capacity * (liquidus - solidus) + slope * (liquidus**2 - solidus**2) / 2 + latent
    values = (
        start, solidus, liquidus, 9.248, conductivity_slope, capacity + slope * start,
        capacity + slope * solidus + latent / (liquidus - solidus), capacity + slope * liquidus, slope, at_solidus,
        at_liquidus,
    )  # fmt: skip
    return HeatLaw(*map(np.float32, values))


@cache
def table_of(law: HeatLaw) -> tuple[np.ndarray, np.ndarray]:
    """Temperatures and ∫c dT by a fine sum, in float64."""
    latent = float(law.capacity_mush - law.capacity_start - law.capacity_slope * (law.solidus_k - law.start_k))
    grid = np.linspace(float(law.start_k), 6000, 57_001)
    middle = (grid[1:] + grid[:-1]) / 2
    rate = float(law.capacity_start) + float(law.capacity_slope) * (np.minimum(middle, law.liquidus_k) - law.start_k)
    rate += np.where((middle > law.solidus_k) & (middle < law.liquidus_k), latent, 0)
    sums = np.concatenate([[0], np.cumsum(rate * np.diff(grid))])
    return grid, sums


def enthalpy_of(law: HeatLaw, kelvin: np.ndarray) -> np.ndarray:
    """Enthalpies in J/kg."""
    return np.interp(kelvin, *table_of(law))


def temperature_of(law: HeatLaw, enthalpy: np.ndarray) -> np.ndarray:
    """The inverse, by interpolation."""
    kelvin, sums = table_of(law)
    return np.interp(enthalpy, sums, kelvin)


def conductivity_of(law: HeatLaw, kelvin: np.ndarray) -> np.ndarray:
    return float(law.conductivity) + float(law.conductivity_slope) * np.minimum(kelvin, float(law.liquidus_k))


def conducted(law: HeatLaw, number: float, kelvin: np.ndarray) -> np.ndarray:
    """Change of the enthalpy by conduction in a step; faces are insulated. In float64, face by face."""
    change = np.zeros(kelvin.shape)
    kelvin = kelvin.astype(np.float64)
    for axis in range(3):
        values, out = np.moveaxis(kelvin, axis, 0), np.moveaxis(change, axis, 0)
        for place in range(len(values) - 1):
            near, far = values[place], values[place + 1]
            flux = number * integral(law, near, far)
            out[place] += flux
            out[place + 1] -= flux
    return change


def integral(law: HeatLaw, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """∫k dT from one temperature to another, by Simpson's rule on either side of the liquidus."""
    middle = np.clip(float(law.liquidus_k), np.minimum(low, high), np.maximum(low, high))
    total = np.zeros(np.shape(low))
    for a, b in ((low, middle), (middle, high)):
        mean = (conductivity_of(law, a) + 4 * conductivity_of(law, (a + b) / 2) + conductivity_of(law, b)) / 6
        total = total + mean * (b - a)
    return total


def face_value(row: list[float], velocity: float) -> float:
    """Van Leer's value between the second and the third of four cells."""
    if velocity < 0:
        return face_value(row[::-1], -velocity)
    before, left, right, _ = row
    one, other = left - before, right - left
    if one * other <= 0:
        return left
    ratio = one / other
    return left + 0.5 * (ratio + abs(ratio)) / (1 + abs(ratio)) * other


def carried(values: np.ndarray, place: tuple[int, ...], axis: int, low: float, high: float) -> float:
    """∇·(u a) − a ∇·u of one cell along one axis, by an edge."""
    step = np.eye(3, dtype=int)[axis]
    row = [float(values[tuple(np.array(place) + shift * step)]) for shift in range(-2, 3)]
    return (face_value(row[1:], high) - row[2]) * high - (face_value(row[:-1], low) - row[2]) * low


def advected(courant: float, flows: list[np.ndarray], values: np.ndarray, ghosts: int) -> np.ndarray:
    """The values after a step, in cells that are not beyond the box."""
    out = values.astype(np.float64)
    for place in np.ndindex(*(side - 2 * ghosts for side in values.shape)):
        cell = tuple(at + ghosts for at in place)
        for axis in range(3):
            after = tuple(np.array(cell) + np.eye(3, dtype=int)[axis])
            out[cell] -= courant * carried(values, cell, axis, float(flows[axis][cell]), float(flows[axis][after]))
    return out


def pushed(
    law: FlowLaw, flows: list[np.ndarray], axis: int, kelvin: np.ndarray, pressure: np.ndarray, ghosts: int
) -> np.ndarray:
    """One velocity after a step, at faces within the box; the last plane lies under the surface."""
    own = flows[axis]
    out = np.zeros(own.shape)
    step = np.eye(3, dtype=int)
    for place in np.ndindex(*(side - 2 * ghosts for side in own.shape)):
        if place[axis] == 0:
            continue
        cell = np.array(place) + ghosts
        back = cell - step[axis]
        speed = float(own[tuple(cell)])
        for other in range(3):
            flow = flows[other]
            faces = (back, cell, cell + step[axis]) if other == axis else None
            if faces is not None:
                low = (flow[tuple(faces[0])] + flow[tuple(faces[1])]) / 2
                high = (flow[tuple(faces[1])] + flow[tuple(faces[2])]) / 2
            else:
                low = (flow[tuple(cell)] + flow[tuple(back)]) / 2
                high = (flow[tuple(cell + step[other])] + flow[tuple(back + step[other])]) / 2
            speed -= float(law.courant) * carried(own, tuple(cell), other, float(low), float(high))
            around = float(own[tuple(cell + step[other])]) + float(own[tuple(cell - step[other])])
            speed += float(law.viscous) * (around - 2 * float(own[tuple(cell)]))
        warm, cold = float(kelvin[tuple(cell)]), float(kelvin[tuple(back)])
        if axis and place[0] == own.shape[0] - 2 * ghosts - 1:
            speed += float(law.shear) * (warm - cold)
        speed -= float(law.seconds) * (float(pressure[tuple(cell)]) - float(pressure[tuple(back)]))
        face = (warm + cold) / 2
        liquid = min(max((face - float(law.solidus_k)) / float(law.melting_k), 0), 1)
        drag = float(law.drag) * (1 - liquid) ** 2 / (liquid**3 + 1e-5)
        out[tuple(cell)] = speed / (1 + float(law.seconds) * drag) if face > law.solidus_k else 0
    return out
