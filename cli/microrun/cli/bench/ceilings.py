"""How much of every resource of the machine encoding uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from microrun.cli.bench.machine import Machine, encoder_operations
from microrun.runtime.spec import ModelSpec


@dataclass(frozen=True)
class Moved:
    """Bytes that one pattern moves: through the host's memory, to the card, and from it."""

    memory_bytes: int
    to_card_bytes: int
    from_card_bytes: int


@dataclass(frozen=True)
class Ceiling:
    """A resource, how much of it encoding end to end uses per second, how much there is, and the share."""

    resource: str
    unit: str
    used: float
    limit: float
    share: float


@dataclass(frozen=True)
class Work:
    """Operations of one pattern, and how many the device does per second where it does nothing but products."""

    pattern_operations: float
    peak_operations_s: float


def count_bytes(spec: ModelSpec, pattern_bytes: int, device: str) -> Moved:
    """Bytes that must move for one pattern.

    Raw patterns are read once, and binned while they are in a core's cache. Prepared ones are written, copied into
    the engine's buffer, and read there, by the engine or by the card; latents are written.
    """
    prepared, latents = (4 * int(np.prod(shape)) for shape in (spec.input_shape, spec.output_shape))
    there, back = (prepared, latents) if device == "cuda" else (0, 0)
    return Moved(pattern_bytes + 4 * prepared + latents, there, back)


def list_ceilings(rate: float, moved: Moved, machine: Machine, compute: Ceiling) -> tuple[Ceiling, ...]:
    """What a rate of patterns uses of every resource; copying reads every byte and writes it."""
    ceilings = [compute, _ceiling("memory", "B/s", rate * moved.memory_bytes, 2 * machine.copy_bytes_s)]
    if machine.link_bytes_s and moved.to_card_bytes:
        ceilings.append(_ceiling("PCIe", "B/s", rate * moved.to_card_bytes, machine.link_bytes_s))
    return (*ceilings, _ceiling("preprocessing", "patterns/s", rate, machine.prepare_patterns_s))


def name_bound(ceilings: Sequence[Ceiling]) -> str:
    """The resource of which the largest share is used."""
    return max(ceilings, key=lambda ceiling: ceiling.share).resource


def bound_rate(engine: float, prepare: float, device: str) -> float:
    """Patterns per second that are possible, given those of the engine and of preprocessing alone."""
    return min(engine, prepare) if device == "cuda" else 1 / (1 / engine + 1 / prepare)


def find_work(spec: ModelSpec, peaks: Sequence[float]) -> Work | None:
    """Operations of an engine's network, and the best of the peaks that were measured; None where one is unknown."""
    operations = encoder_operations(spec)
    return Work(operations, max(peaks)) if operations and peaks else None


def _compute_ceiling(precision: str, rate: float, engine: float, work: Work | None) -> Ceiling:
    """The peak of products; where it is unknown, what the engine does alone stands for it."""
    if work is None:
        return _ceiling("engine", "patterns/s", rate, engine)
    unit = "OP/s" if precision == "int8" else "FLOP/s"
    return _ceiling("matmul peak", unit, rate * work.pattern_operations, work.peak_operations_s)


def _ceiling(resource: str, unit: str, used: float, limit: float) -> Ceiling:
    return Ceiling(resource, unit, used, limit, used / limit)
