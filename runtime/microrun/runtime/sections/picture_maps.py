"""Maps of grains from pictures in the colours of an inverse pole figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.errors import SectionsError, first_line
from microrun.runtime.scans.lattice import connect
from microrun.runtime.sections.grain_map import GrainMap

TOLERANCE = 12  # of 255, between neighbours of one grain: scatter within it, but no other colour of the key
BLACK, WHITE = 16, 253  # up to, and from which on, all three channels say that nothing is indexed
LEAST_MEAN = 4.0  # pixels of a region on average; photographs and noise have fewer
LEAST_COLOUR = 16  # of 255, between the channels somewhere


def read_picture(path: Path, step_um: float | None) -> GrainMap:
    """Read a PNG map: pixels of one colour that hang together are a grain.

    The colours say where grains end, not how they are turned. Black and white pixels are not indexed.

    Parameters
    ----------
    path
        The file: the map alone, a pixel a point, without key, scale bar or frame.
    step_um
        Edge of a pixel in µm, which no picture states.

    Raises
    ------
    SectionsError
        If it cannot be read, the step is not given, or it shows no map.
    ModuleNotFoundError
        If pillow is not installed.
    """
    if step_um is None:
        raise SectionsError(f"{path}: a picture does not state the edge of a pixel; add a column step_um to the labels")
    pixels = _load(path)
    indexed: NDArray[np.bool_] = ~(np.all(pixels <= BLACK, axis=2) | np.all(pixels >= WHITE, axis=2))
    if not indexed.any() or np.ptp(pixels[indexed], axis=1).max() < LEAST_COLOUR:
        raise SectionsError(f"{path}: is not a map in colours of an inverse pole figure: it is black, white or grey")
    numbers = np.arange(indexed.size).reshape(indexed.shape)
    alike = [
        np.stack([one[near], other[near]], axis=1)
        for one, other, near in (
            (numbers[:, :-1], numbers[:, 1:], _near(pixels[:, :-1], pixels[:, 1:])),
            (numbers[:-1], numbers[1:], _near(pixels[:-1], pixels[1:])),
        )
    ]
    grain = connect(np.concatenate(alike), indexed).astype(np.int32)
    mean = indexed.sum() / (grain.max() + 1)
    if mean < LEAST_MEAN:
        raise SectionsError(
            f"{path}: is not a map: regions of one colour have {mean:.1f} pixels on average; "
            "give a PNG as the microscope's program exports it, a pixel a point"
        )
    return GrainMap(grain, (step_um, step_um))


def _near(one: NDArray[np.int16], other: NDArray[np.int16]) -> NDArray[np.bool_]:
    near: NDArray[np.bool_] = (np.abs(one - other) <= TOLERANCE).all(axis=2)
    return near


def _load(path: Path) -> NDArray[np.int16]:
    from PIL import Image

    if not path.is_file():
        raise SectionsError(f"{path}: no such file")
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return np.asarray(image.convert("RGBA").convert("RGB"), np.int16)
    except Exception as error:  # pillow raises whatever it comes across
        raise SectionsError(f"{path}: is not a PNG that can be read ({first_line(error)})") from None
