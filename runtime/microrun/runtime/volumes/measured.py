"""Files of labels, measured: their grains, and what is counted of their voxels."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.errors import VolumeError
from microrun.runtime.volumes.axes import wraps_of
from microrun.runtime.volumes.cleaning import absorb_grains
from microrun.runtime.volumes.label_files import LabelledVolume, read_labels
from microrun.runtime.volumes.measure import Grains, measure_grains, number_grains
from microrun.runtime.volumes.printed import Printed, measure_printed
from microrun.runtime.volumes.tally import StageSizes, Tally, add_up, split_pieces, sum_by_stage, tally_voxels
from microrun.runtime.volumes.volume import Shape

STAGED = "isotropic"  # the order of blocks that has stages
PRINTED = "am"  # what a file says of volumes of printed metal
# Of a shape and its periodic axes.
PaintStages = Callable[[Shape, str], NDArray[np.unsignedinteger[Any]]]


@dataclass(frozen=True, eq=False)
class MeasuredFile:
    """What was measured of the volumes of a file.

    Parameters
    ----------
    source
        The file, and the data set if one was named.
    grains
        Measures by the names of the volumes.
    tally
        Counts of voxels, before any grain was absorbed.
    stages
        Sizes by the stage of the tiling; None if they were not asked for, or a volume has none, as a remark says.
    voxel_um
        Edge of a voxel in µm; None if the file does not say, and lengths count voxels.
    absorbed_voxels
        Grains below this size had joined others before they were measured.
    remarks
        What was guessed, a sentence each.
    printed
        Rows and columns of each volume in voxels, if it is of printed metal.
    """

    source: str
    grains: dict[str, Grains]
    tally: Tally
    stages: StageSizes | None
    voxel_um: float | None
    absorbed_voxels: int
    remarks: tuple[str, ...]
    printed: tuple[Printed, ...] = ()

    def scale(self, voxel_um: float) -> MeasuredFile:
        """The same with an edge of a voxel, of grains whose lengths count voxels."""
        scaled = {name: grains.scale(voxel_um) for name, grains in self.grains.items()}
        return replace(self, grains=scaled, voxel_um=voxel_um)


def measure_file(
    path: Path,
    dataset: str | None = None,
    min_voxels: int = 0,
    paint_stages: PaintStages | None = None,
    by_stage: bool = False,
    printed: bool = False,
) -> MeasuredFile:
    """Measure all volumes of a file; lengths count voxels.

    Parameters
    ----------
    path, dataset
        The file and its data set, as for `read_labels`.
    min_voxels
        Pieces of grains are grains of their own, and those below this size join a neighbour, before grains are
        measured; 0 takes grains as they are labelled.
    paint_stages
        Gives the stage of the isotropic tiling that each voxel of a shape with such periodic axes belongs to;
        VolumeError if it cannot be tiled.
    by_stage
        Whether to sum up sizes by stage even if the file does not say that it was grown in stages.
    printed
        Whether to measure rows and columns even if the file does not say that it is of printed metal.

    Returns
    -------
    MeasuredFile
        Measures of all.

    Raises
    ------
    VolumeError
        If it cannot be read, holds no grains, or its volumes have voxels of several sizes.
    """
    source = str(path) if dataset is None else f"{path}:{dataset}"
    measured: dict[str, Grains] = {}
    tallies: list[Tally] = []
    stages: list[StageSizes | None] = []
    about: list[LabelledVolume] = []
    standing: list[Printed] = []
    said: list[str] = []
    edge_um: float | None = None
    for volume in read_labels(path, dataset):
        about.append(replace(volume, labels=np.empty((0, 0, 0), np.int32), joined=None))  # which need not be kept
        edge_um = _find_edge(source, about)
        try:
            measured[volume.name], tally, labels = _measure_volume(volume, min_voxels)
        except VolumeError as error:
            raise VolumeError(f"{source}: {error}") from None
        tallies.append(tally)
        if printed or volume.kind == PRINTED:
            standing.append(measure_printed(labels, measured[volume.name]))
        paint = paint_stages if by_stage or volume.order == STAGED else None
        sizes, lacking = _sum_stages(volume, labels, min_voxels, paint) if paint else (None, "")
        stages.append(sizes)
        said += [f"no sizes by stage, since {lacking}"] * bool(lacking)
    return MeasuredFile(
        source, measured, functools.reduce(operator.add, tallies), add_up(stages),
        edge_um, max(min_voxels, *(volume.absorbed_voxels for volume in about)),
        tuple(dict.fromkeys([*(one for volume in about for one in volume.remarks), *said])), tuple(standing),
    )  # fmt: skip


def _find_edge(source: str, volumes: Sequence[LabelledVolume]) -> float | None:
    """The edge of a voxel that all volumes state, or none of them; one more given for all would be wrong for some."""
    edges = {volume.voxel_um for volume in volumes}
    if len(edges) > 1:
        sizes = " and ".join(f"{edge:g}" for edge in sorted(edge for edge in edges if edge is not None))
        silent = " and of a size that is not stated" if None in edges else ""
        raise VolumeError(f"{source}: its volumes have voxels of {sizes} µm{silent}; name one with --dataset")
    return volumes[0].voxel_um


def _measure_volume(volume: LabelledVolume, min_voxels: int) -> tuple[Grains, Tally, NDArray[np.int32]]:
    """Grains, counts of voxels, and the labels of the grains that were measured."""
    _, numbers = number_grains(volume.labels)
    pieces = split_pieces(numbers)
    tally = tally_voxels(numbers, pieces)
    if not min_voxels:
        return measure_grains(volume.labels), tally, numbers
    absorb_grains(pieces, int(pieces.max()) + 1, min_voxels)
    return measure_grains(pieces), tally, pieces


def _sum_stages(
    volume: LabelledVolume, measured: NDArray[np.int32], min_voxels: int, paint_stages: PaintStages
) -> tuple[StageSizes | None, str]:
    """Sizes by stage, of a periodic volume by grains that its faces do not cut; or why there are none."""
    if volume.order not in ("", STAGED):
        return None, f"it was grown in the {volume.order} order"
    depth, rows, cols = measured.shape
    try:
        stages = paint_stages((depth, rows, cols), volume.periodic)
    except VolumeError as error:
        return None, str(error)
    wraps = wraps_of(volume.periodic)
    if volume.joined is None:
        return sum_by_stage(measured, stages, wraps), ""
    labels = number_grains(volume.joined)[1].copy()  # those measured are cut
    absorb_grains(labels, int(labels.max()) + 1, min_voxels, wraps)
    return sum_by_stage(labels, stages, wraps), ""


def settle_units(files: Sequence[MeasuredFile], voxel_um: float | None) -> tuple[list[MeasuredFile], bool, str]:
    """Give lengths in µm, if those of all files can be, and else in voxels.

    Parameters
    ----------
    files
        From `measure_file`.
    voxel_um
        Edge of a voxel of files that do not say.

    Returns
    -------
    files, in_um, said
        The files, whether their lengths are in µm, and why not, if some file says its own; else empty.
    """
    silent = [file.source for file in files if file.voxel_um is None]
    if voxel_um is None and silent:
        said = f"lengths count voxels, since {silent[0]} does not say how large they are; give --voxel-um"
        counted = [replace(file, voxel_um=None) for file in files]
        return counted, False, said if len(silent) < len(files) else ""
    edges = [file.voxel_um if file.voxel_um is not None else voxel_um for file in files]
    return [file.scale(edge) for file, edge in zip(files, edges, strict=True) if edge is not None], True, ""
