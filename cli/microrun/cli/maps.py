"""`microrun maps`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from microrun.cli import console
from microrun.cli.convert import parse_features
from microrun.runtime.errors import OutputError
from microrun.runtime.latents.reader import Latents, open_latents
from microrun.runtime.pictures import latent_maps as draw
from microrun.runtime.pictures.panels import save_figure

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
    with open_latents(latents) as opened:
        for name, figure in _draw_figures(opened, features, montage, pca):
            path = name_picture(latents, out, name)
            save_figure(figure, path)
            console.out.print(f"wrote {path}")


def name_picture(source: Path, folder: Path | None, name: str) -> Path:
    """Name a picture after the file it shows; its folder is made.

    Parameters
    ----------
    source
        The file.
    folder
        Where the picture goes; None for beside the file.
    name
        What tells pictures of the same file apart.

    Raises
    ------
    OutputError
        If the folder is named like a picture.
    """
    folder = folder or source.parent
    if folder.suffix == ".png":
        raise OutputError(f"{folder}: --out is the folder of the pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{source.stem.removesuffix('.latents')}.{name}.png"


def _draw_figures(latents: Latents, features: str | None, montage: bool, pca: bool) -> list[tuple[str, Figure]]:
    figures = []
    if features is not None:
        figures.append(("features", draw.draw_features(latents, list(dict.fromkeys(parse_features(features))))))
    if montage:
        figures.append(("montage", draw.draw_montage(latents)))
    if pca:
        figures.append(("pca", draw.draw_principal_colours(latents)))
    return figures or [("overview", draw.draw_overview(latents))]
