"""Features of pictures by a network that the user brings, such as the Inception of FID, through ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from microrun.runtime.array_types import Float32, Float64
from microrun.runtime.cores import count_cores
from microrun.runtime.engines.libraries import load_onnxruntime
from microrun.runtime.engines.onnx_cpu import open_session, plain_errors
from microrun.runtime.errors import EngineError
from microrun.runtime.files.hashes import hash_file

BATCH = 16
CHANNELS = 3


@dataclass(frozen=True, eq=False)
class PictureFeatures:
    """Features of pictures, and the file that they come from.

    Parameters
    ----------
    features
        (n, d) float64.
    path, sha256
        The network's file and its hash.
    """

    features: Float64
    path: Path
    sha256: str


def compute_features(path: Path, pictures: Float32) -> PictureFeatures:
    """Run a network on pictures.

    Parameters
    ----------
    path
        An .onnx file with one input (n, 3, height, width) float32 of sRGB in [0, 1] and one output (n, d), (n, d, 1, 1)
        or the like; what the network wants of sizes and ranges is in its graph. If the graph states height and width,
        pixels are repeated to them.
    pictures
        (n, rows, cols, 3) float32 in [0, 1].

    Returns
    -------
    PictureFeatures

    Raises
    ------
    EngineError
        If the file is missing or no such network, or its features are not finite.
    """
    onnxruntime = load_onnxruntime()

    if not path.is_file():
        raise EngineError(f"{path}: no such file; none is downloaded: give an Inception network as .onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = count_cores()
    session = open_session(path, options, "cpu")
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].shape[1] != CHANNELS:
        shapes = ", ".join(str(port.shape) for port in inputs)
        raise EngineError(f"{path}: expected one input (n, 3, height, width) of sRGB in [0, 1]; got {shapes}")
    batch, _, *sides = inputs[0].shape
    at_once = batch if isinstance(batch, int) else BATCH
    found = []
    for first in range(0, len(pictures), at_once):
        part = pictures[first : first + at_once]
        padded = np.concatenate([part, np.repeat(part[-1:], at_once - len(part), axis=0)])
        with plain_errors():
            output = session.run(None, {inputs[0].name: _resize(padded, sides)})[0]
        found.append(np.asarray(output, np.float64).reshape(at_once, -1)[: len(part)])
    features = np.concatenate(found)
    if not np.isfinite(features).all():
        raise EngineError(f"{path}: its features are not all finite; is its input sRGB in [0, 1]?")
    return PictureFeatures(features, path, hash_file(path))


def _resize(pictures: Float32, sides: list[int | str | None]) -> Float32:
    """Pictures as (n, 3, height, width); each pixel takes the nearest one of the source."""
    for axis, side in zip((1, 2), sides, strict=True):
        if isinstance(side, int):
            at = (np.arange(side) * pictures.shape[axis]) // side
            pictures = pictures.take(at, axis)
    return np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))
