"""A whole volume from its request: blocks grown in a folder of their own, grains told apart and written."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator

import numpy as np

from microrun.runtime.engines.denoiser import Denoiser
from microrun.runtime.engines.engine import EngineInfo
from microrun.runtime.generation.block_folder import BlockFolder
from microrun.runtime.generation.given import FIRST_GIVEN, continue_given
from microrun.runtime.generation.grow import Grown, grow
from microrun.runtime.generation.left_over import mark_writing, only_run
from microrun.runtime.generation.request import GenerateRequest
from microrun.runtime.spec import ModelSpec
from microrun.runtime.volumes.axes import wraps_of
from microrun.runtime.volumes.segment import Given, SegmentOptions, Summary, write_labels
from microrun.runtime.volumes.volume import Volume

VALUE_SCALE = 100.0  # of GrainPaint's labels: the side of its training volumes
CONTINUED = "continued.npy"  # in the folder: known grains and what has grown on them, among colours
WRITING = "telling grains apart"
Growth = Generator[Grown, None, None]
Growing = Generator[Grown, None, Summary]


def generate(request: GenerateRequest, denoiser: Denoiser) -> Growing:
    """Grow a volume on this machine, and write its grains.

    Finished blocks are kept beside the file until all are there: whatever ends a run, the next one goes on from them.

    Parameters
    ----------
    request
        What to grow, and where to. A file that is there is replaced.
    denoiser
        From `open_denoiser`.

    Returns
    -------
    generator of Grown
        A job: nothing is grown before it is iterated. Its first record tells what an earlier run has left; its
        result is a `Summary` of the grains.

    Raises
    ------
    EngineError
        If the denoiser draws no blocks, or fails.
    VolumeError
        If the volume cannot be tiled, another run grows it, or its blocks are those of another volume.
    OutputError
        If something cannot be written.

    Examples
    --------
    >>> from microrun.runtime import GenerateRequest, finish, generate, open_denoiser
    >>> with open_denoiser("grains", "cpu") as denoiser:
    ...     grains = finish(generate(GenerateRequest((32, 32, 32), out="grown.npy"), denoiser)).grains
    >>> grains > 1
    True
    """
    return generate_by(request, denoiser.spec, denoiser.info, lambda folder: grow(folder, denoiser))


def generate_by(
    request: GenerateRequest, spec: ModelSpec, info: EngineInfo, grow_blocks: Callable[[BlockFolder], Growth]
) -> Growing:
    """Grow a volume by whatever makes its blocks; results and errors as of `generate`.

    Parameters
    ----------
    request
        What to grow, and where to.
    spec, info
        Of the denoiser that draws the blocks.
    grow_blocks
        Makes all blocks of a folder that are missing.
    """
    request = request.settle(spec)
    with only_run(request.out):
        folder = request.open_folder(spec, info)
        grown = Grown(0, 0, blocks=int(folder.finished().sum()))
        yield grown
        with contextlib.closing(grow_blocks(folder)) as growing:
            for grown in growing:
                yield grown
        yield Grown(grown.done, grown.total, WRITING, blocks=grown.blocks)
        mark_writing(folder.path, request.out)
        summary = write_grains(folder, request)
        folder.remove()
    return summary


def write_grains(folder: BlockFolder, request: GenerateRequest) -> Summary:
    """Put the finished blocks together, tell their grains apart and write those.

    Voxels of one colour that hang together by faces are a grain, also across periodic faces, and their boundaries are
    relaxed; values that are no colours are clustered as GrainPaint does. Known grains stay as they were given, with
    what has grown on them.

    Parameters
    ----------
    folder
        Of the volume, all blocks finished.
    request
        Names the file, .npy or .h5: (z, y, x) int32, −1 outside the part; and the smallest grain. Settled.

    Raises
    ------
    VolumeError, OutputError
        As `write_labels`.
    """
    values, min_voxels, met, given = folder.assemble(), request.min_voxels, 0, None
    colours = values.dtype == np.int8
    if colours:
        assert request.relax is not None
        options = SegmentOptions(components=6, min_voxels=min_voxels, periodic=request.periodic, relax=request.relax)
    else:
        options = SegmentOptions(VALUE_SCALE, fill=True, min_voxels=min_voxels)
    if request.given is not None:
        given_colours, path = request.colour_known(folder.diffusion.n_colours), folder.path / CONTINUED
        values, met = continue_given(values, request.given, given_colours, wraps_of(request.periodic), path)
        given = Given(FIRST_GIVEN, request.given.mask)
    about: dict[str, str | float] = {"blueprint": folder.blueprint.to_json()}
    if folder.diffusion.process:
        about["kind"] = folder.diffusion.process
    if request.voxel_um is not None:
        about["voxel_um"] = request.voxel_um
    volume = Volume(values, str(folder.path), positive=colours)
    summary = write_labels(volume, options, request.out, about=about, given=given)
    return summary._replace(met=met)
