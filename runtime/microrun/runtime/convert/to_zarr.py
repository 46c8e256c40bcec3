"""zarr, version 3: all that a latents file holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from microrun.runtime.convert.chosen_features import ChosenFeatures

if TYPE_CHECKING:
    from zarr import Array, Group

CHUNK_ROWS, CHUNK_POINTS = 64, 64 * 64


def write_zarr(features: ChosenFeatures, path: Path) -> None:
    """Write a group with the arrays of the latents file; its attributes are the spec and the origin.

    The dimensions are named and the feature numbers are a coordinate, so that xarray finds features by number.
    Latents keep their type and are NaN where not written.

    Parameters
    ----------
    features
        What to write.
    path
        The folder to make.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    import zarr

    origin = features.origin
    attributes = {
        "features": features.numbers,
        "origin": json.loads(origin.to_json()),
        "spec": json.loads(origin.spec.to_json()),
    }
    group = zarr.create_group(path, zarr_format=3, attributes=attributes)
    group.create_array("feature", data=np.array(features.numbers, np.int64), dimension_names=("feature",))
    background = features.latents.background
    group.create_array("background", data=background, dimension_names=("detector_row", "detector_col"))
    arrays = _make_map_arrays(group, features)
    for piece in features.pieces():
        arrays["latents"][piece.rows] = piece.values
        arrays["ranges"][piece.rows] = features.latents.read("ranges", piece.rows)
        arrays["flags"][piece.rows] = piece.flags
        arrays["written"][piece.rows] = piece.written
        arrays["x_um"][piece.rows] = piece.x
        arrays["y_um"][piece.rows] = piece.y


def _make_map_arrays(group: Group, features: ChosenFeatures) -> dict[str, Array[Any]]:
    rows, cols, count = features.shape
    chunk_rows = min(features.rows_at_once, CHUNK_ROWS)
    chunks = chunk_rows, min(cols, CHUNK_POINTS // chunk_rows)
    x, y = features.units
    arrays: dict[str, tuple[str, float, dict[str, int], dict[str, str]]] = {
        "latents": (features.origin.dtype, np.nan, {"feature": count}, {}),
        "ranges": ("float32", np.nan, {"bound": 2}, {}),
        "flags": ("bool", False, {}, {}),
        "written": ("bool", False, {}, {}),
        "x_um": ("float64", np.nan, {}, {"units": x}),
        "y_um": ("float64", np.nan, {}, {"units": y}),
    }
    return {
        name: group.create_array(
            name,
            shape=(rows, cols, *last.values()),
            dtype=dtype,
            chunks=(*chunks, *last.values()),
            fill_value=fill,
            dimension_names=("row", "col", *last),
            attributes={**attributes},
        )
        for name, (dtype, fill, last, attributes) in arrays.items()
    }
