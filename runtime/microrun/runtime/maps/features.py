"""Features of latents: how much their maps show, and their principal components.

Whatever is computed goes over the map in slabs of rows, so that a map may be larger than the memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.known_latents import KnownLatents
from microrun.runtime.latents.reader import Latents
from microrun.runtime.maps.stored_features import StoredFeatures, row_slabs
from microrun.runtime.scans.lattice import Pairs, neighbour_pairs
from microrun.runtime.scans.scan import Scan

OVERVIEW_FEATURES = 5
Features = Float64 | StoredFeatures


@dataclass(frozen=True)
class Moments:
    """Of the features of all points that have latents.

    Parameters
    ----------
    count
        Number of points.
    mean
        (D,) float64.
    scatter
        (D, D) float64, sums of the products of deviations from the mean.
    """

    count: int
    mean: Float64
    scatter: Float64

    def with_more(self, values: Float64) -> Moments:
        """The same with (n, D) float64 more points."""
        if not len(values):
            return self
        mean = values.mean(axis=0)
        centred, step = values - mean, mean - self.mean
        count = self.count + len(values)
        return Moments(
            count,
            self.mean + step * (len(values) / count),
            self.scatter + centred.T @ centred + np.outer(step, step) * (self.count * len(values) / count),
        )


class ComponentColours(NamedTuple):
    """Components of latents as colours.

    Parameters
    ----------
    image
        (rows, cols, 3) float64 in [0, 1], NaN where missing.
    shares
        (3 at most,) float64, shares of the variance that lie along their axes.
    stated
        Whether axes and limits are those that the model states, the same for all scans; else they are of the scan.
    """

    image: Float64
    shares: Float64
    stated: bool


def measure_moments(features: Features) -> Moments:
    """Mean and scatter of features.

    Parameters
    ----------
    features
        (rows, cols, D) float64, NaN where missing.
    """
    size = features.shape[2]
    moments = Moments(0, np.zeros(size), np.zeros((size, size)))
    for first, stop in row_slabs(features.shape):
        values = features[first:stop].reshape(-1, size)
        moments = moments.with_more(values[~np.isnan(values[:, 0])])
    return moments


def pairs_by_slab(scan: Scan, shape: tuple[int, ...]) -> Iterator[tuple[int, int, Pairs]]:
    """All pairs of neighbouring points, each once, slab by slab.

    Parameters
    ----------
    scan
        Geometry.
    shape
        (rows, cols, D) of the features.

    Yields
    ------
    first, stop : int
        The first row that pairs have points in, and the one after the last.
    pairs : (pairs, 2) int64
        As of `neighbour_pairs`, but counted from the first point of the first row.
    """
    rows, cols = shape[:2]
    for first, stop in row_slabs(shape):
        end = min(stop + 1, rows)
        pairs = neighbour_pairs(replace(scan, nav_shape=(end - first, cols)))
        yield first, end, pairs[pairs[:, 0] < (stop - first) * cols]  # the others are the next slab's


def measure_structure(features: Features, scan: Scan) -> Float64:
    """How much features vary between neighbours, against how much they vary over the map.

    Parameters
    ----------
    features
        (rows, cols, D) float64, NaN where missing.
    scan
        Its geometry.

    Returns
    -------
    (D,) float64
        Geary's C: the mean squared difference of neighbours over twice the variance; 0 for smooth maps, 1 for
        noise, infinite for a constant, or where no neighbours are known.
    """
    size = features.shape[2]
    total, count = np.zeros(size), 0
    for first, stop, pairs in pairs_by_slab(scan, features.shape):
        flat = features[first:stop].reshape(-1, size)
        known = pairs[~np.isnan(flat[pairs, 0]).any(axis=1)]
        total += ((flat[known[:, 0]] - flat[known[:, 1]]) ** 2).sum(axis=0)
        count += len(known)
    if not count:
        return np.full(size, np.inf)
    moments = measure_moments(features)
    variance = np.diagonal(moments.scatter) / moments.count
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(variance > 0, total / count / (2 * variance), np.inf)


def rank_features(features: Features, scan: Scan) -> NDArray[np.int64]:
    """Numbers of the features in the order of `measure_structure`.

    Parameters
    ----------
    features
        (rows, cols, D) float64, NaN where missing.
    scan
        Its geometry.

    Returns
    -------
    (D,) int64, the most structured first
    """
    return np.argsort(measure_structure(features, scan), kind="stable")


def principal_axes(moments: Moments) -> Float64:
    """Axes of the first three principal components.

    Parameters
    ----------
    moments
        Of the features.

    Returns
    -------
    (D, 3 at most) float64
        Each of length 1; its sign makes its largest weight positive, so that pictures are reproducible.
    """
    _, axes = np.linalg.eigh(moments.scatter)
    axes = axes[:, ::-1][:, :3]
    signed: Float64 = axes * np.sign(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])])
    return signed


def explained_shares(moments: Moments, known: KnownLatents | None = None) -> Float64:
    """Shares of the variance that lie along the axes of the colours.

    Parameters
    ----------
    moments
        Of the features.
    known
        As `principal_colours` takes it.

    Returns
    -------
    (3 at most,) float64; 0 where nothing varies
    """
    axes = principal_axes(moments) if known is None else known.colour_axes()[0].astype(np.float64)
    variances = np.maximum(np.einsum("ij,ik,kj->j", axes, moments.scatter, axes), 0)
    shares: Float64 = variances / max(np.trace(moments.scatter), 1e-30)
    return shares


def colour_components(latents: Latents, features: StoredFeatures, recolour: bool = False) -> ComponentColours:
    """Components of latents as colours, in maps, analyses and on the page alike.

    Parameters
    ----------
    latents, features
        What is coloured.
    recolour
        True for the principal components of this scan; False for those of all that the model knows, the same for all
        scans, where it states them.
    """
    moments, known = measure_moments(features), None if recolour else latents.origin.spec.known
    image = principal_colours(features, moments, known)
    return ComponentColours(image, explained_shares(moments, known), known is not None)


def principal_colours(features: Features, moments: Moments | None = None, known: KnownLatents | None = None) -> Float64:
    """Three components as red, green and blue.

    Parameters
    ----------
    features
        (rows, cols, D) float64, NaN where missing.
    moments
        Theirs, where they are known already.
    known
        Where the model's spec says what it knows: axes and limits are those, the same for all scans. None for the first
        three principal components of the features, each stretched between its 2nd and 98th percentile.

    Returns
    -------
    (rows, cols, 3) float64 in [0, 1]; NaN where missing. The sign of a component makes its largest weight positive, so
    that pictures are reproducible.
    """
    moments, limits = moments or measure_moments(features), None
    mean, axes = moments.mean, principal_axes(moments)
    if known is not None:
        axes, limits = (numbers.astype(np.float64) for numbers in known.colour_axes())
        mean = known.centre.astype(np.float64)
    image = np.ones((*features.shape[:2], 3))
    for first, stop in row_slabs(features.shape):
        centred = features[first:stop].reshape(-1, len(axes)) - mean
        with np.errstate(invalid="ignore"):
            image[first:stop, :, : axes.shape[1]] = (centred @ axes).reshape(stop - first, -1, axes.shape[1])
    missing = np.isnan(image[..., 0])
    for number, component in enumerate(np.moveaxis(image, 2, 0)[: axes.shape[1]]):
        low, high = np.percentile(component[~missing], (2, 98)) if limits is None else limits[number]
        component -= low
        component /= max(high - low, 1e-12)
        np.clip(component, 0, 1, out=component)
    image[missing] = np.nan
    return image
