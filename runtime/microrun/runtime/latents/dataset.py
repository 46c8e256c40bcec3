"""Latents as a Dataset of xarray, with the names that `microrun convert --to zarr` writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.errors import LatentsError
from microrun.runtime.latents.origin import Origin

if TYPE_CHECKING:
    from xarray import Dataset

DIMENSIONS = {
    "latents": ("row", "col", "feature"),
    "ranges": ("row", "col", "bound"),
    "flags": ("row", "col"),
    "written": ("row", "col"),
    "x_um": ("row", "col"),
    "y_um": ("row", "col"),
    "background": ("detector_row", "detector_col"),
}
COORDINATES = ("feature", "x_um", "y_um")


def make_dataset(arrays: Mapping[str, NDArray[Any]], origin: Origin) -> Dataset:
    """Name the axes of all arrays of a latents file.

    Parameters
    ----------
    arrays
        By the names in `DIMENSIONS`.
    origin
        What the latents were made from.

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    LatentsError
        If xarray is not installed.
    """
    try:
        from xarray import Dataset
    except ModuleNotFoundError:
        raise LatentsError("a Dataset needs xarray; pip install xarray") from None
    variables: dict[str, Any] = {
        name: (dimensions, arrays[name], _attributes(name, origin)) for name, dimensions in DIMENSIONS.items()
    }
    variables["feature"] = np.arange(origin.spec.latent_size)
    return Dataset(variables, attrs=_origin_attributes(origin)).set_coords(COORDINATES)


def _attributes(name: str, origin: Origin) -> dict[str, str]:
    """Units, where there are some."""
    steps = dict(zip(("x_um", "y_um"), origin.scan.step_um, strict=True))
    if name not in steps:
        return {}
    return {"long_name": name[0], "units": "µm" if steps[name] else "steps"}


def _origin_attributes(origin: Origin) -> dict[str, Any]:
    """Text and numbers only, so that every format can hold them."""
    scan = origin.scan
    return {
        "model": origin.spec.name,
        "engine": origin.engine,
        "precision": origin.precision,
        "background_kind": origin.background,
        "grid": scan.grid,
        "step_um": list(scan.step_um),
        "pattern_shape": list(scan.sig_shape),
        "pattern_dtype": scan.dtype,
        "origin": origin.to_json(),
    }
