"""An emulated experiment: maps as a microscope would give them, of metal printed by another physics.

There is no open EBSD data of printed 316L with the power and the speed that made it. Here the melt pools come from
the flow of the liquid, grains grow by the Potts model, and maps have the flaws of real ones. What was learned from
the phase field meets something that differs in all of it.
"""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.errors import MicrorunError, OutputError
from microrun.runtime.files.output import cannot_write, name_beside
from microrun.runtime.progress import Job, finish
from microrun.runtime.scans.ang_head import AngPhase
from microrun.runtime.sections.ang_map import write_ang_map
from microrun.runtime.sections.cut_maps import SIDES
from microrun.runtime.sections.grain_map import OrientationMap
from microrun.runtime.sections.section_set import STEP_UM, Plane
from microrun.training.simulate.campaign.cases import Case
from microrun.training.simulate.campaign.degradation import (
    Flaws,
    Raster,
    measure_map,
    random_orientations,
    resample_grains,
)
from microrun.training.simulate.campaign.potts_part import PottsPlan, grow_part
from microrun.training.simulate.campaign.run import SEEDS_APART
from microrun.training.simulate.campaign.work import work_off
from microrun.training.simulate.melt_pool.field import FieldKind
from microrun.training.simulate.melt_pool.process import Process
from microrun.training.simulate.melt_pool.solve import compute_field
from microrun.training.simulate.potts import Spins

ORIGIN = "emulated experiment"
# Of 100–200 W and 0.5–1.0 m/s. The two that are held out were chosen before anything had been simulated: they lie
# within the convex hull of the others, so that no model has to extrapolate, and at least 25 W or 0.1 m/s from each.
REFINING = tuple(
    Case(number, *condition)
    for number, condition in enumerate(
        [(100.0, 0.5), (125.0, 0.8), (150.0, 0.5), (175.0, 1.0), (200.0, 0.6), (200.0, 0.9)]
    )
)
HELD_OUT = (Case(6, 150.0, 0.7), Case(7, 175.0, 0.8))
TABLES = {"labels.csv": REFINING, "held_out.csv": HELD_OUT}
SETTINGS = "settings.json"

SPACING_UM = 10.0  # from one map across to the next: closer ones are nearly the same
ACROSS_PER_ALONG = 4
STEPS_UM = (1.5, 1.0, 2.0, 3.0, 2.5)  # of the maps, case by case
ASIDE_UM = 8.0  # from the middle of a track, of maps along it
JITTER_UM = 4.0  # by which maps are off the place where they should be, to either side
CONDUCTING = Process(150.0, 0.75, absorptivity=0.5, depth_um=30.0)  # deep enough that layers of 30 µm fuse
PLAN, FLAWS = PottsPlan(), Flaws()
AUSTENITE = AngPhase("Austenite", "Fe", 43, 3.6)


@dataclass(frozen=True)
class Experiment:
    """What is the same in all cases.

    Parameters
    ----------
    maps
        Across the tracks, of each case; a quarter as many along them.
    seed
        Of all that is random.
    process
        All of the laser but power and speed, which a case gives.
    kind, field_step_um
        Of the temperature field, and the edge of its cells.
    plan
        Of the parts; they are at least as long as the maps need.
    flaws
        Of the maps.

    Raises
    ------
    MicrorunError
        If there are no maps, or too many to be simulated.
    """

    maps: int = 24
    seed: int = 0
    process: Process = CONDUCTING
    kind: FieldKind = "flow"
    field_step_um: float = 5.0
    plan: PottsPlan = PLAN
    flaws: Flaws = FLAWS

    def __post_init__(self) -> None:
        if not 1 <= self.maps <= 1000:
            raise MicrorunError(f"an experiment has 1 to 1,000 maps a case; got {self.maps}")
        if not 0 <= self.seed < 1 << 62:
            raise MicrorunError(f"a seed is 0 to 2⁶² − 1; got {self.seed}")

    def describe(self, case: Case) -> str:
        """All that a case's maps follow from, as JSON."""
        return json.dumps({**dataclasses.asdict(self), "case": dataclasses.asdict(case)}, sort_keys=True, indent=1)

    @property
    def names(self) -> dict[str, Plane]:
        """Names of a case's maps, in their order, and the plane of each."""
        along = math.ceil(self.maps / ACROSS_PER_ALONG)
        counts: dict[Plane, int] = {"across": self.maps, "along": along}
        return {f"{plane}_{number:03}": plane for plane, count in counts.items() for number in range(count)}

    def case_seed(self, case: Case) -> int:
        """Seed of a case."""
        return self.seed + SEEDS_APART * (case.number + 1)


class Measured(NamedTuple):
    """A map, the name of its file, and its plane."""

    name: str
    plane: Plane
    map: OrientationMap


def measure_case(experiment: Experiment, case: Case) -> list[Measured]:
    """Maps of a case, across and along; it runs on one core.

    Parameters
    ----------
    experiment, case
        What to simulate.

    Raises
    ------
    MicrorunError
        If nothing melts.
    """
    longest = max(experiment.maps * SPACING_UM, SIDES["along"] * STEP_UM + 4 * JITTER_UM)
    plan = dataclasses.replace(experiment.plan, length_um=max(longest, experiment.plan.length_um))
    try:
        process = dataclasses.replace(experiment.process, power_w=case.power_w, speed_m_s=case.speed_m_s)
        field = finish(compute_field(process, kind=experiment.kind, step_um=experiment.field_step_um, threads=1))
        spins = finish(grow_part(field, plan, experiment.case_seed(case), threads=1))
    except MicrorunError as error:
        raise MicrorunError(f"{case.name}: {error}") from None
    return list(_measure(experiment, case, plan, spins))


def run_experiment(experiment: Experiment, cases: Sequence[Case], folder: Path, executor: Executor) -> Job[list[Path]]:
    """Simulate and measure the cases that are missing in a folder, with a record of progress after each.

    Parameters
    ----------
    experiment, cases
        What to simulate.
    folder
        Of the cases' folders of .ang files, made if need be.
    executor
        That simulates, such as `local_processes`.

    Returns
    -------
    list of Path
        The cases' folders, in their order.

    Raises
    ------
    MicrorunError
        If a case cannot be simulated, or a worker dies: the others are finished first, and kept.
    OutputError
        If the folder holds a case of another experiment, or a file cannot be written.
    """
    places = {case: folder / case.name for case in cases}
    missing = [case for case, place in places.items() if not _is_done(place, experiment.describe(case))]
    make = partial(measure_case, experiment)
    yield from work_off(
        executor, make, lambda case, maps: _write_case(places[case], experiment, case, maps), missing, len(cases)
    )
    return list(places.values())


def _measure(experiment: Experiment, case: Case, plan: PottsPlan, spins: Spins) -> Iterator[Measured]:
    generator = np.random.default_rng([experiment.case_seed(case), 1])
    found, grains = np.unique(spins, return_inverse=True)
    downwards: NDArray[np.int32] = grains.reshape(spins.shape)[::-1].astype(np.int32)  # the surface comes first
    orientations = random_orientations(len(found), generator)
    step = STEPS_UM[case.number % len(STEPS_UM)]
    for name, plane in experiment.names.items():
        number = int(name.removeprefix(f"{plane}_"))
        if plane == "across":
            x = int((number + 0.5) * downwards.shape[2] / experiment.maps)
            raster = _place(plane, plan.middle(plan.tracks // 2), step, plan, generator)
            seen = resample_grains(downwards[:, :, x], raster)
        else:
            seen = _see_along(number, downwards, step, plan, generator)
        yield Measured(name, plane, measure_map(seen, orientations, step, experiment.flaws, generator))


def _see_along(
    number: int, grains: NDArray[np.int32], step: float, plan: PottsPlan, generator: np.random.Generator
) -> NDArray[np.int32]:
    """A plane near the middle of a track, the laser travelling to the right."""
    track, aside = number % plan.tracks, number // plan.tracks % 3 - 1
    y = plan.middle(track) + plan.cells(aside * ASIDE_UM + generator.uniform(-JITTER_UM, JITTER_UM))
    half = plan.cells(SIDES["along"] * STEP_UM / 2 + JITTER_UM)
    middle = int(generator.integers(half, max(grains.shape[2] - half, half) + 1))
    raster = _place("along", middle, step, plan, generator)
    return resample_grains(grains[:, y, :: -1 if track % 2 else 1], raster)


def _place(plane: Plane, middle: int, step: float, plan: PottsPlan, generator: np.random.Generator) -> Raster:
    """Points of a map about a column of cells, from the surface on."""
    count = math.ceil(SIDES[plane] * STEP_UM / step)
    off = generator.uniform((0, -JITTER_UM), (plan.cell_um, JITTER_UM)) / plan.cell_um
    pitch = step / plan.cell_um
    return Raster(count, count, pitch, (pitch / 2 + off[0], middle + off[1] - (count - 1) / 2 * pitch))


def _is_done(place: Path, settings: str) -> bool:
    """Whether a case is there; OutputError if it is of another experiment."""
    if not place.exists():
        return False
    stated = place / SETTINGS
    if stated.is_file() and stated.read_text(encoding="utf-8", errors="replace") == settings:
        return True
    raise OutputError(f"{place}: is a case of an experiment with other settings; remove it, or choose another folder")


def _write_case(place: Path, experiment: Experiment, case: Case, maps: Sequence[Measured]) -> None:
    """Write a case's folder beside, and rename it when all is in it."""
    beside = name_beside(place)
    notes = [
        f"Emulated experiment, no measurement: {case.power_w:g} W, {case.speed_m_s:g} m/s, {case.name}.",
        "The surface is at the top, the build direction points up.",
    ]
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        for one in maps:
            write_ang_map(
                beside / f"{one.name}.ang", one.map, AUSTENITE, [*notes, f"A section {one.plane} the tracks."]
            )
        (beside / SETTINGS).write_text(experiment.describe(case), encoding="utf-8")
        beside.rename(place)
    except OSError as error:
        raise cannot_write(place, error) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
