"""One door to all textures."""

from __future__ import annotations

from pathlib import Path

from microrun.runtime.errors import TextureError
from microrun.runtime.textures.crystal import settle_crystal
from microrun.runtime.textures.ideal import FORM, Uniform, parse_fibre
from microrun.runtime.textures.measured import SUFFIXES, read_map
from microrun.runtime.textures.odf import read_table
from microrun.runtime.textures.texture import Texture

TABLES = (".txt", ".csv", ".odf")


def open_texture(text: str, phase: str | None = None) -> Texture:
    """Open a texture.

    Parameters
    ----------
    text
        "uniform", a fibre such as "fibre:001@z:15", a map (.ang, .ctf, orix's .h5) or a table of densities (.txt).
    phase
        The crystals, as `point_group` takes them; by default those that a file states, else fcc.

    Returns
    -------
    Texture

    Raises
    ------
    TextureError
        If it is none of these, cannot be read, or is of other crystals.
    """
    if text == "uniform":
        return Uniform(settle_crystal(text, None, phase))
    if text.startswith(("fibre", "fiber")):
        return parse_fibre(text, settle_crystal(text, None, phase))
    path = Path(text)
    if path.suffix.lower() in SUFFIXES:
        return read_map(path, phase)
    if path.suffix.lower() in TABLES:
        return read_table(path, phase)
    kinds = ", ".join((*SUFFIXES, *TABLES))
    raise TextureError(f"a texture is uniform, {FORM}, or a file of {kinds}; got {text!r}")
