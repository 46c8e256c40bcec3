"""What a latents file says of itself where Python shows it: one line, and a table for notebooks."""

from __future__ import annotations

from html import escape
from pathlib import Path

from microrun.runtime.latents.origin import Origin


def summary_line(origin: Origin, state: str) -> str:
    """Map, features, type, model and state of latents, without their file."""
    rows, cols = origin.scan.nav_shape
    spec = origin.spec
    return f"{rows}×{cols} map × {spec.latent_size} features, {origin.dtype}, {spec.name}, {state}"


def summary_html(path: Path, origin: Origin, state: str) -> str:
    """Table of what latents are and what they were made with.

    Parameters
    ----------
    path
        The file.
    origin
        What its latents were made from.
    state
        How much is written, or why that cannot be told.

    Returns
    -------
    str
        One HTML element; all text in it is escaped.
    """
    cells = "".join(
        f'<tr><th style="text-align: left">{escape(name)}</th><td style="text-align: left">{escape(text)}</td></tr>'
        for name, text in _rows(path, origin, state).items()
    )
    return f'<table><caption style="text-align: left">Latents {escape(path.name)}</caption>{cells}</table>'


def _rows(path: Path, origin: Origin, state: str) -> dict[str, str]:
    scan, spec = origin.scan, origin.spec
    (rows, cols), (height, width), (x, y) = scan.nav_shape, scan.sig_shape, scan.step_um
    return {
        "map": f"{rows}×{cols}, {scan.grid}",
        "step": f"{x:g} × {y:g} µm" if x and y else "not stated",
        "features": f"{spec.latent_size}, {origin.dtype}",
        "state": state,
        "patterns": f"{height}×{width} {scan.dtype}, background: {origin.background}",
        "model": spec.name,
        "engine": f"{origin.engine} in {origin.precision}",
        "file": str(path),
    }
