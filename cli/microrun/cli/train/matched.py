"""Simulations that a training is asked to learn from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from microrun.cli import console
from microrun.cli.pattern_centre import parse_centre
from microrun.runtime.scans.open import ScanFile, state_geometry

if TYPE_CHECKING:
    from microrun.training.simulate.camera.matched import Matched
    from microrun.training.simulate.camera.stream import PatternStream

MatchedPhases = Annotated[
    list[str] | None,
    typer.Option("--phase", help="Simulate patterns of it, such as ferrite or Ni; may be repeated."),
]
MatchedVoltages = Annotated[
    list[float] | None,
    typer.Option("--kv", help="Voltage in kV of the simulations; may be repeated.", show_default="20"),
]
MatchedCentre = Annotated[
    str | None,
    typer.Option(
        "--pc",
        help="Pattern centre X,Y,Z of the simulations in EDAX's convention; by default the scan's, or all.",
    ),
]


def match(phases: list[str] | None, voltages: list[float] | None, centre: str | None) -> Matched | None:
    """What to simulate; None where nothing is said of it."""
    from microrun.training.simulate.camera.matched import Matched, check_voltages

    if not phases and not voltages and centre is None:
        return None
    check_voltages(voltages or [])
    return Matched(tuple(phases or ()), tuple(voltages or ()), parse_centre(centre) if centre else None)


def complete(matched: Matched | None, scan: ScanFile) -> Matched | None:
    """With the pattern centre that a scan states, if none was given; it is said."""
    if matched is None or matched.pattern_centre is not None:
        return matched
    stated = next((one for one in state_geometry(scan) if one.pattern_centre), None)
    if stated is None or stated.pattern_centre is None:
        return matched
    x, y, z = stated.pattern_centre
    console.out.print(f"pc         {x:.4f},{y:.4f},{z:.4f} from {stated.source} (EDAX's convention)")
    return replace(matched, pattern_centre=stated.pattern_centre)


@contextlib.contextmanager
def simulated(
    matched: Matched | None, batch: int, seed: int, sig_shape: tuple[int, int] = (1, 1)
) -> Iterator[PatternStream | None]:
    """Batches of simulations while they are needed; None where none are asked for."""
    if matched is None:
        yield None
        return
    from microrun.training.simulate.camera.stream import PatternStream

    with PatternStream(matched.simulator(seed, sig_shape), batch) as stream:
        yield stream
