"""Conventional maps of a whole scan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.maps.indexing import Geometry, Indexer
from microrun.runtime.maps.orientations import (
    GRAIN_DEG,
    average_misorientation,
    colour_orientations,
    deviate_from_grains,
    measure_pair_angles,
)
from microrun.runtime.maps.pattern_quality import measure_image_quality, measure_sharpness
from microrun.runtime.patterns.background import static_background
from microrun.runtime.patterns.prepared import PreparedBatch, prepare_patterns
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.lattice import connect, neighbour_pairs
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.source import IndexedSource
from microrun.runtime.spec import Preprocessing

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PhysicsMaps:
    """Maps of a scan, (rows, cols, …), NaN where there is nothing; None where they were not asked for.

    Parameters
    ----------
    image_quality, sharpness
        Of the prepared patterns, as `measure_image_quality` and `measure_sharpness`.
    mean_intensity
        Of the raw patterns inside the mask, in counts.
    rotations
        (rows, cols, 4) unit quaternions.
    colours
        (rows, cols, 3) inverse pole figure colours along the sample's normal, in [0, 1].
    grains
        Numbered from 0; −1 where not indexed.
    kam_deg, grod_deg
        Kernel average misorientation; deviation from the mean orientation of the grain.
    """

    image_quality: Float64
    sharpness: Float64
    mean_intensity: Float64
    rotations: Float64 | None = None
    colours: Float64 | None = None
    grains: NDArray[np.int64] | None = None
    kam_deg: Float64 | None = None
    grod_deg: Float64 | None = None


def map_patterns(
    source: IndexedSource, background: str = "auto", progress: Progress = lambda done, total: None
) -> PhysicsMaps:
    """Measure all patterns of a scan, binned as the models take them.

    Parameters
    ----------
    source
        The scan.
    background
        "auto", "none" or a file, as `static_background` takes it.
    progress
        Called with (patterns done, total).
    """
    columns = []
    preprocessor = Preprocessor(Preprocessing(), source.scan.sig_shape)
    done = 0
    for batch in _batches(source, background, preprocessor):
        keep = preprocessor.pixel_keep
        quality, sharpness = measure_image_quality(batch.patterns, keep), measure_sharpness(batch.patterns, keep)
        for values in (quality, sharpness):
            values[batch.flags] = np.nan
        columns.append(np.stack([quality, sharpness, batch.mean]))
        done += len(batch.flags)
        progress(done, source.available)
    quality, sharpness, mean = (spread_over_map(values, source.scan) for values in np.concatenate(columns, axis=1))
    return PhysicsMaps(quality, sharpness, mean)


def index_map(
    source: IndexedSource, background: str, geometry: Geometry, progress: Progress = lambda done, total: None
) -> tuple[Float64, NDArray[np.bool_]]:
    """Index all patterns of a scan.

    Returns
    -------
    rotations : (rows, cols, 4) float64
    valid : (rows, cols) bool
        True where indexed.
    """
    preprocessor = Preprocessor(Preprocessing(), source.scan.sig_shape)
    indexer = Indexer(geometry, source.scan.sig_shape, preprocessor.input_shape)
    rotations, indexed = [], []
    for batch in _batches(source, background, preprocessor):
        found = indexer.index(batch.patterns)
        rotations.append(found.rotations)
        indexed.append(found.indexed & ~batch.flags)
        progress(sum(map(len, indexed)), source.available)
    valid = spread_over_map(np.concatenate(indexed).astype(np.float64), source.scan) == 1
    turned = np.concatenate(rotations)
    columns = [spread_over_map(turned[:, i], source.scan) for i in range(4)]
    return np.where(valid[..., None], np.stack(columns, axis=-1), (1.0, 0.0, 0.0, 0.0)), valid


def map_orientations(
    maps: PhysicsMaps, rotations: Float64, valid: NDArray[np.bool_], scan: Scan, phase: str
) -> PhysicsMaps:
    """Add the maps that follow from orientations.

    Parameters
    ----------
    maps
        Of the patterns.
    rotations
        (rows, cols, 4) unit quaternions.
    valid
        (rows, cols) bool, True where there is an orientation.
    scan
        Geometry.
    phase
        For the symmetry.
    """
    pairs = neighbour_pairs(scan)
    angles = measure_pair_angles(rotations, valid, phase, pairs)
    grains = connect(pairs[angles < GRAIN_DEG], valid)
    return replace(
        maps,
        rotations=rotations,
        colours=colour_orientations(rotations, valid, phase),
        grains=grains,
        kam_deg=average_misorientation(angles, pairs, scan.nav_shape),
        grod_deg=deviate_from_grains(rotations, grains, phase),
    )


def spread_over_map(values: NDArray[np.floating], scan: Scan) -> Float64:
    """Lay values, one a pattern in order of acquisition, out on the map; (rows, cols), NaN where there is none."""
    image = np.full(scan.nav_shape, np.nan)
    image[scan.locate(np.arange(len(values)))] = values
    return image


def _batches(source: IndexedSource, background: str, preprocessor: Preprocessor) -> Iterator[PreparedBatch]:
    image = static_background(background, source, preprocessor)
    return prepare_patterns(source, preprocessor, image, np.arange(source.available))
