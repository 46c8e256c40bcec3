"""How far sections are from a reference in the eyes of a network that the user names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.engines.features import compute_features
from microrun.runtime.sections.distributions import halve_groups
from microrun.runtime.sections.kid import Distance, frechet_distance, kernel_distance
from microrun.runtime.sections.orientations import paint_orientations
from microrun.runtime.sections.report import Measured, Report

HALVINGS = 10


@dataclass(frozen=True)
class NetworkDistance:
    """Distances between the features of all sections of the conditions in common, as pictures in IPF-Z colours.

    Parameters
    ----------
    path, sha256
        The network's file and its hash.
    sections, reference
        Numbers of sections.
    features
        Number of features; of fewer sections than these, FID is mostly bias.
    fid, fid_floor
        Fréchet distance, and the mean of it between halves of the reference's cases.
    kid
        Kernel distance of the same features.
    """

    path: Path
    sha256: str
    sections: int
    reference: int
    features: int
    fid: float
    fid_floor: float
    kid: Distance


def measure_by_network(report: Report, path: Path, seed: int = 0) -> NetworkDistance | None:
    """Compare sections with a reference by a network's features.

    Parameters
    ----------
    report
        With the reference.
    path
        As `compute_features` takes it: for FID, the Inception network of its authors.
    seed
        Of subsets and halves.

    Returns
    -------
    NetworkDistance or None
        None without a reference.

    Raises
    ------
    EngineError
        If the network cannot be used.
    """
    if report.reference is None:
        return None
    own, reference = (
        compute_features(path, _paint(side, report.shared(side))) for side in (report.own, report.reference)
    )
    ours, theirs = own.features, reference.features
    generator = np.random.default_rng([seed, 6])
    groups = report.reference.groups(report.shared(report.reference))
    halves = zip(*halve_groups(groups, generator, HALVINGS), strict=True)
    floors = [
        frechet_distance(theirs[one > 0], theirs[other > 0]) for one, other in halves if min(one.sum(), other.sum()) > 1
    ]
    return NetworkDistance(
        path, own.sha256, len(ours), len(theirs), ours.shape[1],
        frechet_distance(ours, theirs) if min(len(ours), len(theirs)) > 1 else float("nan"),
        float(np.mean(floors)) if floors else float("nan"),
        kernel_distance(ours, theirs, groups, seed),
    )  # fmt: skip


def _paint(measured: Measured, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
    sections = measured.sections
    return paint_orientations(sections.orientation[chosen], sections.euler).astype(np.float32)
