"""Sections cut out of a part, across its tracks and along them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.sections.orientations import TABLE_1
from microrun.runtime.sections.section_set import Plane, SectionSet
from microrun.training.simulate.solidify.build import Part
from microrun.training.simulate.solidify.grains import Grains
from microrun.training.simulate.solidify.plan import Plan

ACROSS, ALONG = 100, 64  # cells of a side
SPACING = 5  # cells from one section across to the next: closer ones are nearly the same
ASIDE = (-4, 0, 4)  # cells from the middle of a track, of sections along it


def cut_sections(part: Part, case: int = 0) -> list[SectionSet]:
    """Cut sections that begin at the surface: across about the middle track, and along the middle of each track.

    Of a part that is smaller than 100×100 cells across, or 64×64 along, they show as much as there is.

    Parameters
    ----------
    part
        Its grains.
    case
        Number that the sections bear.

    Returns
    -------
    list of SectionSet
        Across, then along.
    """
    return [
        _make_set(part, case, "across", list(_cut_across(part))),
        _make_set(part, case, "along", list(_cut_along(part))),
    ]


def section_shapes(plan: Plan, window: tuple[int, int, int]) -> dict[Plane, tuple[int, int]]:
    """Cells (rows, columns) that sections of a part will show, before it is built.

    Parameters
    ----------
    plan
        Of the part.
    window
        Cells of the window that moves with the laser, along z, y, x.
    """
    height, width, length = plan.shape(window)
    middle = plan.track_side(plan.tracks // 2) + window[1] // 2
    side = 2 * min(middle, width - middle)
    return {
        "across": (min(ACROSS, height), min(ACROSS, side)),
        "along": (min(ALONG, height), min(ALONG, length)),
    }


def _cut_across(part: Part) -> Iterator[Grains]:
    middle = part.track_middle(part.plan.tracks // 2)
    width = part.grains.orientation.shape[1]
    side = min(ACROSS, 2 * min(middle, width - middle))
    rows = slice(middle - side // 2, middle + side // 2)
    for x in range(SPACING // 2, part.grains.orientation.shape[2], SPACING):
        yield _as_seen(part.grains.view(slice(-ACROSS, None), rows, slice(x, x + 1)), axis=2)


def _cut_along(part: Part) -> Iterator[Grains]:
    length = part.grains.orientation.shape[2]
    side = min(ALONG, length)
    for track in range(part.plan.tracks):
        towards = -1 if track % 2 else 1  # the laser travels to the right
        for aside in ASIDE:
            y = part.track_middle(track) + aside
            for x in range(0, length - side + 1, side):
                seen = part.grains.view(slice(-ALONG, None), slice(y, y + 1), slice(x, x + side))
                yield _as_seen(seen, axis=1).view(slice(None), slice(None, None, towards))


def _as_seen(grains: Grains, axis: int) -> Grains:
    """A plane with its rows from top to bottom."""
    return Grains(grains.orientation.squeeze(axis)[::-1], grains.grain_id.squeeze(axis)[::-1])


def _make_set(part: Part, case: int, plane: Plane, seen: list[Grains]) -> SectionSet:
    count, process = len(seen), part.field.process
    grain: NDArray[np.int32] = np.stack([one.grain_id for one in seen])
    return SectionSet(
        orientation=np.stack([one.orientation for one in seen]),
        grain=grain,
        power_w=np.full(count, process.power_w),
        speed_m_s=np.full(count, process.speed_m_s),
        case=np.full(count, case, np.int32),
        euler=TABLE_1,
        plane=plane,
        step_um=part.plan.cell_um,
        origin="simulation",
        details={
            "field": part.field.kind,
            "process": json.dumps(dataclasses.asdict(process)),
            "plan": json.dumps(dataclasses.asdict(part.plan)),
            "laws": json.dumps(dataclasses.asdict(part.laws)),
            "tally": json.dumps(dataclasses.asdict(part.tally)),
        },
    )
