"""Phase field of solidification in a window that follows the laser: order parameters side by side in each cell.

A cell holds `ORIENTATIONS` order parameters η_i. With S = Σ η_j² a step of explicit Euler is

    η_i' = η_i·(1 − a·(s + 4S) − 6c + 3a·η_i²) + c·Σ η_i of the six neighbours,

a = dt·L·m and c = dt·L·κ/dx² with the mobility L of the cell's temperature, s = −1 below the liquidus and 1 above:
the grain-growth model of Yang et al. (npj Comput. Mater. 7, 2021, 81; Xie et al. 2026, Eq. 11–15) with γ = 1 over
ordered pairs, whose derivative has 4γ.

Along x the window is a ring: the domain's column x lies at x modulo its length, so that memory does not grow with
the track. What happens in a cell depends on nothing but the step before, whichever thread takes its plane.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.compiling import fast_kernel
from microrun.kernels.potts import below, draw

ORIENTATIONS = 20  # known when kernels are compiled: one vector operation after the other
SMALLEST = np.float32(1e-15)  # what decays below is none: arithmetic of denormal numbers is slow
MOLTEN = np.float32(0.25)  # S below which no order parameter is above one half
UNDERCOOLINGS = 38  # 0 … 37 K, at which chances of nucleation are tabled
CHANCE_BITS = np.uint64(11)
PER_53_BITS = 2.0**-53
ZERO, ONE, THREE, FOUR, SIX = (np.float32(n) for n in (0, 1, 3, 4, 6))


class Window(NamedTuple):
    """What moves with the laser, in cells of the domain's size.

    Parameters
    ----------
    temperature
        (z, y, w) float32, K.
    mobility
        (z, y, w) float32, L in m³/(J·s).
    first, stop
        (z, y) int64: cells of each row that are hot, from 1 on; the same number where none is.
    """

    temperature: NDArray[np.float32]
    mobility: NDArray[np.float32]
    first: NDArray[np.int64]
    stop: NDArray[np.int64]


class Place(NamedTuple):
    """Where the window is.

    Parameters
    ----------
    shift
        The domain's column under the window's first.
    fraction
        How far the window is on its way to the next column, 0 to 1.
    columns
        The domain's; it ends there without flux.
    """

    shift: int
    fraction: np.float32
    columns: int


class Step(NamedTuple):
    """What is the same in all cells.

    Parameters
    ----------
    reaction, diffusion
        float32: dt·m and dt·κ/dx², each to be multiplied by the mobility.
    liquidus
        float32, K.
    chances
        (`UNDERCOOLINGS`,) float64: that a molten cell nucleates in this step, by whole K below the liquidus.
    key
        uint64, of the random numbers.
    """

    reaction: np.float32
    diffusion: np.float32
    liquidus: np.float32
    chances: NDArray[np.float64]
    key: np.uint64


@fast_kernel
def advance_window(planes: Any, eta: Any, window: Any, place: Any, step: Any, nuclei: Any, out: Any) -> None:
    """Advance the hot cells of some planes by one step.

    Parameters
    ----------
    planes
        (2,) int64: first plane, and the one after the last.
    eta
        (z, y, ring, `ORIENTATIONS`) float32, as it is.
    window, place, step
        `Window`, `Place`, `Step`.
    nuclei
        (z,) int64: those of each plane are added.
    out
        Of eta's shape, as it will be. Cells that have just cooled are copied, so that from then on both hold the same.
    """
    depth, width, ring = eta.shape[:3]
    for z in range(planes[0], planes[1]):
        down, up = max(z - 1, 0), min(z + 1, depth - 1)
        for y in range(width):
            front, back = max(y - 1, 0), min(y + 1, width - 1)
            first, stop = window.first[z, y] + place.shift, window.stop[z, y] + place.shift
            if 1 <= first <= place.columns:
                cooled = (first - 1) % ring
                out[z, y, cooled] = eta[z, y, cooled]
            x = max(first, 0) % ring - 1
            for column in range(max(first, 0), min(stop, place.columns)):
                w = column - place.shift
                x = 0 if x == ring - 1 else x + 1
                left = x if column == 0 else ring - 1 if x == 0 else x - 1
                right = x if column == place.columns - 1 else 0 if x == ring - 1 else x + 1
                mobility = window.mobility[z, y, w]
                mobility += place.fraction * (window.mobility[z, y, w - 1] - mobility)
                temperature = window.temperature[z, y, w]
                warming = window.temperature[z, y, w - 1] - temperature
                temperature += place.fraction * warming
                react, spread = mobility * step.reaction, mobility * step.diffusion
                squares = ZERO
                for o in range(ORIENTATIONS):
                    squares += eta[z, y, x, o] * eta[z, y, x, o]
                drive = FOUR * squares + (-ONE if temperature < step.liquidus else ONE)
                keep = ONE - react * drive - SIX * spread
                for o in range(ORIENTATIONS):
                    own = eta[z, y, x, o]
                    beside = (
                        eta[down, y, x, o] + eta[up, y, x, o] + eta[z, front, x, o] + eta[z, back, x, o]
                        + eta[z, y, left, o] + eta[z, y, right, o]
                    )  # fmt: skip
                    value = own * (keep + THREE * react * own * own) + spread * beside
                    out[z, y, x, o] = value if value > SMALLEST else ZERO
                undercooling = step.liquidus - temperature
                if warming < 0 and squares < MOLTEN and 0 < undercooling <= UNDERCOOLINGS - 1:
                    place_in_part = (z * width + y) * place.columns + column
                    if nucleate(step, place_in_part, undercooling, out[z, y, x]):
                        nuclei[z] += 1


@fast_kernel
def nucleate(step: Any, cell: int, undercooling: float, eta: Any) -> bool:
    """Make a molten cell a grain of random orientation, by chance.

    Parameters
    ----------
    step
        `Step`.
    cell
        Counter of the random number.
    undercooling
        In K, above 0.
    eta
        (`ORIENTATIONS`,) float32, changed if it nucleates.

    Returns
    -------
    bool
        Whether it has.
    """
    low = min(int(undercooling), UNDERCOOLINGS - 2)
    share = undercooling - low
    chance = step.chances[low] * (1 - share) + step.chances[low + 1] * share
    bits = draw(step.key, cell)
    if (bits >> CHANCE_BITS) * PER_53_BITS >= chance:
        return False
    eta[:] = ZERO
    eta[below(draw(bits, 0), ORIENTATIONS)] = ONE
    return True
