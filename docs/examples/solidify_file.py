"""Grains behind a melt pool that comes from a file, twice: as the field around the laser, and as melting events."""

import sys
from pathlib import Path

import numpy as np
from xarray import DataArray

from microrun.runtime.progress import finish
from microrun.training.simulate.melt_pool.process import Process
from microrun.training.simulate.solidify.build import Part
from microrun.training.simulate.solidify.exaca import write_exaca
from microrun.training.simulate.solidify.laws import STEEL_LAWS
from microrun.training.simulate.solidify.plan import Plan
from microrun.training.simulate.solidify.store import write_part
from microrun.training.simulate.solidify.temperature_files import Stated, build_from_temperatures, read_temperatures


def rosenthal(power_w: float, speed_m_s: float, step_m: float = 4e-6) -> DataArray:
    """A point of heat that moves along x over 316L; one half of it, in the units that it states."""
    z, y, x = np.arange(-72e-6, 0, step_m), np.arange(0, 92e-6, step_m), np.arange(-220e-6, 60e-6, step_m)
    z, y, x = (axis + step_m / 2 for axis in (z, y, x))
    distance = np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2)
    rise = 0.4 * power_w / (2 * np.pi * 24 * distance) * np.exp(-speed_m_s * (distance + x) / (2 * 4.8e-6))
    coords = {name: (name, axis, {"units": "m"}) for name, axis in (("z", z), ("y", y), ("x", x))}
    kelvin = np.minimum(300 + rise, 3000)
    return DataArray(kelvin, coords, ("z", "y", "x"), "temperature", {"units": "K"})


def main(folder: Path) -> tuple[Part, Part]:
    """Write both files into a folder, and build a part from each."""
    stated = Stated(Process(power_w=50.0, speed_m_s=0.3))
    rosenthal(50.0, 0.3).to_netcdf(folder / "field.nc")
    field = read_temperatures(folder / "field.nc", stated)
    print(*field.notes, sep="\n")
    part = finish(build_from_temperatures(field, Plan(layers=1, tracks=1, length_um=30.0, cell_um=3.0)))
    write_part(folder / "part.h5", part)

    write_exaca(folder / "events.csv", field.source, STEEL_LAWS, cell_um=3.0, length_um=30.0)
    events = read_temperatures(folder / "events.csv", stated)
    again = finish(build_from_temperatures(events, Plan(layers=1)))
    write_part(folder / "again.h5", again)
    return part, again


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
