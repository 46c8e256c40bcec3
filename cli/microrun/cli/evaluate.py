"""`microrun evaluate`."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from microrun.cli import console
from microrun.cli.everywhere import JsonOption
from microrun.cli.outputs import OverwriteOption, say_wrote
from microrun.cli.pattern_centre import (
    STARTING,
    BackgroundOption,
    CentreOption,
    ElevationOption,
    GeometryRequest,
    PhaseOption,
    TiltOption,
    find_geometry,
)
from microrun.cli.scan_name import ScanNameOption
from microrun.runtime.array_types import Float64
from microrun.runtime.encoding.choices import warp_from
from microrun.runtime.engines.catalogue import DEFAULT_ENGINE
from microrun.runtime.engines.engine import Engine, EngineRequest, Precision
from microrun.runtime.engines.open import find_decoder_of, open_engine
from microrun.runtime.errors import ScanError, SpecError
from microrun.runtime.files.destination import check_folder, made_folder
from microrun.runtime.files.output import write_text, written_together
from microrun.runtime.maps.compared_models import check_alike, check_pair, name_engines
from microrun.runtime.maps.indexing import Geometry, Indexer
from microrun.runtime.maps.judge import (
    BANDS_AGAINST,
    JudgeRequest,
    Row,
    judge_model,
    judge_original,
    load_judged,
)
from microrun.runtime.maps.judge_table import to_csv, to_json, to_markdown
from microrun.runtime.patterns.warp import Warp
from microrun.runtime.pictures.figure_file import save_figure
from microrun.runtime.pictures.reconstructions import draw_differences
from microrun.runtime.scans.open import ScanFile, open_scan
from microrun.runtime.scans.scan import parse_grid
from microrun.runtime.scans.truth import load_truth

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WRITTEN = (".md", ".csv", ".json", ".differences.png")
TITLES = (
    "model", "bands", "right", "indexed", "confidence", "quality", "sharpness", "misorientation", "from truth",
    "correlation",
)  # fmt: skip


def evaluate(
    scan: Annotated[Path, typer.Argument(help="A finished scan; a simulated one is compared with its truth too.")],
    engine: Annotated[
        list[str] | None,
        typer.Option(
            help="An encoder, with NAME.decoder.onnx beside it; may be repeated.", show_default=DEFAULT_ENGINE
        ),
    ] = None,
    folder: Annotated[Path, typer.Option(help="Folder for the tables and pictures.")] = Path("evaluation"),
    patterns: Annotated[int, typer.Option(min=1, help="Patterns to judge, evenly spaced over the scan.")] = 2000,
    background: BackgroundOption = "auto",
    pc: CentreOption = None,
    phase: PhaseOption = None,
    tilt: TiltOption = None,
    elevation: ElevationOption = None,
    grid: Annotated[str | None, typer.Option(help="ROWSxCOLS; by default as the file states.")] = None,
    scan_name: ScanNameOption = None,
    warp: Annotated[
        bool,
        typer.Option("--warp", help="Warp patterns to the pattern centre that the models know, as encode --pc does."),
    ] = False,
    precision: Annotated[Precision, typer.Option(help="What to compute in; auto is the fastest.")] = "auto",
    as_json: JsonOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Judge models by the bands that they reconstruct, and by indexing them: Table 1 of Calvat et al.

    Correlates the bands of a scan's patterns with those of their reconstructions, indexes both with PyEBSDIndex, and
    writes the comparison as Markdown, CSV and JSON, beside a picture of originals, reconstructions and differences.
    """
    source = open_scan(scan, parse_grid(grid) if grid else None, scan_name=scan_name)
    paths = [folder / (scan.stem + ending) for ending in WRITTEN]
    check_folder(folder, [path.name for path in paths], overwrite)
    names = engine or [DEFAULT_ENGINE]
    with console.step("opening the models"):
        pairs = [_open_pair(name, precision) for name in dict.fromkeys(names)]
    check_alike([encoder for encoder, _ in pairs])
    spec = pairs[0][0].spec
    geometry = find_geometry(source, background, GeometryRequest(pc, phase, tilt, elevation))
    warped = _find_warp(geometry, [encoder for encoder, _ in pairs]) if warp else None
    indexer = _make_indexer(geometry, warped, source.scan.sig_shape, spec.preprocessing.input_shape)
    request = JudgeRequest(source, background, patterns, _true_rotations(source), warped)
    about: dict[str, object] = {"scan": scan.name, **geometry.to_dict()}
    if warped:
        console.out.print(f"pattern centre {warped}, which the models know")
        about["warped_to"] = list(warped.model)
    with made_folder(folder), written_together(paths, overwrite) as made:
        rows, figure = _judge(request, pairs, indexer)
        for path, text in zip(made, (to_markdown(rows), to_csv(rows), to_json(rows, about)), strict=False):
            write_text(path, text)
        save_figure(figure, made[-1])
    _say(rows)
    say_wrote(*paths)
    if as_json:
        console.print_json(json.loads(to_json(rows, about)))


def _find_warp(geometry: Geometry, encoders: list[Engine]) -> Warp:
    """From the scan's pattern centre to the one that all models know."""
    warps = {warp_from(geometry.pattern_centre, encoder, "--warp") for encoder in encoders}
    if len(warps) > 1:
        centres = "; ".join(sorted(", ".join(f"{value:g}" for value in warp.model) for warp in warps))
        raise SpecError(f"--warp: the models know different pattern centres ({centres}); evaluate them one by one")
    return warps.pop()


def _make_indexer(
    geometry: Geometry, warp: Warp | None, sig_shape: tuple[int, int], input_shape: tuple[int, int]
) -> Indexer:
    """What indexes patterns as they are prepared: those that are warped are seen as the models know them."""
    if warp is None:
        return Indexer(geometry, sig_shape, input_shape)
    return Indexer(replace(geometry, pattern_centre=warp.model), input_shape, input_shape)


def _judge(request: JudgeRequest, pairs: list[tuple[Engine, Engine]], indexer: Indexer) -> tuple[list[Row], Figure]:
    """A row for the originals and one for each model, and the picture of both."""
    encoders = [encoder for encoder, _ in pairs]
    with console.progress_bar("judging") as bar:
        bar(0, min(request.count, request.source.available), STARTING)
        judged = console.watch(load_judged(request, encoders[0].spec, indexer), bar)
        rows, reconstructed = [judge_original(judged)], {}
        for name, (encoder, decoder) in zip(name_engines(encoders), pairs, strict=True):
            row, reconstructed[name] = console.watch(judge_model(judged, encoder, decoder, indexer), bar)
            rows.append(replace(row, name=name))
    with console.step("drawing"):
        return rows, draw_differences(judged, reconstructed)


def _open_pair(name: str, precision: Precision) -> tuple[Engine, Engine]:
    request = EngineRequest(precision)
    encoder = open_engine(name, "auto", request)
    decoder = open_engine(find_decoder_of(name), "auto", request)
    check_pair(encoder, decoder)
    return encoder, decoder


def _true_rotations(source: ScanFile) -> Float64 | None:
    truth = load_truth(source.path)
    if truth is None:
        return None
    if truth.grain.shape != source.scan.nav_shape:
        raise ScanError(f"{source.path}: the truth beside it is of a map of {truth.grain.shape}")
    return truth.rotations.reshape(-1, 4)


def _say(rows: list[Row]) -> None:
    console.print_rows(TITLES, [_cells(row) for row in rows])
    console.out.print(f"medians of {rows[0].patterns:,} patterns; all quantiles are in the tables")
    console.out.print(f"bands: correlated with {BANDS_AGAINST}; correlation: of whole patterns, which flatters a blur")
    console.out.print(f"right: {rows[0].right}")


def _cells(row: Row) -> list[str]:
    ratios = [_median_text(values, "") for values in (row.confidence, row.quality, row.sharpness)]
    angles = [_median_text(values, "°") for values in (row.misorientation_deg, row.truth_deg)]
    shares = [f"{share:.1%}" for share in (row.right.share, row.indexed)]
    return [row.name, _median_text(row.bands, ""), *shares, *ratios, *angles, _median_text(row.correlation, "")]


def _median_text(values: tuple[float, ...] | None, unit: str) -> str:
    return "" if values is None or math.isnan(values[1]) else f"{values[1]:.2f}{unit}"
