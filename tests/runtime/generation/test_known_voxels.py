"""What earlier blocks give of a block, and the whole that is put together."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from disk import full_disk
from growth import random_blocks
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from microrun.runtime.array_types import Mask
from microrun.runtime.colour_codes import colour_values
from microrun.runtime.errors import OutputError, VolumeError
from microrun.runtime.generation.block_folder import BlockFolder, make_folder
from microrun.runtime.generation.blueprint import Blueprint, hash_mask
from microrun.runtime.generation.overlaps import BLOCK
from microrun.runtime.generation.recipe import Order
from microrun.runtime.generation.sampling import Sampling
from microrun.runtime.schedule import Schedule
from microrun.runtime.spec import Diffusion
from microrun.runtime.volumes.volume import Shape

Float32 = NDArray[np.float32]
SCHEDULE = Schedule(24)
COLOURS = Diffusion((4, BLOCK, BLOCK, BLOCK), SCHEDULE, n_colours=16)
VALUES = Diffusion((1, BLOCK, BLOCK, BLOCK), SCHEDULE)
ORDERS = pytest.mark.parametrize("order", ["isotropic", "anisotropic"])
BLUEPRINT = Blueprint(
    (40, 56, 64), 3, "isotropic", Sampling(6, n_resample=2), engine="abc", computed="OpenVINO 1 on cpu in f32"
)


def a_part(shape: Shape) -> Mask:
    """A slanted plate."""
    z, y, x = np.indices(shape)
    return np.asarray(abs(z + y // 2 - x) < 9)


def open_folder(
    path: Path, diffusion: Diffusion, shape: Shape = BLUEPRINT.shape, order: Order = "isotropic",
    part: Mask | None = None,
) -> BlockFolder:  # fmt: skip
    hashed = "" if part is None else hash_mask(part)
    make_folder(path, dataclasses.replace(BLUEPRINT, shape=shape, order=order, part=hashed), part)
    return BlockFolder(path, diffusion)


def paint(folder: BlockFolder, blocks: list[Float32], before: int) -> tuple[Float32, Mask]:
    """Dense volume with room beyond its upper faces: the first block that covers a voxel is painted last."""
    shape = [side + BLOCK for side in folder.tiling.shape]
    dense, drawn = np.zeros((len(blocks[0]), *shape), np.float32), np.zeros(shape, bool)
    for number in range(before - 1, -1, -1):
        z, y, x = folder.tiling.corners[number]
        window = (slice(z, z + BLOCK), slice(y, y + BLOCK), slice(x, x + BLOCK))
        dense[(slice(None), *window)] = blocks[number]
        drawn[window] = True
    beyond = [np.arange(side + BLOCK) >= side for side in folder.tiling.shape]
    drawn[beyond[0][:, None, None] | beyond[1][:, None] | beyond[2]] = False
    return dense, drawn


def one_line(error: pytest.ExceptionInfo[Exception], *parts: object) -> None:
    text = str(error.value)
    assert "\n" not in text
    for part in parts:
        assert str(part) in text


@ORDERS
@pytest.mark.parametrize("diffusion", [COLOURS, VALUES])
@pytest.mark.parametrize("with_part", [False, True])
def test_known_voxels_are_those_of_the_dense_volume(
    tmp_path: Path, order: Order, diffusion: Diffusion, with_part: bool
) -> None:
    part = a_part(BLUEPRINT.shape) if with_part else None
    folder = open_folder(tmp_path, diffusion, order=order, part=part)
    blocks = random_blocks(folder, diffusion)
    for number, block in enumerate(blocks):
        values, mask = folder.known(number)
        dense, drawn = paint(folder, blocks, number)
        z, y, x = folder.tiling.corners[number]
        window = (slice(z, z + BLOCK), slice(y, y + BLOCK), slice(x, x + BLOCK))
        assert values.shape == mask.shape == diffusion.sample_shape and values.dtype == np.float32
        assert_array_equal(mask, np.broadcast_to(drawn[window], mask.shape))
        assert_array_equal(values[mask], dense[(slice(None), *window)][mask])
        folder.store(number, block)
    assert folder.finished().all()


@ORDERS
@pytest.mark.parametrize("diffusion", [COLOURS, VALUES])
@pytest.mark.parametrize("with_part", [False, True])
def test_the_whole_is_that_of_the_dense_volume(
    tmp_path: Path, order: Order, diffusion: Diffusion, with_part: bool
) -> None:
    shape = BLUEPRINT.shape
    part = a_part(shape) if with_part else None
    folder = open_folder(tmp_path, diffusion, order=order, part=part)
    blocks = random_blocks(folder, diffusion)
    for number, block in enumerate(blocks):
        folder.store(number, block)
    volume = folder.assemble()
    dense, drawn = paint(folder, blocks, len(blocks))
    inside = np.ones(shape, bool) if part is None else part
    assert volume.shape == shape and volume.dtype == folder.dtype
    cropped = (slice(None), *map(slice, shape))
    assert drawn[cropped[1:]][inside].all()
    found = colour_values(np.maximum(volume, 0), 16, 4) if diffusion.n_colours else volume[None]
    assert_array_equal(found[:, inside], dense[cropped][:, inside])
    assert (volume[~inside] == -1).all() if diffusion.n_colours else np.isnan(volume[~inside]).all()
    assert_array_equal(folder.assemble(), volume)


@settings(max_examples=15)
@given(shape=st.tuples(*[st.integers(1, 70)] * 3), seed=st.integers(0, 99), order=st.sampled_from(Order.__args__))
def test_parts_of_any_size_are_covered_and_cropped(
    tmp_path_factory: pytest.TempPathFactory, shape: Shape, seed: int, order: Order
) -> None:
    rng = np.random.default_rng(seed)
    part = rng.random(shape) < rng.choice([0.001, 0.1, 1])
    part[tuple(rng.integers(0, shape))] = True
    folder = open_folder(tmp_path_factory.mktemp("thin"), VALUES, shape, order, part)
    assert min(folder.tiling.shape) >= BLOCK
    for number in range(len(folder.tiling)):
        folder.store(number, np.full(VALUES.sample_shape, number, np.float32))
    volume = folder.assemble()
    assert volume.shape == shape
    assert_array_equal(np.isfinite(volume), part)
    assert set(np.unique(volume[part]).tolist()) == set(range(len(folder.tiling)))


def test_a_full_disk_is_told_before_it_kills(tmp_path: Path) -> None:
    folder = open_folder(tmp_path, COLOURS)
    for number, block in enumerate(random_blocks(folder, COLOURS)):
        folder.store(number, block)
    with full_disk(100_000), pytest.raises(OutputError, match="Make room and run again") as error:
        folder.assemble()
    one_line(error, tmp_path / "volume.npy")
    assert folder.finished().all()
    assert not (tmp_path / "volume.npy").exists() and not list(tmp_path.glob(".part-*"))


def test_the_whole_has_its_room_before_it_is_painted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = open_folder(tmp_path, COLOURS)
    for number, block in enumerate(random_blocks(folder, COLOURS)):
        folder.store(number, block)
    load, taken = folder.load, list[int]()

    def note(number: int) -> Any:
        (painted,) = tmp_path.glob(".part-*.npy")
        taken.append(512 * painted.stat().st_blocks - painted.stat().st_size)
        return load(number)

    monkeypatch.setattr(folder, "load", note)
    folder.assemble()
    assert min(taken) >= 0


def test_a_whole_with_a_block_missing_is_one_line(tmp_path: Path) -> None:
    folder = open_folder(tmp_path, COLOURS, (32, 32, 56))
    folder.store(0, random_blocks(folder, COLOURS)[0])
    with pytest.raises(VolumeError, match="delete it and run again") as error:
        folder.assemble()
    one_line(error, tmp_path / "block-0000001.npy")
