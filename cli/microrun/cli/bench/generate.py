"""What `microrun bench generate` measures: how fast networks are evaluated, and how often volumes need that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import NamedTuple

from microrun.cli.bench.grainpaint import BIG, SMALL, GrainPaint
from microrun.cli.bench.machine import PEAK, note_peak
from microrun.cli.bench.measurement import Measuring, Table
from microrun.cli.bench.models import Subject, engine_table
from microrun.cli.bench.operations import graph_operations
from microrun.cli.bench.timing import seconds_of
from microrun.runtime.cores import count_cores
from microrun.runtime.engines.denoiser import Denoiser
from microrun.runtime.engines.engine import EngineInfo
from microrun.runtime.files.extras import say_missing
from microrun.runtime.generation.effort import GRAINPAINT_EVALUATIONS, count_work, measure_speed
from microrun.runtime.generation.sampling import Sampling
from microrun.runtime.generation.tiling import tile_isotropic
from microrun.runtime.progress import Progress
from microrun.runtime.schedule import Schedule

RUN_SECONDS = 1.5  # of work per repeat
PEER_BATCH = {"cpu": 1, "cuda": 8}  # one block does not fill a card
AIMS = {SMALL.name: "(≥ 20)", BIG.name: "(≥ 100)"}  # how often faster than them we aim to be
MODULES = ("torch", "diffusers")  # that they need
TILINGS = {"default": "(≤ 0.60)", "fast": "(≤ 0.15)"}  # evaluations that we aim at
PUBLISHED = "GrainPaint"
SPEED = "speed"


class Contender(NamedTuple):
    """A network's table, operations of one evaluation if known, and what evaluates for a while and says how fast."""

    table: Table
    operations: float | None
    measure: Callable[[], float]


def contend(subject: Subject[Denoiser]) -> Contender:
    """Make a contender of an open denoiser."""
    denoiser = subject.engine
    return Contender(
        subject.table(), graph_operations(denoiser.info.path), partial(measure_speed, denoiser, RUN_SECONDS)
    )


def contend_peer(peer: GrainPaint, device: str) -> Contender:
    """Make a contender of one of GrainPaint's networks, run by torch in float32 as it was published."""
    import torch

    batch = PEER_BATCH[device]
    evaluate = peer.evaluation(device, batch)
    info = EngineInfo(Path(peer.name), "", f"torch {torch.__version__}", device, "f32", 1, batch)
    return Contender(engine_table(peer.name, info), peer.count_operations(), lambda: batch / seconds_of(evaluate))


def open_peers(devices: Iterable[str]) -> tuple[list[Contender], list[str]]:
    """Make GrainPaint's networks where torch runs, beside what is missing for them."""
    missing = [module for module in MODULES if find_spec(module) is None]
    if missing:
        return [], [f"GrainPaint's networks are left out: {say_missing(module)}" for module in missing]
    import torch

    torch.set_num_threads(count_cores())
    able = [device for device in sorted(set(devices)) if device == "cpu" or torch.cuda.is_available()]
    unable = [f"GrainPaint's networks are left out on {device}: torch has none" for device in {*devices} - {*able}]
    return [contend_peer(peer, device) for device in able for peer in (SMALL, BIG)], unable


def measure_networks(ours: Sequence[Contender], peers: Sequence[Contender], repeats: int) -> Measuring:
    """Measure all networks, one after the other in every repeat; ours come first."""
    contenders = [*ours, *peers]
    for number in range(repeats):
        for contender in contenders:
            table = contender.table
            yield Progress(number, repeats, table.title)
            table.note(SPEED, "evaluations/s", contender.measure())
            note_peak(table)
    for contender in contenders:
        if contender.operations:
            contender.table.note("an evaluation", "GFLOP", contender.operations / 1e9)
            contender.table.note("computes", "GFLOP/s", contender.table[SPEED] * contender.operations / 1e9)
            contender.table.ratio("of matmul peak", "computes", PEAK)
    for own, peer in product((contender.table for contender in ours), (contender.table for contender in peers)):
        if own.facts["device"] == peer.facts["device"]:
            name = peer.facts["model"]
            own.ratio(f"× {name}", SPEED, SPEED, of=peer, remark=AIMS.get(name, ""))
    return [contender.table for contender in contenders]


def count_evaluations(size: int, presets: Mapping[str, Sampling], schedule: Schedule) -> list[Table]:
    """Count what a cube takes as GrainPaint draws it, and as we do with each of the presets."""
    tiling = tile_isotropic((size, size, size))
    counts = {name: count_work(tiling, schedule, sampling).evaluations for name, sampling in presets.items()}
    counts = {PUBLISHED: len(tiling) * GRAINPAINT_EVALUATIONS, **counts}
    tables = {name: Table(f"{size}³, {name}") for name in counts}
    for name, table in tables.items():
        table.note("blocks", "", len(tiling))
        table.note("evaluations", "", counts[name])
        table.note("evaluations per voxel", "", counts[name] / size**3)
        table.ratio("of GrainPaint's", "evaluations", "evaluations", of=tables[PUBLISHED], remark=TILINGS.get(name, ""))
    return list(tables.values())
