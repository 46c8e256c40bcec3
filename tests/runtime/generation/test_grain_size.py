"""Denoisers that are told how large grains shall be."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from growth import a_request, grown
from make_denoisers import write_block_denoiser
from numpy.testing import assert_array_equal

from microrun.runtime.engines.denoiser import Denoiser
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.open import open_denoiser
from microrun.runtime.errors import EngineError, VolumeError
from microrun.runtime.generation.blueprint import Blueprint
from microrun.runtime.generation.effort import check_block, measure_speed
from microrun.runtime.generation.sampling import Sampling
from microrun.runtime.generation.scale import tell_size

SIZES = (6.0, 14.0)
USUAL = 8.0
FEW = Sampling(3)


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Denoiser]:
    path = tmp_path_factory.mktemp("model") / "sized.onnx"
    write_block_denoiser(path, grain_voxels=USUAL, known_inputs=True, sizes=SIZES)
    with open_denoiser(path, "cpu", EngineRequest("f32", lanes=2, batch=1)) as opened:
        yield opened


def test_a_network_is_told_the_size_that_is_asked_for_and_else_the_usual(denoiser: Denoiser) -> None:
    told = [tell_size(denoiser.spec, size) for size in (6, 10, 14, None)]
    assert_array_equal(np.concatenate(told), np.array([-1, 0, 1, -0.5], np.float32))  # type: ignore[arg-type]


def test_every_block_of_a_volume_is_told(denoiser: Denoiser, tmp_path: Path) -> None:
    def volume(name: str, size: float | None) -> np.ndarray:
        request = a_request(tmp_path, shape=(32, 32, 56), sampling=FEW, out=tmp_path / name, grain_voxels=size)
        return grown(request, denoiser)

    usual = volume("usual.h5", None)
    assert_array_equal(volume("same.h5", USUAL), usual)
    large = volume("large.h5", 13)
    assert (large[..., :24] != usual[..., :24]).any() and (large[..., 32:] != usual[..., 32:]).any()


def test_the_size_is_part_of_the_blueprint(denoiser: Denoiser, tmp_path: Path) -> None:
    request = a_request(tmp_path, sampling=FEW, grain_voxels=10)
    blueprint = request.open_folder(denoiser.spec, denoiser.info).blueprint
    assert Blueprint.from_json(blueprint.to_json()).grain_voxels == 10
    with pytest.raises(VolumeError, match="grain_voxels 10"):
        dataclasses.replace(request, grain_voxels=12).open_folder(denoiser.spec, denoiser.info)


def test_its_speed_is_measured(denoiser: Denoiser) -> None:
    assert check_block(denoiser.spec).conditions and measure_speed(denoiser, 0.01) > 0


@pytest.mark.parametrize("size", [5.9, 14.1])
def test_sizes_that_it_was_not_trained_on_are_refused(denoiser: Denoiser, tmp_path: Path, size: float) -> None:
    request = a_request(tmp_path, grain_voxels=size, sampling=FEW)
    with pytest.raises(EngineError, match=f"tiny-blocks: draws grains of 6 to 14 voxels on average; got {size}"):
        request.open_folder(denoiser.spec, denoiser.info)
    assert not request.folder.exists()


def test_a_size_is_refused_by_a_denoiser_of_one_size(tmp_path: Path) -> None:
    path = write_block_denoiser(tmp_path / "plain.onnx", grain_voxels=USUAL)
    with open_denoiser(path, "cpu", EngineRequest("f32", lanes=1)) as plain:
        assert tell_size(plain.spec, None) is None
        with pytest.raises(EngineError, match="draws grains of one size"):
            a_request(tmp_path, grain_voxels=9).open_folder(plain.spec, plain.info)


@pytest.mark.parametrize("size", [0, -1, float("nan"), float("inf")])
def test_a_size_that_is_none_is_refused(tmp_path: Path, size: float) -> None:
    with pytest.raises(VolumeError, match="more than 0 voxels"):
        a_request(tmp_path, grain_voxels=size)
