"""The truth beside a simulated scan: NAME.truth.npz."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import ScanError
from microrun.runtime.files.stems import stem_of


@dataclass(frozen=True)
class Truth:
    """What lies under each point of a simulated map; (rows, cols, …).

    Parameters
    ----------
    rotations
        (rows, cols, 4) unit quaternions, scalar first.
    grain
        Numbers of grains.
    blur_px
        Blur, in pixels of a 120-pixel pattern.
    phase
        0 for the matrix.
    mixture
        Share of a neighbour's pattern, up to 0.5.
    boundary
        True where the mixed-in neighbour is another grain.
    pattern_centre, sample_tilt
        Geometry of the detector: (x*, y*, z*) in EDAX's convention; degrees.
    structure
        Of the matrix: "fcc", "bcc", "diamond", or the name of another phase; None where version 0.1 made the file.
    """

    rotations: Float64
    grain: NDArray[np.int64]
    blur_px: Float64
    phase: NDArray[np.int64]
    mixture: Float64
    boundary: NDArray[np.bool_]
    pattern_centre: tuple[float, float, float]
    sample_tilt: float
    structure: str | None = None


def load_truth(scan: Path) -> Truth | None:
    """Read the truth of a scan; None if there is none beside it.

    Raises
    ------
    ScanError
        If the file is damaged.
    """
    path = scan.parent / f"{stem_of(scan)}.truth.npz"
    if not path.exists():
        return None
    try:
        with np.load(path) as file:
            cell, neighbour, grain = file["cell"], file["neighbour"], file["grain"]
            owner = np.zeros(cell.max() + 1, np.int64)  # the grain that each cell belongs to
            owner[cell] = grain
            known = np.isin(neighbour, cell)
            other = np.where(known, owner[np.where(known, neighbour, 0)], -1)
            x, y, z = map(float, file["pattern_centre"])
            return Truth(
                rotations=file["rotations"][cell],
                grain=grain,
                blur_px=file["blur_px"][cell],
                phase=file["phase"][cell],
                mixture=file["mixture"].astype(np.float64),
                boundary=(file["mixture"] > 0) & (other != grain),
                pattern_centre=(x, y, z),
                sample_tilt=float(file["sample_tilt"]),
                structure=str(file["structure"]) if "structure" in file else None,
            )
    except Exception:  # a file that was cut or damaged raises whatever zlib, zipfile and NumPy raise
        raise ScanError(f"{path}: is not the truth of a simulated scan, or is damaged; simulate it again") from None
