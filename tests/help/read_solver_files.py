"""Files for MOOSE and Neper read as their own readers do, by their documentation; and VTK's grid as DAMASK's solver."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Tesr(NamedTuple):
    """A raster tessellation: cells (z, y, x) by their ids, 0 for void; angles in degrees by id."""

    cells: Array
    voxel: list[float]
    origin: list[float]
    angles: dict[int, list[float]]
    symmetry: str


def read_moose(path: Path) -> tuple[dict[str, float], Array, Array]:
    """EBSDReader: header, features (z, y, x), and (points, 9) in the order of the file."""
    header: dict[str, float] = {}
    lines = path.read_text(encoding="ascii").splitlines()
    for line in lines:
        if line.startswith("#") and ":" in line:  # label and value are the second and third word
            words = line.split()
            if re.fullmatch(r"[XYZ]_(STEP|MIN|MAX|DIM):", words[1]):
                header[words[1].rstrip(":").lower()] = float(words[2])
    points = np.array([[float(word) for word in line.split()] for line in lines if not line.startswith("#")])
    sides = [int(header[f"{axis}_dim"]) for axis in "zyx"]
    features = np.full(sides, -1)
    places = []
    for axis, column in zip("zyx", (5, 4, 3), strict=True):
        low, step = header[f"{axis}_min"], header[f"{axis}_step"]
        high = low + step * header[f"{axis}_dim"]
        assert ((points[:, column] > low) & (points[:, column] < high)).all()  # else MOOSE stops
        places.append(((points[:, column] - low) / step).astype(int))
    features[tuple(places)] = points[:, 6]
    assert len(points) == features.size
    for feature in np.unique(features):
        assert len(np.unique(points[points[:, 6] == feature][:, 7:], axis=0)) == 1  # one phase and symmetry each
    return header, features, points


def read_tesr(path: Path) -> Tesr:
    """Neper's .tesr 2.1 with ascii data."""
    words = path.read_text(encoding="ascii").split()
    assert words[:5] == ["***tesr", "**format", "2.1", "**general", "3"]
    sides, voxel = [int(word) for word in words[5:8]], [float(word) for word in words[8:11]]
    assert words[11] == "*origin"
    origin = [float(word) for word in words[12:15]]
    assert words[15] == "**cell"
    count = int(words[16])
    assert words[17] == "*id"
    ids = [int(word) for word in words[18 : 18 + count]]
    at = 18 + count
    assert words[at : at + 2] == ["*ori", "euler-bunge:active"]
    angles = np.array(words[at + 2 : at + 2 + 3 * count], float).reshape(count, 3)
    at += 2 + 3 * count
    assert words[at] == "*crysym"
    assert words[at + 2 : at + 4] == ["**data", "ascii"]
    data = np.array(words[at + 4 : -1], int).reshape(sides[::-1])
    assert words[-1] == "***end"
    named = np.array([0, *ids])[data]
    return Tesr(named, voxel, origin, dict(zip(ids, angles.tolist(), strict=True)), words[at + 1])


def read_as_damask_solver(path: Path) -> Array:
    """The solver's reader: tags by lines, the data alone in the line after its tag, in base64."""
    lines = path.read_text(encoding="ascii").split("\n")
    head = next(line for line in lines if "<VTKFile" in line)
    assert 'type="ImageData"' in head
    assert 'byte_order="LittleEndian"' in head
    assert 'header_type="UInt64"' in head
    extent = next(line for line in lines if "<ImageData" in line)
    sides = [int(side) for side in re.search(r'WholeExtent="0 (\d+) 0 (\d+) 0 (\d+)"', extent).groups()]  # type: ignore
    cells = next(n for n, line in enumerate(lines) if "<CellData" in line)
    tag = next(n for n, line in enumerate(lines) if n > cells and "<DataArray" in line)
    assert 'Name="material"' in lines[tag]
    assert 'format="binary"' in lines[tag]
    text = lines[tag + 1].strip()
    assert "=" not in text[:-2]  # its base64 is one stream, that of the number of bytes and of the data
    stream = base64.b64decode(text, validate=True)
    data = stream[8:]
    assert len(data) == int.from_bytes(stream[:8], "little")
    return np.frombuffer(data, "<i4").reshape(sides[::-1])
