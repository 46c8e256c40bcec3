"""From latents back to patterns that can be indexed: what `microrun decode` does."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32
from microrun.runtime.encoding.meter import Meter, Statistics
from microrun.runtime.engines.catalogue import MODELS
from microrun.runtime.engines.engine import Engine, Lane
from microrun.runtime.engines.lanes import run_lanes
from microrun.runtime.engines.open import read_model_spec
from microrun.runtime.errors import EngineError, LatentsError, SpecError
from microrun.runtime.files.output import written_beside
from microrun.runtime.latents.reader import Latents
from microrun.runtime.patterns.preprocess import Preprocessor, restore_patterns
from microrun.runtime.patterns.warp import Unwarp
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.up2 import UpWriter

WHITE = 65535


@dataclass(frozen=True)
class Decoded:
    """What a decoded file holds.

    Parameters
    ----------
    scan
        Its geometry: that of the latents, with the decoder's pattern size and 16 bits.
    gain, offset
        Stored value = gain · intensity + offset; with the background 1, or −1 where the polarity was turned, and 0.
    blank
        Patterns that are blank because they were not encoded, or carried no information.
    uncovered
        Pixels inside the mask that are 0 because the model's view does not show them, where patterns were warped.
    """

    scan: Scan
    gain: float
    offset: float
    blank: int
    uncovered: int = 0


def decode_latents(
    latents: Latents, engine: Engine, out: str | Path, *, add_background: bool = False
) -> Generator[Statistics, None, Decoded]:
    """Decode a latents file into a UP2 file on the same grid, with the pattern centre of the scan.

    Parameters
    ----------
    latents
        Finished or growing; what is not there yet becomes blank.
    engine
        The decoder that was trained with the encoder.
    out
        The .up2 file to make; it gets its name when it is complete.
    add_background
        True restores the intensities that the camera counted, at the binned size; where the background was scaled to
        each pattern, as they would be at the background's brightness. False keeps the background
        subtracted, as indexing likes it, and stretches the whole scan to 16 bits by one gain and offset.

    Returns
    -------
    generator of Statistics
        A job: nothing is decoded before it is iterated. Its result is a `Decoded`.

    Raises
    ------
    SpecError
        If the engine is no decoder, or not the encoder's.
    LatentsError
        If the file lacks what decoding needs.
    OutputError
        If the file cannot be written.

    Examples
    --------
    >>> from microrun.runtime import decode_latents, finish, open_engine, open_latents
    >>> with open_latents("scan.latents.h5") as latents, open_engine("vae32.decoder") as engine:
    ...     print(finish(decode_latents(latents, engine, "decoded.up2")).scan.sig_shape)
    (120, 120)
    """
    check_decoder(engine, latents)
    return _decode(_Decoding.prepare(latents, engine, add_background), engine, Path(out))


def _decode(decoding: _Decoding, engine: Engine, out: Path) -> Generator[Statistics, None, Decoded]:
    total = decoding.decoded.scan.total
    meter = Meter(total)
    with (
        written_beside(out) as beside,
        UpWriter(beside, decoding.decoded.scan) as writer,
        closing(run_lanes(engine, decoding.batches(engine.info.batch), decoding.decode)) as batches,
    ):
        for batch in batches:
            writer.write(batch.patterns)
            meter.count(len(batch.patterns), int(batch.blank.sum()), batch.taken_at, total)
            yield meter.read(total)
    return decoding.decoded


def check_decoder(engine: Engine, latents: Latents) -> None:
    """Raise SpecError unless the engine decodes what the latents' encoder made."""
    found, wanted = engine.spec, latents.origin.spec
    name = engine.info.path
    found.require("decoder", source=name, task="decoding")
    if not found.belongs_to(wanted):
        raise SpecError(
            f"{name}: does not belong to the encoder of {latents.path} ({wanted.name}, D = {wanted.latent_size}); "
            f"give the decoder that was exported with it"
        )


def find_decoder(latents: Latents) -> Path:
    """The built-in decoder of the encoder that made the latents.

    Raises
    ------
    EngineError
        If it was no built-in encoder.
    """
    wanted = latents.origin.spec
    path = MODELS / f"{wanted.name}.decoder.onnx"
    if path.is_file() and read_model_spec(path).belongs_to(wanted):
        return path
    raise EngineError(f"{latents.path}: was not made by a built-in encoder; give --engine {wanted.name}.decoder.onnx")


@dataclass(frozen=True)
class _StoredBatch:
    latents: Float32
    ranges: Float32
    blank: NDArray[np.bool_]
    taken_at: float


@dataclass(frozen=True)
class _DecodedBatch:
    patterns: NDArray[np.uint16]
    blank: NDArray[np.bool_]
    taken_at: float


@dataclass(frozen=True)
class _Decoding:
    """What all batches share."""

    latents: Latents
    decoded: Decoded
    background: Float32 | None
    pixel_keep: NDArray[np.bool_]
    unwarp: Unwarp | None
    usable: NDArray[np.bool_]  # what was there at the start; a growing file may have more by now
    empty: Float32  # what a blank pattern, and the outside of the mask, becomes

    @classmethod
    def prepare(cls, latents: Latents, engine: Engine, add_background: bool) -> _Decoding:
        origin = latents.origin
        shape = engine.spec.preprocessing.input_shape
        usable = latents.written & ~latents.flags
        ranges = latents.ranges[usable]
        if not len(ranges):
            raise LatentsError(f"{latents.path}: holds no latents to decode")
        if not np.isfinite(ranges).all() or not (ranges[:, 0] < ranges[:, 1]).all():
            raise LatentsError(
                f"{latents.path}: the patterns' minimum and maximum are missing or damaged; encode the scan again"
            )
        background = latents.background if add_background else None
        counted = -1.0 if origin.inverted else 1.0
        gain, offset = (counted, 0.0) if add_background else _stretch(ranges)
        empty = np.zeros(shape, np.float32) if background is None else background
        scan = replace(origin.scan, sig_shape=shape, dtype="uint16")
        mask = Preprocessor(engine.spec.preprocessing, origin.scan.sig_shape).pixel_keep
        unwarp = None if origin.warp is None else Unwarp(origin.warp, origin.scan.sig_shape, mask)
        keep = mask if unwarp is None else unwarp.shown
        empty = empty if unwarp is None else unwarp.apply(empty[None])[0]
        blank, uncovered = int(origin.scan.total - usable.sum()), int(mask.sum() - keep.sum())
        decoded = Decoded(scan, gain, offset, blank, uncovered)
        return cls(latents, decoded, background, keep, unwarp, usable, empty)

    def batches(self, size: int) -> Iterator[_StoredBatch]:
        """Read the latents row by row, in the order of acquisition."""
        exists = self.latents.origin.scan.exists()
        for row, there in enumerate(exists):
            values = self.latents.read("latents", row)[there].astype(np.float32)
            ranges = self.latents.read("ranges", row)[there]
            blank = ~self.usable[row][there]
            values[blank], ranges[blank] = 0, (0, 1)
            for first in range(0, len(values), size):
                part = slice(first, first + size)
                yield _StoredBatch(values[part], ranges[part], blank[part], time.perf_counter())

    def decode(self, lane: Lane, batch: _StoredBatch) -> _DecodedBatch:
        """Decode, invert the preprocessing, round to 16 bits."""
        prepared = lane.run(batch.latents)[:, 0]
        patterns = restore_patterns(prepared, batch.ranges, self.background)
        if self.unwarp is not None:
            patterns = self.unwarp.apply(patterns)
        patterns[:, ~self.pixel_keep] = self.empty[~self.pixel_keep]
        patterns[batch.blank] = self.empty
        patterns *= np.float32(self.decoded.gain)
        patterns += np.float32(self.decoded.offset)
        stored = np.clip(np.rint(patterns), 0, WHITE).astype(np.uint16)
        return _DecodedBatch(stored, batch.blank, batch.taken_at)


def _stretch(ranges: Float32) -> tuple[float, float]:
    """Gain and offset that bring all intensities, and 0, into 16 bits."""
    low, high = min(0.0, float(ranges[:, 0].min())), max(0.0, float(ranges[:, 1].max()))
    gain = WHITE / (high - low)
    return gain, -gain * low
