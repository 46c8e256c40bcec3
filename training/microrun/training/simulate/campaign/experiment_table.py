"""Tables of the maps of an emulated experiment, by which they become sections."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from microrun.runtime.errors import OutputError
from microrun.runtime.files.output import write_text
from microrun.training.simulate.campaign.cases import Case
from microrun.training.simulate.campaign.experiment import ORIGIN, Experiment

COLUMNS = ("file", "power_w", "speed_m_s", "plane", "case", "origin", "hatch_um")


def write_table(path: Path, experiment: Experiment, cases: Sequence[Case]) -> int:
    """Write the table that turns maps into sections, as `read_map_table` takes it.

    Parameters
    ----------
    path
        The CSV file, beside the cases' folders.
    experiment
        Its distance of tracks is stated.
    cases
        Whose maps it names.

    Returns
    -------
    int
        Number of maps.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    write_text(path, _tabulate(experiment, cases))
    return len(cases) * len(experiment.names)


def check_table(path: Path, experiment: Experiment, cases: Sequence[Case]) -> None:
    """Refuse to replace a table that `write_table` has not made for these settings.

    Parameters
    ----------
    path
        The CSV file; there may be none.
    experiment, cases
        As `write_table` will take them: a table of some of the cases may become one of all.

    Raises
    ------
    OutputError
        If it is another one, such as a table of one's own.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    except OSError:
        text = ""  # a folder, or what may not be read: no table of ours
    named = {line.split("/")[0] for line in text.splitlines()}
    if text != _tabulate(experiment, [case for case in cases if case.name in named]):
        raise OutputError(
            f"{path}: is not a table of an emulated experiment with these settings, and would be replaced; "
            "rename it, or choose another folder"
        )


def _tabulate(experiment: Experiment, cases: Sequence[Case]) -> str:
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(COLUMNS)
    for case in cases:
        for name, plane in experiment.names.items():
            settings = (f"{case.power_w:g}", f"{case.speed_m_s:g}", plane, case.name, ORIGIN)
            writer.writerow((f"{case.name}/{name}.ang", *settings, f"{experiment.plan.hatch_um:g}"))
    return lines.getvalue()
