"""Temperatures on a grid from elsewhere, and the moving field that they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import MicrorunError
from microrun.training.simulate.melt_pool.field import MovingField
from microrun.training.simulate.melt_pool.material import Material
from microrun.training.simulate.melt_pool.process import Process

Travel = Literal["+x", "-x", "+y", "-y"]
NAMES = ("temperature", "temperature_k", "temp", "t")  # of arrays, in small letters
LENGTHS = {"m": 1e6, "mm": 1e3, "um": 1.0}  # in µm
FREEZING_K = 273.15
COLDEST_K, HOTTEST_K = 200.0, 20_000.0  # beyond, temperatures are not in K
FINEST_UM = 2.0  # cells that are finer add nothing to the phase field's
COARSEST_UM = 50.0  # a pool is no wider than a few such cells
MOST_CELLS = 1 << 28
ALIKE = 1e-3  # part of a cell by which grids may differ and be called the same


@dataclass(frozen=True, eq=False)
class Grid:
    """Values on a grid with straight axes, in the units of a file.

    Parameters
    ----------
    name
        Of the array.
    values
        (z, y, x) float64.
    axes
        Places of the values along z, y and x, rising.
    faces
        Where the grid begins and ends along z, y and x.
    temperature_unit, length_unit
        "K" or "C", and one of `LENGTHS`; None where the file states none.
    """

    name: str
    values: Float64
    axes: tuple[Float64, ...]
    faces: tuple[tuple[float, float], ...]
    temperature_unit: str | None = None
    length_unit: str | None = None


def choose_array(path: Path, names: Sequence[str], wanted: str | None) -> int:
    """Tell which array is the temperature.

    Parameters
    ----------
    path
        The file, for errors.
    names
        Of its arrays.
    wanted
        The user's; None for the only one, or the only one that is called like a temperature.

    Raises
    ------
    MicrorunError
        If that is none, or not one alone.
    """
    chosen = [number for number, name in enumerate(names) if name == wanted]
    if wanted is None:
        chosen = [number for number, name in enumerate(names) if len(names) == 1 or name.lower() in NAMES]
    if len(chosen) != 1:
        problem = f"no array {wanted!r}" if wanted and not chosen else "not one array alone that is the temperature"
        raise MicrorunError(f"{path}: has {problem}; its arrays are {', '.join(names) or 'none'}: name one of them")
    return chosen[0]


def make_field(
    path: Path, grid: Grid, process: Process, material: Material, travel: Travel
) -> tuple[MovingField, list[str]]:
    """Make a moving field, on cubic cells on either side of the track.

    Parameters
    ----------
    path
        The file, for errors.
    grid
        In K and µm; both units are to be stated.
    process, material
        What made it, as the user states it.
    travel
        Where the laser moves to in the file.

    Returns
    -------
    (MovingField, list of str)
        And what was done to it, a line each.

    Raises
    ------
    MicrorunError
        If there are gaps, temperatures that are none, nothing that melts, a pool that does not trail behind the laser
        or hangs upside down, or too many cells.
    """
    grid = _turn(_to_kelvin_um(grid), travel)
    _check_values(path, grid, material)
    notes: list[str] = []
    hottest = grid.values.max(axis=(0, 2))
    if hottest.argmax() in (0, len(hottest) - 1) and len(hottest) > 1:
        grid = _mirror(grid, high=hottest.argmax() > 0)
        notes.append("half a pool: mirrored where it is hottest")
    _check_sense(path, grid, material, travel)
    step, places = _choose_cells(path, grid, material)
    if any(len(new) != len(old) or np.abs(new - old).max() > ALIKE * step
           for new, old in zip(places, grid.axes, strict=True)):  # fmt: skip
        values, cells = grid.values.shape, map(len, places)
        notes.append(f"resampled from {' × '.join(map(str, values))} values to {' × '.join(map(str, cells))} cells of "
                     f"{step:g} µm (z, y, x)")  # fmt: skip
    temperature = _sample(grid, places)
    laser = float(places[2][temperature[-1].max(axis=0).argmax()] - grid.faces[2][0])
    return MovingField(temperature, step, laser, process, material, "file"), notes


def _choose_cells(path: Path, grid: Grid, material: Material) -> tuple[float, tuple[Float64, ...]]:
    """Edge of cubic cells, and their centres along z, y, x: from the surface, the middle and the back of the grid."""
    steps = [float(np.diff(axis).min()) if len(axis) > 1 else np.inf for axis in grid.axes]
    step = max(float(f"{min(steps):.6g}"), FINEST_UM)
    (bottom, top), (left, right), (low, high) = grid.faces
    molten = np.flatnonzero((grid.values > material.liquidus_k).any(axis=(0, 2)))
    middle = float((grid.axes[1][molten[0]] + grid.axes[1][molten[-1]]) / 2)
    depth, half, length = (
        int(way / step + ALIKE) for way in (top - bottom, min(middle - left, right - middle), high - low)
    )
    if min(depth, half, length) < 1 or 2 * depth * half * length > MOST_CELLS or step > COARSEST_UM:
        raise MicrorunError(
            f"{path}: makes {depth:,} × {2 * half:,} × {length:,} cells of {step:g} µm; expected up to "
            f"{MOST_CELLS:,} of at most {COARSEST_UM:g} µm: are lengths in the unit that is stated?"
        )
    starts = top - depth * step, middle - half * step, low
    counts = depth, 2 * half, length
    return step, tuple(
        np.add((np.arange(count, dtype=np.float64) + 0.5) * step, start, dtype=np.float64)
        for start, count in zip(starts, counts, strict=True)
    )


def _to_kelvin_um(grid: Grid) -> Grid:
    scale = LENGTHS[grid.length_unit or "um"]
    shift = FREEZING_K if grid.temperature_unit == "C" else 0.0
    axes = tuple(axis * scale for axis in grid.axes)
    faces = tuple((low * scale, high * scale) for low, high in grid.faces)
    return Grid(grid.name, grid.values + shift, axes, faces, "K", "um")


def _turn(grid: Grid, travel: Travel) -> Grid:
    """Let the laser go to +x."""
    values, (z, y, x), (up, across, along) = grid.values, grid.axes, grid.faces
    if travel[1] == "y":
        values, y, x, across, along = values.swapaxes(1, 2), x, y, along, across
    if travel[0] == "-":
        values, x, along = values[..., ::-1], -x[::-1], (-along[1], -along[0])
    return Grid(grid.name, values, (z, y, x), (up, across, along), "K", "um")


def _mirror(grid: Grid, high: bool) -> Grid:
    """Both halves of a pool of which a face is the middle."""
    values, y, (low_face, high_face) = grid.values, grid.axes[1], grid.faces[1]
    plane, edge = high_face if high else low_face, float(y[-1 if high else 0])
    if abs(edge) < ALIKE * abs(plane - edge):
        plane = edge  # centres of cells are not at 0: these are points
    other = 2 * plane - y[::-1]
    seam = int(abs(edge - plane) < ALIKE * (y[1] - y[0]))
    if high:
        halves, places = [values, values[:, ::-1][:, seam:]], [y, other[seam:]]
        faces = (low_face, 2 * plane - low_face)
    else:
        halves, places = [values[:, ::-1], values[:, seam:]], [other, y[seam:]]
        faces = (2 * plane - high_face, high_face)
    axes = (grid.axes[0], np.concatenate(places), grid.axes[2])
    return Grid(grid.name, np.concatenate(halves, axis=1), axes, (grid.faces[0], faces, grid.faces[2]), "K", "um")


def _check_values(path: Path, grid: Grid, material: Material) -> None:
    if not all(np.isfinite(np.asarray(places)).all() for places in (*grid.axes, *grid.faces)):
        raise MicrorunError(f"{path}: its origin or its spacing is not a number, or not one that a field can have")
    bad = int((~np.isfinite(grid.values)).sum())
    if bad:
        raise MicrorunError(f"{path}: {bad:,} of {grid.values.size:,} temperatures are missing or no numbers; cut them "
                            "off, or fill them")  # fmt: skip
    coldest, hottest = float(grid.values.min()), float(grid.values.max())
    if coldest < COLDEST_K or hottest > HOTTEST_K:
        raise MicrorunError(f"{path}: {grid.name} is {coldest:,.0f} to {hottest:,.0f} K; expected {COLDEST_K:g} to "
                            f"{HOTTEST_K:,.0f} K: is its unit another one?")  # fmt: skip
    if hottest < material.liquidus_k:
        than = "solidus" if hottest < material.solidus_k else "liquidus"
        level = material.solidus_k if hottest < material.solidus_k else material.liquidus_k
        raise MicrorunError(f"{path}: is at {hottest:,.0f} K colder throughout than the {than} of {material.name}, "
                            f"{level:,.0f} K: nothing melts")  # fmt: skip


def _check_sense(path: Path, grid: Grid, material: Material, travel: Travel) -> None:
    """Refuse what lies the wrong way round."""
    if grid.values[0].max() > grid.values[-1].max():
        raise MicrorunError(f"{path}: is hotter at its lowest z than at its highest; expected z to rise to the surface")
    x = grid.axes[2]
    molten = np.flatnonzero((grid.values > material.liquidus_k).any(axis=(0, 1)))
    along = grid.values.max(axis=(0, 1))
    laser = x[along == along.max()].mean()  # where a code cuts temperatures off, they are the same over some length
    ahead, behind = x[molten[-1]] - laser, laser - x[molten[0]]
    if ahead > behind:
        raise MicrorunError(
            f"{path}: its pool reaches {ahead:.0f} µm ahead of where it is hottest and {behind:.0f} µm behind, for a "
            f"laser that moves to {travel}: state where it moves to"
        )


def _sample(grid: Grid, places: tuple[Float64, ...]) -> NDArray[np.float32]:
    """Interpolate linearly, one axis after the other; beyond the outermost values they go on as they are."""
    values = grid.values.astype(np.float32)
    for axis, (new, old) in enumerate(zip(places, grid.axes, strict=True)):
        at = np.interp(new, old, np.arange(len(old)))
        low = np.minimum(at.astype(np.int64), max(len(old) - 2, 0))
        share = (at - low).astype(np.float32).reshape([-1 if one == axis else 1 for one in range(3)])
        above = np.minimum(low + 1, len(old) - 1)
        values = values.take(low, axis) * (1 - share) + values.take(above, axis) * share
    return np.ascontiguousarray(values)


def faces_of(axis: Float64) -> tuple[float, float]:
    """Where cells with such centres begin and end: half a step beyond.

    Parameters
    ----------
    axis
        (n,) float64, rising, at least two.
    """
    return float(axis[0] - (axis[1] - axis[0]) / 2), float(axis[-1] + (axis[-1] - axis[-2]) / 2)
