"""Denoisers that are told how large grains are: what blocks say of their volume, and the network."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from make_denoisers import a_unet

from microrun.runtime.conditions import GRAIN_VOXELS, Condition
from microrun.runtime.errors import MicrorunError
from microrun.runtime.spec import ModelSpec, Training
from microrun.training.diffusion.blocks import Blocks, BlockSettings
from microrun.training.diffusion.checkpoint import load_denoiser
from microrun.training.diffusion.config import DiffusionConfig
from microrun.training.diffusion.start import Start, widen
from microrun.training.diffusion.trainer import DiffusionTrainer
from microrun.training.diffusion.unet_config import UnetConfig
from microrun.training.simulate.volumes import SimulatedVolume, mean_grain_voxels

PLAIN = UnetConfig(3, (8, 8), 7, 7, blocks=1, head_size=8, groups=4, patch=4)
TOLD = dataclasses.replace(PLAIN, condition_size=1)
SIZE = Condition(GRAIN_VOXELS, 3, 15)
SOURCE = Training(data="cubes", licence="none")


def cubes(side: int) -> SimulatedVolume:
    """Grains that are cubes."""
    z, y, x = np.indices((48, 48, 48)) // side
    return SimulatedVolume(((z * 48 + y) * 48 + x).astype(np.int32), "potts", True)


def diameter(side: int) -> float:
    """Of a sphere of the volume of a cube."""
    return float(np.cbrt(side**3 * 6 / np.pi))


def test_a_block_tells_the_mean_diameter_in_its_volume() -> None:
    sides = (4, 6, 12)
    blocks = Blocks([cubes(side) for side in sides], BlockSettings(seed=3), SIZE)
    drawn, told = blocks.draw(range(24))
    assert told.shape == (24, 1) and told.dtype == np.float32
    expected = np.array([(2 * diameter(side) - 18) / 12 for side in sides])
    of_volume = abs(told - expected).argmin(axis=1)
    np.testing.assert_allclose(told[:, 0], expected[of_volume], atol=1e-3)
    assert set(of_volume) == {0, 1, 2}
    for block, number in zip(drawn, of_volume, strict=True):  # a grain of that side lies in the middle of the block
        runs = np.diff(np.flatnonzero(np.diff(block[16, 16].astype(int)) != 0))
        assert set(runs) == {sides[number]}


def test_blocks_are_the_same_whether_their_size_is_told() -> None:
    volumes = [cubes(4), cubes(6)]
    plain, told = Blocks(volumes), Blocks(volumes, size=SIZE)
    np.testing.assert_array_equal(plain.draw([5, 2])[0], told.draw([5, 2])[0])
    assert plain.draw([5, 2])[1].shape == (2, 0)


def test_grains_outside_of_the_window_are_refused() -> None:
    with pytest.raises(MicrorunError, match=r"29\.\d+ voxels on average, outside of 3 to 15"):
        Blocks([cubes(24)], size=SIZE)


@torch.no_grad()
def test_a_network_that_is_told_the_size_begins_as_what_it_was() -> None:
    plain = a_unet(PLAIN)
    told = widen(plain, TOLD).eval()
    x, timestep = torch.randn(2, 7, 16, 16, 16, generator=torch.Generator().manual_seed(0)), torch.tensor([3, 9])
    torch.testing.assert_close(told(x, timestep, torch.tensor([[-1.0], [1.0]])), plain(x, timestep))
    with pytest.raises(MicrorunError, match="cannot become one of"):
        widen(a_unet(TOLD), PLAIN)


def test_a_run_from_a_model_of_one_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microrun.training.diffusion.denoiser_trainer.TESTED", 2)
    volumes = [cubes(4), cubes(6), cubes(12), cubes(6)]
    config = DiffusionConfig(batch=2, steps=3, unet=TOLD, grain_voxels=(3, 15), precision="f32", begun_from="plain")
    trainer = DiffusionTrainer(config, volumes, tmp_path, SOURCE)
    assert DiffusionConfig.from_dict({**dataclasses.asdict(config)}) == config
    diffusion = dataclasses.replace(trainer._diffusion, conditions=())
    start = Start(tmp_path / "plain", a_unet(PLAIN), ModelSpec("plain", "denoiser", diffusion=diffusion))
    list(DiffusionTrainer(config, volumes, tmp_path, SOURCE, start=start).run(3))
    unet, spec = load_denoiser(tmp_path / "checkpoint.safetensors")
    assert unet.config == TOLD and spec.diffusion is not None and unet.condition is not None
    assert spec.diffusion.conditions == (SIZE,)
    assert spec.diffusion.grain_voxels == mean_grain_voxels([cubes(6)])  # the usual: the median of the volumes
    assert unet.condition[-1].weight.any()  # it has learned


@pytest.mark.parametrize(("unet", "window"), [(TOLD, None), (PLAIN, (3.0, 15.0))])
def test_a_network_and_what_it_is_told_fit(unet: UnetConfig, window: tuple[float, float] | None) -> None:
    with pytest.raises(ValueError, match="need a network of 3 dimensions and 7 channels"):
        DiffusionConfig(unet=unet, grain_voxels=window)
