"""`microrun models`."""

from __future__ import annotations

from microrun.cli import _console
from microrun.runtime.engine import find_decoder_of, list_models, read_model_spec

COLUMNS = {
    "indexed": "{:.1%}",
    "misorientation_deg": "{:.2f}°",
    "truth_deg": "{:.2f}°",
    "correlation": "{:.2f}",
    "held_out_r2": "{:.2f}",
}


def models() -> None:
    """List the built-in models, with what indexing says of their reconstructions."""
    rows = []
    for path in list_models():
        spec = read_model_spec(path)
        size = sum(file.stat().st_size for file in (path, find_decoder_of(path)))
        metrics = spec.training.metrics
        numbers = [form.format(metrics[name]) if name in metrics else "" for name, form in COLUMNS.items()]
        rows.append([path.stem, str(spec.latent_size), _console.size_text(size), *numbers])
    _console.print_rows(
        ("model", "D", "size", "indexed", "misorientation", "from truth", "correlation", "held-out R²"), rows
    )
    for path in list_models():
        training = read_model_spec(path).training
        _console.out.print(
            f"\n{path.stem}  {training.patterns:,} patterns, {training.steps:,} steps, {training.licence}"
        )
        _console.out.print(f"  trained on {training.data}")
