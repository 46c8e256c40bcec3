"""One encoding run, from a scan file to a latents file: what `microrun encode` does."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from microrun.runtime.array_types import Float32
from microrun.runtime.encoding.choices import choose_background, choose_replacing, make_preprocessor, open_source
from microrun.runtime.encoding.familiarity import familiarity_of
from microrun.runtime.encoding.meter import Meter, Statistics
from microrun.runtime.encoding.request import EncodeRequest
from microrun.runtime.encoding.stream import EncodeStream, encode
from microrun.runtime.encoding.watching import RunWatch
from microrun.runtime.engines.engine import Engine
from microrun.runtime.errors import LatentsError
from microrun.runtime.files.closing import Closing
from microrun.runtime.files.destination import HDF5_ENDINGS, check_file
from microrun.runtime.latents.batch import EncodedBatch
from microrun.runtime.latents.familiarity import Familiarity
from microrun.runtime.latents.origin import Background, Origin
from microrun.runtime.latents.probes import hash_pattern, probe_numbers
from microrun.runtime.latents.reader import Latents, open_latents
from microrun.runtime.latents.same_scan import check_same_scan
from microrun.runtime.latents.watched import Alarm
from microrun.runtime.latents.writer import LatentsWriter
from microrun.runtime.patterns.background import BLOCK, LEAST, load_background, mean_background
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.following_source import FullRowsError
from microrun.runtime.scans.open import ScanFile, telling_fingerprint, whole_of
from microrun.runtime.scans.part_source import PartSource
from microrun.runtime.scans.up2 import ScanWarning
from microrun.runtime.scans.up_source import FileSource


class EncodeRun(Closing):
    """A run from a scan file to a latents file, made by `encode_scan`: an iterator of `Statistics`, one a batch.

    Leave it by ``with``, or exhaust it: what was encoded until then is in the file.

    Attributes
    ----------
    source : FileSource, FollowingSource, PictureSource, PatSource, KikuchipySource or PartSource
        The scan, or the part of it that is encoded.
    familiarity : Familiarity or None
        How well the model knows the scan, once all its patterns are encoded; a resumed run measures it again, unless
        nothing was left to do. None where it cannot be measured.
    """

    def __init__(
        self, request: EncodeRequest, source: ScanFile, engine: Engine, preprocessor: Preprocessor,
        writer: LatentsWriter,
    ) -> None:  # fmt: skip
        self._request, self.source = request, source
        self._engine, self._preprocessor, self._writer = engine, preprocessor, writer
        self._stream = _open_stream(source, engine, preprocessor, writer)
        self._watch = RunWatch(writer, engine, preprocessor, source)
        self._records = self._encode()
        self._final: Statistics | None = None
        self.familiarity: Familiarity | None = None
        self._stopped = False

    @property
    def statistics(self) -> Statistics:
        """Where the run stands now, or stood when it ended."""
        return self._final or self._stream.statistics

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """What changed so far while the scan was acquired, or what the model does not know."""
        return self._watch.alarms

    @property
    def inverted(self) -> bool:
        """Whether bands are taken to be dark."""
        return self._preprocessor.preprocessing.inverted

    @property
    def discards(self) -> bool:
        """Whether nothing is kept of a run that ended: it was stopped, and should replace a file, which stays."""
        return self._writer.discards

    def stop(self) -> None:
        """End the run after the batches that are under way."""
        self._stopped = True
        self._stream.stop()

    def close(self) -> None:
        """End the run at once; what was encoded is written."""
        self._records.close()
        self._stream.close()  # a run that was never iterated holds them still
        self._writer.close()

    def __iter__(self) -> Iterator[Statistics]:
        return self

    def __next__(self) -> Statistics:
        return next(self._records)

    def _encode(self) -> Generator[Statistics, None, None]:
        with self._writer, self._watch:
            try:
                yield from self._encode_all()
            except FullRowsError as error:
                warnings.warn(f"{error}: all are encoded again, in their right places", ScanWarning, stacklevel=3)
                self._restart(FileSource(self.source.path, self._request.grid, self._request.step_um))
                yield from self._encode_all()
            self._ask_the_model()
            if not self._stopped or self._writer.is_complete:
                self._writer.finish()

    def _encode_all(self) -> Generator[Statistics, None, None]:
        writer = self._writer
        with self._stream as stream:
            try:
                self._watch.await_next(stream)
                for batch in stream:
                    writer.write(batch)
                    self._keep_probes(batch)
                    self._watch.take(batch, now := stream.statistics)
                    yield now
                    self._watch.await_next(stream)
            finally:  # also where it is left
                stream.close()
                self._final = stream.statistics
                writer.replace_background(stream.background)

    def _ask_the_model(self) -> None:
        """Measure whether the model knows the scan; one that was stopped before its end is to be gone on with."""
        if self._stopped and not self._request.follow:
            return
        self._writer.flush()  # whoever looks on shall not wait for the last row meanwhile
        background = self._stream.background
        self.familiarity = familiarity_of(self.source, self._engine, self._preprocessor, background)
        if self.familiarity:
            self._writer.keep_familiarity(self.familiarity)

    def _restart(self, source: FileSource) -> None:
        """Encode a scan that has ended anew: its geometry is another than was thought."""
        self._writer.restart(source.scan)
        self.source, self._final = source, None
        self._stream = _open_stream(source, self._engine, self._preprocessor, self._writer)
        self._watch.restart(source)

    def _keep_probes(self, batch: EncodedBatch) -> None:
        """Hash those patterns of a batch that tell the scan from others."""
        numbers = probe_numbers(self.source.scan.total)
        for place in np.flatnonzero(np.isin(numbers, batch.indices[~batch.flags])):
            self._writer.keep_probe(int(place), hash_pattern(self.source, int(numbers[place])))


class _FinishedRun(EncodeRun):
    """A run that finds nothing to do: the latents file, with what was computed from it, is left as it is."""

    discards = False
    alarms = ()

    def __init__(self, source: ScanFile, preprocessor: Preprocessor, familiarity: Familiarity | None) -> None:
        self.source, self._preprocessor, self.familiarity = source, preprocessor, familiarity
        self._final = Meter(0).read(0)
        self._records = self._encode()

    def stop(self) -> None:
        """End the run, which is at its end."""

    def close(self) -> None:
        """Free nothing: nothing is held."""

    def _encode(self) -> Generator[Statistics, None, None]:
        yield from ()


def encode_scan(request: EncodeRequest, engine: Engine) -> EncodeRun:
    """Encode a scan file into a latents file.

    Parameters
    ----------
    request
        What to encode, and where to.
    engine
        An open encoder.

    Returns
    -------
    EncodeRun
        Iterate it: nothing is written before. ``stop`` ends it early, and so does leaving it.

    Raises
    ------
    MicrorunError
        For anything that is wrong with scan, engine or output; batches encoded before stay on disk.

    Examples
    --------
    >>> from microrun.runtime import EncodeRequest, encode_scan, open_engine
    >>> with open_engine("vae32") as engine, encode_scan(EncodeRequest("scan.up1", "new.h5"), engine) as run:
    ...     print([now.done for now in run])
    [9]
    """
    check_destination(request)
    engine.spec.require("encoder", source=engine.info.path.name, task="encoding")
    source = open_source(request)
    preprocessor = make_preprocessor(request, whole_of(source), engine)
    return _begin(request, source, engine, preprocessor)


def check_destination(request: EncodeRequest) -> None:
    """Refuse a run whose latents cannot be written where they are asked for, before an engine is opened.

    Parameters
    ----------
    request
        What to encode, and where to.

    Raises
    ------
    LatentsError
        If what is there is to be gone on with and to be replaced.
    RefusedOutputError
        If it is there, and neither is asked for, or the name, its ending or its folder cannot be used.
    """
    if request.resume and request.overwrite:
        raise LatentsError("--resume goes on with a file, --overwrite replaces it: give one of the two")
    keep = request.resume or request.overwrite
    advice = "go on with it by --resume if it was interrupted, "
    check_file(request.out, keep, endings=HDF5_ENDINGS, sources=[request.scan], advice=advice)


def _begin(request: EncodeRequest, source: ScanFile, engine: Engine, preprocessor: Preprocessor) -> EncodeRun:
    origin = _describe_origin(request, source, engine, preprocessor)
    if request.resume and request.out.exists():
        with open_latents(request.out) as old:
            origin = _check_old(old, origin, request, source, preprocessor)
            if _is_finished(old, origin, request, source, preprocessor):
                return _FinishedRun(source, preprocessor, old.familiarity)
        writer = LatentsWriter.resume(request.out, origin)
    else:
        background = _make_background(request, origin.background, source, preprocessor)
        writer = LatentsWriter.create(request.out, origin, background, choose_replacing(request))
    try:
        return EncodeRun(request, source, engine, preprocessor, writer)
    except BaseException:
        writer.close()
        raise


def _describe_origin(request: EncodeRequest, source: ScanFile, engine: Engine, preprocessor: Preprocessor) -> Origin:
    info, background, whole = engine.info, choose_background(request), whole_of(source)
    return Origin(
        scan=source.scan,
        fingerprint=telling_fingerprint(source),
        spec=engine.spec,
        engine_sha256=info.sha256,
        engine=f"{info.library} on {info.device}",
        precision=info.precision,
        background=background,
        dtype=request.dtype,
        up_header=whole.header.to_bytes().hex() if isinstance(whole, FileSource) else "",
        mean_of=whole.available if background == "mean" else 0,
        bad_pixels=tuple(np.flatnonzero(preprocessor.bad_pixels).tolist()),
        scale_background=preprocessor.preprocessing.scale_background,
        inverted=preprocessor.preprocessing.inverted,
        warp=preprocessor.warp,
        part=source.part if isinstance(source, PartSource) else None,
    )


def _check_old(
    old: Latents, origin: Origin, request: EncodeRequest, source: ScanFile, preprocessor: Preprocessor
) -> Origin:
    """Refuse latents of another scan or background; the origin of those that go on."""
    if old.origin.part == origin.part:  # else it is refused for that
        check_same_scan(old, source)
    origin = replace(origin, mean_of=old.origin.mean_of)
    there = whole_of(source).available
    if 0 < origin.mean_of < there:
        warnings.warn(
            f"{request.out}: keeps its background, the mean of {origin.mean_of:,} patterns; there are "
            f"{there:,} now: for their mean encode them all, to another --out",
            ScanWarning,
            stacklevel=4,
        )
    if origin.background != "file" or request.background == "auto" or old.origin.difference(origin):
        return origin  # a difference is refused when the file is opened
    if (old.background != load_background(Path(request.background), preprocessor)).any():
        raise LatentsError(
            f"{request.out}: cannot be resumed, it belongs to another background than {request.background}"
        )
    return origin


def _is_finished(
    old: Latents, origin: Origin, request: EncodeRequest, source: ScanFile, preprocessor: Preprocessor
) -> bool:
    """Whether there is nothing to go on with: all is encoded, and what was blank still is."""
    there = origin.scan.exists()
    if old.growing or old.origin.difference(origin) or not old.written[there].all():
        return False
    raw = np.empty((1, *source.scan.sig_shape), source.scan.dtype)
    binned = np.empty((1, *preprocessor.input_shape), np.float32)
    for number in np.flatnonzero(old.flags[there][: source.available]):
        source.read_patterns(np.array([number]), raw)
        preprocessor.bin(raw, binned)
        if not preprocessor.find_blank(binned)[0]:
            return False
    return True


def _make_background(request: EncodeRequest, kind: Background, source: ScanFile, preprocessor: Preprocessor) -> Float32:
    if kind == "mean":
        return mean_background(whole_of(source), preprocessor)
    if kind == "file":
        return load_background(Path(request.background), preprocessor)
    return np.zeros(preprocessor.input_shape, np.float32)


def _open_stream(source: ScanFile, engine: Engine, preprocessor: Preprocessor, writer: LatentsWriter) -> EncodeStream:
    """Encode what the latents file lacks."""
    start, blank = writer.done, writer.flagged
    source.revisit(blank)
    if writer.origin.background == "running":  # the mean needs all patterns; the first block its own, complete
        whole = start - start % BLOCK
        known = whole - np.count_nonzero(blank < whole) >= LEAST
        return encode(source, engine, "running", start=start if known else 0, preprocessor=preprocessor)
    source.seek(start)
    return encode(source, engine, writer.background, start=start, preprocessor=preprocessor)
