"""One encoding run, from a scan file to a latents file: what `microrun encode` does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from microrun.runtime.array_types import Float32
from microrun.runtime.encoding.meter import Statistics
from microrun.runtime.encoding.stream import EncodeStream, check_encoder, encode
from microrun.runtime.engines.engine import Engine
from microrun.runtime.errors import LatentsError
from microrun.runtime.latents.origin import Background, LatentType, Origin
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.latents.writer import FLUSH_S, LatentsWriter
from microrun.runtime.patterns.background import BLOCK, load_background, mean_background
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.open import ScanFile, fingerprint, open_scan
from microrun.runtime.scans.up_source import FileSource, FollowingSource

KEYWORDS = ("auto", "running", "none")


@dataclass(frozen=True)
class EncodeRequest:
    """What to encode, and where to.

    Parameters
    ----------
    scan
        A UP1 or UP2 file, or another that kikuchipy reads.
    out
        The latents file.
    follow
        Go on while the scan grows.
    grid, step_um
        Of the map, where the file does not tell.
    background
        "auto" (mean of a finished scan, running mean of a growing one, for a resumed run what it had),
        "running", "none", or a file.
    resume
        Go on with ``out``.
    idle_timeout_s
        When a growing scan counts as ended.
    dtype
        Of the stored latents.
    """

    scan: Path
    out: Path
    follow: bool = False
    grid: tuple[int, int] | None = None
    step_um: float | None = None
    background: str = "auto"
    resume: bool = False
    idle_timeout_s: float = 60.0
    dtype: LatentType = "float32"

    @property
    def background_kind(self) -> Background:
        """What ``background`` means for this run; with "auto", a resumed run keeps what it had."""
        if self.background == "auto" and self.resume and self.out.exists():
            with open_latents(self.out) as latents:
                return latents.origin.background
        if self.background == "auto":
            return "running" if self.follow else "mean"
        if self.background == "running":
            return "running"
        return "none" if self.background == "none" else "file"


def encode_scan(
    request: EncodeRequest,
    engine: Engine,
    started: Callable[[ScanFile, EncodeStream], None] = lambda source, stream: None,
    progress: Callable[[Statistics], None] = lambda statistics: None,
) -> Statistics:
    """Encode a scan file into a latents file.

    Parameters
    ----------
    request
        What to encode, and where to.
    engine
        An open encoder.
    started
        Called once with source and stream, before the first batch; ``stream.stop`` ends the run early.
    progress
        Called after every batch.

    Returns
    -------
    Statistics
        Of the whole run.

    Raises
    ------
    MicrorunError
        For anything that is wrong with scan, engine or output; batches encoded before stay on disk.
    """
    if request.out.exists() and not request.resume:
        raise LatentsError(f"{request.out}: exists; go on with --resume, or choose another --out")
    check_encoder(engine)
    source = _open_source(request)
    preprocessor = Preprocessor(engine.spec.preprocessing, source.scan.sig_shape)
    kind = request.background_kind
    with _open_writer(request, _origin(request, source, engine), source, preprocessor) as writer:
        start = writer.done
        if kind == "running" and start < BLOCK:
            start = 0  # the first block uses its own mean, and was not complete
        if kind != "running":
            source.seek(start)
        background: Float32 | Literal["running"] = "running" if kind == "running" else writer.background
        with encode(source, engine, background, start=start) as stream:
            started(source, stream)
            for batch in stream:
                writer.write(batch)
                progress(stream.statistics)
                if not stream.ready(FLUSH_S):
                    writer.flush()
            writer.flush(stream.background)
            return stream.statistics


def _open_source(request: EncodeRequest) -> ScanFile:
    if request.follow:
        timeout = request.idle_timeout_s
        return FollowingSource(request.scan, request.grid, request.step_um, idle_timeout_s=timeout)
    return open_scan(request.scan, request.grid, request.step_um)


def _origin(request: EncodeRequest, source: ScanFile, engine: Engine) -> Origin:
    info = engine.info
    return Origin(
        scan=source.scan,
        fingerprint=fingerprint(source),
        spec=engine.spec,
        engine_sha256=info.sha256,
        engine=f"{info.library} on {info.device}",
        precision=info.precision,
        background=request.background_kind,
        dtype=request.dtype,
        up_header=source.header.to_bytes().hex() if isinstance(source, FileSource) else "",
    )


def _open_writer(request: EncodeRequest, origin: Origin, source: ScanFile, preprocessor: Preprocessor) -> LatentsWriter:
    if not request.out.exists():
        return LatentsWriter.create(request.out, origin, _background(request, source, preprocessor))
    writer = LatentsWriter.resume(request.out, origin)
    if request.background not in KEYWORDS and (writer.background != _background(request, source, preprocessor)).any():
        writer.close()
        raise LatentsError(
            f"{request.out}: cannot be resumed, it belongs to another background than {request.background}"
        )
    return writer


def _background(request: EncodeRequest, source: ScanFile, preprocessor: Preprocessor) -> Float32:
    kind = request.background_kind
    if kind == "mean":
        return mean_background(source, preprocessor)
    if kind == "file":
        return load_background(Path(request.background), preprocessor)
    return np.zeros(preprocessor.input_shape, np.float32)
