"""A card made of NumPy that keeps CUDA's rules: whoever breaks one is stopped, and it is noted for the end."""

from __future__ import annotations

import ctypes
import gc
import math
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
from numpy.typing import DTypeLike, NDArray

from microrun.runtime.array_types import Float32
from microrun.runtime.engines.nvidia.cuda import Card
from microrun.runtime.errors import EngineError

WAIT_S = 20.0  # for what would otherwise hang; nothing takes that long
FIRST_ADDRESS = 1 << 60  # no address of the host
GAP = 256  # between two allocations: who runs past the end of one must not hit the next
POISON = 0xFF  # four of these bytes are a float32 that is no number
CAPTURABLE = ("copy_in", "copy_out", "compute", "end_capture")
REFUSED = "failed: the fake was told so (MadeUp)"
BROKEN = "cudaEventSynchronize failed: an illegal memory access was encountered (IllegalAddress)"
NO_MEMORY = "the card has too little free memory; ask for fewer --lanes or a smaller --batch"

Work = Callable[[], None]


class BrokenRuleError(AssertionError):
    """Something that CUDA forbids, or that gives other results on another day."""


@dataclass(frozen=True)
class Moment:
    """A line of the log: a name of Device, or "compute", was "called", "enqueued", "started" or "ended"."""

    what: str
    name: str
    stream: int = 0


@dataclass(frozen=True)
class Kernel:
    """A function of arrays on addresses of the card, the last of which it makes; all are float32 but those named."""

    function: Callable[..., Float32]
    addresses: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]
    whole_numbers: frozenset[int] = frozenset()  # places of int32


@dataclass(frozen=True)
class Step:
    """Work that can be enqueued again and again; `begin` is done at once, and gives what the card does later."""

    name: str
    begin: Callable[[], Work]
    needs: frozenset[int]


@dataclass(eq=False)
class Operation:
    """Work on a stream; what it needs must live until the host has waited for it."""

    name: str
    work: Work
    needs: frozenset[int]
    done: bool = False


@dataclass(eq=False)
class Stream:
    """Operations that were not done yet, and those that the host has not waited for."""

    number: int = 0
    waiting: deque[Operation] = field(default_factory=deque)
    unseen: list[Operation] = field(default_factory=list)


class FakeCuda:
    """A `Device` of NumPy arrays; its streams run in threads, or as late as possible.

    Parameters
    ----------
    late
        Nothing is done until the host waits for it; else each stream has a thread.
    delay_s
        That each operation of a thread takes longer.
    memory_bytes
        Of the card.
    fails_at
        The call, counted from 1, that fails at once and does nothing.
    breaks_at
        The operation, counted from 1, at which the card breaks down: `wait` says so, and so do all calls from then on.
    """

    def __init__(
        self, late: bool = False, delay_s: float = 0, memory_bytes: int = 1 << 30, fails_at: int = 0, breaks_at: int = 0
    ) -> None:
        self.card = Card(0, "NVIDIA Fake", (8, 6), memory_bytes, memory_bytes)
        self.late, self.delay_s, self.fails_at, self.breaks_at = late, delay_s, fails_at, breaks_at
        self.calls = self.operations = 0
        self.log: list[Moment] = []
        self.broken_rules: list[str] = []
        self.broken, self._next = False, FIRST_ADDRESS
        self._held: dict[int, tuple[str, Any]] = {}
        self._captures: dict[int, tuple[int, list[Step]]] = {}  # of a stream: the thread, and what it enqueued
        self._recorded: dict[int, tuple[Stream, Operation]] = {}
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []

    def make_stream(self) -> int:
        self._enter("make_stream")
        stream = Stream()
        stream.number = self._hold("stream", stream)
        if not self.late:
            self._threads.append(threading.Thread(target=self._work_off, args=(stream,), daemon=True))
            self._threads[-1].start()
        return stream.number

    def destroy_stream(self, stream: int) -> None:
        if stream in self._captures and not self.broken:
            self._break_rule("a stream is destroyed while it is captured")
        self._release("stream", stream)

    def allocate(self, nbytes: int) -> int:
        self._enter("allocate")
        with self._changed:
            used = sum(len(value) for kind, value in list(self._held.values()) if kind == "memory")
            if used + nbytes > self.card.memory_bytes:
                raise EngineError(NO_MEMORY)
            return self._hold("memory", np.full(nbytes, POISON, np.uint8))

    def free(self, address: int) -> None:
        self._release("memory", address)

    def allocate_pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        self._enter("allocate_pinned")
        storage = np.zeros(math.prod(shape) * np.dtype(dtype).itemsize, np.uint8)
        address = storage.ctypes.data
        self._held[address] = ("pinned memory", storage)
        buffer = (ctypes.c_byte * storage.nbytes).from_address(address)
        weakref.finalize(buffer, self._free_pinned, address).atexit = False
        return np.ndarray(shape, dtype, buffer)

    def copy_in(self, address: int, array: NDArray[Any], stream: int) -> None:
        self._enter("copy_in", stream)
        host, needs = self._check_copy(array, address)

        def begin() -> Work:
            before = self._bytes("pinned memory", *host).copy()

            def work() -> None:
                now = self._bytes("pinned memory", *host)
                if not np.array_equal(now, before):
                    self._break_rule("host memory was changed before it was copied in")
                self._bytes("memory", address, host[1])[:] = now

            return work

        self._enqueue(stream, Step("copy_in", begin, needs))

    def copy_out(self, array: NDArray[Any], address: int, stream: int) -> None:
        self._enter("copy_out", stream)
        host, needs = self._check_copy(array, address)

        def begin() -> Work:
            self._bytes("pinned memory", *host)[:] = POISON
            return lambda: np.copyto(self._bytes("pinned memory", *host), self._bytes("memory", address, host[1]))

        self._enqueue(stream, Step("copy_out", begin, needs))

    def begin_capture(self, stream: int) -> None:
        self._enter("begin_capture", stream)
        self._get("stream", stream)
        if stream in self._captures:
            self._break_rule("a stream is captured twice at once")
        self._captures[stream] = (threading.get_ident(), [])

    def end_capture(self, stream: int) -> int:
        thread, steps = self._captures.pop(stream, (0, []))  # a capture ends, whatever becomes of it
        self._enter("end_capture", stream)
        if thread != threading.get_ident():
            self._break_rule("a capture is ended that this thread has not begun")
        return self._hold("graph", steps)

    def launch(self, graph: int, stream: int) -> None:
        self._enter("launch", stream)
        with self._changed:
            steps: list[Step] = self._get("graph", graph)
            if self._is_needed(graph):
                self._break_rule("a graph is launched again before it was waited for")
            for step in steps:
                for handle in step.needs - set(self._held):
                    self._break_rule(f"a graph is launched that needs {handle:#x}, which was given back")
            for step in steps:
                self._put(stream, Step(step.name, step.begin, step.needs | {graph}))

    def destroy_graph(self, graph: int) -> None:
        self._release("graph", graph)

    def make_event(self) -> int:
        self._enter("make_event")
        return self._hold("event", None)

    def record(self, event: int, stream: int) -> None:
        self._enter("record", stream)
        self._get("event", event)
        marker = self._put(stream, Step("record", lambda: lambda: None, frozenset({event})))
        self._recorded[event] = self._get("stream", stream), marker

    def wait(self, event: int) -> None:
        self._enter("wait")
        self._get("event", event)
        if event not in self._recorded:
            self._break_rule("an event is waited for that was never recorded")
        stream, marker = self._recorded[event]
        while self.late and not (marker.done or self.broken):
            self._execute(stream)
        with self._changed:
            if not self._changed.wait_for(lambda: marker.done or self.broken, WAIT_S):
                self._break_rule("an event never happens")
            if self.broken:
                raise EngineError(BROKEN)
            if marker in stream.unseen:
                del stream.unseen[: stream.unseen.index(marker) + 1]

    def destroy_event(self, event: int) -> None:
        self._release("event", event)

    # --- what libraries and tests ask

    def compute(self, kernel: Kernel, stream: int, scratch: int) -> None:
        """Enqueue a function; scratch memory of the card must live as long as the arrays."""
        self._enter("compute", stream)
        sizes = [math.prod(shape) * 4 for shape in kernel.shapes]

        def work() -> None:
            given = [
                self._bytes("memory", address, size).view(np.int32 if n in kernel.whole_numbers else np.float32)
                for n, (address, size) in enumerate(zip(kernel.addresses[:-1], sizes, strict=False))
            ]
            self._locate("memory", scratch, 1)
            arrays = [array.reshape(shape).copy() for array, shape in zip(given, kernel.shapes, strict=False)]
            made = np.ascontiguousarray(kernel.function(*arrays), np.float32)
            assert made.shape == kernel.shapes[-1]
            self._bytes("memory", kernel.addresses[-1], sizes[-1])[:] = made.reshape(-1).view(np.uint8)

        ranges = [*zip(kernel.addresses, sizes, strict=True), (scratch, 1)]
        needs = frozenset(self._locate("memory", *place) for place in ranges)
        self._enqueue(stream, Step("compute", lambda: work, needs))

    def wait_until(self, what: str, name: str, number: int) -> None:
        """Wait until something has been in the log a number of times."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.count(what, name) >= number, WAIT_S), self.log

    def count(self, what: str, name: str) -> int:
        """How often something is in the log."""
        return sum((moment.what, moment.name) == (what, name) for moment in list(self.log))

    def holds(self, kind: str) -> int:
        """How many of a kind were not given back: stream, event, graph, memory or pinned memory."""
        return sum(found == kind for found, _ in list(self._held.values()))

    def assert_clean(self) -> None:
        """No rule was broken, and everything was given back."""
        if self._held:
            gc.collect()
        assert not self.broken_rules, self.broken_rules
        assert not self._held, f"not given back: {[kind for kind, _ in self._held.values()]}"
        assert self.broken or not self._captures, "a capture was never ended"
        for thread in self._threads:
            thread.join(WAIT_S)
            assert not thread.is_alive()

    def _enter(self, name: str, stream: int = 0) -> None:
        """All that can fail passes here."""
        with self._changed:
            if self.broken:
                raise EngineError(BROKEN)
            self.calls += 1
            self._note("called", name, stream)
            if self.calls == self.fails_at:
                raise EngineError(f"{name} {REFUSED}")
            self._check_capture(name)

    def _check_capture(self, name: str) -> None:
        own = (thread == threading.get_ident() for thread, _ in list(self._captures.values()))
        if name not in CAPTURABLE and any(own) and not self.broken:
            self._break_rule(f"{name} during a capture of the same thread")

    def _enqueue(self, stream: int, step: Step) -> None:
        if stream not in self._captures:
            self._put(stream, step)
            return
        thread, steps = self._captures[stream]
        if thread != threading.get_ident():
            self._break_rule("a thread enqueues on a stream that another one captures")
        steps.append(step)

    def _put(self, stream: int, step: Step) -> Operation:
        with self._changed:
            queue: Stream = self._get("stream", stream)
            operation = Operation(step.name, step.begin(), step.needs | {stream})
            queue.waiting.append(operation)
            queue.unseen.append(operation)
            self._note("enqueued", step.name, stream)
            return operation

    def _work_off(self, stream: Stream) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: stream.waiting or stream.number not in self._held)
                if not stream.waiting:
                    return
            time.sleep(self.delay_s)
            self._execute(stream)

    def _execute(self, stream: Stream) -> None:
        operation = stream.waiting[0]
        with self._changed:
            self.operations += operation.name != "record"
            self.broken = self.broken or self.operations == self.breaks_at > 0
            self._note("started", operation.name, stream.number)
        try:
            if not self.broken:
                operation.work()
        except Exception as error:
            if not isinstance(error, BrokenRuleError):  # which is noted already
                self.broken_rules.append(f"{operation.name} raised {error!r}")
        with self._changed:
            operation.done = True
            stream.waiting.popleft()
            self._note("ended", operation.name, stream.number)

    def _note(self, what: str, name: str, stream: int) -> None:
        self.log.append(Moment(what, name, stream))
        self._changed.notify_all()

    def _break_rule(self, rule: str) -> NoReturn:
        self.broken_rules.append(rule)
        raise BrokenRuleError(rule)

    def _hold(self, kind: str, value: Any) -> int:
        with self._changed:
            number = self._next
            self._next += GAP + (len(value) if kind == "memory" else 0)
            self._held[number] = (kind, value)
            return number

    def _get(self, kind: str, number: int) -> Any:
        found, value = self._held.get(number, ("", None))
        if found != kind:
            self._break_rule(f"there is no {kind} {number:#x}: never made, or given back")
        return value

    def _release(self, kind: str, number: int) -> None:
        with self._changed:
            self._get(kind, number)
            self._check_capture(f"giving back a {kind}")
            is_needed = self._is_needed(number)
            del self._held[number]
            self._changed.notify_all()
            if is_needed:
                self._break_rule(f"a {kind} is given back before the work with it was waited for")

    def _free_pinned(self, address: int) -> None:
        with suppress(BrokenRuleError):  # raised by the collector of garbage it would reach nobody
            self._release("pinned memory", address)

    def _is_needed(self, number: int) -> bool:
        """Whether work needs something that the host has not waited for; a broken card does no more work."""
        queues = [value for kind, value in list(self._held.values()) if kind == "stream"]
        return not self.broken and any(number in work.needs for queue in queues for work in list(queue.unseen))

    def _check_copy(self, array: NDArray[Any], address: int) -> tuple[tuple[int, int], frozenset[int]]:
        """Place of an array in the host's memory, and what a copy of it needs."""
        if not array.flags.c_contiguous:
            self._break_rule("a copy of an array with holes")
        host = array.ctypes.data, array.nbytes
        return host, frozenset({self._locate("pinned memory", *host), self._locate("memory", address, array.nbytes)})

    def _locate(self, kind: str, address: int, nbytes: int) -> int:
        for number, (found, value) in list(self._held.items()):
            if found == kind and number <= address and address + nbytes <= number + len(value):
                return number
        return self._break_rule(f"{nbytes} bytes at {address:#x} do not lie within {kind}")

    def _bytes(self, kind: str, address: int, nbytes: int) -> NDArray[np.uint8]:
        start = self._locate(kind, address, nbytes)
        found: NDArray[np.uint8] = self._held[start][1][address - start :][:nbytes]
        return found
