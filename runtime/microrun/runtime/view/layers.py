"""What a page can show of a map: numbers a point, one or three, from its latents or from what was made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32
from microrun.runtime.errors import LatentsError
from microrun.runtime.files.hdf5 import open_hdf5
from microrun.runtime.maps.features import Moments, principal_axes
from microrun.runtime.view.growing_map import GrowingMap

Kind = Literal["pca", "features", "distance", "stored"]
COLOUR_LIMITS, VALUE_LIMITS = (2, 98), (1, 99)  # percentiles, as `microrun maps` has them
FIRST_POINTS, FIRST_ROWS = 2000, 3  # that colours of a growing map are fixed by: whichever are more
BLANK = np.float32(np.inf)  # a point whose pattern carried no information; NaN is one that is not there yet


@dataclass(frozen=True)
class Layer:
    """What to show.

    Parameters
    ----------
    kind
        Principal components, one or three features, distance to a point in latent space, or a stored map.
    numbers
        Of the features; of "distance" the row and column of the point.
    name
        Of the stored map, such as "analysis/spread".
    """

    kind: Kind = "pca"
    numbers: tuple[int, ...] = ()
    name: str = ""

    @property
    def channels(self) -> int:
        """Numbers a point."""
        return 3 if self.kind == "pca" or (self.kind == "features" and len(self.numbers) == 3) else 1

    @classmethod
    def parse(cls, asked: object, points: GrowingMap, stored: Mapping[str, str]) -> Layer:
        """Read what a page asks for.

        Raises
        ------
        LatentsError
            If it is nonsense, or the map has no such thing.
        """
        values = asked if isinstance(asked, dict) else {}
        kind, numbers, name = values.get("kind"), values.get("numbers", []), values.get("name", "")
        rows, cols, size = points.latents.shape
        if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
            raise LatentsError("numbers must be a list of whole numbers")
        if kind == "pca":
            return cls()
        if kind == "features" and len(numbers) in (1, 3) and all(0 <= number < size for number in numbers):
            return cls("features", tuple(numbers))
        if kind == "distance" and len(numbers) == 2 and 0 <= numbers[0] < rows and 0 <= numbers[1] < cols:
            return cls("distance", tuple(numbers))
        if kind == "stored" and isinstance(name, str) and name in stored:
            return cls("stored", name=name)
        raise LatentsError("there is no such layer")


@dataclass(frozen=True)
class Basis:
    """Axes of the colours, which stay as they are while a map grows.

    Parameters
    ----------
    mean, axes
        (D,) and (D, 3) float32.
    points
        How many there were when they were made.
    limits
        (3, 2) float32 that the colours end at; None for percentiles of what is shown.
    """

    mean: Float32
    axes: Float32
    points: int
    limits: Float32 | None = None


@dataclass(frozen=True)
class Shown:
    """A layer of a map, with all that colours need.

    Parameters
    ----------
    layer, points
        What is shown, of which map.
    basis
        For principal components.
    origin
        (D,) float32 latent that distances are measured from.
    """

    layer: Layer
    points: GrowingMap
    basis: Basis
    origin: Float32

    def values(self, start: int, stop: int) -> Float32:
        """Values of consecutive points.

        Returns
        -------
        (n, channels) float32
            NaN where nothing is there yet, infinite where the pattern carried no information.
        """
        if self.layer.kind == "stored":
            stored: Float32 = self.points.read(self.layer.name, start, stop).astype(np.float32)[:, None]
            return stored
        latents, seen, informative = self.points.read_latents(start, stop)
        values = self._compute(latents)
        values[~informative] = BLANK
        values[~seen] = np.nan
        return values

    def limits(self, first: int | None) -> list[tuple[float, float]]:
        """What colours end at, for each channel; of the first points, or of all, unless the axes state it."""
        if self.layer.kind == "pca" and self.basis.limits is not None:
            return [(float(low), float(high)) for low, high in self.basis.limits]
        runs = self.points.sample(first)
        none = np.empty((0, self.layer.channels), np.float32)
        values = np.concatenate([none, *(self.values(start, stop) for start, stop in runs)])
        values = values[np.isfinite(values[:, 0])]
        if not len(values):
            return [(0.0, 1.0)] * self.layer.channels
        ends = np.percentile(values, COLOUR_LIMITS if self.layer.kind == "pca" else VALUE_LIMITS, axis=0)
        if self.layer.kind == "distance":
            ends[0] = 0
        return [(float(low), float(high)) for low, high in ends.T]

    def _compute(self, latents: Float32) -> Float32:
        if self.layer.kind == "pca":
            projected: Float32 = ((latents - self.basis.mean) @ self.basis.axes).astype(np.float32, copy=False)
            return projected
        if self.layer.kind == "features":
            return latents[:, list(self.layer.numbers)]
        distance: Float32 = np.linalg.norm(latents - self.origin, axis=1, keepdims=True).astype(np.float32)
        return distance


def first_points(points: GrowingMap) -> int:
    """How many points fix the colours of a growing map."""
    return min(points.exists.size, max(FIRST_POINTS, FIRST_ROWS * points.shape[1]))


def stated_basis(points: GrowingMap) -> Basis | None:
    """Axes and limits that the model states, the same for all scans; None where it states none."""
    known = points.latents.origin.spec.known
    if known is None:
        return None
    axes, limits = known.colour_axes()
    return Basis(known.centre, axes, points.done, limits)


def fit_basis(points: GrowingMap, first: int | None) -> Basis:
    """Find the axes of the colours in the map itself.

    Parameters
    ----------
    points
        The map.
    first
        Of how many points, from the first on; None for all.
    """
    size = points.latents.shape[2]
    moments = Moments(0, np.zeros(size), np.zeros((size, size)))
    for start, stop in points.sample(first):
        latents, _, informative = points.read_latents(start, stop)
        moments = moments.with_more(latents[informative].astype(np.float64))
    axes = np.zeros((size, 3), np.float32)
    found = principal_axes(moments)
    axes[:, : found.shape[1]] = found
    return Basis(moments.mean.astype(np.float32), axes, moments.count)


def list_stored(points: GrowingMap) -> dict[str, str]:
    """Maps that were stored in a finished file: "group/name" to "labels" or "values"."""
    if points.latents.growing:
        return {}
    found: dict[str, str] = {}

    def note(name: str, item: object) -> None:
        if "/" in name and isinstance(item, h5py.Dataset) and item.shape == points.shape and item.dtype.kind in "iuf":
            found[name] = "values" if item.dtype.kind == "f" else "labels"

    try:
        with open_hdf5(points.latents.path, locking=False) as file:  # as it is open already
            file.visititems(note)
    except OSError:  # replaced just now: the next look opens it anew
        return {}
    return found


def latent_of(points: GrowingMap, row: int, col: int) -> tuple[Float32, bool, bool]:
    """Latent of a point, (D,) float32, whether it is there, and whether it carries information."""
    place = row * points.shape[1] + col
    latents, seen, informative = points.read_latents(place, place + 1)
    return latents[0], bool(seen[0]), bool(informative[0])


def as_bytes(values: NDArray[Any]) -> bytes:
    """Little-endian float32, as pages read it."""
    return values.astype("<f4").tobytes()
