"""Latents files of every kind of scan, and what they hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.convert.convert_latents import LatentsFormat, convert_latents
from microrun.runtime.latents.batch import EncodedBatch
from microrun.runtime.latents.origin import LatentType, Origin
from microrun.runtime.latents.reader import Latents, open_latents
from microrun.runtime.latents.writer import LatentsWriter
from microrun.runtime.scans.scan import Scan
from microrun.runtime.spec import ModelSpec, Preprocessing

Float32 = NDArray[np.float32]
SIZE = 5
SPEC = ModelSpec("tiny", "encoder", SIZE, Preprocessing((4, 4), 0))
BACKGROUND = np.arange(16, dtype=np.float32).reshape(4, 4)
STEPS = (0.5, 0.25)
SCANS = {
    "square": Scan((6, 7), (8, 8), step_um=STEPS),
    "hexagonal": Scan((7, 6), (8, 8), step_um=STEPS, grid="hexagonal"),
    "alternating": Scan((7, 6), (8, 8), step_um=STEPS, grid="hexagonal", alternating=True),
    "short first": Scan((7, 6), (8, 8), "uint16", "hexagonal", STEPS, alternating=True, first_shifted=True),
    "without step": Scan((6, 7), (8, 8)),
    "one row": Scan((1, 9), (8, 8), step_um=STEPS),
    "one column": Scan((9, 1), (8, 8), step_um=STEPS),
    "one pattern": Scan((1, 1), (8, 8), step_um=STEPS),
}
SQUARE = [name for name, scan in SCANS.items() if scan.grid == "square"]


class Truth(NamedTuple):
    """What a latents file holds, made without reading it: maps, and whatever is not there is NaN."""

    path: Path
    scan: Scan
    values: Float32
    ranges: Float32
    written: NDArray[np.bool_]
    flags: NDArray[np.bool_]
    exists: NDArray[np.bool_]
    x: NDArray[np.float64]
    y: NDArray[np.float64]

    def informative(self, numbers: list[int]) -> Float32:
        return np.where(self.flags[..., None], np.float32(np.nan), self.values[..., numbers])


def make_batch(indices: range) -> EncodedBatch:
    rng = np.random.default_rng(7)
    values = rng.standard_normal((1000, SIZE + 2)).astype(np.float32) * 10.0 ** rng.integers(-3, 4, (1000, 1))
    chosen = values.astype(np.float16).astype(np.float32)[indices.start : indices.stop]  # either type holds them
    numbers = np.arange(indices.start, indices.stop)
    return EncodedBatch(numbers, chosen[:, :SIZE], chosen[:, SIZE:], numbers % 10 == 3)


def make_truth(path: Path, scan: Scan, count: int) -> Truth:
    shape, (step_x, step_y) = scan.nav_shape, scan.step_um
    step_x, step_y = step_x or 1.0, step_y or (0.75**0.5 if scan.grid == "hexagonal" else 1.0)
    batch = make_batch(range(count))
    row, col = np.indices(shape)
    shifted = (row % 2 == (0 if scan.first_shifted else 1)) & (scan.grid == "hexagonal")
    truth = Truth(
        path, scan, np.full((*shape, SIZE), np.nan, np.float32), np.full((*shape, 2), np.nan, np.float32),
        np.zeros(shape, bool), np.zeros(shape, bool), ~(shifted & (col == shape[1] - 1) & scan.alternating),
        (col + 0.5 * shifted) * step_x, row * step_y,
    )  # fmt: skip
    places = [(r, c) for r in range(shape[0]) for c in range(shape[1]) if truth.exists[r, c]]
    for number, place in enumerate(places[:count]):
        truth.values[place], truth.ranges[place] = batch.latents[number], batch.ranges[number]
        truth.written[place], truth.flags[place] = True, batch.flags[number]
    return truth


def origin_of(scan: Scan, dtype: LatentType = "float32") -> Origin:
    return Origin(scan, "f" * 64, SPEC, "e" * 64, "NumPy on cpu", "f32", "mean", dtype, "01ab")


def write_latents(path: Path, scan: Scan, dtype: LatentType = "float32", count: int | None = None) -> Truth:
    """Write a latents file of the first patterns, or of all."""
    count = scan.total if count is None else count
    with LatentsWriter.create(path, origin_of(scan, dtype), BACKGROUND) as writer:
        if count:
            writer.write(make_batch(range(count)))
    return make_truth(path, scan, count)


def convert(truth: Truth, to: LatentsFormat, numbers: list[int] | None = None, out: Path | None = None) -> Path:
    """Convert and return what was made, or for XDMF its light part."""
    with open_latents(truth.path) as latents:
        return convert_latents(latents, to, out, numbers)[-1]


class _OtherReads:
    """Latents whose arrays are read by a function."""

    def __init__(self, latents: Latents, read: Callable[[str, Any], NDArray[Any]]) -> None:
        self._latents, self._read = latents, read

    def __getattr__(self, name: str) -> Any:
        return getattr(self._latents, name)

    def read(self, name: str, piece: Any = ()) -> NDArray[Any]:
        return self._read(name, piece)


def read_by(latents: Latents, read: Callable[[str, Any], NDArray[Any]]) -> Latents:
    """The same latents, but their arrays are what a function gives for a name and a piece."""
    return cast(Latents, _OtherReads(latents, read))
