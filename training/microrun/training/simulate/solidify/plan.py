"""What a part is built of: layers of tracks, and how finely they are computed."""

from __future__ import annotations

from dataclasses import dataclass

from microrun.runtime.errors import MicrorunError
from microrun.training.simulate.solidify.laws import Laws
from microrun.training.simulate.solidify.track import Track

SIDE = 2  # cells left beside the outermost windows
LARGEST = 1 << 31  # cells of a part: their grains take ten gigabytes


@dataclass(frozen=True)
class Plan:
    """A block of layers, each of tracks side by side along x, every other one backwards.

    Parameters
    ----------
    layers, tracks
        Numbers of.
    length_um
        Of the part along the tracks; it shows quasi-steady tracks from end to end.
    hatch_um, layer_um
        From track to track, and from layer to layer.
    substrate_um
        Equiaxed grains below what the first layer melts.
    cell_um
        Edge of a cell.
    step_s
        Time step.
    seed
        Of substrate, powder and nucleation.

    Raises
    ------
    MicrorunError
        If a length is not possible, or a layer thinner than a cell.
    """

    layers: int = 8
    tracks: int = 3
    length_um: float = 250.0
    hatch_um: float = 100.0
    layer_um: float = 30.0
    substrate_um: float = 40.0
    cell_um: float = 2.0
    step_s: float = 4e-7
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("layers", "tracks"):
            if getattr(self, name) < 1:
                raise MicrorunError(f"{name} must be 1 or more; got {getattr(self, name)}")
        for name in ("length_um", "hatch_um", "layer_um", "cell_um"):
            if not 0 < getattr(self, name) < 1e5:
                raise MicrorunError(f"{name} must be above 0 and below 100,000 µm; got {getattr(self, name):g}")
        if not 0 <= self.substrate_um < 1e5:
            raise MicrorunError(f"substrate_um must be 0 to 100,000 µm; got {self.substrate_um:g}")
        for name in ("length_um", "hatch_um", "layer_um"):
            if getattr(self, name) < self.cell_um:
                raise MicrorunError(
                    f"{name} must be at least one cell of {self.cell_um:g} µm; got {getattr(self, name):g}"
                )
        if not 0 <= self.seed < 1 << 63:
            raise MicrorunError(f"seed must be 0 to 2⁶³ − 1; got {self.seed}")

    def cells(self, length_um: float) -> int:
        """Whole cells nearest to a length."""
        return round(length_um / self.cell_um)

    def check_step(self, laws: Laws, speed_m_s: float) -> None:
        """Refuse a time step that is not stable, or in which the laser moves further than a cell.

        Parameters
        ----------
        laws
            Of solidification.
        speed_m_s
            Of the laser.

        Raises
        ------
        MicrorunError
            If it is too long.
        """
        limit = laws.largest_step(self.cell_um)
        if not 0 < self.step_s < limit:
            raise MicrorunError(
                f"the time step must be above 0 and below {limit:.2g} s, where explicit steps in cells of "
                f"{self.cell_um:g} µm stay stable; got {self.step_s:g} s"
            )
        if speed_m_s * self.step_s > self.cell_um * 1e-6:
            raise MicrorunError(
                f"the laser must move by less than a cell of {self.cell_um:g} µm in a time step; at {speed_m_s:g} m/s "
                f"it moves {speed_m_s * self.step_s * 1e6:.2g} µm in {self.step_s:g} s"
            )

    def shape(self, window: tuple[int, int, int]) -> tuple[int, int, int]:
        """Cells of the part along z, y, x, for a window of so many."""
        depth, width = window[:2]
        low = self.base(depth)
        shape = (
            low + self.layers * self.cells(self.layer_um),
            (self.tracks - 1) * self.cells(self.hatch_um) + width + 2 * SIDE,
            self.cells(self.length_um),
        )
        count = shape[0] * shape[1] * shape[2]
        if count > LARGEST:
            raise MicrorunError(f"the part has {count:,} cells; at most {LARGEST:,} can be held: take a smaller one")
        return shape

    def base(self, depth: int) -> int:
        """Planes below the first layer, for a window of so many planes."""
        return self.cells(self.substrate_um) + max(depth - self.cells(self.layer_um), 0)

    def track_side(self, track: int) -> int:
        """The first row of the window of a track within its layer."""
        return SIDE + track * self.cells(self.hatch_um)

    def lay_out(self, window: tuple[int, int, int]) -> list[list[Track]]:
        """Tracks of each layer, in the order in which they are made, for a window of so many cells."""
        depth = window[0]
        layers = []
        for layer in range(self.layers):
            top = self.base(depth) + (layer + 1) * self.cells(self.layer_um)
            layers.append([
                Track(layer * self.tracks + track, top - depth, self.track_side(track), backwards=track % 2 == 1)
                for track in range(self.tracks)
            ])  # fmt: skip
        return layers
