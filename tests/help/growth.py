"""What the tests of growing volumes share: a request, and the same volume grown block after block."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.noise import normal_noise
from microrun.runtime.array_types import Float32, Mask
from microrun.runtime.colour_codes import colour_values, nearest_colours
from microrun.runtime.engines.denoiser import Denoiser
from microrun.runtime.generation.block_folder import BlockFolder
from microrun.runtime.generation.block_steps import kinds_of_blocks, tabulate_kinds
from microrun.runtime.generation.decode_block import decode_block
from microrun.runtime.generation.grow import Grown, grow
from microrun.runtime.generation.overlaps import BLOCK
from microrun.runtime.generation.recipe import fit_sampling
from microrun.runtime.generation.request import GenerateRequest
from microrun.runtime.generation.sampling import Sampling
from microrun.runtime.spec import Diffusion
from microrun.runtime.volumes.volume import Shape

SHAPE = (32, 56, 104)
SAMPLING = Sampling(6, n_resample=2, plain_steps=2)


def a_request(folder: Path, **changes: Any) -> GenerateRequest:
    """Eight blocks in nine evaluations at most."""
    usual = {"out": folder / "out.h5", "shape": SHAPE, "seed": 7, "order": "isotropic", "sampling": SAMPLING}
    return GenerateRequest(**{**usual, **changes})


def random_blocks(folder: BlockFolder, diffusion: Diffusion) -> list[Float32]:
    """Every block of its own values, whatever its neighbours are; of colours cubes that are large enough for grains."""
    rng = np.random.default_rng(0)
    shape = (len(folder.tiling), *diffusion.sample_shape)
    if not diffusion.n_colours:
        return list(rng.normal(size=shape).astype("f4"))
    bits = 2 * rng.integers(0, 2, (*shape[:2], 4, 4, 4)) - 1
    return list(np.kron(bits, np.ones((8, 8, 8))).astype("f4"))


def a_part(shape: Shape) -> Mask:
    """A slanted plate."""
    z, y, x = np.indices(shape)
    return np.asarray(abs(z + y // 2 - x) < 9)


def watch(growing: Generator[Grown, None, Any], after_each: Callable[[Grown], object] = lambda now: None) -> None:
    """Run a growth to its end, or to an error of whoever watches it."""
    with closing(growing):
        for now in growing:
            after_each(now)


def grown(request: GenerateRequest, denoiser: Denoiser) -> NDArray[Any]:
    """The volume of a request, put together from its blocks."""
    folder = request.open_folder(denoiser.spec, denoiser.info)
    watch(grow(folder, denoiser))
    return np.array(folder.assemble())


class StopError(Exception):
    """Stands for whatever ends a run."""


def stop_after(blocks: int, error: BaseException) -> Callable[[Grown], None]:
    """Raise once so many blocks are there."""

    def after_each(now: Grown) -> None:
        if now.blocks >= blocks:
            raise error

    return after_each


def grow_slowly(denoiser: Denoiser, request: GenerateRequest) -> NDArray[Any]:
    """One slot draws one block after the other into a dense volume, where what is drawn is never drawn over."""
    request = request.settle(denoiser.spec)
    tiling, diffusion = request.tiling, denoiser.diffusion
    channels, n_colours = diffusion.sample_shape[0], diffusion.n_colours
    shape = [side + BLOCK * (not wrap) for side, wrap in zip(tiling.shape, tiling.wraps, strict=True)]
    dense, drawn = np.zeros((channels, *shape), np.float32), np.zeros(shape, bool)
    if request.given is not None:
        colours, here = request.colour_known(n_colours), tuple(map(slice, request.shape))
        dense[(slice(None), *here)] = colour_values(np.append(colours, 0)[request.given.numbers], n_colours, channels)
        drawn[here] = request.given.mask
    for number, corner in enumerate(tiling.corners):
        places = [(low + np.arange(BLOCK)) % side for low, side in zip(corner, shape, strict=True)]
        window = (slice(None), *np.ix_(*places))
        z, y, x = (place < side for place, side in zip(places, tiling.shape, strict=True))
        inside = z[:, None, None] & y[:, None] & x
        is_drawn = drawn[window[1:]]
        block = _draw(denoiser, request, number, dense[window], is_drawn & inside)
        if n_colours:
            block = colour_values(decode_block(block, n_colours, is_drawn & inside), n_colours, channels)
        dense[window] = np.where(is_drawn, dense[window], block)
        drawn[window[1:]] = True
    volume = dense[(slice(None), *map(slice, request.shape))]
    whole: NDArray[Any] = nearest_colours(volume, n_colours) if n_colours else volume[0]
    return whole if request.part is None else np.where(request.part, whole, -1 if n_colours else np.nan)


def _draw(
    denoiser: Denoiser, request: GenerateRequest, number: int, known: NDArray[np.float32], given: Mask
) -> NDArray[np.float32]:
    kind = kinds_of_blocks(request.tiling)[number]
    steps = tabulate_kinds(denoiser.diffusion, fit_sampling(request.sampling, denoiser.spec))[kind]
    assert given.any() == (kind > 0)
    lane = denoiser.lane()
    noise = np.empty((lane.batch, *known.shape), np.float32)
    ids = np.full(lane.batch, number)
    normal_noise(request.seed, ids, 0, noise)
    lane.load(0, noise[0], known, np.broadcast_to(given, known.shape))
    for evaluation, (timestep, row) in enumerate(zip(steps.timesteps, steps.coefficients, strict=True), 1):
        normal_noise(request.seed, ids, evaluation, noise)
        lane.step(*_repeat(lane.batch, np.int32(timestep), row.astype(np.float32)), noise)
    return lane.read(0)


def _repeat(batch: int, timestep: np.int32, row: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    return np.repeat(timestep, batch), np.tile(row, (batch, 1))
