"""Other vendors' files (.h5, .h5oina, .ebsp, .dat, …), read lazily through kikuchipy."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Raw
from microrun.runtime.errors import ScanError
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.source import FinishedSource


class KikuchipySource(FinishedSource):
    """A finished scan in any format that kikuchipy loads.

    Parameters
    ----------
    path
        The file.
    grid
        (rows, cols) to lay the patterns out on, in place of the file's own map.
    step_um
        Step in µm, in place of the file's own.
    start
        First pattern to deliver.

    Raises
    ------
    ScanError
        If kikuchipy is not installed or cannot read the file, or its patterns are not uint8 or uint16.
    """

    def __init__(
        self, path: str | Path, grid: tuple[int, int] | None = None, step_um: float | None = None, start: int = 0
    ) -> None:
        self.path = Path(path)
        signal = _load(self.path)
        sig_shape = signal.data.shape[-2:]
        self._patterns = signal.data.reshape(-1, *sig_shape)
        nav_shape = grid or (1, 1, *signal.data.shape[:-2])[-2:]
        if nav_shape[0] * nav_shape[1] != len(self._patterns):
            raise ScanError(
                f"{path}: a grid of {nav_shape[0]}×{nav_shape[1]} has {nav_shape[0] * nav_shape[1]} patterns; "
                f"the file holds {len(self._patterns)}"
            )
        steps = (step_um, step_um) if step_um is not None else _steps_um(signal)
        try:
            scan = Scan(nav_shape, sig_shape, str(signal.data.dtype), "square", steps)  # type: ignore[arg-type]
        except ScanError as error:
            raise ScanError(f"{path}: {error}") from None
        super().__init__(scan, start, scan.total)
        self._reading = threading.Lock()

    def read_patterns(self, indices: NDArray[np.int64], out: Raw) -> None:
        """Copy the patterns of these numbers into ``out``; ScanError if they cannot be read."""
        patterns = self._patterns[indices]
        with self._reading:  # HDF5 reads one at a time anyway
            try:
                out[:] = patterns.compute()
            except (OSError, ValueError, RuntimeError) as error:
                raise ScanError(f"{self.path}: cannot be read ({error})") from None


def _load(path: Path) -> Any:
    if not path.is_file():
        raise ScanError(f"{path}: no such file")
    try:
        import kikuchipy
    except ModuleNotFoundError:
        raise ScanError(f"{path}: is read through kikuchipy; pip install 'microrun[demo]'") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of readers that try and fail
            loaded = kikuchipy.load(path, lazy=True)
    except Exception as error:  # its readers raise whatever their libraries raise
        raise ScanError(f"{path}: neither a .up1/.up2 file nor one that kikuchipy reads ({error})") from None
    return loaded[0] if isinstance(loaded, list) else loaded


def _steps_um(signal: Any) -> tuple[float, float]:
    axes = signal.axes_manager.navigation_axes
    steps = [float(axis.scale) if str(axis.units) in ("um", "µm") else 0.0 for axis in axes]
    return (steps[0], steps[-1]) if steps else (0.0, 0.0)
