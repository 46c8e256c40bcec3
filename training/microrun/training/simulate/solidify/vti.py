"""VTK's XML of an image, ``.vti``: one piece, arrays as text, base64 or raw, inline or appended, compressed or not.

https://docs.vtk.org/en/latest/vtk_file_formats/vtkxml_file_format.html
"""

from __future__ import annotations

import base64
import lzma
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import MicrorunError
from microrun.training.simulate.solidify.grids import Grid, choose_array

APPENDED = re.compile(rb"<AppendedData[^>]*>")
ENDED = b"</VTKFile>"
SEGMENT = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "vtkZLibDataCompressor": zlib.decompress,
    "vtkLZMADataCompressor": lzma.decompress,
}
TYPES = {f"{kind}{bits}": f"{kind[0].lower()}{bits // 8}" for kind in ("Int", "UInt") for bits in (8, 16, 32, 64)}
TYPES |= {"Float32": "f4", "Float64": "f8"}
CUBIC = "1 0 0 0 1 0 0 0 1"


@dataclass(frozen=True, eq=False)
class _Document:
    """The XML, what is appended to it, and how numbers are stored."""

    root: ElementTree.Element
    appended: bytes
    is_raw: bool

    @property
    def order(self) -> str:
        return ">" if self.root.get("byte_order") == "BigEndian" else "<"

    @property
    def header(self) -> np.dtype[np.unsignedinteger]:
        return np.dtype(self.order + TYPES[self.root.get("header_type", "UInt32")])


def read_vti(path: Path, array: str | None) -> Grid:
    """Read an array of a ``.vti`` file, without its units: the format states none.

    Parameters
    ----------
    path
        The file.
    array
        Name of the temperature; None for the only array, or the only one with such a name.

    Raises
    ------
    MicrorunError
        If it is no such file, damaged or truncated, has several pieces, axes that are turned, or no such array.
    """
    try:
        document = _parse(path.read_bytes())
        image = document.root.find("ImageData")
        pieces = [] if image is None else image.findall("Piece")
        if image is None or len(pieces) != 1:
            raise MicrorunError(f"{path}: holds {len(pieces)} pieces of an image; expected one")
        if [float(word) for word in image.get("Direction", CUBIC).split()] != [float(word) for word in CUBIC.split()]:
            raise MicrorunError(f"{path}: its axes are turned (Direction); expected x, y and z as they are")
        return _read_piece(path, document, image, pieces[0], array)
    except OSError as error:
        raise MicrorunError(f"{path}: cannot be read ({error.strerror})") from None
    except (ElementTree.ParseError, ValueError, KeyError, IndexError, zlib.error, lzma.LZMAError) as error:
        raise MicrorunError(f"{path}: is damaged, truncated, or no .vti file that is known ({error})") from None


def _parse(content: bytes) -> _Document:
    """Raw data are no XML: they are taken out before it is read."""
    found = APPENDED.search(content)
    if found is None:
        return _Document(ElementTree.fromstring(content), b"", False)
    root = ElementTree.fromstring(content[: found.start()] + ENDED)
    begin = content.index(b"_", found.end()) + 1
    return _Document(root, content[begin:], b'"raw"' in found.group())


def _read_piece(
    path: Path, document: _Document, image: ElementTree.Element, piece: ElementTree.Element, array: str | None
) -> Grid:
    extent = np.array([int(word) for word in (piece.get("Extent") or image.attrib["WholeExtent"]).split()])
    origin, spacing = (np.array([float(word) for word in image.attrib[name].split()]) for name in ("Origin", "Spacing"))
    low, sides = extent[::2], extent[1::2] - extent[::2]
    found = {
        (kind, one.get("Name", "")): one
        for kind in ("CellData", "PointData") for one in piece.findall(f"{kind}/DataArray")
        if int(one.get("NumberOfComponents", 1)) == 1
    }  # fmt: skip
    names = [name for _, name in found]
    kind, name = list(found)[choose_array(path, names, array)]
    of_points = kind == "PointData"
    shape = tuple((sides + of_points).tolist()[::-1])
    values = _read_array(document, found[kind, name], shape)
    half = 0.0 if of_points else 0.5
    axes = tuple(origin[axis] + spacing[axis] * (low[axis] + half + np.arange(shape[2 - axis])) for axis in (2, 1, 0))
    faces = tuple((origin[axis] + spacing[axis] * low[axis], origin[axis] + spacing[axis] * (low[axis] + sides[axis]))
                  for axis in (2, 1, 0))  # fmt: skip
    return Grid(name, values, axes, faces)


def _read_array(document: _Document, element: ElementTree.Element, shape: tuple[int, ...]) -> Float64:
    dtype = np.dtype(document.order + TYPES[element.attrib["type"]])
    kind = element.get("format", "ascii")
    if kind == "ascii":
        values: NDArray[np.float64] = np.array((element.text or "").split(), np.float64)
    elif kind == "binary":
        values = _unpack(document, _decode((element.text or "").encode()), dtype)
    else:
        stream = document.appended[int(element.attrib["offset"]) :]
        values = _unpack(document, stream if document.is_raw else _decode(stream), dtype)
    if values.size != np.prod(shape):
        raise ValueError(f"array {element.get('Name')!r} has {values.size:,} values instead of {np.prod(shape):,}")
    return values.reshape(shape)


def _decode(text: bytes) -> bytes:
    """Base64, with padding wherever a writer began anew."""
    return b"".join(map(base64.b64decode, SEGMENT.findall(text.split(b"<")[0])))


def _unpack(document: _Document, stream: bytes, dtype: np.dtype[np.generic]) -> Float64:
    """Take the header off, and decompress."""
    name, header = document.root.get("compressor"), document.header
    if name is None:
        size = int(np.frombuffer(stream, header, 1)[0])
        data = stream[header.itemsize : header.itemsize + size]
    else:
        if name not in COMPRESSORS:
            raise ValueError(f"compressor {name}; known are {', '.join(COMPRESSORS)}")
        blocks, size, last = (int(word) for word in np.frombuffer(stream, header, 3))
        lengths = np.frombuffer(stream, header, blocks, 3 * header.itemsize).astype(np.int64)
        ends = (3 + blocks) * header.itemsize + np.cumsum(lengths)
        pieces = [COMPRESSORS[name](stream[end - length : end]) for end, length in zip(ends, lengths, strict=True)]
        data, size = b"".join(pieces), size * (blocks - bool(last)) + last
    if len(data) != size:
        raise ValueError(f"{len(data):,} bytes of an array instead of {size:,}")
    return np.frombuffer(data, dtype).astype(np.float64)
