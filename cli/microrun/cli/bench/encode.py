"""What `microrun bench encode` measures: engines alone and end to end, against the limits of the machine."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import microrun.kernels.compiling  # noqa: F401 (before what orix compiles)
from microrun.cli.bench import machine as limits
from microrun.cli.bench.latency import SIG_SHAPE, engine_seconds, make_patterns, note_percentiles
from microrun.cli.bench.measurement import Measuring, Table
from microrun.cli.bench.models import Subject
from microrun.cli.bench.operations import encoder_operations
from microrun.runtime.array_types import Float32
from microrun.runtime.encoding.encode_scan import encode_scan
from microrun.runtime.encoding.request import EncodeRequest
from microrun.runtime.engines.engine import Engine, Lane
from microrun.runtime.engines.nvidia.cuda import Cuda
from microrun.runtime.progress import Progress
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.up2 import UpWriter
from microrun.runtime.scans.up_source import FileSource
from microrun.runtime.spec import ModelSpec

COLUMNS = 64
PATTERN_BYTES = 2 * SIG_SHAPE[0] * SIG_SHAPE[1]
PEER_PATTERNS = 128
ENGINE_SECONDS = 1.5  # of work per repeat
WARM_SECONDS = 0.3
SINGLE_RUNS = 300
LEAST_BATCHES = 4  # of every lane, that a measurement means something
RATE = "patterns/s"
ENGINE, END, FIRST, PEER = "engine alone", "end to end", "first latents", "torch f32 + kikuchipy"
BOUNDS = {"cpu": "engine + preprocessing", "cuda": "the slower of both"}  # on the CPU they share the cores


def write_scan(folder: Path, patterns: int) -> FileSource:
    """Write a UP2 file of whole rows, with few different patterns in it."""
    rows = max(1, patterns // COLUMNS)
    scan = Scan((rows, COLUMNS), SIG_SHAPE, "uint16", step_um=(1.0, 1.0))
    pool = make_patterns(COLUMNS)
    path = folder / "bench.up2"
    with UpWriter(path, scan) as writer:
        for _ in range(rows):
            writer.write(pool)
    return FileSource(path)


def list_doubts(source: FileSource, subjects: Sequence[Subject[Engine]]) -> list[str]:
    """Engines for which the scan is so small that its beginning and its end count."""
    doubts = []
    for subject in subjects:
        lanes, batch = subject.engine.info.lanes, subject.engine.info.batch
        least = LEAST_BATCHES * lanes * batch
        if source.available < least:
            few = f"{source.available:,} patterns are few for {lanes} lanes of {batch}"
            doubts.append(f"{subject.table().title}: {few}; measure with --patterns {least} or more")
    return doubts


def measure_encode(source: FileSource, subjects: Sequence[Subject[Engine]], repeats: int) -> Measuring:
    """Measure the machine, then all engines, one after the other in every repeat; the machine's table comes first."""
    yield Progress(0, repeats, "memory and preprocessing")
    machine, tables = limits.machine_table(), [subject.table() for subject in subjects]
    limits.measure_patterns(machine, source, subjects[0].engine.spec.preprocessing, repeats)
    if any(subject.engine.info.device == "cuda" for subject in subjects):
        yield Progress(0, repeats, "copies to the card")
        card = Cuda()
        machine.detail += f"; {card.card.name}"
        machine.facts["card"] = card.card.name
        limits.measure_link(machine, card, repeats)
    for subject, table in zip(subjects, tables, strict=True):
        yield Progress(0, repeats, f"{table.title}: one pattern at a time")
        with subject.open_single() as single:
            note_percentiles(table, "one pattern, ", engine_seconds(single, SINGLE_RUNS))
        engine_rate(subject.engine, WARM_SECONDS)
    for number in range(repeats):
        for phase in _take_turns(source, subjects, tables):
            yield Progress(number, repeats, phase)
    for subject, table in zip(subjects, tables, strict=True):
        compare(table, subject.engine.spec, machine)
    return [machine, *tables]


def _take_turns(source: FileSource, subjects: Sequence[Subject[Engine]], tables: Sequence[Table]) -> Iterator[str]:
    for subject, table in zip(subjects, tables, strict=True):
        yield table.title
        table.note(ENGINE, RATE, engine_rate(subject.engine, ENGINE_SECONDS))
        rate, first = _encode(source, subject.engine)
        table.note(END, RATE, rate)
        table.note(FIRST, "s", first)
        limits.note_peak(table)
    for model in dict.fromkeys(subject.model for subject in subjects):
        if model.network is not None:
            yield f"{model.name}, torch and kikuchipy"
            rate = _peer_rate(source, model.network)
            for subject, table in zip(subjects, tables, strict=True):
                if subject.model is model:
                    table.note(PEER, RATE, rate)


def compare(table: Table, spec: ModelSpec, machine: Table) -> None:
    """Note the ratios that matter, and how much of every resource of the machine encoding end to end uses."""
    device = table.facts["device"]
    bound = BOUNDS[device]
    table.note(bound, RATE, bound_rate(table[ENGINE], machine[limits.PREPARE], device))
    table.ratio(f"of {bound}", END, bound)
    table.ratio("of engine alone", END, ENGINE)
    table.ratio("times the peer", END, PEER)
    _compare_products(table, spec)
    memory, to_card, back = count_bytes(spec, device)
    table.note("a pattern in memory", "kB", memory / 1e3)
    table.note("traffic in memory", "GB/s", table[END] * memory / 1e9)
    table.ratio("share of memory", "traffic in memory", limits.TRAFFIC, of=machine)
    if to_card:
        table.note("a pattern to the card", "kB", to_card / 1e3)
        table.note("a pattern back", "kB", back / 1e3)
        table.note("traffic to the card", "GB/s", table[END] * to_card / 1e9)
        table.ratio("share of PCIe", "traffic to the card", limits.LINK, of=machine)
    table.ratio("share of preprocessing", END, limits.PREPARE, of=machine)
    largest = max((name for name in table.rows if name.startswith("share of")), key=table.__getitem__)
    table.rows[largest].remark = "bound"


def _compare_products(table: Table, spec: ModelSpec) -> None:
    """Note the share of the peak of products; where it is unknown, what the engine does alone stands for it."""
    operations = encoder_operations(spec)
    if operations is None or limits.PEAK not in table.rows:
        table.ratio("share of engine", END, ENGINE)
        return
    unit = limits.operations_unit(table)
    table.note("a pattern takes", unit, operations / 1e9)
    for name, share in ((ENGINE, "engine alone of peak"), (END, "share of matmul peak")):
        table.note(f"{name} computes", f"{unit}/s", table[name] * operations / 1e9)
        table.ratio(share, f"{name} computes", limits.PEAK)


def count_bytes(spec: ModelSpec, device: str) -> tuple[int, int, int]:
    """Bytes that must move for one pattern: through the host's memory, to the card, and back.

    Raw patterns are read once, and binned while they are in a core's cache. Prepared ones are written into the
    engine's own buffer and read there, by the engine or by the card; latents are written.
    """
    prepared, latents = (4 * int(np.prod(shape)) for shape in (spec.input_shape, spec.output_shape))
    there, back = (prepared, latents) if device == "cuda" else (0, 0)
    return PATTERN_BYTES + 2 * prepared + latents, there, back


def bound_rate(engine: float, prepare: float, device: str) -> float:
    """Patterns per second that are possible, given those of the engine and of preprocessing alone."""
    return min(engine, prepare) if device == "cuda" else 1 / (1 / engine + 1 / prepare)


def engine_rate(engine: Engine, seconds: float) -> float:
    """Patterns per second of all lanes on patterns already prepared."""
    batch = engine.info.batch
    inputs = np.random.default_rng(0).uniform(-1, 1, (batch, *engine.spec.input_shape)).astype(np.float32)
    lanes = [engine.lane() for _ in range(engine.info.lanes)]
    for lane in lanes:
        lane.run(inputs)  # they stay in the lane's buffer
    started = time.perf_counter()

    def run(lane: Lane) -> int:
        count = 0
        while time.perf_counter() - started < seconds:
            lane.compute(batch)
            count += batch
        return count

    with ThreadPoolExecutor(len(lanes)) as pool:
        return sum(pool.map(run, lanes)) / (time.perf_counter() - started)


def _encode(source: FileSource, engine: Engine) -> tuple[float, float]:
    """Patterns per second from the scan file to the latents file, and the time to the first latents."""
    out = source.path.with_suffix(".latents.h5")
    out.unlink(missing_ok=True)
    started = time.perf_counter()
    with encode_scan(EncodeRequest(source.path, out, background="none"), engine) as run:
        next(run)
        first = time.perf_counter() - started
        for _ in run:
            pass
    return run.statistics.mean_rate, first


def _peer_rate(source: FileSource, network: Any) -> float:
    """Patterns per second of kikuchipy's preprocessing and the same network in torch float32."""
    import kikuchipy
    import torch

    raw = np.fromfile(source.path, np.uint16, PEER_PATTERNS * int(np.prod(SIG_SHAPE)), offset=source.header.offset)
    patterns = raw.reshape(-1, *SIG_SHAPE)
    background = patterns.mean(axis=0).astype(np.uint16)  # one of them would be flat
    started = time.perf_counter()
    signal = kikuchipy.signals.EBSD(patterns.copy())
    signal.remove_static_background("subtract", static_bg=background, show_progressbar=False)
    signal.downsample(4, dtype_out="float32", show_progressbar=False)
    signal.rescale_intensity(out_range=(-1, 1), dtype_out="float32", show_progressbar=False)
    prepared: Float32 = signal.data.reshape(-1, 1, 120, 120)
    with torch.inference_mode():
        for piece in torch.split(torch.from_numpy(prepared), 16):
            network.encoder(piece)
    return len(prepared) / (time.perf_counter() - started)
