"""The client in Python: for programs that have microrun at hand but want the engine in a process of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from pathlib import Path

import numpy as np

from microrun.runtime.array_types import Raw
from microrun.runtime.errors import MicrorunError, ScanError
from microrun.runtime.files.closing import Closing
from microrun.runtime.scans.scan import Scan
from microrun.runtime.serving.kept_latents import Answer
from microrun.runtime.serving.shared_memory import DROPPED, HEAD, OVER, TAIL, Layout, SharedMemory
from microrun.runtime.serving.token_file import LOOPBACK, default_token_file, read_token_file
from microrun.runtime.serving.wire import (
    CODE,
    LATENTS,
    PUSH,
    RESULTS,
    WAIT_S,
    WELCOME,
    Channel,
    Code,
    GoneError,
    Hello,
    Kind,
    Status,
    read_refusal,
)

NAP_S, SHARE_S, RING_SHARE_S = 0.0002, 0.01, 0.1
MOST_BYTES = 1 << 20  # of an answer without latents


class Client(Closing):
    """A scan that is pushed to `microrun serve`.

    Parameters
    ----------
    scan
        What will be pushed.
    name
        Of the latents file; empty for any that is free.
    token_file
        Of the service; None for the usual place.
    shared
        Push through shared memory where both sides can; else over TCP.

    Attributes
    ----------
    file : str
        Where the service writes the latents.
    latent_size : int
        D.

    Raises
    ------
    MicrorunError
        If there is no service, or it refuses.

    Notes
    -----
    One thread may push, finish and ask for the status while another asks for latents.
    """

    def __init__(self, scan: Scan, name: str = "", token_file: Path | None = None, shared: bool = True) -> None:
        address = read_token_file(token_file or default_token_file())
        try:
            connection = socket.create_connection((LOOPBACK, address.port))
        except OSError as error:
            raise MicrorunError(f"no service answers on port {address.port} ({error}); start microrun serve") from None
        self.scan, self._channel, self._asking = scan, Channel(connection), threading.Lock()
        self._memory: SharedMemory | None = None
        self._next = self._head = 0
        self._looked = time.monotonic()
        try:
            body = self._ask(Kind.HELLO, Hello(address.token.encode(), scan, name, shared).pack())
            self.latent_size, _, slots, _, _, ring = WELCOME.unpack_from(body)
            self.file = os.fsdecode(body[WELCOME.size :])
            if name := ring.rstrip(b"\0").decode():
                with contextlib.suppress(MicrorunError):  # as from within a container: then over TCP
                    self._memory = SharedMemory.open(Layout(scan.pattern_bytes, slots), name)
        except BaseException:
            self._channel.close()
            raise

    def push(self, pattern: Raw, index: int | None = None, timeout_s: float = -1.0) -> bool:
        """Hand over one pattern; it is copied.

        Parameters
        ----------
        pattern
            (rows, cols) of the scan's shape and pixel type.
        index
            Its number in the scan; by default the one after the last. Numbers must ascend.
        timeout_s
            How long to wait for room; 0 never waits, below 0 without end.

        Returns
        -------
        bool
            False if it found no room in time: it is dropped, and counted.

        Raises
        ------
        MicrorunError
            If shape, pixel type or number do not fit, or the scan has ended.
        """
        if pattern.shape != self.scan.sig_shape or pattern.dtype != self.scan.dtype:
            expected = f"{self.scan.sig_shape} {self.scan.dtype}"
            raise ScanError(f"pushed patterns must be {expected}; got {pattern.shape} {pattern.dtype}")
        number = self._next if index is None else index
        if not self._next <= number < self.scan.total:
            raise ScanError(f"the number of a pattern must be {self._next} to {self.scan.total - 1}; got {number}")
        pixels = np.ascontiguousarray(pattern).view(np.uint8).ravel()
        self._next = number + 1
        if self._memory is None:
            ms = max(-1, round(1000 * timeout_s))
            (code,) = CODE.unpack(self._ask(Kind.PUSH, PUSH.pack(number, ms, 0) + pixels.tobytes()))
            return bool(code == Code.TAKEN)
        return self._put(self._memory, pixels, number, timeout_s)

    def latents(self, limit: int = 4096, timeout_s: float = 1.0) -> Answer:
        """Latents that are there, after waiting so long for some, below 0 without end; ``over`` if none will come."""
        until = time.monotonic() + timeout_s if timeout_s >= 0 else float("inf")
        share_s = SHARE_S if self._memory is None else RING_SHARE_S
        while True:  # in small steps, between which another thread may finish, or push over the same connection
            left = until - time.monotonic()
            answer = self._ask_latents(limit, max(0.0, min(left, share_s)))
            if len(answer.indices) or answer.over or left <= 0:
                return answer
            time.sleep(NAP_S)

    def status(self) -> Status:
        """Counts of the scan."""
        return Status.unpack(self._ask(Kind.STATUS))

    def finish(self) -> None:
        """Say that no more patterns come; latents may still be asked for."""
        self._ask(Kind.FINISH)

    def close(self) -> None:
        """Hang up; a scan that was not finished counts as interrupted."""
        self._channel.close()
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    def _ask_latents(self, limit: int, timeout_s: float) -> Answer:
        most_bytes = RESULTS.size + limit * (8 + 4 * self.latent_size)
        body = self._ask(Kind.LATENTS, LATENTS.pack(limit, round(1000 * timeout_s)), most_bytes)
        count, over = RESULTS.unpack_from(body)
        indices = np.frombuffer(body, "<i8", count, RESULTS.size)
        latents = np.frombuffer(body, "<f4", count * self.latent_size, RESULTS.size + indices.nbytes)
        return Answer(indices, latents.reshape(count, self.latent_size), bool(over))

    def _put(self, memory: SharedMemory, pixels: Raw, number: int, timeout_s: float) -> bool:
        slots, began = memory.layout.slots, time.monotonic()
        self._check_service(WAIT_S)
        while self._head - int(memory.words[TAIL]) >= slots and not memory.words[OVER]:
            if 0 <= timeout_s <= time.monotonic() - began:
                self._check_service(0)
                memory.words[DROPPED] += 1
                return False
            time.sleep(NAP_S)
            self._check_service(WAIT_S)
        _check_going_on(memory)
        slot = self._head % slots
        memory.pixels[slot] = pixels
        memory.numbers[slot] = number
        self._head += 1
        memory.words[HEAD] = self._head  # last: from now on the slot is the service's
        if self._next < self.scan.total:  # the last pattern ends the scan; any other may have come too late
            _check_going_on(memory)
        return True

    def _check_service(self, every_s: float) -> None:
        """Look now and then whether it is there: a ring stays as it is where a service was killed."""
        now = time.monotonic()
        if now - self._looked < every_s or not self._asking.acquire(blocking=False):
            return  # another thread that asks will hear of it itself
        try:
            self._channel.check()
        finally:
            self._asking.release()
        self._looked = now

    def _ask(self, kind: Kind, body: bytes = b"", most_bytes: int = MOST_BYTES) -> bytes:
        with self._asking:
            with contextlib.suppress(GoneError):  # before that it may have said why it hangs up, and that unasked
                if not self._channel.has_news(0):
                    self._channel.send(kind, body)
                while not self._channel.has_news(WAIT_S):
                    pass
            kind_of_answer, answer = self._channel.receive(max(most_bytes, MOST_BYTES))
        if kind_of_answer == Kind.REFUSAL:
            raise read_refusal(answer)
        return answer


def _check_going_on(memory: SharedMemory) -> None:
    if memory.words[OVER]:
        raise GoneError("the service has ended the scan; ask for latents to hear why")
