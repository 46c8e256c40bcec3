"""What `microrun bench encode` measures: engines alone and end to end, against the limits of the machine."""

from __future__ import annotations

import dataclasses
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from microrun.cli.bench.ceilings import (
    Ceiling,
    Moved,
    Work,
    _compute_ceiling,
    bound_rate,
    count_bytes,
    find_work,
    list_ceilings,
    name_bound,
)
from microrun.cli.bench.latency import SIG_SHAPE, Percentiles, engine_seconds, make_patterns, percentiles
from microrun.cli.bench.machine import Machine, measure_link, measure_machine, product_peak
from microrun.cli.bench.subjects import Subject
from microrun.runtime.array_types import Float32
from microrun.runtime.encoding.encode_scan import EncodeRequest, encode_scan
from microrun.runtime.engines.engine import Engine, Lane
from microrun.runtime.engines.nvidia.cuda import Cuda
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.up2 import UpWriter
from microrun.runtime.scans.up_source import FileSource

COLUMNS = 64
PEER_PATTERNS = 128
ENGINE_SECONDS = 1.5  # of work per repeat
WARM_SECONDS = 0.3
SINGLE_RUNS = 300
LEAST_BATCHES = 4  # of every lane, that a measurement means something
Say = Callable[[str], None]


@dataclass(frozen=True)
class Timings:
    """What was timed: one pattern alone; of every repeat patterns/s, seconds to the first latents, operations/s."""

    single: Percentiles
    engine: list[float] = field(default_factory=list)
    end_to_end: list[float] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)
    peak: list[float] = field(default_factory=list)
    peer: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class EncodeResult:
    """What was measured of one engine, medians of the repeats, and the ratios that matter.

    Parameters
    ----------
    model, latent_size, device, precision, library, lanes, batch
        What was measured.
    engine_patterns_s, end_to_end_patterns_s
        All lanes on prepared patterns; from the scan's file to the latents' file.
    first_s
        From opening the scan to its first latents, the engine being open.
    single
        Times of one prepared pattern through one lane with a batch of one.
    moved
        Bytes per pattern, end to end.
    ceilings
        What encoding end to end uses of every resource.
    bound_by
        The resource that it uses the largest share of.
    bound_patterns_s
        What engine and preprocessing allow: on the CPU they share the cores, beside a card the slower one counts.
    of_engine, of_bound
        End to end, as a share of the engine alone and of the bound.
    work, engine_of_peak
        What the engine alone reaches of the peak of products; None where operations or peak are not known.
    peer_patterns_s, of_peer
        The same network in torch float32 fed by kikuchipy, and how often faster end to end is; None without a peer.
    """

    model: str
    latent_size: int
    device: str
    precision: str
    library: str
    lanes: int
    batch: int
    engine_patterns_s: float
    end_to_end_patterns_s: float
    first_s: float
    single: Percentiles
    moved: Moved
    ceilings: tuple[Ceiling, ...]
    bound_by: str
    bound_patterns_s: float
    of_engine: float
    of_bound: float
    work: Work | None
    engine_of_peak: float | None
    peer_patterns_s: float | None
    of_peer: float | None


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


def measure_encode(
    source: FileSource, subjects: Sequence[Subject], repeats: int, say: Say
) -> tuple[Machine, list[EncodeResult]]:
    """Measure the machine, then all engines, one after the other in every repeat.

    Parameters
    ----------
    source
        From `write_scan`.
    subjects
        Encoders that prepare patterns alike.
    repeats
        Of every measurement.
    say
        Called with what is being done.
    """
    say("memory and preprocessing")
    machine = measure_machine(source, subjects[0].engine.spec.preprocessing, repeats)
    if any(subject.engine.info.device == "cuda" for subject in subjects):
        say("copies to the card")
        device = Cuda()
        machine = dataclasses.replace(machine, card=device.card.name, link_bytes_s=measure_link(device, repeats))
    timings = _time_all(source, subjects, repeats, say)
    return machine, [
        summarise(subject, own, find_work(subject.engine.spec, own.peak), machine)
        for subject, own in zip(subjects, timings, strict=True)
    ]


def summarise(subject: Subject, timings: Timings, work: Work | None, machine: Machine) -> EncodeResult:
    """Medians, ratios and what bounds an engine."""
    info, spec = subject.engine.info, subject.engine.spec
    engine, end, first = (statistics.median(values) for values in (timings.engine, timings.end_to_end, timings.first_s))
    peer = statistics.median(timings.peer) if timings.peer else None
    moved = count_bytes(spec, machine.pattern_bytes, info.device)
    ceilings = list_ceilings(end, moved, machine, _compute_ceiling(info.precision, end, engine, work))
    bound = bound_rate(engine, machine.prepare_patterns_s, info.device)
    return EncodeResult(
        subject.name, spec.latent_size, info.device, info.precision, info.library, info.lanes, info.batch,
        engine, end, first, timings.single, moved, ceilings, name_bound(ceilings), bound, end / engine, end / bound,
        work, engine * work.pattern_operations / work.peak_operations_s if work else None,
        peer, end / peer if peer else None,
    )  # fmt: skip


def list_doubts(source: FileSource, subjects: Sequence[Subject]) -> list[str]:
    """Engines for which the scan is so small that its beginning and its end count."""
    doubts = []
    for subject in subjects:
        lanes, batch = subject.engine.info.lanes, subject.engine.info.batch
        least = LEAST_BATCHES * lanes * batch
        if source.available < least:
            few = f"{source.available:,} patterns are few for {lanes} lanes of {batch}"
            doubts.append(f"{subject.title}: {few}; measure with --patterns {least} or more")
    return doubts


def _time_all(source: FileSource, subjects: Sequence[Subject], repeats: int, say: Say) -> list[Timings]:
    peers: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    networks = {subject.name: subject.network for subject in subjects if subject.network is not None}
    timings = [Timings(_time_single(subject, say), peer=peers[subject.name]) for subject in subjects]
    for number in range(repeats):
        turn = f"repeat {number + 1} of {repeats}"
        for subject, own in zip(subjects, timings, strict=True):
            say(f"{turn}: {subject.title}")
            own.engine.append(engine_rate(subject.engine, ENGINE_SECONDS))
            end, first = _end_to_end(source, subject.engine)
            own.end_to_end.append(end)
            own.first_s.append(first)
            peak = product_peak(subject.engine.info.device, subject.engine.info.precision)
            own.peak.extend([peak] if peak else [])
        for name, network in networks.items():
            say(f"{turn}: {name}, torch and kikuchipy")
            peers[name].append(_peer_rate(source, network))
    return timings


def _time_single(subject: Subject, say: Say) -> Percentiles:
    say(f"{subject.title}: one pattern at a time")
    with subject.open_single() as single:
        found = percentiles(engine_seconds(single, SINGLE_RUNS))
    engine_rate(subject.engine, WARM_SECONDS)
    return found


def engine_rate(engine: Engine, seconds: float) -> float:
    """Patterns per second of all lanes on patterns already prepared."""
    batch, counts = engine.info.batch, []
    inputs = np.random.default_rng(0).uniform(-1, 1, (batch, *engine.spec.input_shape)).astype(np.float32)
    lanes = [engine.lane() for _ in range(engine.info.lanes)]
    for lane in lanes:
        lane.run(inputs)
    started = time.perf_counter()

    def work(lane: Lane) -> None:
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
    background = raw.reshape(-1, *SIG_SHAPE)[0]
    started = time.perf_counter()
    signal = kikuchipy.signals.EBSD(raw.reshape(-1, *SIG_SHAPE).copy())
    signal.remove_static_background("subtract", static_bg=background, show_progressbar=False)
    signal.downsample(4, dtype_out="float32", show_progressbar=False)
    signal.rescale_intensity(out_range=(-1, 1), dtype_out="float32", show_progressbar=False)
    prepared: Float32 = signal.data.reshape(-1, 1, 120, 120)
    with torch.inference_mode():
        for piece in torch.split(torch.from_numpy(prepared), 16):
            network.encoder(piece)
    return len(prepared) / (time.perf_counter() - started)
