"""Melt pools in HDF5.

The file's attributes: ``format``, ``kind``, ``step_um``, ``laser_um``, and as JSON ``process``, ``material`` and, where
it is known, ``balance``; and what the pool measures: ``width_um``, ``depth_um``, ``length_um``, ``peak_k``. The data
set ``temperature`` is (z, y, x) float32 in K, as in `MovingField`. The group ``liquidus`` holds the isotherm over the
cross-section, (z, y) float32, NaN where nothing melts: ``fore_um`` and ``back_um`` from the beam's axis, and at the
back, where the metal solidifies, ``gradient_k_m`` (G), ``growth_m_s`` (R) and ``cooling_k_s`` (G R).

The file is written beside and renamed, so that it is always whole.
"""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import get_args

import h5py
import numpy as np

from microrun.runtime.errors import MicrorunError
from microrun.runtime.files.hdf5 import hdf5_errors, open_hdf5
from microrun.runtime.files.output import written_beside
from microrun.runtime.json_text import UNREADABLE, check_fields, parse_object
from microrun.training.simulate.melt_pool.field import Balance, FieldKind, MovingField
from microrun.training.simulate.melt_pool.material import Material
from microrun.training.simulate.melt_pool.measure import Pool, measure_pool
from microrun.training.simulate.melt_pool.process import Process

FORMAT = "microrun melt pool 1"
MOST_VALUES = 1 << 30  # of a file that is read: more is no melt pool


def write_pool(path: Path, field: MovingField) -> None:
    """Write a melt pool.

    Parameters
    ----------
    path
        The file to make or replace.
    field
        What was computed.

    Raises
    ------
    OutputError
        If the disk is full; a file that was there before still is.
    """
    with written_beside(path) as beside, hdf5_errors(), h5py.File(beside, "w", rdcc_nbytes=0) as file:
        file.attrs.update(format=FORMAT, kind=field.kind, step_um=field.step_um, laser_um=field.laser_um)
        file.attrs["process"] = json.dumps(dataclasses.asdict(field.process))
        file.attrs["material"] = json.dumps(dataclasses.asdict(field.material))
        if field.balance:
            file.attrs["balance"] = json.dumps(dataclasses.asdict(field.balance))
        file.create_dataset("temperature", data=field.temperature, chunks=True, shuffle=True, compression="gzip")
        _write_measures(file, measure_pool(field))


def read_pool(path: Path) -> MovingField:
    """Read a melt pool.

    Parameters
    ----------
    path
        From `write_pool`.

    Raises
    ------
    MicrorunError
        If it is no such file, or damaged.
    """
    try:
        with open_hdf5(path) as file:
            if file.attrs.get("format") != FORMAT:
                raise MicrorunError(f"{path}: contains no melt pool of `microrun simulate meltpool`")
            return _read(file)
    except (OSError, *UNREADABLE, RuntimeError) as error:
        raise MicrorunError(f"{path}: cannot be read as a melt pool ({error})") from None
    except MicrorunError as error:
        raise MicrorunError(str(error) if str(path) in str(error) else f"{path}: {error}") from None


def _write_measures(file: h5py.File, pool: Pool) -> None:
    file.attrs.update(width_um=pool.width_um, depth_um=pool.depth_um, length_um=pool.length_um, peak_k=pool.peak_k)
    group = file.create_group("liquidus")
    for name in ("fore_um", "back_um", "gradient_k_m", "growth_m_s", "cooling_k_s"):
        group.create_dataset(name, data=getattr(pool.front, name).astype(np.float32))


def _read(file: h5py.File) -> MovingField:
    data, kind = file["temperature"], str(file.attrs["kind"])
    if data.ndim != 3 or data.size == 0 or data.size > MOST_VALUES or data.shape[1] % 2 or data.dtype != np.float32:
        raise ValueError(f"temperature is (z, y, x) float32 of even width, not {data.shape} {data.dtype}")
    if kind not in get_args(FieldKind):
        raise ValueError(f"fields are {', '.join(get_args(FieldKind))}, not {kind!r}")
    temperature = data[()]
    if not np.isfinite(temperature).all():
        raise ValueError(f"{(~np.isfinite(temperature)).sum()} of its temperatures are not numbers")
    step_um, laser_um = float(file.attrs["step_um"]), float(file.attrs["laser_um"])
    if not 0 < step_um < math.inf or not 0 <= laser_um <= step_um * data.shape[2]:
        raise ValueError(f"steps of {step_um:g} µm and a laser at {laser_um:g} µm do not fit")
    process = Process(**parse_object(file.attrs["process"]))
    material = Material(**parse_object(file.attrs["material"]))
    balance = Balance(**parse_object(file.attrs["balance"])) if "balance" in file.attrs else None
    for made in filter(None, (process, material, balance)):
        check_fields(made)
    return MovingField(temperature, step_um, laser_um, process, material, kind, balance)  # type: ignore[arg-type]
