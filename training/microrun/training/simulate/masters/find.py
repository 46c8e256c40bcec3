"""The master pattern of a phase and voltage: of a file, of a folder of files, or computed."""

from __future__ import annotations

import os
import warnings
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import microrun.kernels.compiling  # noqa: F401 (before what orix compiles)
from microrun.runtime.errors import ScanError, first_line
from microrun.runtime.scans.said import said_as_ours
from microrun.runtime.scans.up2 import ScanWarning
from microrun.training.simulate.masters.crystal import CRYSTALS, Crystal
from microrun.training.simulate.masters.harmonics import project_lambert
from microrun.training.simulate.masters.kinematical import compute_kinematical
from microrun.training.simulate.masters.sht import Described, SphericalMaster, describe_sht, read_sht

FOLDER = "MICRORUN_MASTERS"  # environment variable that names the user's folder of masters
SIDE = 401  # pixels of a projection: a degree is 2.2, as fine as 384 harmonics
USUAL_KEV = 20.0  # also of the one inside kikuchipy
PUBLIC = "https://github.com/EMsoft-org/SHTdatabase"


class Master(NamedTuple):
    """A master pattern, ready to project.

    Parameters
    ----------
    signal
        EBSDMasterPattern of kikuchipy, of one energy, both hemispheres, in Lambert projection.
    crystal
        What it is of.
    energy_kev
        Of the beam.
    source
        Where it comes from, for people.
    dynamical
        False for one that is computed in kinematical approximation, which is second best.
    """

    signal: Any
    crystal: Crystal
    energy_kev: float
    source: str
    dynamical: bool


def load_master(path: Path, energy_kev: float | None = None) -> Master:
    """Master pattern of a file.

    Parameters
    ----------
    path
        EMsoft's spherical harmonics (.sht), or anything that kikuchipy reads as a master pattern.
    energy_kev
        Which, where the file holds several; None for the highest, that of the beam.

    Raises
    ------
    ScanError
        If it cannot be read, is no master pattern, or holds none of this energy.
    """
    if path.suffix.lower() == ".sht":
        found = read_sht(path)
        if energy_kev not in (None, found.energy_kev):
            raise ScanError(f"{path}: is of {found.energy_kev:g} kV; {energy_kev:g} kV is asked for")
        return _project(found, path.name)
    return _load_with_kikuchipy(path, energy_kev)


def find_master(phase: str, energy_kev: float = USUAL_KEV, folder: Path | None = None) -> Master:
    """Master pattern of a phase: of the user's folder, else nickel's of kikuchipy, else computed of the crystal.

    Parameters
    ----------
    phase
        Name or formula, such as "ferrite", "alpha-iron", "WC"; in any case.
    energy_kev
        Of the beam.
    folder
        Of .sht files; None for what MICRORUN_MASTERS names, if anything.

    Raises
    ------
    ScanError
        If the folder cannot be read, has the phase but not at this voltage, or nothing knows the phase.

    Warns
    -----
    ScanWarning
        If the master pattern is a kinematical one.
    """
    named = folder or (Path(os.environ[FOLDER]) if os.environ.get(FOLDER) else None)
    there = _list_folder(named) if named else []
    alike = [one for one in there if one[1].crystal.is_called(phase)]
    _check_one(phase, [found.crystal for _, found in alike])
    for path, found in alike:
        if found.energy_kev == energy_kev:
            return _project(read_sht(path), path.name)
    if alike:
        voltages = ", ".join(f"{kev:g}" for kev in sorted({found.energy_kev for _, found in alike}))
        raise ScanError(f"{named}: has {phase} at {voltages} kV only; {energy_kev:g} kV is asked for")
    return _known(phase, energy_kev, named)


def _known(phase: str, energy_kev: float, folder: Path | None) -> Master:
    alike = [one for one in CRYSTALS if one.is_called(phase)]
    _check_one(phase, alike)
    if not alike:
        names = ", ".join(one.name for one in CRYSTALS)
        where = f"{folder} has none" if folder else f"{FOLDER} names no folder"
        raise ScanError(
            f"no master pattern of {phase!r} ({where}): give --master FILE; without one there are {names}; "
            f"files of many more are at {PUBLIC}"
        )
    crystal = alike[0]
    if crystal.name == "nickel" and energy_kev == USUAL_KEV:
        return Master(load_nickel(), crystal, USUAL_KEV, "kikuchipy", dynamical=True)
    text = f"{crystal.name} at {energy_kev:g} kV: its master pattern is computed kinematically, which is second best; "
    warnings.warn(f"{text}one from {PUBLIC} goes into the folder {FOLDER}", ScanWarning, stacklevel=3)
    return Master(compute_kinematical(crystal, energy_kev), crystal, energy_kev, "computed", dynamical=False)


@cache
def load_nickel() -> Any:
    """Dynamical master pattern of nickel at 20 keV inside kikuchipy's wheel (CC BY 4.0, doi:10.5281/zenodo.4288857)."""
    from kikuchipy.data import nickel_ebsd_master_pattern_small

    return nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both")


def _list_folder(folder: Path) -> list[tuple[Path, Described]]:
    """The files of a folder that can be read, and what they say of themselves."""
    if not folder.is_dir():
        raise ScanError(f"{folder}: no such folder of master patterns")
    found = []
    for path in sorted(folder.glob("*.sht")):
        try:
            found.append((path, describe_sht(path)))
        except ScanError as error:
            warnings.warn(f"{error}; passed over", ScanWarning, stacklevel=3)
    return found


def _check_one(asked: str, alike: list[Crystal]) -> None:
    """Refuse a formula of which there are several phases."""
    names = sorted({crystal.name for crystal in alike})
    if len(names) > 1:
        raise ScanError(f"{asked} is {' or '.join(names)}: say which by --phase")


def _project(found: SphericalMaster, source: str) -> Master:
    from kikuchipy.signals import EBSDMasterPattern
    from orix.crystal_map import Phase

    data = project_lambert(found.coefficients, SIDE)
    axes = [
        {"name": name, "size": size} for name, size in zip(("hemisphere", "height", "width"), data.shape, strict=True)
    ]
    phase = Phase(found.crystal.name, space_group=found.crystal.space_group)
    signal = EBSDMasterPattern(data, axes=axes, projection="lambert", hemisphere="both", phase=phase)
    return Master(signal, found.crystal, found.energy_kev, source, dynamical=True)


def _load_with_kikuchipy(path: Path, energy_kev: float | None) -> Master:
    import kikuchipy

    try:
        with said_as_ours(path, "kikuchipy"):
            signal = _read_signal(path)
            if not isinstance(signal, kikuchipy.signals.EBSDMasterPattern):
                raise ScanError(f"{path}: is not a master pattern")
            signal = signal if signal.projection == "lambert" else signal.as_lambert()
    except ScanError:
        raise
    except Exception as error:  # whatever kikuchipy, h5py and HyperSpy raise of files that are something else
        raise ScanError(f"{path}: is not a master pattern that kikuchipy reads ({first_line(error)})") from None
    signal, energy_kev = _choose_energy(path, signal, energy_kev)
    phase = signal.phase
    number = phase.space_group.number if phase.space_group else 0
    crystal = Crystal(phase.name or path.stem, phase.name, "", number, phase.structure.lattice.abcABG())
    return Master(signal, crystal, energy_kev, path.name, dynamical=True)


def _read_signal(path: Path) -> Any:
    import kikuchipy

    try:
        return kikuchipy.load(str(path), projection="lambert", hemisphere="both")
    except Exception:  # a format without a choice: one hemisphere stands for both, as crystals with a centre have it
        return kikuchipy.load(str(path))


def _choose_energy(path: Path, signal: Any, energy_kev: float | None) -> tuple[Any, float]:
    """The part of a master pattern that is of one energy, and which."""
    axes = {axis.name: axis for axis in signal.axes_manager.navigation_axes}
    stated = signal.original_metadata.get_item("MCCLNameList.EkeV")
    if "energy" not in axes and stated is None:
        if energy_kev is None:
            text = f"{path}: does not state its voltage; {USUAL_KEV:g} kV is assumed, --kv says another"
            warnings.warn(text, ScanWarning, stacklevel=4)
        return signal, energy_kev or USUAL_KEV
    there = np.asarray(axes["energy"].axis if "energy" in axes else [round(stated)], float)  # 20.1 is 20
    wanted = there.max() if energy_kev is None else energy_kev
    if wanted not in there:
        raise ScanError(f"{path}: has {', '.join(f'{kev:g}' for kev in there)} kV; {wanted:g} kV is asked for")
    if "energy" not in axes:
        return signal, float(wanted)
    place = int(np.flatnonzero(there == wanted)[0])
    return (signal.inav[place] if len(axes) == 1 else signal.inav[place, :]), float(wanted)
