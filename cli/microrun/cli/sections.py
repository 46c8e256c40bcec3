"""`microrun sections`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from microrun.cli import console
from microrun.cli.outputs import OverwriteOption, say_wrote
from microrun.runtime.errors import SectionsError
from microrun.runtime.files.destination import check_folder, made_folder
from microrun.runtime.files.output import write_text
from microrun.runtime.pictures.figure_file import save_figure
from microrun.runtime.pictures.sections import (
    draw_process_map,
    draw_representatives,
    draw_section_histograms,
    draw_trends,
)
from microrun.runtime.sections.kid import FEWEST
from microrun.runtime.sections.network_distance import NetworkDistance, measure_by_network
from microrun.runtime.sections.report import Measured, Report, report_sections
from microrun.runtime.sections.report_tables import TITLES, condition_rows, overall_rows, to_csv, to_json
from microrun.runtime.sections.section_set import Plane, SectionSet, find_hatch, held_planes, read_sections

WRITTEN = (".csv", ".json", ".representative.png", ".histograms.png", ".map.png", ".trends.png")


def sections(
    file: Annotated[Path, typer.Argument(help="Sections: simulated, drawn by a model, or cut from measured maps.")],
    reference: Annotated[Path | None, typer.Option(help="Sections to compare with, such as an experiment's.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Folder to write to; by default that of FILE.")] = None,
    plane: Annotated[Plane | None, typer.Option(help="Which; by default across, if FILE holds them.")] = None,
    hatch_um: Annotated[
        float | None, typer.Option(help="Distance of the tracks in µm, for the lean; by default what FILE states.")
    ] = None,
    inception: Annotated[
        Path | None, typer.Option(help="An Inception network as .onnx, for FID; none is downloaded.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws behind the intervals.")] = 0,
    overwrite: OverwriteOption = False,
) -> None:
    """Measure the grains of sections, and compare them with those of a reference.

    Intercepts of every line, areas, aspect ratios, how grains lean and, along
    the tracks, how deep the last pool reached, with intervals of 95 % from
    sections drawn anew. docs/sections-measures.md defines each number.

    Writes all numbers (.csv, .json), and pictures: representative sections,
    histograms, a process map, and what power and speed change.
    """
    if hatch_um is not None and not 0 < hatch_um < math.inf:
        raise SectionsError(f"--hatch-um is the distance of the tracks, more than 0; got {hatch_um:g}")
    if inception is not None and reference is None:
        raise SectionsError("--inception compares with a reference; give --reference")
    chosen = plane or held_planes(file)[0]
    place, name = folder or file.parent, f"{file.stem}.{chosen}"
    check_folder(place, [name + ending for ending in WRITTEN], overwrite)
    own = read_sections(file, chosen)
    other = None if reference is None else read_sections(reference, chosen)
    hatch = hatch_um or find_hatch(own) or (None if other is None else find_hatch(other))
    with console.progress_bar("measuring", "steps") as bar:
        report = console.watch(report_sections(own, other, hatch, seed), bar)
    network = None
    if inception is not None:
        with console.step("computing features"):
            network = measure_by_network(report, inception, seed)
    about = {"file": str(file), "reference": None if reference is None else str(reference), **_about(report, network)}
    paths = [place / f"{name}.csv", place / f"{name}.json"]
    with made_folder(place):
        write_text(paths[0], to_csv(report))
        write_text(paths[1], to_json(report, about))
        with console.step("drawing"):
            paths += _draw(report, place, name)
    _print(report, network)
    say_wrote(*paths)


def _draw(report: Report, folder: Path, name: str) -> list[Path]:
    figures = {"representative": draw_representatives(report), "histograms": draw_section_histograms(report)}
    if len(report.conditions) > 1:
        figures |= {"map": draw_process_map(report.own.sections), "trends": draw_trends(report)}
    paths = [folder / f"{name}.{kind}.png" for kind in figures]
    for path, figure in zip(paths, figures.values(), strict=True):
        save_figure(figure, path)
    return paths


def _print(report: Report, network: NetworkDistance | None) -> None:
    for title, side in (("sections", report.own), ("reference", report.reference)):
        if side is not None:
            console.out.print(f"{title:<9} {_summary(side)}")
    by = "grain ids" if report.by_id else "orientations (of twenty random ones, every twentieth border is not seen)"
    console.out.print(f"grains    told apart by {by}")
    _print_alone(report)
    if report.unmatched:
        left_out = "; ".join(map(str, report.unmatched))
        console.warning_line(f"on one side only, and left out of the comparison: {left_out}")
    titles, rows = condition_rows(report)
    console.print_rows(titles, rows)
    if report.overall:
        console.results.print(
            "\nbeside the reference, means over conditions; by chance: between halves of the reference"
        )
        console.print_rows(TITLES, overall_rows(report))
        console.results.print(f"KID on physics descriptors, mean over conditions: {_kid(report)}")
    if network is not None:
        _print_network(network)
    if report.own.sections.plane == "across" and report.hatch_um is None:
        console.warning_line("the lean needs the distance of the tracks, which no file states; give --hatch-um")


def _print_alone(report: Report) -> None:
    """Say where intervals and what chance gives are of the sections of one case."""
    for title, side, too in (
        ("sections", report.own, "intervals are too narrow"),
        ("reference", report.reference, "intervals are too narrow, and what chance gives is too little"),
    ):
        if side is not None:
            used = set(side.conditions()) - (set(report.unmatched) if side is report.reference else set())
            alone = sum(map(side.alone, used))
            if alone:
                console.out.print(f"{title:<9} of one case in {alone} of {len(used)} conditions: their {too}")


def _kid(report: Report) -> str:
    distance = report.distance
    if distance is None:
        return f"needs {FEWEST} sections of a condition on both sides"
    floor = "unknown, of too few" if math.isnan(distance.floor) else f"below {distance.floor:.3g}"
    return f"{distance.value:.3g} (95 % of halves of the reference: {floor})"


def _print_network(network: NetworkDistance) -> None:
    console.results.print(
        f"FID {network.fid:.4g} ({network.fid_floor:.4g} between halves of the reference), "
        f"KID {network.kid.value:.3g}, by {network.path} (SHA-256 {network.sha256[:16]}…)"
    )
    fewest = min(network.sections, network.reference)
    if fewest <= network.features:
        console.warning_line(
            f"FID of {fewest:,} sections with {network.features:,} features is mostly bias: trust KID, or more sections"
        )


def _summary(side: Measured) -> str:
    grains, one = side.grains, side.sections
    filled = f", {grains.filled.mean():.2%} of the cells not indexed and filled" if grains.filled.any() else ""
    return (
        f"{len(one):,} {one.plane} the tracks, {one.origin}, {len(np.unique(one.case)):,} cases, "
        f"{len(grains.section):,} grains; {grains.n_removed:,} smaller than 4 µm joined neighbours "
        f"({grains.removed.mean():.2%} of the area){filled}"
    )


def _about(report: Report, network: NetworkDistance | None) -> dict[str, object]:
    about: dict[str, object] = {
        "plane": report.own.sections.plane,
        "grains_by": "id" if report.by_id else "orientation",
    }
    for title, side in (("sections", report.own), ("reference_sections", report.reference)):
        if side is not None:
            about[title] = _about_side(side)
    about |= {"unmatched": list(map(str, report.unmatched)), "hatch_um": report.hatch_um}
    if network is not None:
        about["network"] = {
            "file": str(network.path),
            "sha256": network.sha256,
            "fid": network.fid if math.isfinite(network.fid) else None,
            "fid_between_halves": network.fid_floor if math.isfinite(network.fid_floor) else None,
            "kid": network.kid.value if math.isfinite(network.kid.value) else None,
        }
    return about


def _about_side(side: Measured) -> dict[str, object]:
    one: SectionSet = side.sections
    return {
        "count": len(one),
        "origin": one.origin,
        "cases": len(np.unique(one.case)),
        "grains": len(side.grains.section),
        "removed_grains": side.grains.n_removed,
        "removed_share": float(side.grains.removed.mean()),
        "filled_share": float(side.grains.filled.mean()),
        "details": dict(one.details),
    }
