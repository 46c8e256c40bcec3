"""What is asked of an encoding run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from microrun.runtime.latents.origin import LatentType
from microrun.runtime.scans.part import Region

BadPixels = Literal["fill", "keep"]


@dataclass(frozen=True)
class EncodeRequest:
    """What to encode, and where to.

    Parameters
    ----------
    scan
        A UP1 or UP2 file, or another that kikuchipy reads. Names as text will do, here and below.
    out
        The latents file.
    follow
        Go on while the scan grows.
    grid, step_um
        Of the map, where the file does not tell.
    background
        "auto" (mean of a finished scan, running mean of a growing one, for a resumed run what it had),
        "running", "none", or a file.
    resume
        Go on with ``out``.
    idle_timeout_s
        When a growing scan counts as ended.
    dtype
        Of the stored latents.
    scan_name
        Which scan of an HDF5 file that holds several.
    bad_pixels
        "fill" those that a finished scan shows to be dead, hot or stuck, from the pixels around, or "keep" them, as
        in the published method. Of a growing scan the first 64 patterns are looked at, for which a running mean
        waits anyway; with another background its pixels are kept. A resumed run goes on as it began.
    scale_background
        Whether each pattern is brought to the brightness of the background before that is subtracted; None for what
        the engine's spec says, and for a resumed run what it had.
    pattern_centre
        (x*, y*, z*) of the scan in EDAX's convention, to warp its patterns to the middle of the pattern centres that
        the model knows; None leaves them as they are, and a resumed run as it began.
    invert
        Whether bands are dark and patterns are turned about; None for what the engine's spec says, and for a resumed
        run what it had.
    overwrite
        Replace ``out`` if it is there. It stays as it was until the new latents are all written beside it, and for good
        if the run is stopped or fails. With ``follow``, where the new ones are looked at while they come, it is
        replaced at once, when the first pattern is there; an ended run is then gone on with by ``resume``.
    region, every
        Rows and columns of a finished scan to encode, as `parse_region` gives them, and only each so many of them; None
        for all, and a resumed run goes on as it began. Background and bad pixels are those of the whole scan, so that
        the latents are, too.

    Examples
    --------
    >>> from microrun.runtime import EncodeRequest
    >>> EncodeRequest("scan.up1", "latents.h5", grid=(3, 3), step_um=1.5).background
    'auto'
    """

    scan: Path
    out: Path
    follow: bool = False
    grid: tuple[int, int] | None = None
    step_um: float | None = None
    background: str = "auto"
    resume: bool = False
    idle_timeout_s: float = 60.0
    dtype: LatentType = "float32"
    scan_name: str | None = None
    bad_pixels: BadPixels = "fill"
    scale_background: bool | None = None
    pattern_centre: tuple[float, float, float] | None = None
    invert: bool | None = None
    overwrite: bool = False
    region: Region | None = None
    every: int | None = None

    def __post_init__(self) -> None:
        for name in ("scan", "out"):
            object.__setattr__(self, name, Path(getattr(self, name)))
