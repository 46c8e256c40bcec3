"""Temperatures in NetCDF, through xarray."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import MicrorunError, first_line
from microrun.runtime.files.extras import install_command
from microrun.training.simulate.solidify.grids import Grid, choose_array, faces_of

if TYPE_CHECKING:
    from xarray import DataArray

AXES = "zyx"
UNITS = {
    "K": ("k", "kelvin", "degk", "degree_kelvin", "degrees_kelvin"),
    "C": ("c", "°c", "degc", "celsius", "degree_celsius", "degrees_celsius", "degree_c", "degrees_c"),
    "m": ("m", "meter", "meters", "metre", "metres"),
    "mm": ("mm", "millimeter", "millimeters", "millimetre", "millimetres"),
    "um": ("um", "µm", "μm", "micron", "microns", "micrometer", "micrometers", "micrometre", "micrometres"),
}


def read_netcdf(path: Path, array: str | None) -> Grid:
    """Read a variable over x, y and z, with the units that the file states.

    Dimensions are told by their names, in whatever order; one of another name that has one place only is left out.
    Coordinates are the centres of cells.

    Parameters
    ----------
    path
        The file.
    array
        Name of the temperature; None for the only variable, or the only one with such a name.

    Raises
    ------
    MicrorunError
        If it cannot be read, has no such variable, one over other dimensions, or coordinates that are missing, of
        different units, or do not rise or fall.
    """
    try:
        import xarray
    except ImportError:
        raise MicrorunError(f"{path}: NetCDF needs xarray; {install_command('convert')}") from None
    try:
        with xarray.open_dataset(path, decode_times=False) as file:
            fields = {str(name): one for name, one in file.data_vars.items() if one.ndim >= len(AXES)}
            name = list(fields)[choose_array(path, list(fields), array)]
            return _read(path, name, fields[name].load())
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise MicrorunError(
            f"{path}: cannot be read as NetCDF ({first_line(error)[:120]}); what reads it: {install_command('convert')}"
        ) from None


def _read(path: Path, name: str, field: DataArray) -> Grid:
    field = field.squeeze([axis for axis in field.dims if str(axis).lower() not in AXES and field.sizes[axis] == 1])
    dims = {str(axis).lower(): axis for axis in field.dims}
    if sorted(dims) != sorted(AXES) or not all(axis in field.coords for axis in field.dims):
        raise MicrorunError(f"{path}: {name} lies over {', '.join(map(str, field.dims))}; expected x, y and z, each "
                            "with coordinates, and one time only")  # fmt: skip
    field = field.transpose(*(dims[axis] for axis in AXES))
    values = np.asarray(field.values, np.float64)
    axes: list[Float64] = []
    for number, axis in enumerate(AXES):
        places = np.asarray(field.coords[dims[axis]].values, np.float64)
        if len(places) > 1 and places[0] > places[-1]:
            places, values = places[::-1], np.flip(values, number)
        if len(places) < 2 or not (np.diff(places) > 0).all():
            raise MicrorunError(f"{path}: coordinates {axis} are to be two or more that rise or fall")
        axes.append(places)
    units = {_name_unit(field.coords[dims[axis]].attrs.get("units")) for axis in AXES}
    if len(units) > 1:
        raise MicrorunError(f"{path}: its coordinates have units that are not the same or not known; write one of m, "
                            "mm and um in the attribute units of each")  # fmt: skip
    return Grid(
        name, values, tuple(axes), tuple(map(faces_of, axes)), _name_unit(field.attrs.get("units")), units.pop()
    )


def _name_unit(stated: object) -> str | None:
    word = str(stated).strip().lower()
    return next((unit for unit, words in UNITS.items() if word in words), None)
