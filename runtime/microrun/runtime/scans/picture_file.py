"""One pattern from a TIFF, PNG or BMP file; nothing else here knows Pillow."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from microrun.runtime.array_types import Raw
from microrun.runtime.errors import ScanError, first_line
from microrun.runtime.files.extras import install_command
from microrun.runtime.scans.scan import MAX_SIDE

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("TIFF", "PNG", "BMP")
COLOURED = {"RGB", "RGBA", "P", "PA", "LA"}


def require_pillow(path: Path) -> None:
    """Refuse pictures where Pillow is missing.

    Parameters
    ----------
    path
        What was to be read, for the message.

    Raises
    ------
    ScanError
        With what installs it.
    """
    try:
        import PIL.Image  # noqa: F401
    except ModuleNotFoundError:
        raise ScanError(f"{path}: pictures are read through Pillow; {install_command('pictures')}") from None
    # Threads read pictures, and only the whole process can keep what Pillow says of odd tags and sizes to itself.
    warnings.filterwarnings("ignore", module=r"PIL\.")


def read_picture(path: Path) -> Raw:
    """Read a pattern; Pillow must be there.

    Parameters
    ----------
    path
        A TIFF, PNG or BMP file, grey with 8 or 16 bits, or with colours that are all grey.

    Returns
    -------
    (rows, cols) uint8 or uint16

    Raises
    ------
    ScanError
        If it is damaged or no such picture; the message says why, and leaves the file's name to the caller.
    """
    from PIL import Image

    try:
        with Image.open(path, formats=FORMATS) as image:
            if max(image.size) > MAX_SIDE:
                raise ScanError(f"it has {image.height}×{image.width} pixels, more than any camera")
            return _take_grey(image)
    except ScanError:
        raise
    except Exception as error:  # of damaged files its readers raise whatever comes
        raise ScanError(_say_why(path, error)) from None


def count_pages(path: Path) -> int:
    """Pictures that a file holds, 1 for most; Pillow must be there.

    Parameters
    ----------
    path
        That `read_picture` reads.
    """
    from PIL import Image

    try:
        with Image.open(path, formats=FORMATS) as image:
            return int(getattr(image, "n_frames", 1))
    except Exception:  # as above; whatever is wrong behind the first page is of no matter
        return 1


def _take_grey(image: Image) -> Raw:
    bits = str(getattr(image, "tile", ""))
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16, copy=False)
    if image.mode == "L":
        return np.asarray(image)
    if image.mode not in COLOURED or ";16" in bits:  # 16 bits a colour would lose half of them
        raise ScanError(f"its pixels are not grey of 8 or 16 bits (Pillow's mode {image.mode})")
    colours = np.asarray(image.convert("RGB"))
    if (colours != colours[..., :1]).any():
        raise ScanError("it is coloured; a pattern is grey")
    return np.ascontiguousarray(colours[..., 0])


def _say_why(path: Path, error: Exception) -> str:
    if not path.is_file():
        return "it is gone"
    if path.stat().st_size == 0:
        return "it is empty"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    if "cannot identify" in str(error):
        return "it is not a TIFF, PNG or BMP picture, or is damaged"
    return f"it is damaged: {first_line(error)}"
