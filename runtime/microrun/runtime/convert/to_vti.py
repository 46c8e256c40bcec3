"""Volumes of grains for ParaView: VTK image data, .vti."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.volumes.grain_volume import GrainVolume


def write_vti(volume: GrainVolume, path: Path) -> None:
    """Write VTK's XML of an image, its arrays appended as they are: GrainId, and Value where there are values.

    Parameters
    ----------
    volume
        What to write; lengths are in µm.
    path
        The file to make.

    Raises
    ------
    VolumeError
        If the volume cannot be read, or its labels are no labels.
    OSError
        If the file cannot be written.
    """
    readers: dict[str, Callable[[slice], NDArray[Any]]] = {"Int32 GrainId": volume.read_grains}
    if volume.values is not None:
        readers["Float32 Value"] = volume.read_values
    size = 4 * math.prod(volume.labels.shape)
    with path.open("wb") as file:
        file.write(_vti_head(volume, list(readers), size).encode())
        for read in readers.values():
            file.write(size.to_bytes(8, "little"))
            for planes in volume.slabs():
                array = read(planes)
                file.write(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
        file.write(b"\n</AppendedData>\n</VTKFile>\n")


def _vti_head(volume: GrainVolume, arrays: list[str], size: int) -> str:
    extent = " ".join(f"0 {side}" for side in volume.labels.shape[::-1])
    origin = " ".join(map(repr, map(float, volume.origin_um[::-1])))
    spacing = " ".join([repr(float(volume.voxel_um))] * 3)
    lines = [
        '<?xml version="1.0"?>',
        '<VTKFile type="ImageData" version="1.0" byte_order="LittleEndian" header_type="UInt64">',
        f'<ImageData WholeExtent="{extent}" Origin="{origin}" Spacing="{spacing}">',
        f'<Piece Extent="{extent}">',
        '<CellData Scalars="GrainId">',
    ]
    for number, (kind, name) in enumerate(array.split() for array in arrays):
        lines.append(f'<DataArray type="{kind}" Name="{name}" format="appended" offset="{number * (8 + size)}"/>')
    lines += ["</CellData>", "</Piece>", "</ImageData>", '<AppendedData encoding="raw">', "_"]
    return "\n".join(lines)
