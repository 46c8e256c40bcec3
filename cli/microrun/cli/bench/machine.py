"""What the machine could do at most: memory, preprocessing, products of matrices, the way to the card."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from microrun.cli.bench.measurement import Table
from microrun.cli.bench.timing import seconds_of
from microrun.runtime.array_types import Float32
from microrun.runtime.cores import count_cores
from microrun.runtime.engines.nvidia.cuda import Device
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.up_source import FileSource
from microrun.runtime.spec import Preprocessing

if TYPE_CHECKING:
    import torch

LINK_BYTES = 1 << 26
LINK_COPIES = 8  # enqueued together: what a launch costs does not count
RAW_PATTERNS, PREPARED_AT_ONCE = 512, 16
PEAK_SECONDS, LEAST_PRODUCTS = 0.4, 2
COPY, COPY_PATTERNS, TRAFFIC = "memory copy", "memory copy of patterns", "memory read and written"
PREPARE, LINK, PEAK = "preprocessing alone", "page-locked to card", "matmul peak"


def machine_table() -> Table:
    """A table of the machine, without measurements yet."""
    cpu, cores = cpu_name(), count_cores()
    return Table("machine", f"{cpu}, {cores} cores", {"cpu": cpu, "cores": cores})


def measure_patterns(machine: Table, source: FileSource, preprocessing: Preprocessing, repeats: int) -> None:
    """Measure copying and preprocessing of raw patterns with all cores, in turns."""
    cores = count_cores()
    shape = (min(RAW_PATTERNS, source.available), *source.scan.sig_shape)
    raw = np.fromfile(source.path, np.uint16, int(np.prod(shape)), offset=source.header.offset).reshape(shape)
    preprocessor = Preprocessor(preprocessing, source.scan.sig_shape)
    preprocessor.warm("uint16")
    background = np.zeros(preprocessor.input_shape, np.float32)
    buffers = [_make_buffers(preprocessor) for _ in range(cores)]

    def prepare(part: slice, core: int) -> None:
        own = buffers[core]
        for first in range(part.start, part.stop, PREPARED_AT_ONCE):
            piece = raw[first : min(first + PREPARED_AT_ONCE, part.stop)]
            n = len(piece)
            preprocessor.prepare(piece, background, own[0][:n], own[1][:n], own[2][:n])

    copy = copying(raw, cores)
    for number in range(2 * repeats + 1):
        copied, prepared = copy(), on_all_cores(prepare, len(raw), cores)
        if number:  # the first does not count
            machine.note(COPY, "GB/s", raw.nbytes / copied / 1e9)
            machine.note(COPY_PATTERNS, "patterns/s", len(raw) / copied)
            machine.note(TRAFFIC, "GB/s", 2 * raw.nbytes / copied / 1e9)
            machine.note(PREPARE, "patterns/s", len(raw) / prepared)
    machine.ratio("of memory copy", PREPARE, COPY_PATTERNS)


def _make_buffers(preprocessor: Preprocessor) -> tuple[Float32, Float32, NDArray[np.bool_]]:
    n = PREPARED_AT_ONCE
    return np.empty((n, *preprocessor.input_shape), np.float32), np.empty((n, 2), np.float32), np.empty(n, bool)


def measure_link(machine: Table, device: Device, repeats: int) -> None:
    """Measure copies from page-locked memory to the card."""
    with ExitStack() as held:
        stream, event = device.make_stream(), device.make_event()
        held.callback(device.destroy_stream, stream)
        held.callback(device.destroy_event, event)
        array = device.allocate_pinned((LINK_BYTES,), np.uint8)
        address = device.allocate(LINK_BYTES)
        held.callback(device.free, address)

        def copy() -> None:
            for _ in range(LINK_COPIES):
                device.copy_in(address, array, stream)
            device.record(event, stream)
            device.wait(event)

        copy()  # the first does not count
        for _ in range(2 * repeats):
            machine.note(LINK, "GB/s", LINK_COPIES * LINK_BYTES / seconds_of(copy) / 1e9)


def operations_unit(table: Table) -> str:
    """Billions of an engine's operations, which in eight bits are no floating-point ones."""
    return "GOP" if table.facts["precision"] == "int8" else "GFLOP"


def note_peak(table: Table) -> None:
    """Measure products of matrices where an engine runs, in its precision; the best one of all repeats counts."""
    peak = product_peak(table.facts["device"], table.facts["precision"])
    table.note_best(PEAK, f"{operations_unit(table)}/s", peak)


def product_peak(device: str, precision: str) -> float | None:
    """Billions of operations per second of torch's matrix product, the best of some.

    None without torch, or where torch has no fast product.
    """
    if find_spec("torch") is None or _is_emulated(device, precision):
        return None
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        return None
    torch.set_num_threads(count_cores())
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if device == "cuda" else before)  # engines take TF32 on cards, too
    size = 8192 if device == "cuda" else 2048
    product = _make_product(torch.device(device), precision, size)

    def multiply() -> None:
        product()
        if device == "cuda":
            torch.cuda.synchronize()

    taken: list[float] = []
    until = time.perf_counter() + PEAK_SECONDS
    while len(taken) < LEAST_PRODUCTS or time.perf_counter() < until:
        taken.append(seconds_of(multiply))
    torch.set_float32_matmul_precision(before)
    return 2 * size**3 / min(taken) / 1e9


def _is_emulated(device: str, precision: str) -> bool:
    """Whether torch computes on a CPU what it has no instructions for there."""
    import torch

    from microrun.training.loop.speed import autocast_type

    native = autocast_type(torch.device("cpu"), "auto") == torch.bfloat16
    return device == "cpu" and (precision == "f16" or (precision == "bf16" and not native))


def _make_product(processor: torch.device, precision: str, size: int) -> Callable[[], object]:
    """The product of two square matrices, by what is fastest at it."""
    import torch

    if precision == "int8":
        integers = torch.ones(size, size, dtype=torch.int8, device=processor)
        return lambda: torch._int_mm(integers, integers.t())
    a = torch.randn(size, size, device=processor)
    if (processor.type, precision) == ("cpu", "f32"):
        # As a convolution of one pixel it goes to oneDNN, as a product to MKL, which is half as fast on AMD's cores.
        image, kernels = a.view(1, size, 32, size // 32), a.view(size, size, 1, 1)
        return lambda: torch.nn.functional.conv2d(image, kernels)
    typed = a.to({"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}[precision])
    return lambda: torch.mm(typed, typed)


def copying(source: NDArray[Any], threads: int) -> Callable[[], float]:
    """What copies an array with so many threads, and says how long that took."""
    target = np.empty_like(source)

    def copy(part: slice, _: int) -> None:
        np.copyto(target[part], source[part])

    return lambda: on_all_cores(copy, len(source), threads)


def on_all_cores(work: Callable[[slice, int], None], count: int, cores: int) -> float:
    """Time that all cores together take for a count of pieces of work."""
    edges = np.linspace(0, count, cores + 1).astype(int)
    parts = [slice(int(a), int(b)) for a, b in pairwise(edges)]
    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(lambda core: None, range(cores)))  # the threads exist before the clock starts
        return seconds_of(lambda: list(pool.map(work, parts, range(cores))))


def cpu_name() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
