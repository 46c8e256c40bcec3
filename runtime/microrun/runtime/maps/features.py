"""Features of latents: how much their maps show, and their principal components."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import LatentsError
from microrun.runtime.latents.reader import Latents
from microrun.runtime.scans.lattice import neighbour_pairs
from microrun.runtime.scans.scan import Scan

OVERVIEW_FEATURES = 5


def load_features(latents: Latents) -> Float64:
    """Latents as maps of features.

    Parameters
    ----------
    latents
        Finished or growing.

    Returns
    -------
    (rows, cols, D) float64, NaN where not written or without information

    Raises
    ------
    LatentsError
        If nothing has been written yet, or nothing carries information.
    """
    values = latents.latents.astype(np.float64)
    values[~latents.written | latents.flags] = np.nan
    if np.isnan(values[..., 0]).all():
        reason = "only latents of patterns without information" if latents.written.any() else "no latents yet"
        raise LatentsError(f"{latents.path}: holds {reason}")
    return values


def measure_structure(features: Float64, scan: Scan) -> Float64:
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
    flat = features.reshape(-1, features.shape[2])
    present = ~np.isnan(flat[:, 0])
    pairs = neighbour_pairs(scan)
    pairs = pairs[present[pairs].all(axis=1)]
    if not len(pairs):
        return np.full(flat.shape[1], np.inf)
    # Feature by feature: the differences of all at once would take twice D times the map.
    between = np.array([((feature[pairs[:, 0]] - feature[pairs[:, 1]]) ** 2).mean() for feature in flat.T])
    variance = flat[present].var(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(variance > 0, between / (2 * variance), np.inf)


def rank_features(features: Float64, scan: Scan) -> NDArray[np.int64]:
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


def principal_colours(features: Float64) -> Float64:
    """First three principal components as red, green and blue.

    Parameters
    ----------
    features
        (rows, cols, D) float64, NaN where missing.

    Returns
    -------
    (rows, cols, 3) float64 in [0, 1]; white where missing. Each component is stretched between its 2nd
    and 98th percentile; its sign makes its largest weight positive, so that pictures are reproducible.
    """
    present = ~np.isnan(features[..., 0])
    values = features[present]
    centred = values - values.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :3]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])])
    components = centred @ axes
    low, high = np.percentile(components, (2, 98), axis=0)
    stretched = np.clip((components - low) / np.maximum(high - low, 1e-12), 0, 1)
    image = np.ones((*features.shape[:2], 3))
    image[present, : axes.shape[1]] = stretched
    return image
