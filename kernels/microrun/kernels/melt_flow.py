"""Flow of liquid metal on a staggered grid: advection, viscosity, drag of the mushy zone, and shear of the surface.

All fields have one shape, with two more cells on each side of the box, and are passed flat: the neighbour along an
axis lies a stride away, so that one kernel serves all three velocities. A velocity stands at the lower face of its
cell. What lies outside of the box is filled before a kernel is called; no kernel knows a boundary.

Work is done row by row in loops that touch few arrays: LLVM vectorises only what it can prove not to overlap.

Work is done row by row in loops that touch few arrays: LLVM vectorises only what it can prove not to overlap.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from microrun.kernels.compiling import fast_kernel

GHOSTS = 2  # cells beyond each side


class FlowLaw(NamedTuple):
    """What a step of the flow needs; all float32.

    Parameters
    ----------
    courant
        Step of time by edge, s/m.
    viscous
        Kinematic viscosity by step and by the square of the edge, 1.
    shear
        Slope of the surface tension, by step, density and the square of the edge, m/(s K).
    seconds
        Step of time.
    drag
        180 µ/(ρ δ²), 1/s.
    solidus_k, melting_k
        Below the first nothing flows; the second is the span up to the liquidus.
    """

    courant: Any
    viscous: Any
    shear: Any
    seconds: Any
    drag: Any
    solidus_k: Any
    melting_k: Any


@fast_kernel
def face_value(before: Any, left: Any, right: Any, after: Any, velocity: Any) -> Any:
    """Value at a face by van Leer's limiter: second order where it is smooth, and no new extremes.

    The four cells lie in a row, the face between the second and the third. Source: van Leer, J. Comput. Phys. 14
    (1974), p. 361.
    """
    forth = velocity >= np.float32(0)
    middle = right - left
    behind = left - before if forth else right - after
    ahead = middle if forth else -middle
    product = max(behind * ahead, np.float32(0))
    # A plain division is checked for zero, and loops with checks are not vectorised.
    part = np.true_divide(product, abs(behind) + abs(ahead) + np.float32(1e-30))
    part = part if ahead >= np.float32(0) else -part
    return (left if forth else right) + part


@fast_kernel
def mean_row(values: Any, start: int, shift: int, out: Any) -> None:
    """Mean of each value of a row and the one a shift away."""
    near, far = values[start:], values[start + shift :]
    for x in range(len(out)):
        out[x] = np.float32(0.5) * (near[x] + far[x])


@fast_kernel
def carry_row(values: Any, start: int, stride: int, low: Any, high: Any, out: Any) -> None:
    """Add what flow along one axis takes from each cell of a row: ∇·(u a) − a ∇·u.

    A field that is the same everywhere so stays the same if the flow is not quite free of sources.

    Parameters
    ----------
    values
        (cells,) float32.
    start
        First cell of the row.
    stride
        From a cell to the next along the axis of the flow.
    low, high
        (X,) float32: velocities through the two faces of each cell.
    out
        (X,) float32: added to.
    """
    before, left, own = values[start - 2 * stride :], values[start - stride :], values[start:]
    right, after = values[start + stride :], values[start + 2 * stride :]
    for x in range(len(out)):
        forth = face_value(left[x], own[x], right[x], after[x], high[x])
        back = face_value(before[x], left[x], own[x], right[x], low[x])
        out[x] += (forth - own[x]) * high[x] - (back - own[x]) * low[x]


@fast_kernel
def spread_row(values: Any, start: int, strides: Any, part: Any, courant: Any, out: Any) -> None:
    """Turn what is carried away from each cell of a row into what it has after advection and viscosity."""
    own, below, above = values[start:], values[start - strides[0] :], values[start + strides[0] :]
    front, behind = values[start - strides[1] :], values[start + strides[1] :]
    left, right = values[start - strides[2] :], values[start + strides[2] :]
    for x in range(len(out)):
        around = below[x] + above[x] + front[x] + behind[x] + left[x] + right[x]
        out[x] = own[x] - courant * out[x] + part * (around - np.float32(6) * own[x])


@fast_kernel
def force_row(values: Any, start: int, shift: int, factor: Any, out: Any) -> None:
    """Add a factor times the difference of each value of a row and the one a shift before it."""
    near, far = values[start:], values[start - shift :]
    for x in range(len(out)):
        out[x] += factor * (near[x] - far[x])


@fast_kernel
def slow_row(law: FlowLaw, kelvin: Any, speed: Any, out: Any) -> None:
    """Slow what the drag of the mushy zone slows: 180 µ/(ρ δ²) (1 − f)²/f³, after Carman and Kozeny, implicitly."""
    for x in range(len(kelvin)):
        # A plain division is checked for zero, and loops with checks are not vectorised.
        liquid = min(max(np.true_divide(kelvin[x] - law.solidus_k, law.melting_k), np.float32(0)), np.float32(1))
        solid = np.float32(1) - liquid
        drag = law.drag * np.true_divide(solid * solid, liquid * liquid * liquid + np.float32(1e-5))
        slowed = np.true_divide(speed[x], np.float32(1) + law.seconds * drag)
        out[x] = slowed if kelvin[x] > law.solidus_k else np.float32(0)


@fast_kernel
def advect(window: Any, strides: Any, courant: Any, flows: Any, values: Any, out: Any) -> None:
    """Carry a quantity along with the flow for a step of time.

    Parameters
    ----------
    window
        (3, 3) int64: first, end and step along z, y and x of the cells, counted with the ghosts.
    strides
        (3,) int64: from a cell to the next along z, y and x.
    courant
        float32: step of time by edge.
    flows
        Three (cells,) float32: velocities along z, y and x.
    values
        (cells,) float32.
    out
        (cells,) float32: the values afterwards.
    """
    cols = window[2, 1] - window[2, 0]
    gone = np.empty(cols, np.float32)
    for z in range(window[0, 0], window[0, 1]):
        for y in range(window[1, 0], window[1, 1]):
            start = z * strides[0] + y * strides[1] + window[2, 0]
            gone[:] = 0
            for axis in range(3):
                stride, flow = strides[axis], flows[axis]
                carry_row(values, start, stride, flow[start:], flow[start + stride :], gone)
            old, new = values[start:], out[start:]
            for x in range(cols):
                new[x] = old[x] - courant * gone[x]


@fast_kernel
def push(
    window: Any, strides: Any, law: FlowLaw, flows: Any, temperature: Any, pressure: Any, shear: Any, out: Any
) -> None:
    """Advance one velocity by advection, viscosity, pressure and shear, and by the drag, which is implicit.

    Parameters
    ----------
    window
        (3, 3) int64 as in `advect`: faces within the box.
    strides
        (3,) int64: along the velocity itself, and along the two others.
    law
        Of material and step.
    flows
        Three (cells,) float32: the velocity itself, and the two others.
    temperature
        (cells,) float32 in K.
    pressure
        (cells,) float32: by density and edge, m/s².
    shear
        (planes,) float32: the part of the shear that acts on a plane: 1 under the surface, 0 below.
    out
        (cells,) float32: the velocity afterwards; 0 where the face is solid.
    """
    own, ahead, cols = flows[0], strides[0], window[2, 1] - window[2, 0]
    plane = max(strides[0], strides[1], strides[2])
    row = strides[0] + strides[1] + strides[2] - plane - 1
    speed, low, high = np.empty(cols, np.float32), np.empty(cols, np.float32), np.empty(cols, np.float32)
    for z in range(window[0, 0], window[0, 1]):
        for y in range(window[1, 0], window[1, 1]):
            start = z * plane + y * row + window[2, 0]
            speed[:] = 0
            for axis in range(3):
                flow, stride = flows[axis], strides[axis]
                near = start - ahead if axis == 0 else start
                mean_row(flow, near, ahead if axis == 0 else -ahead, low)
                mean_row(flow, near + stride, ahead if axis == 0 else -ahead, high)
                carry_row(own, start, stride, low, high, speed)
            spread_row(own, start, strides, law.viscous, law.courant, speed)
            force_row(temperature, start, ahead, law.shear * shear[z], speed)
            force_row(pressure, start, ahead, -law.seconds, speed)
            mean_row(temperature, start, -ahead, low)
            slow_row(law, low, speed, out[start:])
