"""The part of a moving temperature field in which grains grow, on the cells of the phase field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.solidification import Window
from microrun.runtime.errors import MicrorunError
from microrun.training.simulate.melt_pool.field import MovingField
from microrun.training.simulate.solidify.laws import Laws

MARGIN = 2  # cold cells kept around the hot ones


@dataclass(frozen=True, eq=False)
class MovingWindow:
    """A window as the kernel takes it, and what is known of it.

    Parameters
    ----------
    table
        Temperature, mobility and spans; y is as wide on either side of the track.
    molten
        (z, y) bool: what of a cross-section melts on the laser's way.
    speed_m_s, liquidus_k
        Of the laser, and of the alloy.
    """

    table: Window
    molten: NDArray[np.bool_]
    speed_m_s: float
    liquidus_k: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """Cells along z, y and x."""
        z, y, x = self.table.temperature.shape
        return z, y, x

    @property
    def hot_cells(self) -> int:
        """Cells that are computed in a step."""
        return int((self.table.stop - self.table.first).sum())


def cut_window(field: MovingField, laws: Laws, cell_um: float) -> MovingWindow:
    """Cut the hot part out of a field, with linear interpolation between its cells.

    Parameters
    ----------
    field
        Of a melt pool.
    laws
        Which temperature is hot.
    cell_um
        Edge of the phase field's cells.

    Raises
    ------
    MicrorunError
        If nothing melts, the field's box cuts through the hot part, or the cells are wider than the field's.
    """
    where = f"{field.kind} field of {field.process.power_w:g} W and {field.process.speed_m_s:g} m/s"
    liquidus = field.material.liquidus_k
    laws.check_liquidus(field.material.name, liquidus)
    if cell_um > field.step_um:
        raise MicrorunError(f"{where}: its cells are {field.step_um:g} µm; those of the phase field are not to be wider"
                            f", but {cell_um:g} µm")  # fmt: skip
    hot = field.temperature > laws.hot_k
    _check_molten(float(field.temperature.max()), liquidus, where)
    _check_whole(hot, where, laws.hot_k)
    temperature = _refine(_crop(field.temperature, hot), field.step_um / cell_um)
    _check_molten(float(temperature.max()), liquidus, where)  # between cells the peak is lower
    first, stop = _find_spans(temperature > laws.hot_k)
    mobility = laws.mobility_at(temperature.astype(np.float64)).astype(np.float32)
    molten: NDArray[np.bool_] = np.any(temperature > liquidus, axis=2)
    return MovingWindow(Window(temperature, mobility, first, stop), molten, field.process.speed_m_s, liquidus)


def _check_molten(peak_k: float, liquidus_k: float, where: str) -> None:
    if peak_k <= liquidus_k:
        raise MicrorunError(
            f"{where}: reaches {peak_k:,.0f} K, not above the liquidus of {liquidus_k:,.0f} K: nothing melts, so that "
            "nothing solidifies; take more power or less speed"
        )


def _check_whole(hot: NDArray[np.bool_], where: str, hot_k: float) -> None:
    faces = {"bottom": hot[0], "side": hot[:, 0] | hot[:, -1], "end": hot[..., 0], "front": hot[..., -1]}
    cut = [name for name, face in faces.items() if face.any()]
    if cut:
        raise MicrorunError(
            f"{where}: the part above {hot_k:,.0f} K, in which grains grow, is cut off by the box at its "
            f"{' and '.join(cut)}; compute the field in a larger box"
        )


def _crop(temperature: NDArray[np.float32], hot: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The hot cells with a margin; nothing is cut at the surface, and as much on either side of the track."""
    z = np.flatnonzero(hot.any(axis=(1, 2)))
    y = np.flatnonzero(hot.any(axis=(0, 2)))
    x = np.flatnonzero(hot.any(axis=(0, 1)))
    width = hot.shape[1]
    side = max(min(y[0], width - 1 - y[-1]) - MARGIN, 0)
    along = slice(max(x[0] - MARGIN, 0), x[-1] + 1 + MARGIN)
    return temperature[max(z[0] - MARGIN, 0) :, side : width - side, along]


def _refine(coarse: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Interpolate between the centres of cells; the surface, the middle of the track and the front stay in place."""
    from scipy.ndimage import map_coordinates

    fine = [int(np.floor(side * factor + 1e-9)) for side in coarse.shape]
    fine[1] -= fine[1] % 2
    z = coarse.shape[0] - 0.5 - (np.arange(fine[0])[::-1] + 0.5) / factor
    y = coarse.shape[1] / 2 - 0.5 + (np.arange(fine[1]) + 0.5 - fine[1] / 2) / factor
    x = coarse.shape[2] - 0.5 - (np.arange(fine[2])[::-1] + 0.5) / factor
    places = np.meshgrid(z, y, x, indexing="ij")
    refined: NDArray[np.float32] = map_coordinates(coarse, places, np.float32, order=1, mode="nearest")
    return refined


def _find_spans(hot: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last hot cell of each row, with one more behind: what moves on by a part of a cell stays within."""
    any_hot = hot.any(axis=2)
    first = np.where(any_hot, hot.argmax(axis=2), 0)
    stop = np.where(any_hot, hot.shape[2] - hot[..., ::-1].argmax(axis=2) + 1, 0)
    return first.astype(np.int64), np.minimum(stop, hot.shape[2]).astype(np.int64)
