"""ExaCA's files of melting events: ``x,y,z,tm,tl,cr`` in m, s and K/s, as text or as ``.catemp``.

One line an event: where, when the point becomes liquid, when it is at the liquidus for the last time, and how fast it
cools from there (https://github.com/LLNL/ExaCA). AdditiveFOAM calls the fifth ``ts``. A ``.catemp`` holds the same six
numbers an event, float64, the lowest byte first, and nothing else.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import MicrorunError, first_line
from microrun.runtime.files.output import written_beside
from microrun.training.simulate.melt_pool.field import MovingField
from microrun.training.simulate.melt_pool.material import Material
from microrun.training.simulate.melt_pool.process import Process
from microrun.training.simulate.solidify.events import History
from microrun.training.simulate.solidify.laws import Laws
from microrun.training.simulate.solidify.window import cut_window

COLUMNS = ("x", "y", "z", "tm", "tl", "cr")
ALSO = {"ts": "tl"}
EVENT_BYTES = 8 * len(COLUMNS)
FINEST_UM, COARSEST_UM = 0.5, 3.0  # beyond, fronts in 5 µm move half as fast again as in 2 µm
SAME_M = 20e-9  # positions closer than this are one: files round
OFF_LATTICE = 0.1  # of a step, by which positions may be off
MOST_GAPS = 0.01  # of the points that melt
MOST_CELLS = 1 << 31


# So many cells are taken whatever melts of them; of more, one in so many melts at least, or a point lies far off.
FEW_CELLS, CELLS_EACH = 10_000_000, 1000


def read_exaca(path: Path, process: Process, material: Material) -> tuple[History, list[str]]:
    """Read a file of melting events.

    Parameters
    ----------
    path
        ``.csv`` or ``.catemp``.
    process
        Power and speed that made it.
    material
        Whose liquidus it is.

    Returns
    -------
    (History, list of str)
        And what was done to it, a line each.

    Raises
    ------
    MicrorunError
        If it cannot be read, is truncated, has other columns, values that are not possible, points off a cubic
        lattice, events that overlap, or gaps in more than a hundredth of what melts.
    """
    rows = _read_binary(path) if path.suffix.lower() == ".catemp" else _read_text(path)
    if not len(rows):
        raise MicrorunError(f"{path}: contains no melting event")
    _check_values(path, rows)
    unique = np.unique(rows, axis=0)
    notes = [] if len(unique) == len(rows) else [f"lines that stood there twice, left out: {len(rows) - len(unique):,}"]
    place, step_um = _find_lattice(path, unique[:, :3])
    times = unique[:, 3:]
    _check_overlaps(path, place, times)
    gaps = _find_gaps(place)
    if len(gaps) > MOST_GAPS * len(np.unique(place, axis=0)):
        raise MicrorunError(
            f"{path}: {len(gaps):,} points of its lattice of {step_um:g} µm do not melt although all six around them "
            "do: lines are missing; write it again, whole"
        )
    if len(gaps):
        place, times = _fill_gaps(place, times, gaps)
        notes.append(f"points missing, filled with the events of the one before along x: {len(gaps):,}")
    order = np.lexsort((place[:, 2], place[:, 1], place[:, 0], times[:, 0]))
    melt_s, liquid_s, rate = np.ascontiguousarray(times[order].T)
    return History(np.ascontiguousarray(place[order]), melt_s, liquid_s, rate, step_um, process, material), notes


def _read_binary(path: Path) -> Float64:
    try:
        size = path.stat().st_size
        if size % EVENT_BYTES:
            raise MicrorunError(
                f"{path}: is truncated, or not a .catemp: {size:,} bytes, where an event has {EVENT_BYTES}"
            )
        return np.fromfile(path, "<f8").reshape(-1, len(COLUMNS)).astype(np.float64, copy=False)
    except OSError as error:
        raise MicrorunError(f"{path}: cannot be read ({error.strerror})") from None


def _read_text(path: Path) -> Float64:
    """The columns by their titles, in whatever order."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            titles = [title.strip().lower() for title in file.readline().split(",")]
            titles = [ALSO.get(title, title) for title in titles]
            if sorted(titles) != sorted(COLUMNS):
                raise MicrorunError(
                    f"{path}: the first line names the columns {','.join(COLUMNS)} (ts for tl), in m, s and K/s; got "
                    f"{','.join(titles)[:80]!r}"
                )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of a file without events, which is refused below
                rows = np.loadtxt(file, delimiter=",", ndmin=2)
    except OSError as error:
        raise MicrorunError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise MicrorunError(
            f"{path}: below the titles, lines of {len(COLUMNS)} numbers ({first_line(error)})"
        ) from None
    if rows.size and rows.shape[1] != len(COLUMNS):
        raise MicrorunError(f"{path}: below the titles, lines of {len(COLUMNS)} numbers; got {rows.shape[1]}")
    return rows.reshape(-1, len(COLUMNS))[:, [titles.index(name) for name in COLUMNS]]


def _check_values(path: Path, rows: Float64) -> None:
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        raise MicrorunError(
            f"{path}: {bad.sum():,} of {len(rows):,} events contain values that are not numbers, the first is event "
            f"{bad.argmax() + 1:,}"
        )
    for problem, wrong in (
        ("cools by 0 K/s or less from its liquidus on (cr)", rows[:, 5] <= 0),
        ("solidifies before it melts (tl below tm)", rows[:, 4] < rows[:, 3]),
    ):
        if wrong.any():
            number = int(wrong.argmax())
            values = ", ".join(f"{name} {value:g}" for name, value in zip(COLUMNS, rows[number], strict=True))
            raise MicrorunError(
                f"{path}: event {number + 1:,} {problem}: {values} (so do {wrong.sum() - 1:,} more); columns are "
                f"{','.join(COLUMNS)} in m, s and K/s"
            )


def _find_lattice(path: Path, positions: Float64) -> tuple[NDArray[np.int32], float]:
    """Place of each position on a cubic lattice, z, y, x, and its step in µm."""
    low = positions.min(axis=0)
    counts, steps = zip(*map(_median_step, positions.T), strict=True)
    if not any(steps):
        raise MicrorunError(f"{path}: all events are at one point; the step of a lattice cannot be told")
    step = max(zip(counts, steps, strict=True))[1]  # of the axis that shows it most often
    where = f"{path}: points stand {' × '.join(f'{one * 1e6:.4g}' if one else 'one' for one in steps)} µm apart"
    if not FINEST_UM <= round(step * 1e6, 6) <= COARSEST_UM:
        raise MicrorunError(f"{where}; expected positions in m on a cubic lattice of {FINEST_UM:g} to {COARSEST_UM:g} "
                            "µm, which are the cells of the phase field")  # fmt: skip
    sides = np.round((positions.max(axis=0) - low) / step)
    if np.prod(sides + 1) > min(MOST_CELLS, max(FEW_CELLS, CELLS_EACH * len(positions))):
        raise MicrorunError(f"{where}, and {' × '.join(f'{side:,.0f}' for side in sides)} steps in all: too many cells")
    if sides.max() > 0:  # the longest side tells the step best
        longest = int(sides.argmax())
        step = float((positions[:, longest].max() - low[longest]) / sides[longest])
    offset = (positions - low) / step
    place = np.round(offset)
    off = np.abs(offset - place).max(axis=1) > OFF_LATTICE
    if off.any():
        raise MicrorunError(
            f"{where}, but {off.sum():,} of {len(off):,} are off a cubic lattice of {step * 1e6:.4g} µm; resample "
            "them, or write more digits"
        )
    return np.ascontiguousarray(place[:, ::-1].astype(np.int32)), float(f"{step * 1e6:.6g}")


def _median_step(values: Float64) -> tuple[int, float]:
    """How many steps there are between positions along an axis, and how long they usually are; 0 without any."""
    apart = np.diff(np.unique(values))
    apart = apart[apart > SAME_M]
    return len(apart), float(np.median(apart)) if len(apart) else 0.0


def _check_overlaps(path: Path, place: NDArray[np.int32], times: Float64) -> None:
    order = np.lexsort((times[:, 0], place[:, 2], place[:, 1], place[:, 0]))
    same = (place[order[1:]] == place[order[:-1]]).all(axis=1)
    over = same & (times[order[1:], 0] < times[order[:-1], 1])
    if over.any():
        number = int(over.argmax())
        first, second = times[order[number]], times[order[number + 1]]
        raise MicrorunError(
            f"{path}: {over.sum():,} events begin while the one before at the same point is liquid still, such as "
            f"tm {second[0]:g} s after tm {first[0]:g}, tl {first[1]:g} s; join them"
        )


def _find_gaps(place: NDArray[np.int32]) -> NDArray[np.int32]:
    """Points that never melt while all around them do, (m, 3); above the highest plane counts as molten."""
    from scipy.ndimage import binary_erosion, generate_binary_structure

    molten = np.zeros(place.max(axis=0) + 1, np.bool_)
    molten[tuple(place.T)] = True
    open_top = np.pad(molten, ((1, 1), (1, 1), (1, 1)))
    open_top[-1] = True
    around = generate_binary_structure(3, 1)
    around[1, 1, 1] = False
    surrounded = binary_erosion(open_top, around)[1:-1, 1:-1, 1:-1]
    return np.argwhere(surrounded & ~molten).astype(np.int32)


def _fill_gaps(place: NDArray[np.int32], times: Float64, gaps: NDArray[np.int32]) -> tuple[NDArray[np.int32], Float64]:
    key = np.ravel_multi_index(tuple(place.T), tuple(place.max(axis=0) + 1))
    beside = np.ravel_multi_index(tuple((gaps - (0, 0, 1)).T), tuple(place.max(axis=0) + 1))
    order = np.argsort(key, kind="stable")
    first, stop = (np.searchsorted(key[order], beside, side) for side in ("left", "right"))
    taken = np.concatenate([order[a:b] for a, b in zip(first, stop, strict=True)])
    filled = np.repeat(gaps, stop - first, axis=0)
    return np.concatenate([place, filled]), np.concatenate([times, times[taken]])


def write_exaca(path: Path, field: MovingField, laws: Laws, cell_um: float, length_um: float) -> int:
    """Write one quasi-steady track of a melt pool as ExaCA's text file.

    The track is as it is in the middle of a long one, from end to end. The surface is at z = 0. The rate is the mean
    one between liquidus and solidus.

    Parameters
    ----------
    path
        The ``.csv`` to make or replace.
    field
        Of the melt pool.
    laws
        Which temperature is hot.
    cell_um
        Step of the lattice.
    length_um
        Of the track.

    Returns
    -------
    int
        Lines below the titles.

    Raises
    ------
    MicrorunError
        If nothing melts, or the box cuts the pool off.
    OutputError
        If it cannot be written.
    """
    window = cut_window(field, laws, cell_um)
    temperature = window.table.temperature.astype(np.float64)
    molten = np.argwhere(window.molten)
    speed = field.process.speed_m_s
    profiles = temperature[tuple(molten.T)]
    liquidus, solidus = field.material.liquidus_k, field.material.solidus_k
    behind = [_crossing(profile, liquidus) for profile in profiles]
    front = [len(profile) - 1 - _crossing(profile[::-1], liquidus) for profile in profiles]
    solid = [_crossing(profile, solidus) for profile in profiles]
    seconds = cell_um * 1e-6 / speed
    rate = (liquidus - solidus) / ((np.array(behind) - np.array(solid)) * seconds)
    lead = temperature.shape[2]
    heights = (molten[:, 0] + 0.5 - temperature.shape[0]) * cell_um * 1e-6
    sides = (molten[:, 1] + 0.5 - temperature.shape[1] / 2) * cell_um * 1e-6
    columns = round(length_um / cell_um)
    with written_beside(path) as beside, beside.open("w", encoding="ascii", newline="\n") as file:
        file.write(",".join(COLUMNS) + "\n")
        for column in range(columns):
            x = np.full(len(molten), (column + 0.5) * cell_um * 1e-6)
            times = [(column + lead - np.array(places)) * seconds for places in (front, behind)]
            np.savetxt(file, np.stack([x, sides, heights, *times, rate], axis=1), "%.9e", ",")
    return columns * len(molten)


def _crossing(profile: Float64, level: float) -> float:
    """Where a profile first rises above a level, by linear interpolation, in cells."""
    above = int((profile > level).argmax())
    if above == 0:
        return 0.0
    return float(above - (profile[above] - level) / (profile[above] - profile[above - 1]))
