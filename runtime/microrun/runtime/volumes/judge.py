"""A verdict on grains: every measure beside a reference, and beside what chance makes of that reference."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from microrun.runtime.array_types import Float64
from microrun.runtime.volumes.compare import HEADLINE, Comparison, collect_measures, compare_measures
from microrun.runtime.volumes.measure import Grains
from microrun.runtime.volumes.measured import MeasuredFile
from microrun.runtime.volumes.printed import Printed, Standing, join_printed
from microrun.runtime.volumes.tally import SPECK_VOXELS, StageSizes, Tally, add_up

MANY_SPECKS = 0.01  # of the grains


@dataclass(frozen=True, eq=False)
class Side:
    """All files of one side, their grains taken together.

    Parameters
    ----------
    files
        At least one, of lengths in one unit.
    """

    files: Sequence[MeasuredFile]

    @property
    def grains(self) -> list[Grains]:
        """Grains of each volume."""
        return [grains for file in self.files for grains in file.grains.values()]

    @property
    def n_interior(self) -> int:
        """Number of grains that are known to be whole."""
        return sum(int(np.count_nonzero(grains.interior)) for grains in self.grains)

    @property
    def tally(self) -> Tally:
        """Counts of voxels of all volumes."""
        return functools.reduce(operator.add, (file.tally for file in self.files))

    @property
    def stages(self) -> StageSizes | None:
        """Sizes by stage of all volumes; None where some have none."""
        return add_up(file.stages for file in self.files)

    @property
    def printed(self) -> list[Printed]:
        """Rows and columns of each volume; empty unless they were measured in all files."""
        return [one for file in self.files for one in file.printed] if all(file.printed for file in self.files) else []

    def summarise(self) -> list[dict[str, object]]:
        """For each file its name and what it holds."""
        return [{"file": file.source, "voxel_um": file.voxel_um, **_count(file)} for file in self.files]


@dataclass(frozen=True, eq=False)
class Judgement:
    """Grains beside a reference.

    Parameters
    ----------
    own, reference
        Both sides; None without a reference.
    interior
        Comparisons of the measures in `HEADLINE`, of grains that are whole.
    every
        Comparisons of all measures, of all grains, as they were published.
    """

    own: Side
    reference: Side | None
    interior: list[Comparison]
    every: list[Comparison]

    @property
    def verdicts(self) -> dict[str, str]:
        """What the distances of interior grains mean, by measure; none without a reference."""
        return {row.measure: row.verdict for row in self.interior if row.verdict}

    @property
    def sides(self) -> list[Side]:
        """The volume, and the reference if there is one."""
        return [self.own] + ([] if self.reference is None else [self.reference])

    @property
    def standing(self) -> list[Standing]:
        """How the grains of each side stand, of printed metal: rows at the distance of the reference's; else empty."""
        measured = [side.printed for side in self.sides]
        if not all(measured):
            return []
        if len(measured) == 1:
            return [join_printed(measured[0])]
        theirs = join_printed(measured[1])
        return [join_printed(measured[0], theirs.rows.period), theirs]


def judge(own: Side, reference: Side | None) -> Judgement:
    """Compare both sides.

    Parameters
    ----------
    own, reference
        What to judge, and what to compare it with; without a reference medians and means are all.

    Returns
    -------
    Judgement
        Comparisons of interior grains and of all.
    """
    compared = [
        compare_measures(gather(own, inside), None if reference is None else gather(reference, inside))
        for inside in (True, False)
    ]
    headline = [row for row in compared[0] if row.measure in HEADLINE]
    return Judgement(own, reference, headline, compared[1])


def gather(side: Side, interior: bool) -> dict[str, Float64]:
    """Measures of all grains of a side, or of the interior ones, as `collect_measures`."""
    return collect_measures(side.grains, interior)


def warn_of(judgement: Judgement) -> list[str]:
    """What makes a comparison doubtful.

    Parameters
    ----------
    judgement
        What was compared.

    Returns
    -------
    list of str
        Sentences without a full stop.
    """
    said = [f"{file.source}: {remark}" for side in judgement.sides for file in side.files for remark in file.remarks]
    sizes = {file.absorbed_voxels for side in judgement.sides for file in side.files}
    if len(sizes) > 1:
        said.append(
            f"smaller grains have joined others below {' or '.join(f'{size}' for size in sorted(sizes))} voxels, not "
            f"alike in all files; --min-voxels {max(sizes)} makes them alike"
        )
    elif judgement.reference is not None and sizes.pop() < SPECK_VOXELS:
        said += _warn_of_specks(judgement.sides)
    if not judgement.interior:
        said.append("all grains touch the volume's faces or the outside, so that none is known to be whole")
    elif judgement.reference is not None and not judgement.verdicts:
        said.append("no grain of the reference is known to be whole, so that there is no verdict")
    return said


def _warn_of_specks(sides: Sequence[Side]) -> list[str]:
    """Specks that are taken for grains, if they are many: a voxel is as round as nothing else."""
    specks = sum(side.tally.specks for side in sides)
    grains = sum(len(one.grain_id) for side in sides for one in side.grains)
    if specks <= MANY_SPECKS * grains:
        return []
    return [
        f"{specks:,} specks are compared among {grains:,} grains, and change every measure; --min-voxels "
        f"{SPECK_VOXELS} absorbs them on both sides"
    ]


def to_facts(judgement: Judgement, in_um: bool) -> dict[str, object]:
    """All numbers, as JSON can hold them.

    Parameters
    ----------
    judgement
        What was compared.
    in_um
        Whether lengths are in µm, else in voxels.

    Returns
    -------
    dict of str to object
        ``file`` and ``reference`` with what they hold, ``interior`` and ``measures`` (of all grains), lists, and
        ``verdicts`` by measure. What is not known is null. Of printed metal ``standing``, a list for each side.
    """
    standing = [_finite(dataclasses.asdict(one)) for one in judgement.standing]
    return {
        **judgement.own.summarise()[0],
        "in_um": in_um,
        "reference": [] if judgement.reference is None else judgement.reference.summarise(),
        "verdicts": judgement.verdicts,
        "interior": [_to_dict(row) for row in judgement.interior],
        "measures": [_to_dict(row) for row in judgement.every],
        **({"standing": standing} if standing else {}),
    }


def _finite(value: Any) -> Any:
    """The same with null for numbers that JSON lacks."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, tuple):
        return [_finite(one) for one in value]
    return value if np.isfinite(value) else None


def _to_dict(row: Comparison) -> dict[str, object]:
    return {**dataclasses.asdict(row), "verdict": row.verdict or None}


def _count(file: MeasuredFile) -> dict[str, object]:
    touching = np.concatenate([grains.touches_boundary for grains in file.grains.values()])
    counts: dict[str, object] = {
        "volumes": len(file.grains),
        "grains": len(touching),
        "at_boundary": float(touching.mean()),
        "interior_grains": int(np.count_nonzero(~touching)),
        "absorbed_below_voxels": file.absorbed_voxels,
        "speck_share": file.tally.speck_share,
        "specks": file.tally.specks,
        "unstable_share": file.tally.unstable_share if file.tally.surrounded else None,
    }
    if file.stages is not None:
        known = [float(size) if np.isfinite(size) else None for size in file.stages.relative]
        counts["size_by_stage"] = known
        counts["size_of_later_stages"] = file.stages.later if np.isfinite(file.stages.later) else None
    return counts
