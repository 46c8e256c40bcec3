"""CUDA without a card: what is asked of the driver, what is said when it is not there, and what is given back."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from microrun.runtime.engines.nvidia import cuda
from microrun.runtime.engines.nvidia.cuda import STICKY, Card, Cuda, driver_version, find_card, find_cards
from microrun.runtime.errors import EngineError
from microrun.runtime.files.extras import install_command

runtime = pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings is not installed")
Code = runtime.cudaError_t
CARD = Card(0, "NVIDIA Fake", (8, 6), 16 << 30, 15 << 30)
without_driver = pytest.mark.skipif(driver_version() is not None, reason="there is a driver here")


class Api:
    """The bindings where functions give what a test sets; what they were called with is kept."""

    def __init__(self, **results: Any) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._results = results

    def __getattr__(self, name: str) -> Any:
        if name not in self._results:
            return getattr(runtime, name)

        def call(*arguments: Any) -> Any:
            self.calls.append((name, *arguments))
            result = self._results[name]
            return result(*arguments) if callable(result) else result

        return call


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Api], Api]:
    """Put an API into the place of the bindings."""

    def install(api: Api) -> Api:
        monkeypatch.setitem(sys.modules, "cuda.bindings", SimpleNamespace(runtime=api))  # type: ignore[arg-type]
        return api

    return install


@pytest.fixture
def one_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "find_card", lambda: CARD)
    monkeypatch.setattr(runtime, "cudaSetDeviceFlags", lambda flags: (Code.cudaSuccess,))


# --- finding cards


@without_driver
@pytest.mark.parametrize("ask", [find_card, find_cards, Cuda])
def test_without_a_driver_one_line_says_so(ask: Callable[[], object]) -> None:
    with pytest.raises(EngineError) as error:
        ask()
    assert str(error.value) == (
        "CUDA finds no card here (NVIDIA's driver is not installed, or too old for this CUDA: update the driver)"
    )


@without_driver
def test_without_a_driver_it_has_no_version() -> None:
    assert driver_version() is None


@pytest.mark.parametrize(
    ("result", "version"),
    [((Code.cudaSuccess, 13000), "13.0"), ((Code.cudaSuccess, 12080), "12.8"), ((Code.cudaErrorUnknown, None), None)],
)
def test_the_version_of_a_driver(use: Callable[[Api], Api], result: Any, version: str | None) -> None:
    use(Api(cudaDriverGetVersion=result))
    assert driver_version() == version


@pytest.mark.parametrize(
    ("result", "why"),
    [
        ((Code.cudaErrorNoDevice, None), "the driver sees no card; is CUDA_VISIBLE_DEVICES set?"),
        ((Code.cudaSuccess, 0), "the driver sees no card; is CUDA_VISIBLE_DEVICES set?"),
        ((Code.cudaErrorSystemDriverMismatch, None), "SystemDriverMismatch"),
    ],
)
def test_a_driver_without_cards_says_why(use: Callable[[Api], Api], result: Any, why: str) -> None:
    use(Api(cudaGetDeviceCount=result))
    with pytest.raises(EngineError) as error:
        find_cards()
    assert str(error.value) == f"CUDA finds no card here ({why})"


@pytest.mark.parametrize("ask", [find_card, find_cards, driver_version, Cuda])
def test_without_the_bindings_the_extras_are_named(monkeypatch: pytest.MonkeyPatch, ask: Callable[[], object]) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(EngineError) as error:
        ask()
    assert str(error.value) == f"cuda-bindings is not installed; {install_command('gpu')}, or the extra rtx"


def describe(number: int) -> SimpleNamespace:
    return SimpleNamespace(major=8 + number, minor=6, name=f"Card {number}".encode(), totalGlobalMem=100 * (number + 1))


def test_cards_are_described_and_the_current_one_stays_so(use: Callable[[Api], Api]) -> None:
    current = [0]
    api = use(
        Api(
            cudaGetDeviceCount=(Code.cudaSuccess, 2),
            cudaGetDeviceProperties=lambda number: (Code.cudaSuccess, describe(number)),
            cudaGetDevice=lambda: (Code.cudaSuccess, current[0]),
            cudaSetDevice=lambda number: current.__setitem__(0, number),
            cudaMemGetInfo=lambda: (Code.cudaSuccess, 50 + current[0], 0),
        )
    )
    assert find_cards() == [Card(0, "Card 0", (8, 6), 100, 50), Card(1, "Card 1", (9, 6), 200, 51)]
    assert current == [0]
    assert ("cudaSetDevice", 1) in api.calls
    assert find_cards()[1].capability_text == "9.6"


def test_a_card_that_hides_its_free_memory_has_none(use: Callable[[Api], Api]) -> None:
    use(
        Api(
            cudaGetDeviceCount=(Code.cudaSuccess, 1),
            cudaGetDeviceProperties=lambda number: (Code.cudaSuccess, describe(number)),
            cudaGetDevice=(Code.cudaSuccess, 0),
            cudaSetDevice=(Code.cudaSuccess,),
            cudaMemGetInfo=(Code.cudaErrorDevicesUnavailable, None, None),
        )
    )
    assert [card.free_bytes for card in find_cards()] == [0]


# --- errors


def said_of(code: Any) -> str:
    return cuda._describe(runtime, "cudaGraphLaunch", code)


def test_too_little_memory_says_what_to_ask_for() -> None:
    said = said_of(Code.cudaErrorMemoryAllocation)
    assert said == "the card has too little free memory; ask for fewer --lanes or a smaller --batch"


@pytest.mark.parametrize("name", STICKY)
def test_what_breaks_the_card_says_that_the_process_must_start_again(name: str) -> None:
    said = said_of(getattr(Code, f"cudaError{name}"))
    assert said.startswith("cudaGraphLaunch failed: ")
    assert said.endswith(f" ({name}); this process cannot use the card any more, start it again")


def test_all_errors_that_cuda_calls_final_say_so() -> None:
    final = [code for code in Code if "terminated and relaunched" in " ".join((code.__doc__ or "").split())]
    assert {code.name for code in final if "start it again" not in said_of(code)} == set()


def test_other_errors_are_one_line_in_the_drivers_words() -> None:
    assert said_of(Code.cudaErrorInvalidValue) == "cudaGraphLaunch failed: invalid argument (InvalidValue)"
    for code in Code:
        assert "\n" not in said_of(code)
        assert len(said_of(code)) > 40


# --- calls


@without_driver
def test_the_bindings_take_what_they_are_called_with(one_card: None) -> None:
    """Streams, events, graphs and addresses are plain numbers; only the missing driver is complained about."""
    device, array = Cuda(), np.zeros(4, np.float32)
    calls: dict[str, Callable[[], object]] = {
        "cudaStreamCreateWithFlags": device.make_stream,
        "cudaMalloc": lambda: device.allocate(16),
        "cudaHostAlloc": lambda: device.allocate_pinned((4,), np.float32),
        "cudaMemcpyAsync": lambda: device.copy_in(64, array, 32),
        "cudaStreamBeginCapture": lambda: device.begin_capture(32),
        "cudaStreamEndCapture": lambda: device.end_capture(32),
        "cudaGraphLaunch": lambda: device.launch(48, 32),
        "cudaEventCreateWithFlags": device.make_event,
        "cudaEventRecord": lambda: device.record(64, 32),
        "cudaEventSynchronize": lambda: device.wait(64),
    }
    for name, call in calls.items():
        with pytest.raises(EngineError, match=rf"^{name} failed: .*\(InsufficientDriver\)$"):
            call()
    with pytest.raises(EngineError, match="cudaMemcpyAsync failed"):
        device.copy_out(array, 64, 32)


def test_copies_are_asynchronous_and_go_where_they_say(use: Callable[[Api], Api], one_card: None) -> None:
    api = use(Api(cudaMemcpyAsync=(Code.cudaSuccess,)))
    array = np.zeros((3, 5), np.float32)
    Cuda().copy_in(4096, array, 7)
    Cuda().copy_out(array, 8192, 9)
    there, back = runtime.cudaMemcpyKind.cudaMemcpyHostToDevice, runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
    assert api.calls == [
        ("cudaMemcpyAsync", 4096, array.ctypes.data, 60, there, 7),
        ("cudaMemcpyAsync", array.ctypes.data, 8192, 60, back, 9),
    ]


def test_streams_events_and_captures_disturb_no_other_thread(use: Callable[[Api], Api], one_card: None) -> None:
    """A stream waits for none but itself, threads sleep until an event, others allocate during a capture."""
    api = use(
        Api(
            cudaStreamCreateWithFlags=(Code.cudaSuccess, 11),
            cudaEventCreateWithFlags=(Code.cudaSuccess, 12),
            cudaStreamBeginCapture=(Code.cudaSuccess,),
        )
    )
    device = Cuda()
    assert (device.make_stream(), device.make_event()) == (11, 12)
    device.begin_capture(11)
    assert api.calls == [
        ("cudaStreamCreateWithFlags", runtime.cudaStreamNonBlocking),
        ("cudaEventCreateWithFlags", runtime.cudaEventBlockingSync | runtime.cudaEventDisableTiming),
        ("cudaStreamBeginCapture", 11, runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal),
    ]


class Handle:
    """A handle as the bindings give it out."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __int__(self) -> int:
        return self.number


def test_handles_are_given_back_as_they_came_even_when_the_card_is_broken(
    use: Callable[[Api], Api], one_card: None
) -> None:
    handles = [Handle(number) for number in (11, 12, 13, 14)]
    broken = (Code.cudaErrorIllegalAddress,)
    api = use(
        Api(
            cudaStreamCreateWithFlags=(Code.cudaSuccess, handles[0]),
            cudaEventCreateWithFlags=(Code.cudaSuccess, handles[1]),
            cudaStreamEndCapture=(Code.cudaSuccess, handles[2]),
            cudaGraphInstantiate=(Code.cudaSuccess, handles[3]),
            **dict.fromkeys(
                ("cudaStreamDestroy", "cudaEventDestroy", "cudaGraphDestroy", "cudaGraphExecDestroy", "cudaFree"),
                broken,
            ),
        )
    )
    device = Cuda()
    stream, event = device.make_stream(), device.make_event()
    graph = device.end_capture(stream)
    assert (stream, event, graph) == (11, 12, 14)
    device.destroy_graph(graph)
    device.destroy_event(event)
    device.destroy_stream(stream)
    device.free(4096)
    assert [call for call in api.calls if "Destroy" in call[0] or "Free" in call[0]] == [
        ("cudaGraphDestroy", handles[2]),
        ("cudaGraphExecDestroy", handles[3]),
        ("cudaEventDestroy", handles[1]),
        ("cudaStreamDestroy", handles[0]),
        ("cudaFree", 4096),
    ]


def test_a_graph_that_cannot_be_launched_is_given_back(use: Callable[[Api], Api], one_card: None) -> None:
    api = use(
        Api(
            cudaStreamEndCapture=(Code.cudaSuccess, 13),
            cudaGraphInstantiate=(Code.cudaErrorMemoryAllocation, None),
            cudaGraphDestroy=(Code.cudaSuccess,),
        )
    )
    with pytest.raises(EngineError, match="too little free memory"):
        Cuda().end_capture(11)
    assert api.calls[-1] == ("cudaGraphDestroy", 13)


def test_pinned_memory_is_zero_and_lives_as_long_as_what_shows_it(use: Callable[[Api], Api], one_card: None) -> None:
    host: dict[int, Any] = {}

    def allocate(nbytes: int, flags: int) -> tuple[Any, int]:
        buffer = ctypes.create_string_buffer(b"\xaa" * nbytes, nbytes)
        host[ctypes.addressof(buffer)] = buffer
        return Code.cudaSuccess, ctypes.addressof(buffer)

    use(Api(cudaHostAlloc=allocate, cudaFreeHost=lambda address: host.pop(address)))
    array = Cuda().allocate_pinned((3, 5), np.float32)
    assert (array.shape, array.dtype, array.ctypes.data) == ((3, 5), np.float32, next(iter(host)))
    assert not array.any()
    assert array.flags.writeable
    row = array[1]
    row[:] = 7
    del array
    assert len(host) == 1
    assert (row == 7).all()
    del row
    assert not host
