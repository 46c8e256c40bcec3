"""All that is measured of a set of sections, condition by condition, beside a reference where there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import SectionsError
from microrun.runtime.progress import Job, Progress
from microrun.runtime.sections.distributions import (
    Compared,
    Estimate,
    Groups,
    Side,
    average,
    choose_groups,
    compare_samples,
    estimate_mean,
)
from microrun.runtime.sections.grains import SectionGrains, find_grains
from microrun.runtime.sections.inclination import (
    Borders,
    Leaning,
    find_borders,
    measure_across,
    measure_along,
    measure_depth,
)
from microrun.runtime.sections.kid import (
    FEWEST,
    Distance,
    average_distance,
    describe_sections,
    kernel_distance,
    scale_features,
)
from microrun.runtime.sections.measures import MEASURES, Sample, measure_sections
from microrun.runtime.sections.section_set import SectionSet

SAMPLE = "sample"  # origin of what a model drew
SMALLEST = 16  # cells of a side, below which nothing is measured
POWER_DIGITS, SPEED_DIGITS = 3, 5  # to which conditions are the same


@dataclass(frozen=True, order=True)
class Condition:
    """Power and speed that sections were made with."""

    power_w: float
    speed_m_s: float

    def seed(self, seed: int) -> int:
        """Seed of this condition's own draws, so that they are independent of the others'."""
        place = [seed, round(self.power_w * 10**POWER_DIGITS), round(self.speed_m_s * 10**SPEED_DIGITS)]
        return int(np.random.SeedSequence(place).generate_state(1)[0])

    def __str__(self) -> str:
        return f"{self.power_w:.4g} W, {self.speed_m_s:.3g} m/s"


@dataclass(frozen=True, eq=False)
class Measured:
    """A set of sections with what is measured of each.

    Parameters
    ----------
    sections
        The set.
    grains, samples, borders
        Of all sections.
    descriptors
        (n, d) float64, from `describe_sections`.
    """

    sections: SectionSet
    grains: SectionGrains
    samples: Mapping[str, Sample]
    borders: Borders
    descriptors: Float64

    def conditions(self) -> dict[Condition, NDArray[np.int64]]:
        """Numbers of the sections of each condition, which rise."""
        power = self.sections.power_w.round(POWER_DIGITS)
        pairs = np.stack([power, self.sections.speed_m_s.round(SPEED_DIGITS)], axis=1)
        found, member = np.unique(pairs, axis=0, return_inverse=True)
        return {Condition(*map(float, pair)): np.flatnonzero(member == n) for n, pair in enumerate(found)}

    def side(self, name: str, chosen: NDArray[np.int64]) -> Side:
        """One measure of some sections, whose numbers rise."""
        sample, number = self.samples[name], np.full(len(self.sections), -1, np.int32)
        number[chosen] = np.arange(len(chosen))
        inside = number[sample.section] >= 0
        return Side(Sample(sample.values[inside], number[sample.section[inside]]), self.groups(chosen))

    def alone(self, condition: Condition) -> bool:
        """Whether the sections of a condition are several of one case, which resemble each other.

        Samples do not: each is drawn for itself.
        """
        case = self.sections.case[self.conditions()[condition]]
        return self.sections.origin != SAMPLE and len(case) > 1 and len(np.unique(case)) == 1

    def groups(self, chosen: NDArray[np.int64]) -> Groups:
        """Which of some sections are drawn together."""
        return choose_groups(self.sections.case[chosen])


@dataclass(frozen=True, eq=False)
class ConditionReport:
    """What was measured of the sections of one power and speed.

    Parameters
    ----------
    condition
        Power and speed.
    sections, cases
        Numbers of them.
    means
        Mean of each of `MEASURES`.
    leaning
        How grains lean; None where it cannot be said.
    depth
        In µm, to which grains are columnar.
    compared
        Each of `MEASURES` beside the reference; empty where that has none of this condition.
    distance
        Kernel distance from the reference's; None without one.
    """

    condition: Condition
    sections: int
    cases: int
    means: Mapping[str, Estimate]
    leaning: Leaning | None
    depth: Estimate
    compared: Mapping[str, Compared]
    distance: Distance | None


@dataclass(frozen=True, eq=False)
class Report:
    """What was measured of a set, and how it differs from a reference.

    Parameters
    ----------
    own, reference
        What was measured of the sections; None without a reference.
    by_id
        Whether grain ids told grains apart, rather than orientations.
    conditions
        In rising order of power, then speed.
    overall
        Means over the conditions that both have; empty without a reference.
    distance
        Mean kernel distance of these; None without a reference, or with too few sections.
    unmatched
        Conditions of either side that the other has not.
    hatch_um
        Distance of tracks that was used, None where it is not known.
    """

    own: Measured
    reference: Measured | None
    by_id: bool
    conditions: Sequence[ConditionReport]
    overall: Mapping[str, Compared]
    distance: Distance | None
    unmatched: Sequence[Condition]
    hatch_um: float | None

    def shared(self, measured: Measured) -> NDArray[np.int64]:
        """Numbers of the sections of one side whose condition the other has too; all without a reference."""
        left_out = set(self.unmatched)
        found = [chosen for condition, chosen in measured.conditions().items() if condition not in left_out]
        return np.sort(np.concatenate(found))


def report_sections(
    own: SectionSet, reference: SectionSet | None = None, hatch_um: float | None = None, seed: int = 0
) -> Job[Report]:
    """Measure sections, and compare them with those of a reference at the same power and speed.

    Parameters
    ----------
    own
        The set.
    reference
        One of the same plane, cells and size.
    hatch_um
        Distance of the tracks, for the lean across them.
    seed
        Of the draws behind intervals.

    Returns
    -------
    Report

    Raises
    ------
    SectionsError
        If the sets do not belong together, have no condition in common, or their sections are too small.
    """
    check_together(own, reference)
    by_id = own.grain is not None and (reference is None or reference.grain is not None)
    steps = 2 if reference is None else 3
    yield Progress(0, steps, "finding grains")
    ours = measure_set(own, by_id)
    theirs = None
    if reference is not None:
        yield Progress(1, steps, "finding grains of the reference")
        theirs = measure_set(reference, by_id)
    yield Progress(steps - 1, steps, "drawing sections anew")
    at, expected = ours.conditions(), {} if theirs is None else theirs.conditions()
    common = [condition for condition in at if condition in expected]
    if theirs is not None and not common:
        raise SectionsError(
            f"the reference has no sections of the same power and speed: it has {_listed(expected)}; "
            f"the sections have {_listed(at)}"
        )
    reports = [
        _report_condition(condition, _Pair(ours, chosen, theirs, expected.get(condition)), hatch_um, seed)
        for condition, chosen in at.items()
    ]
    matched = [report for report in reports if report.compared]
    overall = {name: average([report.compared[name] for report in matched]) for name in MEASURES if matched}
    distance = average_distance([report.distance for report in matched if report.distance is not None])
    yield Progress(steps, steps)
    return Report(
        ours, theirs, by_id, reports, overall, distance,
        sorted(set(at) ^ set(expected)) if theirs is not None else [], hatch_um,
    )  # fmt: skip


def measure_set(sections: SectionSet, by_id: bool) -> Measured:
    """Measure every section of a set.

    Parameters
    ----------
    sections
        The set.
    by_id
        As `find_grains` takes it.

    Raises
    ------
    SectionsError
        If the sections are too small.
    """
    rows, cols = sections.orientation.shape[1:]
    if min(rows, cols) < SMALLEST:
        raise SectionsError(f"sections are at least {SMALLEST}×{SMALLEST} cells to be measured; got {rows}×{cols}")
    grains = find_grains(sections, by_id)
    samples, borders = measure_sections(grains, sections.step_um), find_borders(grains.labels)
    return Measured(sections, grains, samples, borders, describe_sections(grains, samples, borders))


def check_together(own: SectionSet, reference: SectionSet | None) -> None:
    """Refuse a reference of another plane, or of sections of another size.

    Raises
    ------
    SectionsError
        If they do not belong together.
    """
    if reference is None:
        return
    if own.plane != reference.plane:
        raise SectionsError(f"the sections lie {own.plane} the tracks, those of the reference {reference.plane}")
    sizes = [f"{'×'.join(map(str, one.orientation.shape[1:]))} cells of {one.step_um:g} µm" for one in (own, reference)]
    if sizes[0] != sizes[1]:
        raise SectionsError(f"the sections have {sizes[0]}, those of the reference {sizes[1]}: counts do not compare")


@dataclass(frozen=True, eq=False)
class _Pair:
    """Sections of one condition on both sides; None where the reference has none."""

    ours: Measured
    chosen: NDArray[np.int64]
    theirs: Measured | None
    expected: NDArray[np.int64] | None


def _report_condition(condition: Condition, pair: _Pair, hatch_um: float | None, seed: int) -> ConditionReport:
    ours, chosen = pair.ours, pair.chosen
    # samples of one number begin from the same noise in every condition: they are drawn together
    own_seed, seed = seed if ours.sections.origin == SAMPLE else None, condition.seed(seed)
    sections, groups, borders = ours.sections, ours.groups(chosen), ours.borders.take(chosen)
    leaning = measure_along(borders, groups, seed) if sections.plane == "along" else None
    if sections.plane == "across" and hatch_um is not None:
        leaning = measure_across(borders, hatch_um / sections.step_um, groups, seed)
    compared, distance = {}, None
    if pair.theirs is not None and pair.expected is not None:
        theirs, expected = pair.theirs, pair.expected
        compared = {
            name: compare_samples(
                name, ours.side(name, chosen), theirs.side(name, expected), sections.step_um, seed, own_seed
            )
            for name in MEASURES
        }
        if min(len(chosen), len(expected)) >= FEWEST:
            distance = kernel_distance(*_scale(pair, theirs, expected), theirs.groups(expected), seed)
    depth = measure_depth(borders, groups, sections.step_um, seed)
    means = {name: estimate_mean(ours.side(name, chosen), seed) for name in MEASURES}
    cases = len(np.unique(sections.case[chosen]))
    return ConditionReport(condition, len(chosen), cases, means, leaning, depth, compared, distance)


def _scale(pair: _Pair, theirs: Measured, expected: NDArray[np.int64]) -> tuple[Float64, Float64]:
    """Descriptors of both sides in units of their spread over the whole reference, which few sections do not tell."""
    scaled, reference = scale_features(pair.ours.descriptors[pair.chosen], theirs.descriptors)
    return scaled, reference[expected]


def _listed(conditions: Mapping[Condition, object]) -> str:
    shown = "; ".join(str(condition) for condition in list(conditions)[:4])
    return shown + ("; …" if len(conditions) > 4 else "")
