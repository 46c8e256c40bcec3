"""`microrun maps`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from microrun.cli import _console
from microrun.runtime import maps as draw
from microrun.runtime.errors import LatentsError, OutputError
from microrun.runtime.latents import Latents, open_latents

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def maps(
    latents: Annotated[Path, typer.Argument(help="A latents file, finished or growing.")],
    features: Annotated[str | None, typer.Option(help="Numbers of features to draw, such as 17,34.")] = None,
    montage: Annotated[bool, typer.Option("--montage", help="All features, small.")] = False,
    pca: Annotated[bool, typer.Option("--pca", help="Principal components as colours.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the PNGs; by default that of the latents.")] = None,
) -> None:
    """Draw latent maps as PNG.

    Without options: the principal components as colours, beside the five features with the most spatial
    structure.
    """
    folder = out or latents.parent
    if folder.suffix == ".png":
        raise OutputError(f"{folder}: --out is the folder of the pictures")
    folder.mkdir(parents=True, exist_ok=True)
    with open_latents(latents) as opened:
        for name, figure in _figures(opened, features, montage, pca):
            path = folder / f"{latents.name.removesuffix('.h5').removesuffix('.latents')}.{name}.png"
            draw.save_figure(figure, path)
            _console.out.print(f"wrote {path}")


def _figures(latents: Latents, features: str | None, montage: bool, pca: bool) -> list[tuple[str, Figure]]:
    figures = []
    if features is not None:
        figures.append(("features", draw.draw_features(latents, _numbers(features))))
    if montage:
        figures.append(("montage", draw.draw_montage(latents)))
    if pca:
        figures.append(("pca", draw.draw_principal_colours(latents)))
    return figures or [("overview", draw.draw_overview(latents))]


def _numbers(text: str) -> list[int]:
    try:
        return list(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise LatentsError(f"features are numbers with commas between, such as 17,34; got {text!r}") from None
