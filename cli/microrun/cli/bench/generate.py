"""What `microrun bench generate` measures: how fast networks are evaluated, and how often volumes need that."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod

from microrun.cli.bench.grainpaint import GrainPaint
from microrun.cli.bench.machine import product_peak
from microrun.cli.bench.operations import graph_operations
from microrun.cli.bench.timing import seconds_of
from microrun.runtime.engines.denoiser import Denoiser
from microrun.runtime.generation.effort import GRAINPAINT_EVALUATIONS, count_work, measure_speed
from microrun.runtime.generation.sampling import Sampling
from microrun.runtime.generation.tiling import tile_isotropic
from microrun.runtime.schedule import Schedule
from microrun.runtime.volumes.volume import Shape

RUN_SECONDS = 1.5  # of work per repeat
PUBLISHED = "GrainPaint"
PEER_BATCH = {"cpu": 1, "cuda": 8}  # one block does not fill a card
Say = Callable[[str], None]


@dataclass(frozen=True)
class Contender:
    """A network that is to be measured.

    Parameters
    ----------
    name
        For people.
    library, device, precision
        What runs it, where, and in what.
    operations
        Of one evaluation; None where they are not known.
    measure
        Evaluates blocks for a while and says how many per second.
    """

    name: str
    library: str
    device: str
    precision: str
    operations: float | None
    measure: Callable[[], float]

    @property
    def title(self) -> str:
        """Tells it from all others."""
        return f"{self.name}, {self.precision} on {self.device}"


@dataclass(frozen=True)
class Evaluated:
    """How fast a network is.

    Parameters
    ----------
    title, library, device, precision, operations
        As of the contender.
    evaluations_s
        Blocks evaluated per second, the median of the repeats.
    of_peak
        Operations per second, as a share of the best product of matrices; None where either is not known.
    of_peers
        How often faster it is than each of GrainPaint's networks on its device, by their names.
    """

    title: str
    library: str
    device: str
    precision: str
    operations: float | None
    evaluations_s: float
    of_peak: float | None
    of_peers: dict[str, float]


@dataclass(frozen=True)
class Planned:
    """What a volume takes.

    Parameters
    ----------
    name
        Of the plan.
    blocks, evaluations, voxel_evaluations
        Blocks, and evaluations of the network: in all, and per voxel of the volume.
    of_published
        The evaluations, as a share of those of GrainPaint's plan.
    """

    name: str
    blocks: int
    evaluations: int
    voxel_evaluations: float
    of_published: float


def contend(name: str, denoiser: Denoiser) -> Contender:
    """Make a contender of an open denoiser."""
    info = denoiser.info
    operations = graph_operations(info.path)
    rate = partial(measure_speed, denoiser, RUN_SECONDS)
    return Contender(name, info.library, info.device, info.precision, operations, rate)


def contend_peer(peer: GrainPaint, device: str) -> Contender:
    """Make a contender of one of GrainPaint's networks, run by torch in float32 as it was published."""
    import torch

    batch = PEER_BATCH[device]
    evaluate = peer.evaluation(device, batch)
    library = f"torch {torch.__version__}"
    return Contender(peer.name, library, device, "f32", peer.count_operations(), lambda: batch / seconds_of(evaluate))


def measure_networks(ours: Sequence[Contender], peers: Sequence[Contender], repeats: int, say: Say) -> list[Evaluated]:
    """Measure all networks, one after the other in every repeat.

    Parameters
    ----------
    ours, peers
        Of `contend` and `contend_peer`.
    repeats
        Of every measurement.
    say
        Called with what is being done.

    Returns
    -------
    list of Evaluated
        Ours, then the peers.
    """
    contenders = [*ours, *peers]
    rates: list[list[float]] = [[] for _ in contenders]
    peaks: list[list[float]] = [[] for _ in contenders]
    for number in range(repeats):
        for contender, rate, peak in zip(contenders, rates, peaks, strict=True):
            say(f"repeat {number + 1} of {repeats}: {contender.title}")
            rate.append(contender.measure())
            found = product_peak(contender.device, contender.precision)
            peak.extend([found] if found else [])
    medians = list(map(statistics.median, rates))
    beside = list(zip(peers, medians[len(ours) :], strict=True))
    return [
        _summarise(contender, rate, max(peak, default=None), beside if contender in ours else [])
        for contender, rate, peak in zip(contenders, medians, peaks, strict=True)
    ]


def _summarise(
    contender: Contender, rate: float, peak: float | None, beside: Sequence[tuple[Contender, float]]
) -> Evaluated:
    of_peak = rate * contender.operations / peak if contender.operations and peak else None
    of_peers = {peer.name: rate / other for peer, other in beside if peer.device == contender.device}
    return Evaluated(
        contender.title, contender.library, contender.device, contender.precision, contender.operations,
        rate, of_peak, of_peers,
    )  # fmt: skip


def list_plans(shape: Shape, presets: Mapping[str, Sampling], schedule: Schedule) -> list[Planned]:
    """Count what a volume takes by GrainPaint's plan, and by ours with each of the presets.

    Parameters
    ----------
    shape
        (z, y, x) of the volume.
    presets
        By their names.
    schedule
        That the network was trained with.
    """
    tiling = tile_isotropic(shape)
    published = len(tiling) * GRAINPAINT_EVALUATIONS
    counts = {name: count_work(tiling, schedule, sampling).evaluations for name, sampling in presets.items()}
    return [
        Planned(name, len(tiling), count, count / prod(shape), count / published)
        for name, count in {PUBLISHED: published, **counts}.items()
    ]
