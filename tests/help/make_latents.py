"""Latents files of made-up scans."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.latents.batch import EncodedBatch
from microrun.runtime.latents.origin import LatentType, Origin
from microrun.runtime.latents.writer import LatentsWriter
from microrun.runtime.scans.scan import Scan
from microrun.runtime.spec import ModelSpec, Preprocessing

SPEC = ModelSpec("tiny", "encoder", 5, Preprocessing((4, 4), 0))
DECODER_SPEC = replace(SPEC, kind="decoder")
SCANS = {
    "square": Scan((6, 7), (8, 8), step_um=(0.5, 0.25)),
    "hexagonal": Scan((6, 7), (8, 8), grid="hexagonal", step_um=(1.0, 0.866)),
    "alternating": Scan((6, 7), (8, 8), grid="hexagonal", step_um=(1.0, 0.866), alternating=True),
}


@dataclass(frozen=True)
class Contents:
    """What a file holds, pattern by pattern in order of acquisition."""

    latents: NDArray[np.floating[Any]]
    ranges: NDArray[np.float32]
    flags: NDArray[np.bool_]
    written: NDArray[np.bool_]
    background: NDArray[np.float32]

    def batch(self, indices: NDArray[np.int64]) -> EncodedBatch:
        return EncodedBatch(indices, self.latents[indices], self.ranges[indices], self.flags[indices])


def make_contents(scan: Scan, spec: ModelSpec = SPEC, seed: int = 0) -> Contents:
    """Random contents: pattern 3 is flagged, patterns 8, 9 and the last five are not written."""
    rng = np.random.default_rng(seed)
    total = scan.total
    low = rng.uniform(-300, -100, total)
    numbers = np.arange(total)
    return Contents(
        rng.standard_normal((total, spec.latent_size)).astype(np.float32),
        np.stack([low, low + rng.uniform(200, 900, total)], axis=1).astype(np.float32),
        numbers == 3,
        (numbers != 8) & (numbers != 9) & (numbers < total - 5),
        rng.uniform(500, 5000, spec.preprocessing.input_shape).astype(np.float32),
    )


def make_origin(scan: Scan, spec: ModelSpec = SPEC, dtype: LatentType = "float32") -> Origin:
    return Origin(scan, "f" * 64, spec, "e" * 64, "NumPy on cpu", "f32", "mean", dtype)


def write_contents(path: Path, origin: Origin, contents: Contents) -> Path:
    """Write what is marked as written."""
    with LatentsWriter.create(path, origin, contents.background) as writer:
        if contents.written.any():
            writer.write(contents.batch(np.flatnonzero(contents.written)))
    return path


def write_features(path: Path, features: NDArray[Any], scan: Scan | None = None) -> Path:
    """Write a map of latents, (rows, cols, D), all of whose patterns were encoded."""
    rows, cols, size = features.shape
    scan = scan or Scan((rows, cols), (8, 8), step_um=(0.5, 0.5))
    spec = replace(SPEC, latent_size=size)
    contents = make_contents(scan, spec)
    there = scan.locate(np.arange(scan.total))
    everything = np.ones(scan.total, bool)
    whole = replace(
        contents, latents=features[there].astype(np.float32), flags=~everything, written=everything
    )  # fmt: skip
    return write_contents(path, make_origin(scan, spec), whole)
