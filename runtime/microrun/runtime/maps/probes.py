"""Do latent maps mean something? How well latents recover what is known of simulated samples.

Four questions, each asked of latents and of conventional maps of the same patterns, in the same way:

- blur (dislocations) and small rotations, within a grain: R² of a linear probe, tested on points that it did not
  learn from, pooled over the grains;
- grain boundaries: area under the ROC curve of how much a map differs from its neighbours, and of the map as it is;
- particles of a second phase: area under the ROC curve of a support vector machine, tested on particles and grains
  that it did not learn from. A phase is a curved surface in latent space, which no linear probe can cut out.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32, Float64
from microrun.runtime.maps.analysis import latent_spread
from microrun.runtime.maps.indexing import MAX_FIT_DEG, Indexer, Orientations, index_all
from microrun.runtime.maps.orientations import (
    KAM_LIMIT_DEG,
    average_misorientation,
    measure_pair_angles,
    nearest_equivalents,
)
from microrun.runtime.maps.pattern_quality import measure_image_quality, measure_sharpness
from microrun.runtime.patterns.prepared import PreparedBatch
from microrun.runtime.progress import Job
from microrun.runtime.scans.lattice import mean_over_pairs, neighbour_pairs
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.truth import Truth

FOLDS = 5
MIN_MIXTURE = 0.1  # of the neighbouring grain's pattern, from which on a point counts as boundary
MAX_ROTATION_DEG = 5.0  # within a grain; what indexing puts farther away is an error, and taken as missing
NOT_INDEXED_DEG = 62.8  # misorientation with what is not indexed: the largest that cubic crystals have
ALPHAS = np.logspace(-2, 4, 13)


@dataclass(frozen=True)
class Measured:
    """Conventional measures of all points of a map, in order of acquisition.

    Parameters
    ----------
    values
        (n,) float64 by name: sharpness, image quality, mean intensity, and what indexing reports.
    orientations
        Those that indexing found.
    """

    values: Mapping[str, Float64]
    orientations: Orientations


def measure(batches: Sequence[PreparedBatch], pixel_keep: NDArray[np.bool_], indexer: Indexer) -> Job[Measured]:
    """Measure patterns in all conventional ways.

    Parameters
    ----------
    batches
        A whole scan.
    pixel_keep
        (H, W) bool, True inside the mask.
    indexer
        What indexes patterns of the scan's detector.

    Yields
    ------
    Progress
        Patterns that are indexed.

    Returns
    -------
    Measured
    """
    patterns = np.concatenate([batch.patterns for batch in batches])
    found = yield from index_all(indexer, patterns)
    values = {
        "sharpness": np.concatenate([measure_sharpness(batch.patterns, pixel_keep) for batch in batches]),
        "image quality (Fourier)": np.concatenate([measure_image_quality(b.patterns, pixel_keep) for b in batches]),
        "pattern quality (Hough)": found.quality,
        "confidence": np.where(found.indexed, found.confidence, 0.0),
        "fit": np.where(found.indexed, found.fit_deg, MAX_FIT_DEG),
        "mean intensity": np.concatenate([batch.mean for batch in batches]).astype(np.float64),
    }
    return Measured(values, found)


def probe_grains(latents: Float32, measured: Measured, truth: Truth) -> dict[str, dict[str, float]]:
    """R² of blur and small rotations within grains.

    Parameters
    ----------
    latents
        (n, D) float32, those of a scattered sample: each row of the map is a grain.
    measured
        The same patterns.
    truth
        The same map.

    Returns
    -------
    dict
        R² by probe, by question.
    """
    grain = truth.grain.ravel()
    blur = truth.blur_px.ravel()[:, None]
    reference = truth.rotations[:, :1].repeat(truth.rotations.shape[1], axis=1).reshape(-1, 4)
    turned = rotation_vectors(truth.rotations.reshape(-1, 4), reference, "fcc")
    indexed = rotation_vectors(measured.orientations.rotations, reference, measured.orientations.phase)
    wrong = ~measured.orientations.indexed | (np.linalg.norm(indexed, axis=1) > MAX_ROTATION_DEG)
    indexed[wrong] = np.nan
    maps = {name: values[:, None] for name, values in measured.values.items()}
    together = np.concatenate(list(maps.values()), axis=1)
    inputs = {"latents": latents.astype(np.float64), **maps, "all maps together": together}
    rotated = {"latents": inputs["latents"], "orientation (indexed)": indexed, **maps}
    return {
        "blur, R²": {name: within_r2(values, blur, grain) for name, values in inputs.items()},
        "rotation, R²": {name: within_r2(values, turned, grain) for name, values in rotated.items()},
    }


def probe_map(latents: Float32, measured: Measured, truth: Truth, scan: Scan) -> dict[str, dict[str, float]]:
    """Area under the ROC curve of boundaries and particles.

    Parameters
    ----------
    latents
        (n, D) float32, those of a grown sample.
    measured
        The same patterns.
    truth
        The same map.
    scan
        Its geometry, square.

    Returns
    -------
    dict
        Area by map or probe, by question.
    """
    shape = scan.nav_shape
    pairs = neighbour_pairs(scan)
    rotations = measured.orientations.rotations.reshape(*shape, 4)
    indexed = measured.orientations.indexed.reshape(shape)
    angles = np.minimum(measure_pair_angles(rotations, indexed, "fcc", pairs), NOT_INDEXED_DEG)
    kam = {
        f"KAM, up to {KAM_LIMIT_DEG:g}°": average_misorientation(angles, pairs, shape).ravel(),
        "KAM, all angles": mean_over_pairs(angles, pairs, shape).ravel(),
    }
    maps = {**measured.values, **kam}
    return {
        "boundaries, AUC": _probe_boundaries(latents, maps, truth, scan),
        "particles, AUC": _probe_particles(latents, maps, measured.orientations, truth),
    }


def _probe_boundaries(latents: Float32, maps: Mapping[str, Float64], truth: Truth, scan: Scan) -> dict[str, float]:
    """Areas of maps as they are, and of their spread: the mean difference from the neighbours."""
    edge = (truth.boundary & (truth.mixture >= MIN_MIXTURE)).ravel()
    judged = edge | (truth.mixture == 0).ravel()
    columns = {name: _standardise(_fill_with_median(values))[:, None] for name, values in maps.items()}
    spreads = {"latents (spread)": latents.astype(np.float64)}
    spreads |= {f"{name} (spread)": values for name, values in columns.items() if not name.startswith("KAM")}
    spreads["all maps together (spread)"] = np.concatenate(list(columns.values()), axis=1)
    found = {name: latent_spread(values.reshape(*scan.nav_shape, -1), scan).ravel() for name, values in spreads.items()}
    scores = {**found, **maps}
    return {name: _best_of_signs(area(values[judged], edge[judged])) for name, values in scores.items()}


def _probe_particles(
    latents: Float32, maps: Mapping[str, Float64], orientations: Orientations, truth: Truth
) -> dict[str, float]:
    """Areas of probes that are tested on whole particles and grains that they did not learn from."""
    inside = (truth.mixture < MIN_MIXTURE).ravel()
    particle, grain = (truth.phase == 1).ravel()[inside], truth.grain.ravel()[inside]
    columns = {name: _fill_with_median(values)[:, None] for name, values in maps.items()}
    identity = np.broadcast_to((1.0, 0.0, 0.0, 0.0), orientations.rotations.shape)
    columns["orientation (indexed)"] = nearest_equivalents(orientations.rotations, identity, orientations.phase)
    together = np.concatenate(list(columns.values()), axis=1)
    inputs = {"latents": latents.astype(np.float64), **columns, "all maps together": together}
    return {name: area(probe_area(values[inside], particle, grain), particle) for name, values in inputs.items()}


def within_r2(inputs: Float64, targets: Float64, groups: NDArray[np.int64]) -> float:
    """Share of the targets' variance within groups that linear probes predict.

    Parameters
    ----------
    inputs
        (n, features) float64; what is not finite is taken for the median.
    targets
        (n, outputs) float64.
    groups
        (n,) int64: each group gets a probe of its own (ridge regression, its strength chosen inside the training part),
        learnt on four fifths of its points and tested on the last, five times.

    Returns
    -------
    float
        1 − Σ(error²) / Σ(deviation from the group's mean²); below 0 where the probe does harm.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    error = spread = 0.0
    model = make_pipeline(StandardScaler(), RidgeCV(ALPHAS))
    for group in np.unique(groups):
        own = groups == group
        wanted = targets[own]
        found = cross_val_predict(
            model, _fill_with_median(inputs[own]), wanted, cv=KFold(FOLDS, shuffle=True, random_state=0)
        )
        error += float(((found.reshape(wanted.shape) - wanted) ** 2).sum())
        spread += float(((wanted - wanted.mean(axis=0)) ** 2).sum())
    return 1 - error / spread


def probe_area(inputs: Float64, labels: NDArray[np.bool_], groups: NDArray[np.int64]) -> Float64:
    """Scores of a probe on groups that it did not learn from.

    Parameters
    ----------
    inputs
        (n, features) float64.
    labels
        (n,) bool.
    groups
        (n,) int64: a fifth of them is tested on at a time, with its share of either label.

    Returns
    -------
    (n,) float64, larger where the label is more likely
    """
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    model = make_pipeline(StandardScaler(), SVC(class_weight="balanced"))
    scores: Float64 = cross_val_predict(
        model, inputs, labels, groups=groups, cv=StratifiedGroupKFold(FOLDS), method="decision_function"
    )
    return scores


def area(scores: Float64, labels: NDArray[np.bool_]) -> float:
    """Area under the ROC curve.

    Parameters
    ----------
    scores
        (n,) float64; what is not finite is taken for the median.
    labels
        (n,) bool.

    Returns
    -------
    float
        NaN where there is but one class.
    """
    from sklearn.metrics import roc_auc_score

    if labels.all() or not labels.any():
        return float("nan")
    return float(roc_auc_score(labels, _fill_with_median(scores)))


def rotation_vectors(rotations: Float64, references: Float64, phase: str) -> Float64:
    """Rotations against references as axis times angle.

    Parameters
    ----------
    rotations, references
        (n, 4) float64 unit quaternions, scalar first.
    phase
        As `find_structure` takes it, for the symmetry.

    Returns
    -------
    (n, 3) float64 in degrees
    """
    from scipy.spatial.transform import Rotation

    near = nearest_equivalents(rotations, references, phase)
    one, other = (Rotation.from_quat(values, scalar_first=True) for values in (near, references))
    vectors: Float64 = np.rad2deg((one * other.inv()).as_rotvec())
    return vectors


def _best_of_signs(found: float) -> float:
    """Area under the curve of a map that nobody trained, by whichever sign tells more."""
    return max(found, 1 - found)


def _standardise(values: Float64) -> Float64:
    scaled: Float64 = (values - values.mean()) / max(float(values.std()), 1e-300)
    return scaled


def _fill_with_median(values: Float64) -> Float64:
    """Replace what is missing by the median, column by column."""
    finite = np.where(np.isfinite(values), values, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about columns without any value
        middle = np.nan_to_num(np.nanmedian(finite, axis=0))
    return np.where(np.isnan(finite), middle, finite)
