"""One client: its greeting, its questions, and what becomes of its scan when it goes."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from microrun.runtime.errors import MicrorunError, first_line
from microrun.runtime.latents.watched import AlarmNews
from microrun.runtime.serving.refusals import Refusals, Say
from microrun.runtime.serving.served_scan import ServedScan
from microrun.runtime.serving.wire import (
    CODE,
    GREETING_S,
    HELLO,
    HELLO_1,
    LATENTS,
    MESSAGE_S,
    MOST_LATENTS,
    PUSH,
    RESULTS,
    WAIT_S,
    WELCOME,
    Channel,
    Code,
    GoneError,
    Hello,
    Kind,
    RefusedError,
    State,
)

PATIENCE_S = 3.0  # that a client waits for the end of the scan before: its own last one, as a rule


@dataclass(frozen=True)
class House:
    """What all clients share.

    Parameters
    ----------
    token
        That a client must know.
    open_scan
        Begins a scan; MicrorunError where that cannot be.
    say
        Tells the operator.
    refusals
        Tells the operator of clients that are refused.
    idle_timeout_s
        Seconds without a sign of a client that end its scan.
    place
        Held by the client whose scan is encoded: there is one at a time.
    closing
        Set where the service ends.
    """

    token: str = field(repr=False)
    open_scan: Callable[[Hello], ServedScan]
    say: Say
    refusals: Refusals
    idle_timeout_s: float
    place: threading.Lock = field(default_factory=threading.Lock)
    closing: threading.Event = field(default_factory=threading.Event)


class Session:
    """A client.

    Parameters
    ----------
    channel
        To it.
    house
        What it shares with others.
    """

    def __init__(self, channel: Channel, house: House) -> None:
        self._channel, self._house = channel, house
        self._finished = self._said_bad_pixels = False
        self._alarms = AlarmNews()
        self._pattern = bytearray()

    def run(self) -> None:
        """Answer until the client goes; whatever it does, this returns."""
        try:
            hello = self._greet()
            if not self._house.place.acquire(timeout=PATIENCE_S):
                raise RefusedError(Code.BUSY, "another client's scan is being encoded or is not closed; wait for that")
            try:
                ended = self._serve(hello)
            finally:
                self._house.place.release()
            if ended:  # its next question finds the answer
                self._channel.refuse(RefusedError(Code.GONE, f"the scan has ended: {ended}"))
        except RefusedError as error:
            self._tell(error)
        except GoneError:
            pass
        except Exception as error:  # ours; the service goes on
            self._house.say("warning", f"a client was let go ({type(error).__name__}: {first_line(error)})")
        finally:
            self._channel.close()

    def _tell(self, error: RefusedError) -> None:
        self._house.refusals.tell(error)
        with contextlib.suppress(GoneError):
            self._channel.refuse(error)

    def _greet(self) -> Hello:
        self._channel.allow(GREETING_S)  # who says nothing must not keep others out
        kind, body = self._channel.receive(HELLO.size)
        self._channel.allow(MESSAGE_S)
        expected = (HELLO_1 if self._channel.version == 1 else HELLO).size
        if kind != Kind.HELLO or len(body) != expected:
            raise RefusedError(
                Code.PROTOCOL, f"expected a greeting of {expected} bytes; got {len(body)} of kind {kind}"
            )
        given = body[:64].rstrip(b"\0")
        if not secrets.compare_digest(given, self._house.token.encode()):
            raise RefusedError(Code.TOKEN, "the token is not this service's: read it from the token file again")
        return Hello.unpack(body)

    def _serve(self, hello: Hello) -> str:
        """Encode a scan; returns why the service ended it, nothing where its client is gone."""
        try:
            scan = self._house.open_scan(hello)
        except RefusedError:
            raise
        except MicrorunError as error:
            raise RefusedError(Code.REFUSED, error) from None
        except MemoryError:
            raise RefusedError(Code.REFUSED, "the scan is larger than this machine's memory") from None
        reason = "its client was lost"
        try:
            self._describe(hello, scan)
            self._welcome(scan)
            self._pattern = bytearray(hello.scan.pattern_bytes)
            return (reason := self._answer_all(scan))
        except RefusedError as error:
            reason = f"its client sent what cannot be ({error})"
            raise
        except GoneError as error:
            reason = f"its client is gone ({error})"
            return ""
        finally:
            scan.end()
            self._say_alarms(scan)
            self._say_bad_pixels(scan)
            self._report(scan, reason)
            scan.close()

    def _describe(self, hello: Hello, scan: ServedScan) -> None:
        (rows, cols), (height, width) = hello.scan.nav_shape, hello.scan.sig_shape
        where = "" if scan.source.memory.name else ", over TCP"
        grid = "hexagonal map" if hello.scan.grid == "hexagonal" else "map"
        shape = f"{rows}×{cols} {grid} of {height}×{width} {hello.scan.dtype} patterns"
        self._house.say("scan", f"{scan.path.name}: {shape}{where}")

    def _welcome(self, scan: ServedScan) -> None:
        memory = scan.source.memory
        layout, name = memory.layout, memory.name.encode()
        ring_bytes = layout.total_bytes if name else 0
        body = WELCOME.pack(scan.kept.latent_size, 0, layout.slots, layout.slot_bytes, ring_bytes, name)
        self._channel.send(Kind.HELLO, body, os.fsencode(scan.path.absolute()))

    def _report(self, scan: ServedScan, reason: str) -> None:
        """Tell the operator how a scan ended."""
        now, path, status = scan.statistics, scan.path.name, scan.status
        total = f"{now.done:,} of {now.total:,} patterns" if now.done < now.total else f"{now.done:,} patterns"
        lost = f", {now.dropped:,} were dropped" if now.dropped else ""
        self._house.say("encoded", f"{path}: {total} at {now.mean_rate:,.0f}/s{lost}")
        if status.state == State.FAILED:
            self._house.say("warning", f"{path}: ended, {scan.error}")
        elif not self._finished and now.done < now.total:
            self._house.say("warning", f"{path}: interrupted, {reason}; what was encoded is in it")

    def _answer_all(self, scan: ServedScan) -> str:
        """Answer until the client goes; returns why, GoneError if it hangs up."""
        signs = _Signs(scan)
        while not self._house.closing.is_set():
            if self._channel.has_news(WAIT_S):
                self._answer(scan)
                signs = _Signs(scan)
            self._say_alarms(scan)
            self._say_bad_pixels(scan)
            if signs.silent_s > self._house.idle_timeout_s:
                return f"its client has said nothing for {self._house.idle_timeout_s:g} s"
        return "the service was ended"

    def _say_alarms(self, scan: ServedScan) -> None:
        """Tell the operator what changed in a scan, or what the model does not know."""
        for alarm in self._alarms.take(scan.alarms):
            self._house.say("warning", f"{scan.path.name}: {alarm.text}")

    def _say_bad_pixels(self, scan: ServedScan) -> None:
        """Tell the operator, once, that pixels of the camera are filled."""
        if scan.bad_pixels and not self._said_bad_pixels:
            self._said_bad_pixels = True
            self._house.say("warning", f"{scan.path.name}: {scan.bad_pixels}")

    def _answer(self, scan: ServedScan) -> None:
        kind, size = self._channel.receive_header()
        expected = {
            Kind.PUSH: PUSH.size + len(self._pattern),
            Kind.LATENTS: LATENTS.size,
            Kind.STATUS: 0,
            Kind.FINISH: 0,
        }
        if kind not in expected:
            raise RefusedError(Code.PROTOCOL, f"there is no message of kind {kind}")
        if size != expected[Kind(kind)]:
            raise RefusedError(
                Code.PROTOCOL, f"a message of kind {kind} must have {expected[Kind(kind)]} bytes here; got {size}"
            )
        if kind == Kind.PUSH:
            self._take_pattern(scan)
        elif kind == Kind.LATENTS:
            self._give_latents(scan, *LATENTS.unpack(self._channel.take(size)))
        elif kind == Kind.STATUS:
            self._channel.send(kind, scan.status.pack())
        else:
            self._finished = True
            scan.source.finish()
            self._channel.send(kind)

    def _take_pattern(self, scan: ServedScan) -> None:
        index, timeout_ms, _ = PUSH.unpack(self._channel.take(PUSH.size))
        self._channel.take_into(memoryview(self._pattern))
        if self._finished:
            self._channel.refuse(RefusedError(Code.ARGUMENT, "the scan was finished; no more patterns may come"))
            return
        self._wait(scan, scan.source.await_room, timeout_ms)
        try:
            taken = scan.source.put(index, memoryview(self._pattern))
        except MicrorunError as error:
            self._channel.refuse(RefusedError(Code.ARGUMENT, error))
            return
        if scan.status.state != State.LIVE and not taken:
            self._channel.refuse(RefusedError(Code.FAILED, scan.error or "the scan has ended"))
        else:
            self._channel.send(Kind.PUSH, CODE.pack(Code.TAKEN if taken else Code.FULL))

    def _give_latents(self, scan: ServedScan, limit: int, timeout_ms: int) -> None:
        limit = min(limit, MOST_LATENTS)
        if limit:
            self._wait(scan, scan.kept.await_any, timeout_ms)
        answer = scan.kept.take(limit)
        if answer.over and scan.error and not len(answer.indices):
            self._channel.refuse(RefusedError(Code.FAILED, scan.error))
            return
        indices, latents = answer.indices.astype("<u8").tobytes(), answer.latents.astype("<f4").tobytes()
        over = answer.over and not scan.error  # else the client shall ask once more, and hear of it
        self._channel.send(Kind.LATENTS, RESULTS.pack(len(answer.indices), over), indices, latents)

    def _wait(self, scan: ServedScan, ready: Callable[[float], bool], timeout_ms: int) -> None:
        """Wait, below 0 without end, while client and service are there; but no longer than a client may be silent."""
        until = time.monotonic() + (timeout_ms / 1000 if timeout_ms >= 0 else float("inf"))
        signs = _Signs(scan)
        while not ready(min(WAIT_S, max(0.0, until - time.monotonic()))):
            if time.monotonic() >= until or self._house.closing.is_set():
                return
            self._channel.check()
            if self._channel.has_news(0):  # behind which nobody could see that it hangs up
                raise RefusedError(Code.PROTOCOL, "a question came before the last one was answered")
            if signs.silent_s > self._house.idle_timeout_s:
                return


class _Signs:
    """Signs of a client since its last question: patterns in the ring."""

    def __init__(self, scan: ServedScan) -> None:
        self._scan, self._accepted, self._at = scan, scan.source.available, time.monotonic()

    @property
    def silent_s(self) -> float:
        """How long there were none."""
        if self._scan.source.available != self._accepted:
            self._accepted, self._at = self._scan.source.available, time.monotonic()
        return time.monotonic() - self._at
