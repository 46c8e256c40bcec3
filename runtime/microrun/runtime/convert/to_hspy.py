"""HyperSpy's .hspy: a Signal1D over the map."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from microrun.runtime.array_types import Float32
from microrun.runtime.convert.chosen_features import ChosenFeatures
from microrun.runtime.errors import LatentsError
from microrun.runtime.files.disk import check_room

NO_VALUES = np.empty((0, 0, 0), np.float32)


class _LazyMap:
    """The map as an array that dask reads piece by piece."""

    dtype, ndim = np.dtype(np.float32), 3

    def __init__(self, features: ChosenFeatures) -> None:
        self._features, self.shape = features, features.shape

    def __getitem__(self, piece: tuple[slice, ...]) -> Float32:
        return self._features.read(piece[0]).informative[:, *piece[1:]]


def write_hspy(features: ChosenFeatures, path: Path) -> None:
    """Write a signal with the navigation axes x and y and the signal axis "feature".

    It has no place for flags: patterns without information become NaN.

    Parameters
    ----------
    features
        What to write.
    path
        The file to make.

    Raises
    ------
    LatentsError
        If the grid is hexagonal: HyperSpy's axes cannot hold it.
    OSError or RuntimeError
        If it cannot be written.
    """
    if features.scan.grid == "hexagonal":
        raise LatentsError(
            f"{features.latents.path}: HyperSpy's axes cannot hold its hexagonal grid; use csv, ang, xdmf or zarr"
        )
    import dask
    from dask.array import from_array
    from rsciio.hspy import file_writer

    chunks = (features.rows_at_once, *features.shape[1:])
    check_room(path, len(list(features.row_slices())) * math.prod(chunks) * NO_VALUES.itemsize)
    signal = {
        "data": from_array(_LazyMap(features), chunks, meta=NO_VALUES),  # type: ignore[no-untyped-call]
        "axes": [*_navigation_axes(features), _feature_axis(features.numbers)],
        "metadata": _describe_signal(features),
        "original_metadata": {},
        "learning_results": {},
        "attributes": {"_lazy": False, "ragged": False},
        "models": {},
        "package_info": {},
        "tmp_parameters": {},
    }
    with dask.config.set(scheduler="synchronous"):  # HDF5 takes turns anyway, and threads would hold more in memory
        # Latents hardly get smaller by compression, but much slower.
        file_writer(str(path), signal, compression=None, show_progressbar=False)


def _navigation_axes(features: ChosenFeatures) -> list[dict[str, Any]]:
    step_x, step_y = features.scan.step_um
    x, y = features.place(np.array([0.0, step_x or 1.0]), np.array([0.0, step_y or 1.0]))
    axes = zip("yx", (step_y, step_x), (y.tolist(), x.tolist()), features.scan.nav_shape, strict=True)
    return [
        {
            "_type": "UniformDataAxis",
            "name": name,
            "units": "µm" if step else None,
            "scale": second - first,
            "offset": first,
            "size": size,
            "navigate": True,
            "is_binned": False,
        }
        for name, step, (first, second), size in axes
    ]


def _feature_axis(numbers: list[int]) -> dict[str, Any]:
    """Uniform where the features follow each other: HyperSpy does more with such axes."""
    axis = {"name": "feature", "units": None, "navigate": False, "is_binned": False}
    if numbers[-1] - numbers[0] == len(numbers) - 1:
        return {**axis, "_type": "UniformDataAxis", "scale": 1.0, "offset": float(numbers[0]), "size": len(numbers)}
    return {**axis, "_type": "DataAxis", "axis": np.array(numbers, np.float64)}


def _describe_signal(features: ChosenFeatures) -> dict[str, Any]:
    name = features.latents.path.name
    origin = features.origin
    return {
        "General": {"title": name.removesuffix(".h5"), "original_filename": name},
        "Signal": {"signal_type": ""},
        "microrun": {
            "features": features.numbers,
            "origin": json.loads(origin.to_json()),
            "spec": json.loads(origin.spec.to_json()),
        },
    }
