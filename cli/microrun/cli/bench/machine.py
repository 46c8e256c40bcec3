"""What the machine could do at most: memory, preprocessing, products of matrices, the way to the card."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32
from microrun.runtime.cores import count_cores
from microrun.runtime.engines.nvidia.cuda import Device
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.up_source import FileSource
from microrun.runtime.spec import ModelSpec, Preprocessing

if TYPE_CHECKING:
    import torch

LINK_BYTES = 1 << 26
LINK_COPIES = 8  # enqueued together: what a launch costs does not count
PREPARED_AT_ONCE = 16
PEAK_SECONDS, LEAST_PRODUCTS = 0.4, 2


@dataclass(frozen=True)
class Machine:
    """Limits of the machine.

    Parameters
    ----------
    cpu, cores
        The processor, and how many of its cores this process may use.
    pattern_bytes
        Of a raw pattern.
    copy_bytes_s, prepare_bytes_s
        Bytes copied, and raw bytes prepared, per second on all cores.
    card, link_bytes_s
        Where an engine runs on a card: its name, and bytes per second to it from page-locked memory.
    """

    cpu: str
    cores: int
    pattern_bytes: int
    copy_bytes_s: float
    prepare_bytes_s: float
    card: str | None = None
    link_bytes_s: float | None = None

    @property
    def prepare_patterns_s(self) -> float:
        """Patterns per second of preprocessing alone, on all cores."""
        return self.prepare_bytes_s / self.pattern_bytes


def measure_machine(source: FileSource, preprocessing: Preprocessing, repeats: int) -> Machine:
    """Measure copying and preprocessing with all cores, in turns."""
    cores = count_cores()
    shape = (min(512, source.available), *source.scan.sig_shape)
    raw = np.fromfile(source.path, np.uint16, int(np.prod(shape)), offset=source.header.offset).reshape(shape)
    target = np.empty_like(raw)
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

    def copy(part: slice, core: int) -> None:
        np.copyto(target[part], raw[part])

    times: dict[str, list[float]] = {"copy": [], "prepare": []}
    for _ in range(2 * repeats + 1):
        times["copy"].append(on_all_cores(copy, len(raw), cores))
        times["prepare"].append(on_all_cores(prepare, len(raw), cores))
    rate = {name: raw.nbytes / statistics.median(taken[1:]) for name, taken in times.items()}
    return Machine(cpu_name(), cores, raw[0].nbytes, rate["copy"], rate["prepare"])


def _make_buffers(preprocessor: Preprocessor) -> tuple[Float32, Float32, NDArray[np.bool_]]:
    n = PREPARED_AT_ONCE
    return np.empty((n, *preprocessor.input_shape), np.float32), np.empty((n, 2), np.float32), np.empty(n, bool)


def measure_link(device: Device, repeats: int) -> float:
    """Bytes per second from page-locked memory to the card."""
    taken = []
    with ExitStack() as held:
        stream, event = device.make_stream(), device.make_event()
        held.callback(device.destroy_stream, stream)
        held.callback(device.destroy_event, event)
        array = device.allocate_pinned((LINK_BYTES,), np.uint8)
        address = device.allocate(LINK_BYTES)
        held.callback(device.free, address)
        for _ in range(2 * repeats + 1):
            started = time.perf_counter()
            for _ in range(LINK_COPIES):
                device.copy_in(address, array, stream)
            device.record(event, stream)
            device.wait(event)
            taken.append(time.perf_counter() - started)
    return LINK_COPIES * LINK_BYTES / statistics.median(taken[1:])


def encoder_operations(spec: ModelSpec) -> float | None:
    """Two per multiplication and addition of the encoder, per pattern; None without torch, or for other networks."""
    if find_spec("torch") is None:
        return None
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from microrun.training.vae.network import LATENT_SIZES, PATTERN_SHAPE, Encoder

    if spec.latent_size not in LATENT_SIZES or spec.preprocessing.input_shape != PATTERN_SHAPE:
        return None
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        Encoder(spec.latent_size)(torch.zeros(1, *spec.input_shape))
    return float(counter.get_total_flops())


def product_peak(device: str, precision: str) -> float | None:
    """Operations per second of torch's matrix product, the best of some; None without torch, or a fast one there."""
    if find_spec("torch") is None or _is_emulated(device, precision):
        return None
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        return None
    torch.set_num_threads(count_cores())
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if device == "cuda" else before)  # engines take TF32 on cards, too
    size = 8192 if device == "cuda" else 2048
    multiply = _make_product(torch.device(device), precision, size)
    taken: list[float] = []
    until = time.perf_counter() + PEAK_SECONDS
    while len(taken) < LEAST_PRODUCTS or time.perf_counter() < until:
        started = time.perf_counter()
        multiply()
        if device == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - started)
    torch.set_float32_matmul_precision(before)
    return 2 * size**3 / min(taken)


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


def on_all_cores(work: Callable[[slice, int], None], count: int, cores: int) -> float:
    """Time that all cores together take for a count of pieces of work."""
    edges = np.linspace(0, count, cores + 1).astype(int)
    parts = [slice(int(a), int(b)) for a, b in pairwise(edges)]
    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(lambda core: None, range(cores)))  # the threads exist before the clock starts
        started = time.perf_counter()
        list(pool.map(work, parts, range(cores)))
        return time.perf_counter() - started


def cpu_name() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
