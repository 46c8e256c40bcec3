"""One NVIDIA card through cuda-bindings: streams, pinned memory, captured graphs. No torch, no CuPy."""

from __future__ import annotations

import ctypes
import math
import weakref
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from microrun.runtime.errors import EngineError
from microrun.runtime.files.extras import install_command

STICKY = (
    "IllegalAddress", "LaunchFailure", "LaunchTimeout", "ECCUncorrectable", "HardwareStackError", "MisalignedAddress",
    "Assert", "IllegalInstruction", "InvalidAddressSpace", "InvalidPc", "Contained", "TensorMemoryLeak",
    "MpsClientTerminated", "ExternalDevice",
)  # fmt: skip


@dataclass(frozen=True)
class Card:
    """A card as the driver describes it.

    Parameters
    ----------
    number
        As CUDA counts, 0 is the one that engines run on; CUDA_VISIBLE_DEVICES reorders.
    name
        Such as "NVIDIA RTX A4000".
    compute_capability
        (major, minor).
    memory_bytes, free_bytes
        All of it, and what nobody uses now.
    """

    number: int
    name: str
    compute_capability: tuple[int, int]
    memory_bytes: int
    free_bytes: int

    @property
    def capability_text(self) -> str:
        """Compute capability as people write it: "8.6"."""
        return "{}.{}".format(*self.compute_capability)


class Device(Protocol):
    """What a lane asks of a card. Streams, events, graphs and device memory are numbers that the card gave out.

    Copies are asynchronous: until `wait` returns for an event recorded after them, host memory must neither be
    written (copies in) nor read (copies out), and nothing may be freed.
    """

    def make_stream(self) -> int:
        """Make a stream that does not wait for the legacy one."""

    def destroy_stream(self, stream: int) -> None:
        """Give a stream back."""

    def allocate(self, nbytes: int) -> int:
        """Allocate memory of the card."""

    def free(self, address: int) -> None:
        """Free memory of the card."""

    def allocate_pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Allocate page-locked memory of the host, zeros; it is freed with the last array that shows it."""

    def copy_in(self, address: int, array: NDArray[Any], stream: int) -> None:
        """Enqueue a copy from page-locked memory to the card."""

    def copy_out(self, array: NDArray[Any], address: int, stream: int) -> None:
        """Enqueue a copy from the card to page-locked memory."""

    def begin_capture(self, stream: int) -> None:
        """Record what this thread enqueues on a stream, instead of doing it."""

    def end_capture(self, stream: int) -> int:
        """Make a graph of what was recorded."""

    def launch(self, graph: int, stream: int) -> None:
        """Enqueue a graph."""

    def destroy_graph(self, graph: int) -> None:
        """Give a graph back."""

    def make_event(self) -> int:
        """Make an event that threads wait for asleep, not spinning: the core is wanted for preprocessing."""

    def record(self, event: int, stream: int) -> None:
        """Enqueue an event."""

    def wait(self, event: int) -> None:
        """Sleep until an event has happened; raises what went wrong on the card before it."""

    def destroy_event(self, event: int) -> None:
        """Give an event back."""


class Cuda:
    """The first card, through CUDA's runtime API.

    Raises
    ------
    EngineError
        If there is none, or its driver is missing or too old.
    """

    def __init__(self) -> None:
        self.card = find_card()
        self._api = _import_runtime()
        self._call("cudaSetDeviceFlags", self._api.cudaDeviceScheduleBlockingSync)  # libraries' own waits sleep, too
        self._objects: dict[int, Any] = {}  # the bindings' own handles, by their numbers

    def make_stream(self) -> int:
        """Make a stream that does not wait for the legacy one."""
        return self._keep(self._call("cudaStreamCreateWithFlags", self._api.cudaStreamNonBlocking))

    def destroy_stream(self, stream: int) -> None:
        """Give a stream back."""
        self._release("cudaStreamDestroy", self._objects.pop(stream))

    def allocate(self, nbytes: int) -> int:
        """Allocate memory of the card."""
        return int(self._call("cudaMalloc", nbytes))

    def free(self, address: int) -> None:
        """Free memory of the card."""
        self._release("cudaFree", address)

    def allocate_pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Allocate page-locked memory of the host, zeros; it is freed with the last array that shows it."""
        nbytes = math.prod(shape) * np.dtype(dtype).itemsize
        address = int(self._call("cudaHostAlloc", nbytes, self._api.cudaHostAllocDefault))
        ctypes.memset(address, 0, nbytes)
        buffer: Any = (ctypes.c_byte * nbytes).from_address(address)
        weakref.finalize(buffer, self._release, "cudaFreeHost", address).atexit = False
        return np.frombuffer(buffer, dtype).reshape(shape)

    def copy_in(self, address: int, array: NDArray[Any], stream: int) -> None:
        """Enqueue a copy from page-locked memory to the card."""
        kind = self._api.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", address, array.ctypes.data, array.nbytes, kind, stream)

    def copy_out(self, array: NDArray[Any], address: int, stream: int) -> None:
        """Enqueue a copy from the card to page-locked memory."""
        kind = self._api.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", array.ctypes.data, address, array.nbytes, kind, stream)

    def begin_capture(self, stream: int) -> None:
        """Record what this thread enqueues on a stream; other threads go on as they like."""
        self._call("cudaStreamBeginCapture", stream, self._api.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal)

    def end_capture(self, stream: int) -> int:
        """Make a graph of what was recorded."""
        graph = self._call("cudaStreamEndCapture", stream)
        try:
            return self._keep(self._call("cudaGraphInstantiate", graph, 0))
        finally:
            self._release("cudaGraphDestroy", graph)

    def launch(self, graph: int, stream: int) -> None:
        """Enqueue a graph."""
        self._call("cudaGraphLaunch", graph, stream)

    def destroy_graph(self, graph: int) -> None:
        """Give a graph back."""
        self._release("cudaGraphExecDestroy", self._objects.pop(graph))

    def make_event(self) -> int:
        """Make an event that threads wait for asleep, not spinning."""
        flags = self._api.cudaEventBlockingSync | self._api.cudaEventDisableTiming
        return self._keep(self._call("cudaEventCreateWithFlags", flags))

    def record(self, event: int, stream: int) -> None:
        """Enqueue an event."""
        self._call("cudaEventRecord", event, stream)

    def wait(self, event: int) -> None:
        """Sleep until an event has happened; raises what went wrong on the card before it."""
        self._call("cudaEventSynchronize", event)

    def destroy_event(self, event: int) -> None:
        """Give an event back."""
        self._release("cudaEventDestroy", self._objects.pop(event))

    def _keep(self, handle: Any) -> int:
        self._objects[int(handle)] = handle
        return int(handle)

    def _call(self, name: str, *arguments: Any) -> Any:
        error, *results = getattr(self._api, name)(*arguments)
        if int(error):
            raise EngineError(_describe(self._api, name, error))
        return results[0] if results else None

    def _release(self, name: str, handle: Any) -> None:
        """Free something. On a card that has failed nothing can be freed, and why it failed was raised before."""
        getattr(self._api, name)(handle)


def find_cards() -> list[Card]:
    """Ask the driver for its cards; safe where there is no driver.

    Returns
    -------
    list of Card
        At least one.

    Raises
    ------
    EngineError
        If cuda-bindings, the driver or a card is missing; the message says which.
    """
    api = _import_runtime()
    return [_describe_card(api, number) for number in range(_count_cards(api))]


def find_card() -> Card:
    """The card that engines run on; raises as `find_cards`. The others are not asked, which would wake them up."""
    api = _import_runtime()
    _count_cards(api)
    return _describe_card(api, 0)


_WHY = {
    "InsufficientDriver": "NVIDIA's driver is not installed, or too old for this CUDA: update the driver",
    "NoDevice": "the driver sees no card; is CUDA_VISIBLE_DEVICES set?",
}


def driver_version() -> str | None:
    """The newest CUDA that the driver supports, such as "13.0"; None without a driver."""
    error, number = _import_runtime().cudaDriverGetVersion()
    return f"{number // 1000}.{number % 1000 // 10}" if not int(error) and number else None


def _count_cards(api: Any) -> int:
    error, count = api.cudaGetDeviceCount()
    if int(error) or not count:
        name = error.name.removeprefix("cudaError") if int(error) else "NoDevice"
        raise EngineError(f"CUDA finds no card here ({_WHY.get(name, name)})")
    return int(count)


def _describe_card(api: Any, number: int) -> Card:
    error, properties = api.cudaGetDeviceProperties(number)
    if int(error):
        raise EngineError(_describe(api, "cudaGetDeviceProperties", error))
    error, free, _ = _on_card(api, number)
    capability = (properties.major, properties.minor)
    return Card(number, properties.name.decode(), capability, properties.totalGlobalMem, 0 if int(error) else free)


def _on_card(api: Any, number: int) -> Any:
    before = api.cudaGetDevice()[1]
    api.cudaSetDevice(number)
    try:
        return api.cudaMemGetInfo()
    finally:
        api.cudaSetDevice(before)


def _describe(api: Any, call: str, error: Any) -> str:
    name = error.name.removeprefix("cudaError")
    if name == "MemoryAllocation":
        return "the card has too little free memory; ask for fewer --lanes or a smaller --batch"
    _, text = api.cudaGetErrorString(error)
    advice = "; this process cannot use the card any more, start it again" if name in STICKY else ""
    return f"{call} failed: {text.decode()} ({name}){advice}"


def _import_runtime() -> Any:
    try:
        from cuda.bindings import runtime
    except ModuleNotFoundError:
        raise EngineError(f"cuda-bindings is not installed; {install_command('gpu')}, or the extra rtx") from None
    except (ImportError, OSError, RuntimeError) as error:  # what it raises depends on what is broken
        raise EngineError(f"cuda-bindings is installed but broken ({error}); install it again") from None
    return runtime
