"""XDMF: a mesh in HDF5, and beside it the XML that says what is in it.

The mesh is stated point by point, though that takes more room than a regular grid: that is the form that
meshio, ParaView and VTK all read, and the only one that holds hexagonal grids too.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import h5py
import numpy as np

from microrun.runtime.convert.chosen_features import ChosenFeatures
from microrun.runtime.errors import MicrorunError
from microrun.runtime.files.disk import check_room

POINTS, CELLS, FLAG = "points", "cells", "flag"


def heavy_part(path: Path) -> Path:
    """Name of the HDF5 file that belongs to an XDMF file: NAME.xdmf.h5, as NAME.h5 may be the latents."""
    return path.with_name(path.name + ".h5")


def write_xdmf(features: ChosenFeatures, path: Path) -> None:
    """Write one scalar for each feature, and the flags.

    A square grid becomes quadrilaterals with a pattern in the middle of each; of a hexagonal grid, every
    pattern is a point. Only patterns that exist are written; NaN stands for those not written yet.

    Parameters
    ----------
    features
        What to write.
    path
        The file to make; its heavy part is made beside.

    Raises
    ------
    MicrorunError
        If the name has a colon, which separates file and array in XDMF.
    OSError or RuntimeError
        If it cannot be written.
    """
    if ":" in path.name:
        raise MicrorunError(f"{path.name}: XDMF files cannot have a colon in their name; choose another --out")
    square = features.scan.grid == "square"
    rows, cols, count = features.shape
    # A corner takes 24 bytes, a cell at most 32, a flag 1, a scalar 4.
    check_room(heavy_part(path), 24 * (rows + 1) * (cols + 1) + (33 + 4 * count) * rows * cols)
    with h5py.File(heavy_part(path), "w") as file:
        (_write_quadrilaterals if square else _write_points)(file, features)
        _write_scalars(file, features)
        light = _describe_mesh(file, heavy_part(path).name, square)
    ElementTree.indent(light)
    light.write(path, encoding="utf-8", xml_declaration=True)


def _write_quadrilaterals(file: h5py.File, features: ChosenFeatures) -> None:
    rows, cols = features.scan.nav_shape
    step_x, step_y = features.scan.spacing
    corners = cols + 1  # in a row
    points = file.create_dataset(POINTS, ((rows + 1) * corners, 3), "f8")
    cells = file.create_dataset(CELLS, (rows * cols, 4), "i8")
    line = np.zeros((corners, 3))
    edges = (np.arange(side, dtype=np.float64) - 0.5 for side in (corners, rows + 1))
    x, y = features.place(*(edge * step for edge, step in zip(edges, (step_x, step_y), strict=True)))
    line[:, 0] = x
    first = np.arange(cols, dtype=np.int64)
    around = np.column_stack([first, first + 1, first + 1 + corners, first + corners])
    for row in range(rows + 1):
        line[:, 1] = y[row]
        points[row * corners : (row + 1) * corners] = line
    for row in range(rows):
        cells[row * cols : (row + 1) * cols] = around + row * corners


def _write_points(file: h5py.File, features: ChosenFeatures) -> None:
    scan = features.scan
    points = file.create_dataset(POINTS, (scan.total, 3), "f8")
    cells = file.create_dataset(CELLS, (scan.total, 1), "i8")
    done = 0
    for row in range(scan.nav_shape[0]):
        count = scan.nav_shape[1] - (scan.alternating and scan.is_shifted(row))
        x, y = (positions[:count] for positions in features.place(*scan.row_positions_um(row)))
        points[done : done + count] = np.column_stack([x, y, np.zeros(count)])
        cells[done : done + count, 0] = np.arange(done, done + count)
        done += count


def _write_scalars(file: h5py.File, features: ChosenFeatures) -> None:
    for name in features.names:
        file.create_dataset(name, features.scan.total, "f4")
    file.create_dataset(FLAG, features.scan.total, "u1")
    done = 0
    for piece in features.pieces():
        values = piece.values[piece.exists]
        places = slice(done, done + len(values))
        for name, scalar in zip(features.names, values.T, strict=True):
            file[name][places] = scalar
        file[FLAG][places] = piece.flags[piece.exists]
        done = places.stop


def _describe_mesh(file: h5py.File, name: str, square: bool) -> ElementTree.ElementTree[ElementTree.Element]:
    """Say in XML what the HDF5 file holds."""
    root = ElementTree.Element("Xdmf", Version="3.0")
    domain = ElementTree.SubElement(root, "Domain")
    grid = ElementTree.SubElement(domain, "Grid", Name="latents", GridType="Uniform")
    kind = "Quadrilateral" if square else "Polyvertex"
    count, corners = map(str, file[CELLS].shape)
    topology = {"TopologyType": kind, "NumberOfElements": count, "NodesPerElement": corners}
    _refer(ElementTree.SubElement(grid, "Topology", topology), name, file[CELLS])
    _refer(ElementTree.SubElement(grid, "Geometry", GeometryType="XYZ"), name, file[POINTS])
    for scalar in sorted(set(file) - {CELLS, POINTS}):
        about = {"Name": scalar, "AttributeType": "Scalar", "Center": "Cell" if square else "Node"}
        _refer(ElementTree.SubElement(grid, "Attribute", about), name, file[scalar])
    return ElementTree.ElementTree(root)


def _refer(parent: ElementTree.Element, name: str, data: h5py.Dataset) -> None:
    item = ElementTree.SubElement(
        parent,
        "DataItem",
        Dimensions=" ".join(map(str, data.shape)),
        NumberType={"f": "Float", "i": "Int", "u": "UInt"}[data.dtype.kind],
        Precision=str(data.dtype.itemsize),
        Format="HDF",
    )
    item.text = f"{name}:{data.name}"
