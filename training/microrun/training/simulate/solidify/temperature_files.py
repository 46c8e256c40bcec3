"""Temperatures from elsewhere: files of moving fields and of histories, and the parts that they make."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from microrun.runtime.errors import MicrorunError
from microrun.runtime.progress import Job
from microrun.training.simulate.melt_pool.field import MovingField
from microrun.training.simulate.melt_pool.material import STEEL_316L, Material
from microrun.training.simulate.melt_pool.process import Process
from microrun.training.simulate.melt_pool.store import read_pool
from microrun.training.simulate.solidify.build import Part, build_part
from microrun.training.simulate.solidify.events import History
from microrun.training.simulate.solidify.exaca import read_exaca
from microrun.training.simulate.solidify.grids import LENGTHS, Grid, Travel, make_field
from microrun.training.simulate.solidify.history import build_history
from microrun.training.simulate.solidify.laws import STEEL_LAWS, Laws
from microrun.training.simulate.solidify.netcdf import read_netcdf
from microrun.training.simulate.solidify.plan import Plan
from microrun.training.simulate.solidify.vti import read_vti

POOLS, HISTORIES = (".h5", ".hdf5"), (".csv", ".catemp")
GRIDS = {".vti": read_vti, ".nc": read_netcdf}
TEMPERATURES = ("K", "C")


@dataclass(frozen=True)
class Stated:
    """What the user says of a file that does not say it itself.

    Parameters
    ----------
    process
        Power and speed; needed but for pools of ``microrun simulate meltpool``, which hold them.
    material
        Whose liquidus and solidus they are.
    array
        Name of the temperature in a ``.vti`` or ``.nc`` file; None for the only one that it can be.
    temperature_unit, length_unit
        "K" or "C"; "m", "mm" or "um". None where the file states them.
    travel
        Where the laser moves to in a ``.vti`` or ``.nc`` file.

    Raises
    ------
    MicrorunError
        If a unit or a direction is not known.
    """

    process: Process | None = None
    material: Material = STEEL_316L
    array: str | None = None
    temperature_unit: str | None = None
    length_unit: str | None = None
    travel: Travel = "+x"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("unit of temperatures", self.temperature_unit, (None, *TEMPERATURES)),
            ("unit of lengths", self.length_unit, (None, *LENGTHS)),
            ("direction of the laser", self.travel, ("+x", "-x", "+y", "-y")),
        ):
            if value not in known:
                raise MicrorunError(f"the {name} is one of {', '.join(filter(None, known))}; got {value!r}")


@dataclass(frozen=True, eq=False)
class Temperatures:
    """What a file holds.

    Parameters
    ----------
    source
        A field that moves with the laser, or a history of points.
    notes
        What was done to it, a line each, to be shown.
    """

    source: MovingField | History
    notes: tuple[str, ...] = ()


def read_temperatures(path: Path, stated: Stated) -> Temperatures:
    """Read temperatures from elsewhere.

    Parameters
    ----------
    path
        ``.h5`` (a melt pool of microrun), ``.vti`` or ``.nc`` (a field around the laser), ``.csv`` or ``.catemp``
        (ExaCA's melting events).
    stated
        What the user says of it.

    Raises
    ------
    MicrorunError
        If it is none of these, damaged, or something is missing or contradicts what is stated.
    """
    kind = path.suffix.lower()
    if kind in POOLS:
        pool = read_pool(path)
        if stated.process not in (None, pool.process):
            raise MicrorunError(f"{path}: holds power and speed itself; do not state them")
        return Temperatures(pool)
    if kind not in GRIDS and kind not in HISTORIES:
        raise MicrorunError(f"{path}: temperatures are read from {', '.join((*POOLS, *GRIDS, *HISTORIES))} files")
    if stated.process is None:
        raise MicrorunError(f"{path}: does not say which power and speed it was made with; state both")
    if kind in HISTORIES:
        history, notes = read_exaca(path, stated.process, stated.material)
        return Temperatures(history, tuple(notes))
    grid = _with_units(path, GRIDS[kind](path, stated.array), stated)
    field, notes = make_field(path, grid, stated.process, stated.material, stated.travel)
    return Temperatures(field, tuple(notes))


def _with_units(path: Path, grid: Grid, stated: Stated) -> Grid:
    """The file's units, and the user's where it states none; neither is guessed."""
    temperature = grid.temperature_unit or ("K" if grid.name.lower().endswith("_k") else None)
    units = {"temperature": (temperature, stated.temperature_unit), "length": (grid.length_unit, stated.length_unit)}
    for name, (of_file, of_user) in units.items():
        if of_file is None and of_user is None:
            choices = " or ".join(TEMPERATURES if name == "temperature" else LENGTHS)
            raise MicrorunError(f"{path}: states no unit of {name}; state {choices}")
        if None not in (of_file, of_user) and of_file != of_user:
            raise MicrorunError(f"{path}: its unit of {name} is {of_file}; {of_user} contradicts it")
    return dataclasses.replace(
        grid, temperature_unit=temperature or stated.temperature_unit,
        length_unit=grid.length_unit or stated.length_unit,
    )  # fmt: skip


def build_from_temperatures(
    temperatures: Temperatures, plan: Plan, laws: Laws = STEEL_LAWS, threads: int | None = None,
    checkpoint: Path | None = None,
) -> Job[Part]:  # fmt: skip
    """Build a part from what a file holds.

    Parameters
    ----------
    temperatures
        From `read_temperatures`.
    plan
        What to build. Of a history, it says how many times it is laid upon itself (layers); cells, length and tracks
        are those of the file.
    laws, threads, checkpoint
        As for `build_part`.

    Returns
    -------
    Part

    Raises
    ------
    MicrorunError
        As of `build_part` and `build_history`.
    """
    source = temperatures.source
    if isinstance(source, History):
        return build_history(source, plan, laws, threads, checkpoint)
    return build_part(source, plan, laws, threads, checkpoint)
