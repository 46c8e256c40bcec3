"""`microrun models`."""

from __future__ import annotations

import json
from pathlib import Path

from microrun.cli import console
from microrun.cli.everywhere import JsonOption
from microrun.cli.model_words import METRICS, describe_metrics
from microrun.runtime.engines.catalogue import list_denoisers, list_models
from microrun.runtime.engines.open import find_decoder_of, read_model_spec

COLUMNS = ("bands", "right", "indexed", "misorientation_deg", "truth_deg", "correlation")


def models(as_json: JsonOption = False) -> None:
    """List the built-in models: encoders, with what indexing says of their reconstructions, and denoisers."""
    encoders, denoisers = list_models(), list_denoisers()
    if as_json:
        console.print_json([_facts(path) for path in (*encoders, *denoisers)])
        return
    known = {name for path in encoders for name in read_model_spec(path).training.metrics}
    columns = {name: METRICS[name] for name in COLUMNS if name in known}
    titles = ("model", "D", "size", *(title for title, _ in columns.values()))
    forms = {name: form for name, (_, form) in columns.items()}
    console.print_rows(titles, [_encoder_row(path, forms) for path in encoders])
    for path in encoders:
        _print_training(path, "patterns")
    if denoisers:
        console.out.print()
        console.print_rows(("denoiser", "block", "colours", "timesteps", "size"), list(map(_denoiser_row, denoisers)))
    for path in denoisers:
        _print_training(path, "samples")
        metrics = describe_metrics(dict(read_model_spec(path).training.metrics))
        console.out.print("  " + ", ".join(f"{name} {value}" for name, value in metrics.items()))


def _facts(path: Path) -> dict[str, object]:
    """All that a model's file states, and where it is."""
    stated = json.loads(read_model_spec(path).to_json())
    return {"name": path.stem, "file": str(path), "bytes": path.stat().st_size, **stated}


def _encoder_row(path: Path, forms: dict[str, str]) -> list[str]:
    spec = read_model_spec(path)
    size = sum(file.stat().st_size for file in (path, find_decoder_of(path)))
    metrics = spec.training.metrics
    numbers = [form.format(metrics[name]) if name in metrics else "" for name, form in forms.items()]
    return [path.stem, str(spec.latent_size), console.size_text(size), *numbers]


def _denoiser_row(path: Path) -> list[str]:
    diffusion = read_model_spec(path).diffusion
    assert diffusion is not None
    block, timesteps = "×".join(map(str, diffusion.sides)), diffusion.schedule.training_steps
    return [path.stem, block, str(diffusion.n_colours), str(timesteps), console.size_text(path.stat().st_size)]


def _print_training(path: Path, unit: str) -> None:
    spec = read_model_spec(path)
    training = spec.training
    console.out.print(f"\n{path.stem}  {training.patterns:,} {unit}, {training.steps:,} steps, {training.licence}")
    if spec.domain:
        console.out.print(f"  knows {spec.domain}")
    console.out.print(f"  trained on {training.data}")
