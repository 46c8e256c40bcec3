"""OME-TIFF: one channel for each feature."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from microrun.runtime.array_types import Float32
from microrun.runtime.convert.chosen_features import ChosenFeatures, Piece
from microrun.runtime.scans.lattice import to_square_pixels
from microrun.runtime.scans.scan import Scan

CLASSIC_BYTES = (1 << 32) - (1 << 25)  # where offsets of 32 bits end, less room for what is not pixels


def write_ome_tiff(features: ChosenFeatures, path: Path) -> None:
    """Write float32 channels named "latent 17", with the size of a pixel in µm if it is known.

    Points of a hexagonal grid are two pixels wide, so that its odd rows can lie half a step to the right.
    There is no place for flags: patterns without information become NaN, as does what lies beside the rows.

    Parameters
    ----------
    features
        What to write.
    path
        The file to make.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    import tifffile

    hexagonal = features.scan.grid == "hexagonal"
    rows, cols, count = features.shape
    shape = (count, rows, 2 * cols + 1 if hexagonal else cols)
    pixel = np.dtype(np.float32)
    # First the file without its pixels, all channels in one piece; then these, as they are read.
    with tifffile.TiffWriter(path, bigtiff=math.prod(shape) * pixel.itemsize > CLASSIC_BYTES, ome=True) as tiff:
        start, _ = tiff.write(  # type: ignore[misc]  # None only where the pixels are compressed
            shape=shape, dtype=pixel, photometric="minisblack", metadata=_describe_image(features), returnoffset=True
        )
    with path.open("r+b") as file:
        for piece in features.pieces():
            image = _shift_rows(piece, features.scan) if hexagonal else piece.informative
            for channel in range(count):
                file.seek(start + (channel * rows + piece.rows.start) * shape[2] * pixel.itemsize)
                file.write(np.ascontiguousarray(image[..., channel]).data)


def _shift_rows(piece: Piece, scan: Scan) -> Float32:
    """Place rows of a hexagonal grid, (r, 2·cols + 1, n); a piece may begin with an odd one."""
    values = piece.informative.astype(np.float64)
    return to_square_pixels(values, hexagonal=True, first_shifted=scan.is_shifted(piece.rows.start)).astype(np.float32)


def _describe_image(features: ChosenFeatures) -> dict[str, Any]:
    step_x, step_y = features.scan.step_um
    metadata: dict[str, Any] = {
        "axes": "CYX",
        "Name": features.latents.path.name.removesuffix(".h5"),
        "Channel": {"Name": [f"latent {number}" for number in features.numbers]},
    }
    if features.scan.grid == "hexagonal":
        step_x /= 2
    if step_x:
        metadata |= {"PhysicalSizeX": step_x, "PhysicalSizeXUnit": "µm"}
    if step_y:
        metadata |= {"PhysicalSizeY": step_y, "PhysicalSizeYUnit": "µm"}
    return metadata
