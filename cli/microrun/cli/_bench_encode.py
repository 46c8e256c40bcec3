"""What `microrun bench encode` measures."""

from __future__ import annotations

import platform
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from microrun.runtime.engine import Engine, EngineRequest, count_cores, open_engine
from microrun.runtime.errors import MicrorunError
from microrun.runtime.feed import Buffers
from microrun.runtime.file_sources import FileSource
from microrun.runtime.preprocess import Float32, Preprocessor
from microrun.runtime.scan import Scan
from microrun.runtime.session import EncodeRequest, encode_scan
from microrun.runtime.spec import ModelSpec, Preprocessing
from microrun.runtime.up2 import UpWriter

SIG_SHAPE = (480, 480)
COLUMNS = 64
PEER_PATTERNS = 128
ENGINE_SECONDS = 1.5  # of work per repeat
Say = Callable[[str], None]


@dataclass(frozen=True)
class Machine:
    """Limits of the machine, all cores: bytes copied per second, raw bytes prepared per second."""

    cpu: str
    cores: int
    pattern_bytes: int
    copy_bytes_s: float
    prepare_bytes_s: float


@dataclass(frozen=True)
class EncodeResult:
    """Patterns per second of one network, and the ratios that matter."""

    latent_size: int
    precision: str
    library: str
    lanes: int
    batch: int
    engine: float
    end_to_end: float
    peer: float
    first_s: float
    pattern_flops: float
    matmul_flops: float
    engine_of_peak: float
    of_engine: float
    of_bound: float
    of_peer: float


def check_installed() -> None:
    """Raise ModuleNotFoundError at once for what the measurements will need."""
    for module in ("torch", "onnx", "kikuchipy"):
        if find_spec(module) is None:
            raise ModuleNotFoundError(name=module)


def check_latent_sizes(sizes: Sequence[int]) -> None:
    """Raise MicrorunError for a size that the network is not defined for."""
    from microrun.training.vae import check_latent_size

    for size in sizes:
        try:
            check_latent_size(size)
        except ValueError as error:
            raise MicrorunError(str(error)) from None


def write_scan(folder: Path, patterns: int) -> FileSource:
    """Write noise on a bell as a UP2 file; what is in the patterns does not matter to the speed."""
    rows = max(1, patterns // COLUMNS)
    scan = Scan((rows, COLUMNS), SIG_SHAPE, "uint16", step_um=(1.0, 1.0))
    rng = np.random.default_rng(0)
    y, x = (np.arange(n)[:, None] / n - 0.5 for n in SIG_SHAPE)
    bell = 20_000 * np.exp(-4 * (y**2 + x.T**2))
    pool = (bell + rng.normal(0, 800, (COLUMNS, *SIG_SHAPE))).clip(0, 65535).astype(np.uint16)
    path = folder / "bench.up2"
    with UpWriter(path, scan) as writer:
        for _ in range(rows):
            writer.write(pool)
    return FileSource(path)


def measure_machine(source: FileSource, repeats: int, say: Say) -> Machine:
    """Measure copying and preprocessing with all cores, in turns."""
    say("memory bandwidth and preprocessing")
    cores = count_cores()
    shape = (min(512, source.available), *SIG_SHAPE)
    raw = np.fromfile(source.path, np.uint16, int(np.prod(shape)), offset=source.header.offset).reshape(shape)
    target = np.empty_like(raw)
    preprocessor = Preprocessor(Preprocessing(), SIG_SHAPE)
    preprocessor.warm("uint16")
    background = np.zeros(preprocessor.input_shape, np.float32)
    buffers = [Buffers.for_lane(source, preprocessor, 16) for _ in range(cores)]

    def prepare(part: slice, core: int) -> None:
        own = buffers[core]
        for first in range(part.start, part.stop, 16):
            piece = raw[first : min(first + 16, part.stop)]
            n = len(piece)
            preprocessor.prepare(piece, background, own.prepared[:n], own.ranges[:n], own.flags[:n])

    def copy(part: slice, core: int) -> None:
        np.copyto(target[part], raw[part])

    times: dict[str, list[float]] = {"copy": [], "prepare": []}
    for _ in range(2 * repeats + 1):
        times["copy"].append(_on_all_cores(copy, len(raw), cores))
        times["prepare"].append(_on_all_cores(prepare, len(raw), cores))
    rate = {name: raw.nbytes / statistics.median(taken[1:]) for name, taken in times.items()}
    return Machine(_cpu_name(), cores, raw[0].nbytes, rate["copy"], rate["prepare"])


def measure_encode(
    source: FileSource, latent_size: int, request: EngineRequest, machine: Machine, repeats: int, say: Say
) -> EncodeResult:
    """Measure one network: engine alone, end to end, peer; one after the other in every repeat."""
    say(f"D = {latent_size}: exporting")
    model, path = _export_random(latent_size, source.path.parent)
    engines, ends, peers, firsts = [], [], [], []
    with open_engine(path, "cpu", request) as engine:
        rate = _engine_rate(engine, 0.3)
        for number in range(repeats):
            say(f"D = {latent_size}: repeat {number + 1} of {repeats}")
            engines.append(_engine_rate(engine, ENGINE_SECONDS))
            end, first = _end_to_end(source, engine)
            ends.append(end)
            firsts.append(first)
            peers.append(_peer_rate(source, model))
        info = engine.info
    rate, end, peer = (statistics.median(values) for values in (engines, ends, peers))
    flops, peak = _encoder_flops(model), _peak(info.precision)
    bound = 1 / (1 / rate + machine.pattern_bytes / machine.prepare_bytes_s)
    return EncodeResult(
        latent_size, info.precision, info.library, info.lanes, info.batch, rate, end, peer,
        statistics.median(firsts), flops, peak, rate * flops / peak, end / rate, end / bound, end / peer,
    )  # fmt: skip


def _engine_rate(engine: Engine, seconds: float) -> float:
    """Patterns per second of all lanes on patterns already prepared."""
    batch, counts = engine.info.batch, []
    inputs = np.random.default_rng(0).uniform(-1, 1, (batch, *engine.spec.input_shape)).astype(np.float32)
    lanes = [engine.lane() for _ in range(engine.info.lanes)]
    for lane in lanes:
        lane.run(inputs)
    started = time.perf_counter()

    def work(lane: Any) -> None:
        count = 0
        while time.perf_counter() - started < seconds:
            lane.run(inputs)
            count += batch
        counts.append(count)

    threads = [threading.Thread(target=work, args=(lane,)) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - started)


def _end_to_end(source: FileSource, engine: Engine) -> tuple[float, float]:
    """Patterns per second from the scan file to the latents file, and the time to the first latents."""
    out = source.path.with_suffix(".latents.h5")
    out.unlink(missing_ok=True)
    first: list[float] = []
    started = time.perf_counter()

    def note_first(_: object) -> None:
        if not first:
            first.append(time.perf_counter() - started)

    done = encode_scan(EncodeRequest(source.path, out, background="none"), engine, progress=note_first)
    return done.mean_rate, first[0]


def _peer_rate(source: FileSource, model: Any) -> float:
    """Patterns per second of kikuchipy's preprocessing and the same network in torch float32."""
    import kikuchipy
    import torch

    raw = np.fromfile(source.path, np.uint16, PEER_PATTERNS * int(np.prod(SIG_SHAPE)), offset=source.header.offset)
    background = raw.reshape(-1, *SIG_SHAPE)[0]
    started = time.perf_counter()
    signal = kikuchipy.signals.EBSD(raw.reshape(-1, *SIG_SHAPE).copy())
    signal.remove_static_background("subtract", static_bg=background, show_progressbar=False)
    signal.downsample(4, dtype_out="float32", show_progressbar=False)
    signal.rescale_intensity(out_range=(-1, 1), dtype_out="float32", show_progressbar=False)
    prepared: Float32 = signal.data.reshape(-1, 1, 120, 120)
    with torch.inference_mode():
        for piece in torch.split(torch.from_numpy(prepared), 16):
            model.encoder(piece)
    return len(prepared) / (time.perf_counter() - started)


def _export_random(latent_size: int, folder: Path) -> tuple[Any, Path]:
    import torch

    from microrun.export.to_onnx import export_checkpoint
    from microrun.training.checkpoint import save_checkpoint
    from microrun.training.vae import VAE

    torch.manual_seed(0)
    torch.set_num_threads(count_cores())
    model = VAE(latent_size).eval()
    checkpoint = folder / f"vae{latent_size}.safetensors"
    save_checkpoint(checkpoint, model.state_dict(), ModelSpec(f"vae{latent_size}", "encoder", latent_size))
    return model, export_checkpoint(checkpoint, checkpoint.with_suffix(".onnx"))[0].path


def _encoder_flops(model: Any) -> float:
    """Two per multiplication and addition of the convolutions, per pattern."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.encoder(torch.zeros(1, 1, 120, 120))
    return float(counter.get_total_flops())


def _peak(precision: Any) -> float:
    """FLOP/s of torch's matrix product in this precision."""
    import torch

    from microrun.training.speed import autocast_type, matmul_peak

    processor = torch.device("cpu")
    return matmul_peak(processor, autocast_type(processor, precision))


def _on_all_cores(work: Callable[[slice, int], None], count: int, cores: int) -> float:
    edges = np.linspace(0, count, cores + 1).astype(int)
    parts = [slice(int(a), int(b)) for a, b in pairwise(edges)]
    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(lambda core: None, range(cores)))  # the threads exist before the clock starts
        started = time.perf_counter()
        list(pool.map(work, parts, range(cores)))
        return time.perf_counter() - started


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
