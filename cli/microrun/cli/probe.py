"""`microrun probe`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from microrun.cli import console
from microrun.cli.outputs import OverwriteOption, say_wrote
from microrun.cli.simulate.scan import ELECTRONS, SHADING
from microrun.runtime.array_types import Float32
from microrun.runtime.engines.catalogue import DEFAULT_ENGINE
from microrun.runtime.engines.engine import Engine
from microrun.runtime.engines.lanes import run_all
from microrun.runtime.engines.open import open_engine
from microrun.runtime.errors import ScanError
from microrun.runtime.files.destination import check_folder, made_folder
from microrun.runtime.files.output import write_text, written_together
from microrun.runtime.maps.compared_models import check_alike, name_engines
from microrun.runtime.maps.indexing import Geometry, Indexer
from microrun.runtime.patterns.background import mean_background
from microrun.runtime.patterns.prepared import prepare_patterns
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.progress import finish
from microrun.runtime.scans.truth import Truth, load_truth
from microrun.runtime.scans.up_source import FileSource

if TYPE_CHECKING:
    from microrun.runtime.maps.probes import Measured
    from microrun.training.simulate.sample import Sample

MAP_SHAPE, GRAINS, PARTICLES = (48, 64), 20, 24
SCATTERED = (16, 150)  # grains, points of each
CENTRE = (0.42, 0.79, 0.50)

Table = dict[str, dict[str, dict[str, float]]]  # question, probe or map, noise


def probe(
    engine: Annotated[
        list[str] | None,
        typer.Option(
            help="An encoder's .onnx file, or the name of a built-in model; may be repeated.",
            show_default=DEFAULT_ENGINE,
        ),
    ] = None,
    folder: Annotated[
        Path, typer.Option(help="Folder for the scans and tables; scans that are there are kept.")
    ] = Path("probes"),
    seed: Annotated[int, typer.Option(min=0, help="Of the samples and the noise.")] = 500,
    overwrite: OverwriteOption = False,
) -> None:
    """Ask whether latent maps mean something: simulate samples with known truth, and probe.

    How well do latents recover deformation, small rotations, grain boundaries and particles, against
    conventional maps of the same patterns, at three levels of noise? Writes probes.md and probes.json.
    """
    tables = [folder / "probes.md", folder / "probes.json"]
    check_folder(folder, [path.name for path in tables], overwrite)
    engines = [open_engine(name) for name in dict.fromkeys(engine or [DEFAULT_ENGINE])]
    for opened in engines:
        opened.spec.require("encoder", source=opened.info.path.name, task="encoding")
    check_alike(engines)
    table: Table = {}
    with made_folder(folder), written_together(tables, overwrite) as made:
        for noise in ELECTRONS:
            with console.step(f"noise {noise}: simulating, indexing, probing"):
                _probe_noise(engines, folder, noise, seed, table)
        write_text(made[0], "\n".join(_markdown(question, rows) for question, rows in table.items()))
        write_text(made[1], _json(table))
    for question, rows in table.items():
        console.results.print(f"\n{question}", style="bold")
        console.print_rows(("", *(f"{noise} noise" for noise in ELECTRONS)), _lines(rows))
    console.out.print()
    say_wrote(*tables)


def _probe_noise(engines: list[Engine], folder: Path, noise: str, seed: int, table: Table) -> None:
    from microrun.runtime.maps import probes
    from microrun.training.simulate.sample import Recipe, grow_sample, scatter_sample

    recipe = Recipe(particles=PARTICLES, shading=SHADING)
    even = Recipe(blur_px=(0.8, 2.4), subgrain_deg=(0.2, 2.0), shading=SHADING)
    grains = _load_or_simulate(folder / f"grains-{noise}.up2", scatter_sample(*SCATTERED, seed, even), noise, seed)
    grown = _load_or_simulate(folder / f"map-{noise}.up2", grow_sample(MAP_SHAPE, GRAINS, seed, recipe), noise, seed)
    for source, truth in (grains, grown):
        measured, latents = _measure(source, engines, truth)
        for name, values in zip(name_engines(engines), latents, strict=True):
            found = (
                probes.probe_grains(values, measured, truth)
                if source is grains[0]
                else probes.probe_map(values, measured, truth, source.scan)
            )
            _collect(found, f"{name}: ", noise, table)


def _load_or_simulate(path: Path, sample: Sample, noise: str, seed: int) -> tuple[FileSource, Truth]:
    from microrun.training.simulate.patterns import Exposure, PatternSimulator
    from microrun.training.simulate.scan import simulate_scan

    if not path.exists():
        exposure = Exposure(electrons=ELECTRONS[noise], gain=30_000 / ELECTRONS[noise])
        finish(simulate_scan(path, sample, PatternSimulator((120, 120), CENTRE), exposure, seed))
    truth = load_truth(path)
    if truth is None or not np.array_equal(truth.rotations, sample.rotations[sample.cell]):
        raise ScanError(f"{path}: is of another sample or seed; choose another --folder")
    return FileSource(path), truth


def _measure(source: FileSource, engines: list[Engine], truth: Truth) -> tuple[Measured, list[Float32]]:
    from microrun.runtime.maps.probes import measure

    spec = engines[0].spec
    preprocessor = Preprocessor(spec.preprocessing, source.scan.sig_shape)
    background = mean_background(source, preprocessor)
    batches = list(prepare_patterns(source, preprocessor, background, np.arange(source.available)))
    indexer = Indexer(
        Geometry(truth.pattern_centre, sample_tilt=truth.sample_tilt), source.scan.sig_shape, preprocessor.input_shape
    )
    patterns = np.concatenate([batch.patterns for batch in batches])[:, None]
    measured = finish(measure(batches, preprocessor.pixel_keep, indexer))
    return measured, [run_all(opened, patterns) for opened in engines]


def _collect(found: dict[str, dict[str, float]], prefix: str, noise: str, table: Table) -> None:
    for question, values in found.items():
        rows = table.setdefault(question, {})
        for name, value in values.items():
            full = prefix + name if name.startswith("latents") else name
            rows.setdefault(full, {})[noise] = value


def _lines(rows: dict[str, dict[str, float]]) -> list[list[str]]:
    latents_first = sorted(rows.items(), key=lambda row: "latents" not in row[0])
    return [[name, *(f"{value:.3f}" for value in values.values())] for name, values in latents_first]


def _json(table: Table) -> str:
    """Table as JSON, which has no NaN: where there was but one class to tell apart, null."""
    known = {
        question: {
            name: {noise: None if math.isnan(value) else value for noise, value in values.items()}
            for name, values in rows.items()
        }
        for question, rows in table.items()
    }
    return json.dumps(known, indent=1) + "\n"


def _markdown(question: str, rows: dict[str, dict[str, float]]) -> str:
    head = f"| {question} | " + " | ".join(f"{noise} noise" for noise in ELECTRONS) + " |"
    lines = [head, "|---" * (1 + len(ELECTRONS)) + "|", *("| " + " | ".join(line) + " |" for line in _lines(rows))]
    return "\n".join(lines) + "\n"
