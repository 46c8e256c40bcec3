"""Reading latents: which features matter, how much they vary, what belongs together.

Latents stay on disk; in memory there are maps of one number a point, and one number for each pair of neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.errors import LatentsError
from microrun.runtime.latents.reader import Latents
from microrun.runtime.maps.features import (
    ComponentColours,
    Features,
    colour_components,
    measure_structure,
    pairs_by_slab,
)
from microrun.runtime.maps.speckles import absorb_speckles
from microrun.runtime.maps.stored_features import StoredFeatures, row_slabs
from microrun.runtime.scans.lattice import Pairs, connect_pieces
from microrun.runtime.scans.scan import Scan

CLUSTER_SEED = 0
CLUSTER_POINTS = 20_000  # that clustering learns from
MOST_CLUSTERS, SILHOUETTE_POINTS = 20, 1_000
NEIGHBOURS_AHEAD = 3  # at most, of a point: those to the right and below
SPLIT_SEED = 0
SPLIT_PAIRS = 4_000_000  # that the threshold is found in


@dataclass(frozen=True)
class AnalysisRequest:
    """What to compute.

    Parameters
    ----------
    threshold
        Latent distance between neighbours that separates segments; None finds it between the two groups that
        the distances fall into.
    clusters
        Number of clusters; None chooses it from 2 to 20.
    pick
        (row, col) of a point to measure distances from, or None.
    recolour
        As `colour_components` takes it.

    Raises
    ------
    LatentsError
        If the threshold is not positive, or there are fewer than two clusters.
    """

    threshold: float | None = None
    clusters: int | None = None
    pick: tuple[int, int] | None = None
    recolour: bool = False

    def __post_init__(self) -> None:
        if self.threshold is not None and not self.threshold > 0:
            raise LatentsError(f"the threshold must be positive; got {self.threshold}")
        if self.clusters is not None and self.clusters < 2:
            raise LatentsError(f"there must be at least 2 clusters; got {self.clusters}")


@dataclass(frozen=True)
class Analysis:
    """What was found; maps are NaN or −1 where there are no latents.

    Parameters
    ----------
    structure
        (D,) float64, Geary's C of each feature: the smaller, the more its map shows.
    colours
        Components as colours.
    spread
        (rows, cols) float64, kernel latent spread: mean distance to the neighbours' latents, KAM's analogue.
    threshold
        Latent distance between neighbours that separates segments.
    segments
        (rows, cols) int64, regions whose neighbours are closer than the threshold, numbered from 0.
    speckles
        How many segments of one or two points went to their neighbours.
    clusters
        (rows, cols) int64, groups of similar latents, wherever they lie; the largest is 0.
    distance
        (rows, cols) float64, latent distance to the picked point, or None.
    """

    structure: Float64
    colours: ComponentColours
    spread: Float64
    threshold: float
    segments: NDArray[np.int64]
    speckles: int
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
    features, scan = StoredFeatures(latents), latents.origin.scan
    valid = find_present(features)
    distances = measure_distances(features, scan)
    threshold = request.threshold or split_distances(distances)

    def slabs() -> Iterator[tuple[int, Pairs, Float64]]:
        for first, pairs, apart in _apart(features, scan, distances):
            yield first * valid.shape[1], pairs, apart

    linked = ((first, pairs[apart < threshold]) for first, pairs, apart in slabs())
    segments, speckles = absorb_speckles(connect_pieces(linked, valid), slabs)
    return Analysis(
        structure=measure_structure(features, scan),
        colours=colour_components(latents, features, request.recolour),
        spread=_spread(features, scan, distances),
        threshold=threshold,
        segments=segments,
        speckles=speckles,
        clusters=cluster_features(features, valid, request.clusters),
        distance=None if request.pick is None else _distance_to(features, request.pick, latents),
    )


def latent_spread(features: Features, scan: Scan) -> Float64:
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
    return _spread(features, scan, measure_distances(features, scan))


def find_present(features: Features) -> NDArray[np.bool_]:
    """Where there are latents, (rows, cols) bool."""
    slabs = (features[first:stop][..., 0] for first, stop in row_slabs(features.shape))
    return np.concatenate([~np.isnan(slab) for slab in slabs])


def measure_distances(features: Features, scan: Scan) -> Float64:
    """Euclidean distance between the latents of all neighbours.

    Parameters
    ----------
    features
        (rows, cols, D) float64, NaN where missing.
    scan
        Its geometry.

    Returns
    -------
    (pairs,) float64, in the order of `pairs_by_slab`; NaN where one is missing
    """
    size = features.shape[2]
    found = np.empty(NEIGHBOURS_AHEAD * features.shape[0] * features.shape[1])
    count = 0
    for first, stop, pairs in pairs_by_slab(scan, features.shape):
        flat = features[first:stop].reshape(-1, size)
        found[count : count + len(pairs)] = np.linalg.norm(flat[pairs[:, 0]] - flat[pairs[:, 1]], axis=1)
        count += len(pairs)
    return found[:count]


def _apart(features: Features, scan: Scan, distances: Float64) -> Iterator[tuple[int, Pairs, Float64]]:
    """First row of each slab, its pairs, and their distances."""
    count = 0
    for first, _, pairs in pairs_by_slab(scan, features.shape):
        yield first, pairs, distances[count : count + len(pairs)]
        count += len(pairs)


def _spread(features: Features, scan: Scan, distances: Float64) -> Float64:
    rows, cols = features.shape[:2]
    total, count = np.zeros(rows * cols), np.zeros(rows * cols, np.uint8)
    for first, pairs, apart in _apart(features, scan, distances):
        known = np.isfinite(apart)
        points = pairs[known].T.ravel()
        here = slice(first * cols, first * cols + int(points.max(initial=-1)) + 1)
        total[here] += np.bincount(points, np.tile(apart[known], 2))
        count[here] += np.bincount(points).astype(np.uint8)
    total[count == 0] = np.nan
    return (total / np.maximum(count, 1)).reshape(rows, cols)


def split_distances(distances: Float64) -> float:
    """Threshold between small and large distances: midway between two groups of their logarithms.

    Parameters
    ----------
    distances
        (pairs,) float64 from `measure_distances`; of more than 4 million, 4 million at random are looked at.

    Raises
    ------
    LatentsError
        If fewer than two different distances are known.
    """
    from sklearn.cluster import KMeans

    known = distances[distances > 0]  # NaN is not
    if not len(known) or known.min() == known.max():
        raise LatentsError("neighbours' latents do not differ: there is nothing to segment")
    if len(known) > SPLIT_PAIRS:
        chosen = np.random.default_rng(SPLIT_SEED).integers(0, len(known), SPLIT_PAIRS)
        known = np.append(known[chosen], (known.min(), known.max()))
    logarithms = np.log(known)[:, None]
    start = np.percentile(logarithms, (5, 95))[:, None]
    centres = KMeans(2, init=start, n_init=1).fit(logarithms).cluster_centers_
    return float(np.exp(centres.mean()))


def cluster_features(features: Features, valid: NDArray[np.bool_], count: int | None) -> NDArray[np.int64]:
    """Group points by their latents alone, with k-means that learns from 20,000 points at random, or all.

    Parameters
    ----------
    features
        (rows, cols, D) float64.
    valid
        (rows, cols) bool, True where there are latents.
    count
        Number of groups; None takes that of 2 to 20 whose silhouettes are best (Rousseeuw 1987).

    Returns
    -------
    (rows, cols) int64, the largest group is 0, −1 where not valid

    Raises
    ------
    LatentsError
        If there are fewer latents than groups.
    """
    total = int(valid.sum())
    if total < (count or 3):
        raise LatentsError(f"{count or 2} clusters of {total} points with latents; ask for fewer, or encode more")
    chosen = np.zeros_like(valid)
    chosen.flat[np.flatnonzero(valid)[_some(total, CLUSTER_POINTS)]] = True
    learnt_from = np.concatenate(list(_values_at(features, chosen)))
    model = _fit(learnt_from, count or choose_count(learnt_from))
    found = np.concatenate([model.predict(values) for values in _values_at(features, valid)])
    rank = np.argsort(np.argsort(-np.bincount(found, minlength=model.n_clusters), kind="stable"))
    clusters = np.full(valid.shape, -1, np.int64)
    clusters[valid] = rank[found]
    return clusters


def choose_count(values: Float64) -> int:
    """Number of clusters, from 2 to 20, with the best mean silhouette (Rousseeuw 1987).

    Parameters
    ----------
    values
        (n, D) float64; of more than 1,000, so many at random are looked at.
    """
    from sklearn.metrics import silhouette_score

    looked_at = values[_some(len(values), SILHOUETTE_POINTS)]
    best, chosen = -1.0, 2
    for count in range(2, min(MOST_CLUSTERS, len(looked_at) - 1) + 1):
        labels = _fit(looked_at, count).labels_
        score = silhouette_score(looked_at, labels) if len(np.unique(labels)) > 1 else -1.0
        if score > best:
            best, chosen = score, count
    return chosen


def _some(count: int, most: int) -> NDArray[np.int64]:
    """Numbers below a count, ascending: all, or so many at random. Every n-th would be those of a few columns."""
    return np.sort(np.random.default_rng(CLUSTER_SEED).choice(count, min(count, most), replace=False))


def _fit(values: Float64, count: int) -> Any:
    from sklearn.cluster import KMeans

    return KMeans(count, n_init=4, random_state=CLUSTER_SEED).fit(values)


def _values_at(features: Features, points: NDArray[np.bool_]) -> Iterator[Float64]:
    """Values at the chosen points, (n, D) for each slab."""
    for first, stop in row_slabs(features.shape):
        here = points[first:stop]
        if here.any():
            yield features[first:stop][here]


def _distance_to(features: Features, pick: tuple[int, int], latents: Latents) -> Float64:
    rows, cols = features.shape[:2]
    row, col = pick
    if not (0 <= row < rows and 0 <= col < cols):
        raise LatentsError(f"{latents.path}: the map has {rows}×{cols} points, counted from 0; got {row},{col}")
    point = features[row : row + 1][0, col]
    if np.isnan(point[0]):
        raise LatentsError(f"{latents.path}: there are no latents at {row},{col}")
    slabs = (features[first:stop] for first, stop in row_slabs(features.shape))
    return np.concatenate([np.linalg.norm(slab - point, axis=-1) for slab in slabs])
