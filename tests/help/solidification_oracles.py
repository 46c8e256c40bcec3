"""The paper's phase field as it is written, in float64 with all cells and all orientations: slow and obvious."""

import numpy as np


def energy(eta, temperature, laws, liquidus, cell_m):
    """Free energy of Eq. 13–15 in J: double sum over ordered pairs with γ = 1, gradients between cells."""
    squares = eta**2
    pairs = squares.sum(-1) ** 2 - (squares**2).sum(-1)
    grains = (eta**4 / 4 - squares / 2).sum(-1) + pairs + 0.25
    zeta = np.where(temperature < liquidus, 1.0, 0.0)
    local = laws.barrier * (grains + (1 - zeta) ** 2 * squares.sum(-1))
    gradient = sum((np.diff(eta, axis=axis) ** 2).sum() for axis in range(3)) / cell_m**2
    return (local.sum() + laws.gradient / 2 * gradient) * cell_m**3


def derivative(eta, temperature, laws, liquidus, cell_m):
    """dF/dη per volume, from Eq. 15 by hand: the cross term is 4γ."""
    squares = (eta**2).sum(-1, keepdims=True)
    zeta = np.where(temperature < liquidus, 1.0, 0.0)[..., None]
    local = eta**3 - eta + 4 * eta * (squares - eta**2) + 2 * (1 - zeta) ** 2 * eta
    padded = np.pad(eta, ((1, 1), (1, 1), (1, 1), (0, 0)), mode="edge")
    laplacian = -6 * eta
    for axis in range(3):
        for first in (0, 2):
            cut = [slice(1, -1)] * 3
            cut[axis] = slice(first, first + eta.shape[axis])
            laplacian = laplacian + padded[tuple(cut)]
    return laws.barrier * local - laws.gradient * laplacian / cell_m**2


def advance(eta, temperature, laws, liquidus, cell_m, step_s):
    """One explicit step of Eq. 11."""
    mobility = laws.mobility_at(temperature)[..., None]
    return eta - step_s * mobility * derivative(eta, temperature, laws, liquidus, cell_m)


def inherit(orientation, next_id, grain_id):
    """Which grain every cell belongs to: by rounds from cells that are known, then what is left piece by piece."""
    grain_id = grain_id.copy()
    front = [tuple(cell) for cell in np.argwhere(grain_id != -1)]
    _walk(orientation, grain_id, front)
    for cell in np.ndindex(orientation.shape):
        if grain_id[cell] == -1 and orientation[cell] >= 0:
            grain_id[cell] = next_id
            _walk(orientation, grain_id, [cell])
            next_id += 1
    return grain_id, next_id


def _walk(orientation, grain_id, front):
    while front:
        following = []
        for cell in front:
            for axis in (2, 1, 0):
                for step in (-1, 1):
                    beside = list(cell)
                    beside[axis] += step
                    if not 0 <= beside[axis] < orientation.shape[axis]:
                        continue
                    beside = tuple(beside)
                    if grain_id[beside] == -1 and orientation[beside] == orientation[cell]:
                        grain_id[beside] = grain_id[cell]
                        following.append(beside)
        front = following
