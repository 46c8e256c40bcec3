"""A campaign on the cores of this machine or on Dask: one file a case, each whole or not there, and all together."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from microrun.runtime.cores import count_cores
from microrun.runtime.errors import MicrorunError, OutputError
from microrun.runtime.progress import Job, finish
from microrun.runtime.sections.section_set import PLANES, SectionSet, read_sections, write_sections
from microrun.training.simulate.campaign.cases import Case
from microrun.training.simulate.campaign.work import work_off
from microrun.training.simulate.melt_pool.field import FieldKind
from microrun.training.simulate.melt_pool.material import STEEL_316L, Material
from microrun.training.simulate.melt_pool.process import Process
from microrun.training.simulate.melt_pool.solve import compute_field
from microrun.training.simulate.solidify import sections
from microrun.training.simulate.solidify.build import build_part
from microrun.training.simulate.solidify.laws import STEEL_LAWS, Laws
from microrun.training.simulate.solidify.plan import Plan
from microrun.training.simulate.solidify.sections import cut_sections, section_shapes
from microrun.training.simulate.solidify.window import cut_window

SETTINGS = "campaign"  # name of the entry of details that a campaign goes on by
PLAN = Plan(layers=4, length_um=150.0, substrate_um=60.0)  # sections across show substrate, too
PROCESS = Process(power_w=150.0, speed_m_s=0.75)
SEEDS_APART = 1_000_003  # from one case to the next, so that campaigns of neighbouring seeds share no part


@dataclass(frozen=True)
class Campaign:
    """What is the same in all cases.

    Parameters
    ----------
    plan
        Of the parts; the seed of a case follows from its number.
    process
        All of the laser but power and speed, which a case gives.
    kind
        Of the temperature field.
    material, laws
        Of the alloy.
    """

    plan: Plan = PLAN
    process: Process = PROCESS
    kind: FieldKind = "conduction"
    material: Material = STEEL_316L
    laws: Laws = STEEL_LAWS

    def describe(self, case: Case) -> str:
        """All that a case's sections follow from, as JSON."""
        return json.dumps({**dataclasses.asdict(self), "case": dataclasses.asdict(case)}, sort_keys=True)


def simulate_case(campaign: Campaign, case: Case) -> list[SectionSet]:
    """Sections of a case, across and along; it runs on one core.

    Parameters
    ----------
    campaign, case
        What to simulate.

    Raises
    ------
    MicrorunError
        If nothing melts, or the field does not fit.
    """
    try:
        process = dataclasses.replace(campaign.process, power_w=case.power_w, speed_m_s=case.speed_m_s)
        pool = finish(compute_field(process, campaign.material, campaign.kind, threads=1))
        plan = dataclasses.replace(campaign.plan, seed=campaign.plan.seed + SEEDS_APART * (case.number + 1))
        _check_sizes(plan, cut_window(pool, campaign.laws, plan.cell_um).shape)
        part = finish(build_part(pool, plan, campaign.laws, threads=1))
    except MicrorunError as error:
        raise MicrorunError(f"{case.name}: {error}") from None
    details = {SETTINGS: campaign.describe(case)}
    made = cut_sections(part, case.number)
    return [dataclasses.replace(one, details={**one.details, **details}) for one in made]


def run_campaign(campaign: Campaign, cases: Sequence[Case], folder: Path, executor: Executor) -> Job[list[Path]]:
    """Simulate the cases that are missing in a folder, with a record of progress after each.

    Parameters
    ----------
    campaign, cases
        What to simulate.
    folder
        Of the cases' files, made if need be.
    executor
        That simulates: `local_processes`, or ``get_executor`` of a Dask client.

    Returns
    -------
    list of Path
        The cases' files, in their order.

    Raises
    ------
    MicrorunError
        If the parts are too short; or a case cannot be simulated, or a worker dies: the others are finished first,
        and kept.
    OutputError
        If the folder holds a case of another campaign, or a file cannot be written.
    """
    _check_length(campaign.plan)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {case: folder / f"{case.name}.h5" for case in cases}
    missing = [case for case, path in paths.items() if not _is_done(path, campaign.describe(case))]
    make = partial(simulate_case, campaign)
    yield from work_off(executor, make, lambda case, made: write_sections(paths[case], made), missing, len(cases))
    return list(paths.values())


def gather_sections(paths: Sequence[Path], out: Path) -> None:
    """Write the sections of all cases into one file.

    Parameters
    ----------
    paths
        From `run_campaign`.
    out
        The HDF5 file to make or replace.

    Raises
    ------
    SectionsError, OutputError
        If one cannot be read, or the file not be written.
    """
    write_sections(out, [_join([read_sections(path, plane) for path in paths]) for plane in PLANES])


@contextmanager
def local_processes() -> Iterator[Executor]:
    """Processes on this machine, one a core."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count_cores(), mp_context=context) as executor:
        try:
            yield executor
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def _check_length(plan: Plan) -> None:
    """Refuse before anything is computed a length that is too short whatever melts."""
    cells = plan.cells(plan.length_um)
    if cells < sections.ALONG:
        raise MicrorunError(
            f"sections along are to show {sections.ALONG} cells, {sections.ALONG * plan.cell_um:g} µm; the parts are "
            f"{plan.length_um:g} µm long: take a greater --length"
        )


def _check_sizes(plan: Plan, window: tuple[int, int, int]) -> None:
    """Refuse a part, before it is built, whose sections are smaller than all are to be: those of all are one array."""
    sides = {"across": sections.ACROSS, "along": sections.ALONG}
    for plane, (rows, columns) in section_shapes(plan, window).items():
        side = sides[plane]
        if (rows, columns) != (side, side):
            raise MicrorunError(
                f"sections {plane} are to show {side}×{side} cells, this part's would only {rows}×{columns}; "
                "take more --layers, or a greater --length"
            )


def _is_done(path: Path, settings: str) -> bool:
    """Whether a case is there; OutputError if it is of another campaign."""
    if not path.exists():
        return False
    if read_sections(path).details.get(SETTINGS) == settings:
        return True
    raise OutputError(f"{path}: is a case of a campaign with other settings; remove its folder, or choose another name")


def _join(sets: Sequence[SectionSet]) -> SectionSet:
    first = sets[0]
    details = json.loads(first.details[SETTINGS])
    details.pop("case")
    names = ("orientation", "grain", "power_w", "speed_m_s", "case")
    arrays: dict[str, Any] = {name: np.concatenate([getattr(one, name) for one in sets]) for name in names}
    return dataclasses.replace(first, **arrays, details={SETTINGS: json.dumps(details)})
