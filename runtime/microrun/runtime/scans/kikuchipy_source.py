"""Other vendors' files (.h5, .h5oina, .ebsp, .dat, …), read lazily through kikuchipy."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import microrun.kernels.compiling  # noqa: F401 (before what orix compiles)
from microrun.runtime.array_types import Raw
from microrun.runtime.errors import ScanError, first_line
from microrun.runtime.files.extras import install_command
from microrun.runtime.files.kinds import check_kind
from microrun.runtime.scans.h5ebsd import choose_scan, count_stored
from microrun.runtime.scans.said import said_as_ours
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.source import FinishedSource
from microrun.runtime.scans.stated import state_signal
from microrun.runtime.scans.up2 import ScanWarning


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
    scan_name
        Which scan of a file that holds several.

    Attributes
    ----------
    stated : StatedGeometry
        What the file says of where the patterns come from.

    Raises
    ------
    ScanError
        If kikuchipy is not installed or cannot read the file, it is no scan or holds several, or its patterns are
        not uint8 or uint16.

    Warns
    -----
    ScanWarning
        If it holds fewer patterns than it promises, and for what kikuchipy warns of.
    """

    library = "kikuchipy"

    def __init__(
        self,
        path: str | Path,
        grid: tuple[int, int] | None = None,
        step_um: float | None = None,
        start: int = 0,
        scan_name: str | None = None,
    ) -> None:
        self.path = Path(path)
        _check_kind(self.path)
        name = choose_scan(self.path, scan_name)
        signal = _load(self.path, name)
        self.stated = state_signal(signal, self.path.name)
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
        super().__init__(scan, start, scan.total if name is None else self._count(name, scan))
        self._reading = threading.Lock()

    def _count(self, name: str, scan: Scan) -> int:
        """Patterns that are there: kikuchipy makes up for those that are missing by zeros."""
        stored = min(count_stored(self.path, name, scan.sig_shape), scan.total)
        if stored == 0:
            raise ScanError(f"{self.path}: contains no pattern; its header promises {scan.total}")
        if stored < scan.total:
            text = f"{self.path}: holds {stored} of the {scan.total} patterns that it promises"
            warnings.warn(text, ScanWarning, stacklevel=3)
        return stored

    def read_patterns(self, indices: NDArray[np.int64], out: Raw) -> None:
        """Copy the patterns of these numbers into ``out``; ScanError if they cannot be read."""
        patterns = self._patterns[indices]
        with self._reading:  # HDF5 reads one at a time anyway
            try:
                out[:] = patterns.compute()
            except (OSError, ValueError, RuntimeError) as error:
                raise ScanError(f"{self.path}: cannot be read ({error})") from None


def _check_kind(path: Path) -> None:
    """Refuse what is there but is no scan, though kikuchipy would make one of it."""
    if not path.is_file():
        raise ScanError(f"{path}: no such file")
    check_kind(path, "scan", ScanError)


def _load(path: Path, name: str | None) -> Any:
    try:
        import kikuchipy
    except ModuleNotFoundError:
        raise ScanError(f"{path}: is read through kikuchipy; {install_command('demo')}") from None
    named = {} if name is None else {"scan_group_names": name}
    try:
        with said_as_ours(path, "kikuchipy", known="zero padding"):  # what is missing is counted
            loaded = kikuchipy.load(path, lazy=True, **named)
    except Exception as error:  # its readers raise whatever their libraries raise
        reason = first_line(error)  # unless it asks to report an error of kikuchipy's, which it is not
        told = "" if "report" in reason else f" ({reason})"
        raise ScanError(f"{path}: is neither a .up1 or .up2 file nor a scan that kikuchipy reads{told}") from None
    if isinstance(loaded, list):
        raise ScanError(f"{path}: holds {len(loaded)} scans; expected one")
    if not isinstance(loaded, kikuchipy.signals.EBSD):
        raise ScanError(f"{path}: is a {type(loaded).__name__.removeprefix('Lazy')}, no scan")
    return loaded


def _steps_um(signal: Any) -> tuple[float, float]:
    axes = signal.axes_manager.navigation_axes
    steps = [float(axis.scale) if str(axis.units) in ("um", "µm") else 0.0 for axis in axes]
    return (steps[0], steps[-1]) if steps else (0.0, 0.0)
