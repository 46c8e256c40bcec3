"""What `microrun inspect` says of volumes."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from microrun.cli.told import Told, size_of
from microrun.runtime.errors import VolumeError
from microrun.runtime.files.hdf5 import open_hdf5
from microrun.runtime.files.npy import map_array
from microrun.runtime.json_text import UNREADABLE, parse_object
from microrun.runtime.volumes.axes import list_axes, stated_axes
from microrun.runtime.volumes.orientations import read_orientations
from microrun.runtime.volumes.volume import LABELS, open_volume

FROM_BLUEPRINT = ("seed", "order", "sampling", "computed")


def array_rows(path: Path) -> dict[str, object]:
    """Rows about a .npy file: labels, values, or the mask of a part.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    dict of str to object
        Values by their names, to be printed.

    Raises
    ------
    VolumeError
        If the file is missing or damaged.
    """
    array = map_array(path)
    shape = Told(_sides(array.shape), list(array.shape))
    return {"kind": "array", "shape": shape, "values": array.dtype, "size": size_of(path)}


def volume_rows(path: Path) -> dict[str, object]:
    """Rows about an HDF5 file of grains, or of simulated volumes.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    dict of str to object
        Values by their names, to be printed; none if the file is something else.
    """
    with contextlib.suppress(OSError, *UNREADABLE, RuntimeError, VolumeError):
        return _simulated_rows(path) or _grains_rows(path)
    return {}


def _simulated_rows(path: Path) -> dict[str, object]:
    from microrun.training.simulate.volumes import FORMAT

    with open_hdf5(path) as file:
        if file.attrs.get("format") != FORMAT:
            return {}
        volumes = [file[name] for name in sorted(file) if file[name].ndim == 3]
        process = parse_object(file.attrs["process"])
        seeds = [int(volume.attrs["seed"]) for volume in volumes]
        return {
            "kind": f"simulated volumes, {file.attrs['kind']}",
            "volumes": _volumes(len(volumes), process.pop("shape")),
            "seeds": f"{seeds[0]} to {seeds[-1]}",
            "grains": _count(sum(int(volume.attrs["grains"]) for volume in volumes)),
            **_faces_row(stated_axes(volumes[0].attrs.get("periodic"))),
            "process": _in_words(process),
            "size": size_of(path),
        }


def _grains_rows(path: Path) -> dict[str, object]:
    """Rows about grains as `generate` and `segment` write them."""
    with open_volume(path, LABELS) as volume:
        with open_hdf5(path) as file:
            options, blueprint = (_decode(file[LABELS].attrs.get(name)) for name in ("options", "blueprint"))
        grains = 1 + max(int(volume.read(z, z + 1).max()) for z in range(volume.shape[0]))
        return {
            "kind": "volume of grains",
            "voxels": Told(f"{_sides(volume.shape)} (z, y, x)", list(volume.shape)),
            "grains": _count(grains),
            **_faces_row(volume.periodic),
            **_edge_row(volume.voxel_um),
            **{name: _in_words(blueprint[name]) for name in FROM_BLUEPRINT if name in blueprint},
            **({"engine": f"SHA-256 {blueprint['engine'][:16]}…"} if "engine" in blueprint else {}),
            **({"segmented": _in_words(options)} if options else {}),
            **_orientation_row(path, volume.name),
            "size": size_of(path),
        }


def _edge_row(edge_um: float | None) -> dict[str, object]:
    return {} if edge_um is None else {"voxel": Told(f"{edge_um:.4g} µm", {"edge_um": edge_um})}


def _faces_row(axes: str) -> dict[str, object]:
    """How grains of a periodic volume are counted."""
    if not axes:
        return {}
    said = (
        f"along {list_axes(axes)}: a grain that goes on at the opposite face counts once (segment counts it at each, "
        f"unless --periodic {','.join(axes)})"
    )
    return {"periodic": Told(said, list(axes))}


def _volumes(count: int, shape: list[int]) -> Told:
    return Told(f"{count} of {_sides(shape)} voxels (z, y, x)", {"count": count, "shape": shape})


def _count(number: int) -> Told:
    return Told(f"{number:,}", number)


def _orientation_row(path: Path, name: str) -> dict[str, object]:
    try:
        found = read_orientations(path, name)
    except VolumeError as error:
        return {"orientations": f"cannot be used: {error}"}
    return {"orientations": f"{found.symmetry}, {found.texture}"} if found else {}


def _decode(attribute: Any) -> dict[str, Any]:
    """An attribute that we wrote as JSON; empty if it is another's."""
    with contextlib.suppress(ValueError):
        return parse_object(attribute) if isinstance(attribute, str) else {}
    return {}


def _in_words(value: object) -> object:
    """Names and values, of a dictionary those that say something."""
    if not isinstance(value, dict):
        return value
    told = {name: part for name, part in value.items() if part not in (None, "") and part is not False}
    return ", ".join(f"{name} {part}" for name, part in told.items())


def _sides(shape: Any) -> str:
    return " × ".join(map(str, shape))
