"""`microrun maps`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from microrun.cli import console
from microrun.cli.feature_numbers import parse_features
from microrun.cli.outputs import CmapOption, OverwriteOption, RecolourOption, say_next, say_wrote
from microrun.runtime.errors import MicrorunError
from microrun.runtime.files.destination import check_folder, made_folder
from microrun.runtime.files.lock import QUIET_S, has_writer
from microrun.runtime.files.output import written_together
from microrun.runtime.files.stems import stem_of
from microrun.runtime.latents.reader import Latents, open_latents
from microrun.runtime.pictures import latent_maps as draw
from microrun.runtime.pictures.colour_maps import check_cmap
from microrun.runtime.pictures.figure_file import DPI, FORMATS, save_figure
from microrun.runtime.pictures.panels import SIGNED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WATCH_S = 2.0  # between looks
SHARE = 4  # times as long as it has drawn, it leaves the processor to the run


def maps(
    latents: Annotated[Path, typer.Argument(help="A latents file, finished or growing.")],
    features: Annotated[
        str | None, typer.Option(help="Numbers of features to draw, such as 3-7,12; by default an overview.")
    ] = None,
    montage: Annotated[bool, typer.Option("--montage", help="All features, small.")] = False,
    pca: Annotated[bool, typer.Option("--pca", help="Principal components as colours.")] = False,
    folder: Annotated[Path | None, typer.Option(help="Folder of the pictures; by default that of LATENTS.")] = None,
    picture_format: Annotated[str, typer.Option("--format", help="png, svg, pdf or jpg.")] = "png",
    dpi: Annotated[int, typer.Option(help="Pixels per inch; a panel is 3.2 inches wide.", min=10, max=1200)] = DPI,
    cmap: CmapOption = None,
    recolour: RecolourOption = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Draw anew when a growing file has grown, until its run ends, or Ctrl-C.")
    ] = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Draw latent maps.

    Without options: the principal components as colours, beside the five features with the most spatial
    structure. Where the model states axes of the colours they are the same for all scans.
    """
    if picture_format not in FORMATS:
        raise MicrorunError(f"--format must be {', '.join(FORMATS)}; got {picture_format!r}")
    asked = _Asked(features, SIGNED if cmap is None else check_cmap(cmap), dpi, recolour, overwrite)
    names = _choose({"features": features is not None, "montage": montage, "pca": pca}, cmap)
    paths = {name: name_picture(latents, folder, name).with_suffix(f".{picture_format}") for name in names}
    place = folder or latents.parent
    with open_latents(latents) as opened:  # what is no latents file is refused first
        check_folder(place, [path.name for path in paths.values()], overwrite)
        growing = opened.growing
    with made_folder(place):
        if watch and growing:
            growing = _watch(latents, paths, asked)
        else:
            with console.step("drawing"):
                growing = _draw_all(latents, paths, asked)
            say_wrote(*paths.values())
    if not growing:  # else there is nothing to analyse yet
        say_next("analyse", latents)


def _choose(wanted: Mapping[str, bool], cmap: str | None) -> list[str]:
    """Which pictures are drawn."""
    names = [name for name, asked in wanted.items() if asked] or ["overview"]
    if cmap is not None and names == ["pca"]:
        raise MicrorunError("--cmap colours features; --pca draws colours itself: leave out --cmap")
    return names


class _Asked(NamedTuple):
    """Options of the drawing."""

    features: str | None
    cmap: str
    dpi: int
    recolour: bool
    overwrite: bool


def _draw_all(latents: Path, paths: Mapping[str, Path], asked: _Asked) -> bool:
    """Draw what is there; returns whether there will be more."""
    with open_latents(latents) as opened:
        figures = {name: _draw(opened, name, asked) for name in paths}
        growing = opened.growing
    with written_together([paths[name] for name in figures], asked.overwrite) as made:
        for figure, path in zip(figures.values(), made, strict=True):
            save_figure(figure, path, asked.dpi)
    return growing


def _watch(latents: Path, paths: Mapping[str, Path], asked: _Asked) -> bool:
    """Draw whenever there is more, until the run ends or Ctrl-C; returns whether there will be more."""
    drawn, seen, growing, pause_s, grew_at = 0, 0, True, WATCH_S, time.monotonic()
    try:
        while growing:
            quiet_s = time.monotonic() - grew_at  # a writer on another machine is not known: wait before it is gone
            gone = quiet_s >= QUIET_S and not has_writer(latents, quiet_s)
            with open_latents(latents) as opened:
                written, total, growing = opened.written, opened.origin.scan.total, opened.growing
                telling = bool((written & ~opened.flags).any())
            there = int(written.sum())
            if there != seen:
                seen, grew_at, gone = there, time.monotonic(), False
            if (there != drawn and telling) or not growing:
                started = time.monotonic()
                growing = _draw_all(latents, paths, asked)
                pause_s = max(WATCH_S, SHARE * (time.monotonic() - started))
                if not drawn:
                    say_wrote(*paths.values())
                drawn, asked = there, asked._replace(overwrite=True)  # what it has made it draws anew
                console.out.print(f"drawn    {there:,} of {total:,} patterns")
            if growing and gone:
                console.warning_line(f"{latents}: nobody writes it any more; go on with its run by encode --resume")
                break
            if growing:
                time.sleep(pause_s)
    except KeyboardInterrupt:  # the usual way to end it
        return growing
    return growing


def name_picture(source: Path, folder: Path | None, name: str) -> Path:
    """Name a picture after the file it shows.

    Parameters
    ----------
    source
        The file.
    folder
        Where the picture goes; None for beside the file.
    name
        What tells pictures of the same file apart.
    """
    return (folder or source.parent) / f"{stem_of(source).removesuffix('.latents')}.{name}.png"


def _draw(latents: Latents, name: str, asked: _Asked) -> Figure:
    if asked.features is not None and name == "features":
        return draw.draw_features(latents, list(dict.fromkeys(parse_features(asked.features))), asked.cmap)
    if name == "pca":
        return draw.draw_principal_colours(latents, recolour=asked.recolour)
    if name == "montage":
        return draw.draw_montage(latents, asked.cmap)
    return draw.draw_overview(latents, asked.cmap, recolour=asked.recolour)
