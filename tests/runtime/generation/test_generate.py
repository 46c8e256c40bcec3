"""Whole volumes from a request: the records of a growth, one run at a time, and the grains that are written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import segmentation_oracles as oracles
from growth import SAMPLING, SHAPE, StopError, a_request, stop_after, watch
from make_denoisers import SCHEDULE, write_block_denoiser
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from microrun.runtime.colour_codes import colour_codes, colour_values
from microrun.runtime.engines.denoiser import Denoiser
from microrun.runtime.engines.engine import EngineInfo, EngineRequest
from microrun.runtime.engines.openvino_cpu import OpenvinoDenoiser
from microrun.runtime.errors import VolumeError
from microrun.runtime.files.lock import FileLock
from microrun.runtime.generation.block_folder import BlockFolder, make_folder
from microrun.runtime.generation.blueprint import Blueprint
from microrun.runtime.generation.decode_block import decode_block
from microrun.runtime.generation.generate import WRITING, generate, write_grains
from microrun.runtime.generation.request import GenerateRequest
from microrun.runtime.progress import finish
from microrun.runtime.spec import Diffusion, ModelSpec

TINY_SHAPE = (12, 10, 14)


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Denoiser]:
    path = write_block_denoiser(tmp_path_factory.mktemp("denoisers") / "coloured.onnx")
    with OpenvinoDenoiser(path, EngineRequest("f32", 2, 1)) as opened:
        yield opened


def load_grains(path: Path) -> NDArray[np.int32]:
    with h5py.File(path) as file:
        grain_id: NDArray[np.int32] = file["grain_id"][()]
        return grain_id


def test_a_growth_tells_how_far_it_is_and_leaves_only_the_file(denoiser: Denoiser, tmp_path: Path) -> None:
    request = a_request(tmp_path)
    seen = []
    growing = generate(request, denoiser)
    assert not list(tmp_path.iterdir())
    watch(growing, seen.append)
    assert (seen[0].done, seen[0].blocks) == (0, 0)
    assert (seen[-1].phase, seen[-1].blocks, seen[-1].done) == (WRITING, 8, seen[-1].total)
    assert not any(now.phase for now in seen[:-1])
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5"]


def test_a_growth_that_was_left_goes_on(denoiser: Denoiser, tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    request, whole = a_request(tmp_path / "one"), a_request(tmp_path / "other")
    with pytest.raises(StopError):
        watch(generate(request, denoiser), stop_after(3, StopError()))
    assert request.folder.is_dir() and not request.out.exists()
    growing = generate(request, denoiser)
    assert next(growing).blocks >= 3
    assert finish(growing).grains == finish(generate(whole, denoiser)).grains
    assert_array_equal(load_grains(request.out), load_grains(whole.out))


def test_a_shape_may_be_a_list_or_an_array(denoiser: Denoiser, tmp_path: Path) -> None:
    request = a_request(tmp_path)
    with pytest.raises(StopError):
        watch(generate(request, denoiser), stop_after(1, StopError()))
    for shape in (list(request.shape), np.array(request.shape)):
        again = a_request(tmp_path, shape=shape)
        assert again.shape == request.shape and again.open_folder(denoiser.spec, denoiser.info).finished().any()
    for wrong in ((64, 64), (64, 64, 64.0), 64, "abc"):
        with pytest.raises(VolumeError, match="three whole numbers"):
            a_request(tmp_path, shape=wrong)


def test_a_damaged_part_is_refused_before_anything_grows(denoiser: Denoiser, tmp_path: Path) -> None:
    request = a_request(tmp_path, part=np.ones(SHAPE, bool))
    folder = request.open_folder(denoiser.spec, denoiser.info)
    (folder.path / "part.npy").write_bytes(b"junk")
    with pytest.raises(VolumeError, match=r"part\.npy"):
        next(generate(request, denoiser))


def test_one_run_at_a_time_grows_a_volume(denoiser: Denoiser, tmp_path: Path) -> None:
    request = a_request(tmp_path)
    with FileLock(request.folder), pytest.raises(VolumeError, match="another run is growing it") as error:
        finish(generate(request, denoiser))
    assert str(request.out) in str(error.value)
    assert finish(generate(request, denoiser)).grains > 1


def test_the_tiling_is_made_once(denoiser: Denoiser, tmp_path: Path) -> None:
    request = a_request(tmp_path).settle(denoiser.spec)
    assert request.settle(denoiser.spec) is request
    assert request.open_folder(denoiser.spec, denoiser.info).tiling is request.tiling


def one_block(request: GenerateRequest, spec: ModelSpec, block: NDArray[np.float32]) -> BlockFolder:
    """A finished volume of one block around a part."""
    assert spec.diffusion is not None
    info = EngineInfo(Path("tiny.onnx"), "abc", "none", "cpu", "f32", 1, 1)
    make_folder(request.folder, Blueprint.of(request, SAMPLING, request.part, info), request.part)
    folder = BlockFolder(request.folder, spec.diffusion)
    folder.store(0, block)
    assert folder.finished().all()
    return folder


@pytest.mark.parametrize("min_voxels", [0, 9])
@pytest.mark.parametrize("channels", [4, 1])
def test_grains_of_colours_hang_together_by_faces(tmp_path: Path, channels: int, min_voxels: int) -> None:
    n_colours = 16 if channels == 4 else 5
    spec = ModelSpec("colours", "denoiser", diffusion=Diffusion((channels, 32, 32, 32), SCHEDULE, n_colours))
    rng = np.random.default_rng(1)
    colours = np.kron(rng.integers(0, n_colours, (8, 8, 8)), np.ones((4, 4, 4), int))
    colours = np.where(rng.random(colours.shape) < 0.1, rng.integers(0, n_colours, colours.shape), colours)
    half_a_step = abs(colour_codes(n_colours, channels)[1] - colour_codes(n_colours, channels)[0]).max() / 2
    block = colour_values(colours, n_colours, channels) + rng.uniform(-0.9, 0.9, (channels, 32, 32, 32)) * half_a_step
    part = rng.random(TINY_SHAPE) < 0.95
    request = a_request(tmp_path, shape=TINY_SHAPE, part=part, min_voxels=min_voxels, relax=0)
    folder = one_block(request, spec, block.astype(np.float32))
    summary = write_grains(folder, request)
    decoded = decode_block(block.astype(np.float32), n_colours, np.zeros(colours.shape, bool))
    expected = oracles.components(np.where(part, decoded[:12, :10, :14], -1), 6)
    if min_voxels:
        expected = oracles.absorb(expected, min_voxels)
    with h5py.File(tmp_path / "out.h5") as file:
        data = file["grain_id"]
        assert_array_equal(data[()], expected)
        assert json.loads(data.attrs["blueprint"]) == json.loads(folder.blueprint.to_json())
        options = json.loads(data.attrs["options"])
    assert (options["components"], options["min_voxels"]) == (6, min_voxels)
    assert (summary.grains, summary.voxels, summary.noise) == (expected.max() + 1, part.size, 0)
    assert summary.outside == (~part).sum()


@pytest.mark.parametrize("min_voxels", [0, 30])
def test_grains_of_values_are_clustered_as_scikit_learn_does(tmp_path: Path, min_voxels: int) -> None:
    spec = ModelSpec("values", "denoiser", diffusion=Diffusion((1, 32, 32, 32), SCHEDULE))
    values = oracles.random_grains((32, 32, 32), 300)
    part = np.indices(TINY_SHAPE).sum(axis=0) > 3
    out = tmp_path / "out.npy"
    request = a_request(tmp_path, out=out, shape=TINY_SHAPE, part=part, min_voxels=min_voxels)
    summary = write_grains(one_block(request, spec, values[None]), request)
    inside = np.where(part, values[:12, :10, :14], np.nan)
    expected = oracles.fill(oracles.sklearn_dbscan(inside, 1.9, 15, 100), part)
    if min_voxels:
        expected = oracles.absorb(expected, min_voxels)
    assert summary.grains == expected.max() + 1 > 3
    assert_array_equal(np.load(out), expected)
