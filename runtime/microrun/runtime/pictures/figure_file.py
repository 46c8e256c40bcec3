"""Figures written to files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from microrun.runtime.files.output import written_beside
from microrun.runtime.pictures.fonts import find_letters

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf", "jpg")
ENDINGS = tuple(f".{name}" for name in FORMATS)
DPI = 150  # pixels per inch


def save_figure(figure: Figure, path: str | Path, dpi: int = DPI, cut: bool = True) -> None:
    """Write a picture beside and rename it.

    Parameters
    ----------
    figure
        Any figure.
    path
        The file to make or replace; its ending says the format, one of `FORMATS`. Another ending gets a PNG.
    dpi
        Pixels per inch.
    cut
        Cut white margins.

    Raises
    ------
    OutputError
        If it cannot be written.

    Warns
    -----
    FontWarning
        If a text has letters that no installed font has; the picture shows question marks.

    Examples
    --------
    >>> from microrun.runtime import draw_overview, open_latents, save_figure
    >>> with open_latents("scan.latents.h5") as latents:
    ...     save_figure(draw_overview(latents), "overview.png")
    """
    ending = Path(path).suffix.lower().removeprefix(".").replace("jpeg", "jpg")
    find_letters(figure)
    with written_beside(Path(path)) as beside:
        figure.savefig(
            beside,
            dpi=dpi,
            format=ending if ending in FORMATS else "png",
            bbox_inches="tight" if cut else None,
            pad_inches=0.08,
        )
