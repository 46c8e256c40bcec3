"""One scan that a client pushes: encoded by a thread of its own, its latents kept for the client and in a file."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from microrun.runtime.array_types import Float32
from microrun.runtime.encoding.choices import warp_from
from microrun.runtime.encoding.meter import Statistics
from microrun.runtime.encoding.request import BadPixels
from microrun.runtime.encoding.stream import Background, encode
from microrun.runtime.encoding.watching import RunWatch
from microrun.runtime.engines.engine import Engine
from microrun.runtime.engines.lanes import OrderedPool
from microrun.runtime.errors import MicrorunError, first_line
from microrun.runtime.files.closing import Closing
from microrun.runtime.files.destination import check_file
from microrun.runtime.latents.batch import EncodedBatch
from microrun.runtime.latents.origin import Origin
from microrun.runtime.latents.watched import Alarm
from microrun.runtime.latents.writer import LatentsWriter
from microrun.runtime.patterns.background import load_background
from microrun.runtime.patterns.bad_pixels import describe_bad_pixels
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.scan import Scan
from microrun.runtime.serving.filled_source import FilledSource
from microrun.runtime.serving.kept_latents import KeptLatents
from microrun.runtime.serving.ring_source import RingSource
from microrun.runtime.serving.wire import Code, Hello, RefusedError, State, Status

SUFFIX = ".latents.h5"
UNWRITTEN = 1024  # batches that the client may have before they are in the file
RERUN = ", go on with --resume"  # a writer's advice; nobody can go on with a scan that was pushed
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
KEYWORDS: dict[str, Background] = {"running": "running", "none": None}


class Preparation(NamedTuple):
    """What is done to patterns before the engine.

    Parameters
    ----------
    background
        "running", "none", or a file.
    pattern_centre
        As of `EncodeRequest`.
    invert
        Whether bands are dark; None for what the engine's spec says.
    bad_pixels
        "fill" those that the first 64 patterns show, for which a running mean waits anyway, or "keep" them. With
        another background they are kept.
    """

    background: str = "running"
    pattern_centre: tuple[float, float, float] | None = None
    invert: bool | None = None
    bad_pixels: BadPixels = "fill"

    @property
    def fills(self) -> bool:
        """Whether bad pixels are looked for."""
        return self.bad_pixels == "fill" and self.background == "running"

    def make(self, engine: Engine, sig_shape: tuple[int, int]) -> Preprocessor:
        """Preprocessor of a detector; MicrorunError if it or the pattern centre does not fit the engine."""
        how = engine.spec.preprocessing
        how = how if self.invert is None else replace(how, inverted=self.invert)
        warp = None if self.pattern_centre is None else warp_from(self.pattern_centre, engine)
        return Preprocessor(how, sig_shape, warp=warp)


class ServedScan(Closing):
    """A scan from its greeting to its end.

    Parameters
    ----------
    engine
        An open encoder.
    hello
        What the client asks for.
    folder
        Where the latents file goes.
    preparation
        Of its patterns.

    Attributes
    ----------
    path : pathlib.Path
        The latents file.
    source : RingSource
        What the client pushes to.
    kept : KeptLatents
        What it has not asked for yet.
    error : str
        Why the scan failed; empty if it did not.
    bad_pixels : str
        What is said of the camera's bad pixels; empty if none were found, so far.

    Raises
    ------
    MicrorunError
        If the scan does not fit the engine, or its file cannot be made.
    """

    def __init__(self, engine: Engine, hello: Hello, folder: Path, preparation: Preparation) -> None:
        preprocessor = preparation.make(engine, hello.scan.sig_shape)
        subtracted = _choose_background(preparation.background, preprocessor)
        self.path = _choose_path(folder, hello.name)
        check_file(self.path)
        self.kept, self.error, self.bad_pixels = KeptLatents(engine.spec.latent_size), "", ""
        self._ended = False
        with ExitStack() as undo:
            self._writer = _open_writer(self.path, hello.scan, engine, preprocessor, subtracted)
            undo.callback(self._discard)
            self.source = _make_source(hello)
            undo.callback(self.source.close)
            self._filled = FilledSource(self.source, preprocessor) if preparation.fills else None
            self._stream = encode(self._filled or self.source, engine, subtracted, preprocessor=preprocessor)
            self._watch = RunWatch(self._writer, engine, preprocessor, self.source)
            self._watch.warm()
            undo.pop_all()
        self._thread = threading.Thread(target=self._run, name="encoder", daemon=True)
        self._thread.start()

    @property
    def status(self) -> Status:
        """Where it stands."""
        now = self.statistics
        state = State.FAILED if self.error else State.ENDED if self._ended else State.LIVE
        waiting, forgotten = self.kept.waiting, self.kept.forgotten
        accepted, dropped = self.source.available, self.source.dropped
        lasting = [alarm.text for alarm in self.alarms if alarm.end is None]
        return Status(
            accepted, dropped, now.done, now.flagged, waiting, forgotten, round(now.rate), state, len(self.alarms),
            lasting[-1] if lasting else "",
        )  # fmt: skip

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """What changed in the scan so far, or what the model does not know."""
        return self._watch.alarms

    @property
    def statistics(self) -> Statistics:
        """The stream's own."""
        return self._stream.statistics

    def end(self) -> None:
        """Encode what was pushed, and no more; returns when the file is closed."""
        self.source.finish()
        self._thread.join()

    def close(self) -> None:
        """End it, and give the ring back."""
        self.end()
        self.source.close()

    def _discard(self) -> None:
        """Leave no file of a scan that never began."""
        self._writer.close()
        self.path.unlink(missing_ok=True)

    def _run(self) -> None:
        try:
            self._encode()
        except Exception as error:  # whatever it is, client and operator must hear of it, and the service goes on
            known = isinstance(error, MicrorunError)
            self.error = str(error).removesuffix(RERUN) if known else f"{type(error).__name__}: {first_line(error)}"
        finally:
            self.source.stop()
            self._ended = True
            self.kept.end()

    def _encode(self) -> None:
        with self._writer as writer, self._watch as watch, self._stream as stream:
            given = OrderedPool(lambda: next(stream, None), [self._give], UNWRITTEN)
            try:
                watch.await_next(stream, given)
                for batch in given:
                    self._note_bad_pixels(watch)
                    writer.write(batch)
                    watch.take(batch, stream.statistics)
                    watch.await_next(stream, given)
            finally:
                stream.stop()
                given.close()
                stream.close()
                writer.replace_background(stream.background)

    def _give(self, batch: EncodedBatch) -> EncodedBatch:
        """Let the client have a batch: by a thread of its own, so that none waits for what the file takes."""
        self.kept.add(batch.indices, batch.latents)
        return batch

    def _note_bad_pixels(self, watch: RunWatch) -> None:
        """Begin the file anew, before anything is in it, where its origin must tell of bad pixels."""
        if self._filled is None or self.bad_pixels or not self._filled.bad_pixels.any():
            return
        bad, origin = self._filled.bad_pixels, self._writer.origin
        self._writer.origin = replace(origin, bad_pixels=tuple(np.flatnonzero(bad).tolist()))
        with contextlib.suppress(OSError):  # on Windows, where it is open; else its room is the new one's
            self.path.unlink()
        self._writer.restart(origin.scan)  # what HDF5 lets others read while it grows cannot be changed
        watch.restart(self.source)
        self.bad_pixels = describe_bad_pixels(bad)


def _make_source(hello: Hello) -> RingSource:
    try:
        return RingSource(hello.scan, hello.wants_ring)
    except OSError as error:
        raise RefusedError(Code.REFUSED, f"there is no memory for a ring of patterns ({error.strerror})") from None


def _choose_background(choice: str, preprocessor: Preprocessor) -> Background:
    return KEYWORDS[choice] if choice in KEYWORDS else load_background(Path(choice), preprocessor)


def _choose_path(folder: Path, name: str) -> Path:
    """The file that is asked for, or the first that is not there."""
    if name:
        if not NAME.fullmatch(name):
            raise RefusedError(Code.ARGUMENT, "the name of a scan has letters, digits and ._- only, 63 at most")
        path = folder / (name + SUFFIX)
        if os.path.lexists(path):
            raise RefusedError(Code.REFUSED, f"{path}: exists; give another name")
        return path
    number = 1
    while os.path.lexists(path := folder / f"scan-{number}{SUFFIX}"):
        number += 1
    return path


def _open_writer(
    path: Path, scan: Scan, engine: Engine, preprocessor: Preprocessor, subtracted: Background
) -> LatentsWriter:
    info, kind = engine.info, subtracted if isinstance(subtracted, str) else "none" if subtracted is None else "file"
    origin = Origin(
        scan=scan,
        fingerprint="",
        spec=engine.spec,
        engine_sha256=info.sha256,
        engine=f"{info.library} on {info.device}",
        precision=info.precision,
        background=kind,
        scale_background=preprocessor.preprocessing.scale_background,
        inverted=preprocessor.preprocessing.inverted,
        warp=preprocessor.warp,
    )
    stored: Float32 = np.zeros(preprocessor.input_shape, np.float32)
    return LatentsWriter.create(path, origin, subtracted if isinstance(subtracted, np.ndarray) else stored)
