"""Conventional maps of a whole scan."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float64
from microrun.runtime.maps.indexing import Indexer
from microrun.runtime.maps.orientations import (
    GRAIN_DEG,
    OrientedMap,
    average_misorientation,
    colour_orientations,
    deviate_from_grains,
    measure_pair_angles,
)
from microrun.runtime.maps.pattern_quality import measure_image_quality, measure_sharpness
from microrun.runtime.patterns.background import static_background
from microrun.runtime.patterns.bad_pixels import preprocessor_for
from microrun.runtime.patterns.prepared import PreparedBatch, prepare_patterns
from microrun.runtime.progress import Job, Progress
from microrun.runtime.scans.lattice import connect, neighbour_pairs
from microrun.runtime.scans.open import whole_of
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.source import IndexedSource
from microrun.runtime.spec import Preprocessing


@dataclass(frozen=True)
class PhysicsMaps:
    """Maps of a scan, NaN where there is nothing; None where they were not asked for.

    Parameters
    ----------
    image_quality, sharpness
        (rows, cols) float64, what `measure_image_quality` and `measure_sharpness` say of the prepared patterns.
    mean_intensity
        (rows, cols) float64, mean of the raw patterns inside the mask, in counts.
    rotations
        (rows, cols, 4) float64 unit quaternions; identity where not indexed.
    colours
        (rows, cols, 3) float64 in [0, 1], inverse pole figure colours along the sample's normal; NaN where not indexed.
    grains
        (rows, cols) int64, numbered from 0; −1 where not indexed.
    kam_deg, grod_deg
        (rows, cols) float64, kernel average misorientation, and deviation from the mean orientation of the grain.
    phase
        (rows, cols) int64, number of the phase, −1 where not indexed; None where there is one phase only.
    """

    image_quality: Float64
    sharpness: Float64
    mean_intensity: Float64
    rotations: Float64 | None = None
    colours: Float64 | None = None
    grains: NDArray[np.int64] | None = None
    kam_deg: Float64 | None = None
    grod_deg: Float64 | None = None
    phase: NDArray[np.int64] | None = None


def map_patterns(source: IndexedSource, background: str = "auto", indexer: Indexer | None = None) -> Job[PhysicsMaps]:
    """Measure all patterns of a scan, binned as the models take them; where asked, index them in the same pass.

    Parameters
    ----------
    source
        The scan, or a part of it: background and bad pixels are those of the whole.
    background
        "auto", "none" or a file, as `static_background` takes it.
    indexer
        What indexes prepared patterns of its detector; without it there are no maps of orientations.

    Yields
    ------
    Progress
        Patterns that are done.

    Returns
    -------
    PhysicsMaps

    Raises
    ------
    ScanError
        If the scan or the background cannot be read, or the detector has too few pixels.

    Examples
    --------
    >>> from microrun.runtime import finish, map_patterns, open_scan
    >>> maps = finish(map_patterns(open_scan("scan.up1")))
    >>> maps.image_quality.shape, maps.rotations is None
    ((3, 3), True)
    """
    scan = source.scan
    whole = whole_of(source)  # so that maps of a part are those of the whole
    preprocessor = preprocessor_for(whole, Preprocessing())
    image = static_background(background, whole, preprocessor)
    measures, rotations, indexed = [], [], []
    done = 0
    for batch in prepare_patterns(source, preprocessor, image, np.arange(source.available)):
        measures.append(_measure(batch, preprocessor.pixel_keep))
        if indexer:
            found = indexer.index(batch.patterns)
            rotations.append(found.rotations)
            indexed.append(found.indexed & ~batch.flags)
        done += len(batch.flags)
        yield Progress(done, source.available)
    quality, sharpness, mean = (spread_over_map(values, scan) for values in np.concatenate(measures, axis=1))
    maps = PhysicsMaps(quality, sharpness, mean)
    if indexer is None:
        return maps
    valid = spread_over_map(np.concatenate(indexed).astype(np.float64), scan) == 1
    columns = [spread_over_map(column, scan) for column in np.concatenate(rotations).T]
    turned = np.where(valid[..., None], np.stack(columns, axis=-1), (1.0, 0.0, 0.0, 0.0))
    oriented = OrientedMap(turned, np.where(valid, 0, -1), {0: indexer.geometry.phase})
    return map_orientations(maps, oriented, scan)


def map_orientations(maps: PhysicsMaps, found: OrientedMap, scan: Scan) -> PhysicsMaps:
    """Add the maps that follow from orientations.

    Neighbours of two phases have no misorientation: they belong to two grains, and neither counts for the other.

    Parameters
    ----------
    maps
        What the patterns themselves say.
    found
        Orientations and phases.
    scan
        Geometry.

    Returns
    -------
    PhysicsMaps
        With all maps.
    """
    pairs = neighbour_pairs(scan)
    angles = np.full(len(pairs), np.inf)
    colours, grod = np.full((*scan.nav_shape, 3), np.nan), np.full(scan.nav_shape, np.nan)
    for number, symmetry in found.symmetries.items():
        inside = found.phase == number
        angles = np.minimum(angles, measure_pair_angles(found.rotations, inside, symmetry, pairs))
        colours[inside] = colour_orientations(found.rotations, inside, symmetry)[inside]
    grains = connect(pairs[angles < GRAIN_DEG], found.valid)
    for number, symmetry in found.symmetries.items():
        own = np.where(found.phase == number, grains, -1)
        grod = np.fmin(grod, deviate_from_grains(found.rotations, own, symmetry))
    return replace(
        maps,
        rotations=found.rotations,
        colours=colours,
        grains=grains,
        kam_deg=average_misorientation(angles, pairs, scan.nav_shape),
        grod_deg=grod,
        phase=found.phase if len(found.symmetries) > 1 else None,
    )


def spread_over_map(values: NDArray[np.floating], scan: Scan) -> Float64:
    """Lay values out on the map.

    Parameters
    ----------
    values
        (n,) one a pattern, in order of acquisition; fewer than the map has points where a scan was cut.
    scan
        Geometry.

    Returns
    -------
    (rows, cols) float64, NaN where there is none
    """
    image = np.full(scan.nav_shape, np.nan)
    image[scan.locate(np.arange(len(values)))] = values
    return image


def _measure(batch: PreparedBatch, pixel_keep: NDArray[np.bool_]) -> Float64:
    """Image quality, sharpness and mean intensity, (3, n); the first two NaN without information."""
    quality = measure_image_quality(batch.patterns, pixel_keep)
    sharpness = measure_sharpness(batch.patterns, pixel_keep)
    for values in (quality, sharpness):
        values[batch.flags] = np.nan
    return np.stack([quality, sharpness, batch.mean])
