"""`microrun simulate experiment`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from microrun.cli import console
from microrun.cli.outputs import say_next
from microrun.runtime.files.destination import check_folder
from microrun.runtime.files.quoting import quoted


def experiment(
    out: Annotated[
        Path, typer.Argument(help="The folder to make; a folder of .ang maps for each case is put into it.")
    ],
    cases: Annotated[
        Path | None, typer.Option(help="A .csv of cases: columns power_w, speed_m_s. By default eight, two held out.")
    ] = None,
    maps: Annotated[int, typer.Option(min=1, max=1000, help="Across the tracks, of each case; a quarter along.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same maps.")] = 0,
) -> None:
    """Emulate an experiment: .ang maps of printed metal, by another physics than simulate sections.

    Melt pools with flow drive the Potts model; maps have their own steps,
    scatter, and points that are not indexed. Nothing of it was measured.

    A case is in OUT when it is done: the same command goes on with those
    that are missing. labels.csv names the maps to refine on, held_out.csv
    those to judge by; microrun convert turns both into sections.
    """
    from microrun.training.simulate.campaign.cases import read_cases
    from microrun.training.simulate.campaign.experiment import TABLES, Experiment, run_experiment
    from microrun.training.simulate.campaign.experiment_table import check_table, write_table
    from microrun.training.simulate.campaign.run import local_processes

    check_folder(out)
    tables = TABLES if cases is None else {"labels.csv": read_cases(cases)}
    chosen = [case for table in tables.values() for case in table]
    settings = Experiment(maps=maps, seed=seed)
    for name, named in tables.items():
        check_table(out / name, settings, named)
    try:
        with local_processes() as executor, console.progress_bar("simulating", "cases") as bar:
            console.watch(run_experiment(settings, chosen, out, executor), bar)
    except KeyboardInterrupt:
        console.error_line(f"interrupted; finished cases are kept in {out}: the same command goes on")
        raise typer.Exit(130) from None
    for name, named in tables.items():
        count = write_table(out / name, settings, named)
        console.out.print(
            f"wrote    {quoted(out / name)}: {count:,} maps of {len(named)} cases of an emulated experiment"
        )
    first = out / next(iter(tables))
    say_next("convert", first, "--to", "sections")
