"""Reading latents: which features matter, how much they vary, what belongs together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import LatentsError
from microrun.runtime.latents.reader import Latents
from microrun.runtime.maps.features import load_features, measure_structure, principal_colours
from microrun.runtime.scans.lattice import Pairs, connect, mean_over_pairs, neighbour_pairs
from microrun.runtime.scans.scan import Scan

CLUSTER_SEED = 0
CLUSTER_POINTS = 20_000  # that clustering learns from


@dataclass(frozen=True)
class AnalysisRequest:
    """What to compute.

    Parameters
    ----------
    threshold
        Latent distance between neighbours that separates segments; None finds it between the two groups that
        the distances fall into.
    clusters
        Number of clusters.
    pick
        (row, col) of a point to measure distances from, or None.

    Raises
    ------
    LatentsError
        If the threshold is not positive, or there are fewer than two clusters.
    """

    threshold: float | None = None
    clusters: int = 8
    pick: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None and not self.threshold > 0:
            raise LatentsError(f"the threshold must be positive; got {self.threshold}")
        if self.clusters < 2:
            raise LatentsError(f"there must be at least 2 clusters; got {self.clusters}")


@dataclass(frozen=True)
class Analysis:
    """What was found; maps are NaN or −1 where there are no latents.

    Parameters
    ----------
    structure
        (D,) float64, Geary's C of each feature: the smaller, the more its map shows.
    colours
        (rows, cols, 3) float64 in [0, 1], principal components as colours.
    spread
        (rows, cols) float64, kernel latent spread: mean distance to the neighbours' latents, KAM's analogue.
    threshold
        Latent distance between neighbours that separates segments.
    segments
        (rows, cols) int64, regions whose neighbours are closer than the threshold, numbered from 0.
    clusters
        (rows, cols) int64, groups of similar latents, wherever they lie; the largest is 0.
    distance
        (rows, cols) float64, latent distance to the picked point, or None.
    """

    structure: Float64
    colours: Float64
    spread: Float64
    threshold: float
    segments: NDArray[np.int64]
    clusters: NDArray[np.int64]
    distance: Float64 | None


def analyse_latents(latents: Latents, request: AnalysisRequest) -> Analysis:
    """Compute all of `Analysis`.

    Parameters
    ----------
    latents
        Finished or growing.
    request
        What to compute.

    Returns
    -------
    Analysis

    Raises
    ------
    LatentsError
        If nothing is written yet or nothing differs, there are fewer latents than clusters, or the picked point is
        not on the map or has no latents.
    """
    features = load_features(latents)
    valid = ~np.isnan(features[..., 0])
    pairs = neighbour_pairs(latents.origin.scan)
    distances = measure_pair_distances(features, pairs)
    threshold = request.threshold or split_distances(distances)
    return Analysis(
        structure=measure_structure(features, latents.origin.scan),
        colours=principal_colours(features),
        spread=mean_over_pairs(distances, pairs, valid.shape),
        threshold=threshold,
        segments=connect(pairs[distances < threshold], valid),
        clusters=cluster_features(features, valid, request.clusters),
        distance=None if request.pick is None else _distance_to(features, request.pick, latents),
    )


def latent_spread(features: Float64, scan: Scan) -> Float64:
    """Kernel latent spread: the mean distance to the neighbours' latents.

    The analogue in latent space of the kernel average misorientation ("Lattice genome", 2026).

    Parameters
    ----------
    features
        (rows, cols, D) float64, NaN where missing.
    scan
        Its geometry.

    Returns
    -------
    (rows, cols) float64, NaN where no neighbour has latents
    """
    pairs = neighbour_pairs(scan)
    return mean_over_pairs(measure_pair_distances(features, pairs), pairs, scan.nav_shape)


def measure_pair_distances(features: Float64, pairs: Pairs) -> Float64:
    """Euclidean distance between neighbours' latents.

    Parameters
    ----------
    features
        (rows, cols, D) float64, NaN where missing.
    pairs
        (pairs, 2) int64 from `neighbour_pairs`.

    Returns
    -------
    (pairs,) float64, NaN where one is missing
    """
    flat = features.reshape(-1, features.shape[2])
    total = np.zeros(len(pairs))
    for feature in flat.T:  # one by one: all at once would take D times the map
        total += (feature[pairs[:, 0]] - feature[pairs[:, 1]]) ** 2
    return np.sqrt(total)


def split_distances(distances: Float64) -> float:
    """Threshold between small and large distances: midway between two groups of their logarithms.

    Parameters
    ----------
    distances
        (pairs,) float64 from `measure_pair_distances`.

    Raises
    ------
    LatentsError
        If fewer than two different distances are known.
    """
    from sklearn.cluster import KMeans

    known = np.unique(distances[distances > 0])  # NaN is not
    if len(known) < 2:
        raise LatentsError("neighbours' latents do not differ: there is nothing to segment")
    logarithms = np.log(distances[distances > 0])[:, None]
    start = np.percentile(logarithms, (5, 95))[:, None]
    centres = KMeans(2, init=start, n_init=1).fit(logarithms).cluster_centers_
    return float(np.exp(centres.mean()))


def cluster_features(features: Float64, valid: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    """Group points by their latents alone, with k-means.

    Parameters
    ----------
    features
        (rows, cols, D) float64.
    valid
        (rows, cols) bool, True where there are latents.
    count
        Number of groups.

    Returns
    -------
    (rows, cols) int64, the largest group is 0, −1 where not valid

    Raises
    ------
    LatentsError
        If there are fewer latents than groups.
    """
    from sklearn.cluster import KMeans

    values = features[valid]
    if len(values) < count:
        raise LatentsError(f"{count} clusters of {len(values)} points with latents; ask for fewer")
    subset = values[:: max(1, len(values) // CLUSTER_POINTS)]
    model = KMeans(count, n_init=4, random_state=CLUSTER_SEED).fit(subset)
    found = model.predict(values)
    rank = np.argsort(np.argsort(-np.bincount(found, minlength=count), kind="stable"))
    clusters = np.full(valid.shape, -1, np.int64)
    clusters[valid] = rank[found]
    return clusters


def _distance_to(features: Float64, pick: tuple[int, int], latents: Latents) -> Float64:
    rows, cols = features.shape[:2]
    row, col = pick
    if not (0 <= row < rows and 0 <= col < cols):
        raise LatentsError(f"{latents.path}: the map has {rows}×{cols} points, counted from 0; got {row},{col}")
    if np.isnan(features[row, col, 0]):
        raise LatentsError(f"{latents.path}: there are no latents at {row},{col}")
    distance: Float64 = np.linalg.norm(features - features[row, col], axis=-1)
    return distance
