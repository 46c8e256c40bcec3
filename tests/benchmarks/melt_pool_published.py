"""Widths and depths of single tracks in 316L as published, beside those of the fields.

    python tests/benchmarks/melt_pool_published.py

prints the table of docs/meltpool.md: conduction with the defaults; with the depth of the published law and its
absorptivity of 0.6; and with absorptivity and depth fitted to one track of each source, by the field that reaches it.

The tracks are those of MeltpoolNet (Akbari et al., Additive Manufacturing 55, 2022, 102817), by its numbers of sources.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from microrun.runtime.errors import MicrorunError
from microrun.runtime.progress import finish
from microrun.training.simulate.melt_pool.calibrate import Target, calibrate
from microrun.training.simulate.melt_pool.depth_law import ABSORPTIVITY, published_depth
from microrun.training.simulate.melt_pool.field import FieldKind
from microrun.training.simulate.melt_pool.material import STEEL_316L
from microrun.training.simulate.melt_pool.measure import measure_pool
from microrun.training.simulate.melt_pool.process import Process
from microrun.training.simulate.melt_pool.solve import compute_field

STEP_UM = 4.0


class Track(NamedTuple):
    """A single track: power in W, speed in m/s, depth and width in µm."""

    power: float
    speed: float
    depth: float
    width: float | None = None


class Source(NamedTuple):
    """Tracks of one publication; the beam's diameter in µm, and the track that is fitted, and by which field."""

    number: int
    beam_um: float
    fitted: int
    kind: FieldKind
    tracks: list[Track]


SOURCES = [
    Source(57, 54.0, 1, "conduction", [Track(150, 0.5, 120), Track(150, 0.8, 67), Track(200, 0.5, 195),
                                       Track(200, 0.8, 116)]),
    Source(20, 37.5, 1, "conduction", [Track(100, 0.5, 99, 110), Track(100, 0.8, 46, 80), Track(100, 1.0, 46, 73),
                                       Track(200, 0.5, 288, 158), Track(200, 0.8, 128, 141),
                                       Track(200, 1.0, 98, 129)]),
    Source(67, 35.0, 1, "conduction", [Track(100, 0.5, 55, 110), Track(150, 0.5, 65, 130), Track(200, 0.5, 75, 150),
                                       Track(100, 1.0, 37.5, 75), Track(200, 1.0, 55, 110)]),
    Source(56, 70.0, 0, "flow", [Track(150, 0.5, 25, 137), Track(200, 0.5, 34, 179), Track(200, 0.7, 46, 142)]),
]  # fmt: skip


def main() -> None:
    print("| source, beam | power, speed | published | defaults | depth law | fitted |")
    print("|---|---|---:|---:|---:|---:|")
    for source in SOURCES:
        found, note = fit(source)
        for number, track in enumerate(source.tracks):
            process = process_of(source, track)
            cells = [size_text(track.width, track.depth), size_of(process)]
            cells.append(size_of(law_of(process)))
            mark = " (fitted)" if found and number == source.fitted else ""
            own = replace(process, absorptivity=found.absorptivity, depth_um=found.depth_um) if found else None
            cells.append(size_of(own, source.kind) + mark if own else "–")
            place = f"{source.number}, {source.beam_um:g} µm | {track.power:g} W, {track.speed:g} m/s"
            print(f"| {place} | {' | '.join(cells)} |", flush=True)
        print(f"source {source.number}: {note}", flush=True)


def process_of(source: Source, track: Track) -> Process:
    return Process(track.power, track.speed, beam_radius_um=source.beam_um / 2)


def law_of(process: Process) -> Process | None:
    """With the published depth of the source, which was made for a beam of 40 µm radius; None where it gives none."""
    try:
        depth = published_depth(replace(process, beam_radius_um=40.0))
    except MicrorunError:
        return None
    return replace(process, absorptivity=ABSORPTIVITY, depth_um=depth)


def fit(source: Source) -> tuple[Process | None, str]:
    """The process that gives the fitted track, and what to say of it."""
    track = source.tracks[source.fitted]
    start = process_of(source, track)
    if track.width is None:  # one size: the depth of the law, and only the absorptivity is found
        start = replace(start, depth_um=published_depth(replace(start, beam_radius_um=40.0)))
    try:
        field = finish(calibrate(start, STEEL_316L, Target(track.width, track.depth), source.kind, STEP_UM))
    except MicrorunError as error:
        return None, str(error)
    process = field.process
    return process, f"absorptivity {process.absorptivity:.3g}, depth {process.depth_um:.3g} µm by {source.kind}"


def size_of(process: Process | None, kind: FieldKind = "conduction") -> str:
    if process is None:
        return "–"
    pool = measure_pool(finish(compute_field(process, STEEL_316L, kind, STEP_UM)))
    return size_text(pool.width_um, pool.depth_um)


def size_text(width: float | None, depth: float) -> str:
    return f"{'–' if width is None else f'{width:.0f}'} × {depth:.0f}"


if __name__ == "__main__":
    main()
