"""`microrun simulate sections`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from microrun.cli import console
from microrun.cli.outputs import OverwriteOption, say_next, say_wrote
from microrun.runtime.errors import MicrorunError
from microrun.runtime.files.destination import HDF5_ENDINGS, check_file

if TYPE_CHECKING:
    from microrun.training.simulate.campaign.cases import Case

LAYERS, LENGTH_UM = 4, 150.0
Scheduler = Annotated[str | None, typer.Option(help="A Dask scheduler, tcp://HOST:PORT; by default this machine.")]
Field = Annotated[
    Literal["conduction", "flow", "eagar-tsai"], typer.Option(help="Of the temperature, as simulate meltpool.")
]


def sections(
    out: Annotated[Path, typer.Option(help="The .h5 file of sections to make; cases are kept in a folder beside it.")],
    sobol: Annotated[int | None, typer.Option(min=1, help="So many cases, spread over 100–200 W, 0.5–1.0 m/s.")] = None,
    cases: Annotated[Path | None, typer.Option(help="A .csv of cases instead: columns power_w, speed_m_s.")] = None,
    layers: Annotated[int, typer.Option(min=1, help="Of each part.")] = LAYERS,
    length: Annotated[float, typer.Option(help="Of each part along the tracks, in µm.")] = LENGTH_UM,
    field: Field = "conduction",
    absorptivity: Annotated[float, typer.Option(help="Part of the power that is absorbed.")] = 0.4,
    depth: Annotated[float, typer.Option(help="Of the heat source, in µm.")] = 12.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same sections.")] = 0,
    dask: Scheduler = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Simulate sections to train on: melt pool and solidification of many cases of power and speed.

    Every case is a file in OUT.cases as soon as it is done: the same command
    goes on with those that are missing. The sections are the same however
    many cores or workers there are. --overwrite replaces OUT and keeps the cases.
    """
    from microrun.training.simulate.campaign.cases import read_cases, spread_cases
    from microrun.training.simulate.campaign.run import Campaign, gather_sections, run_campaign

    if (sobol is None) == (cases is None):
        raise MicrorunError("expected --sobol COUNT or --cases FILE.csv, one of the two")
    check_file(out, overwrite, endings=HDF5_ENDINGS)
    chosen = spread_cases(sobol, seed) if sobol is not None else read_cases(cases) if cases else []
    default = Campaign()
    campaign = dataclasses.replace(
        default,
        plan=dataclasses.replace(default.plan, layers=layers, length_um=length, seed=seed),
        process=dataclasses.replace(default.process, absorptivity=absorptivity, depth_um=depth),
        kind=field,
    )
    folder = out.with_suffix(".cases")
    try:
        with _executor(dask) as executor, console.progress_bar("simulating", "cases") as bar:
            paths = console.watch(run_campaign(campaign, chosen, folder, executor), bar)
    except KeyboardInterrupt:
        console.error_line(f"interrupted; finished cases are kept in {folder}: the same command goes on")
        raise typer.Exit(130) from None
    gather_sections(paths, out)
    _report(out, chosen)


@contextmanager
def _executor(dask: str | None) -> Iterator[Executor]:
    from microrun.runtime.generation.cluster import connect, plain_errors
    from microrun.training.simulate.campaign.run import local_processes

    if dask is None:
        with local_processes() as executor:
            yield executor
        return
    with connect(dask) as client, plain_errors():
        yield client.get_executor()


def _report(out: Path, cases: list[Case]) -> None:
    from microrun.runtime.sections.section_set import PLANES, read_sections

    counts = [f"{len(read_sections(out, plane)):,} {plane}" for plane in PLANES]
    say_wrote(out, note=f": sections of {len(cases)} cases, {' and '.join(counts)}")
    say_next("sections", out)
