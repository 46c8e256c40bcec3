"""Denoisers that see what is known: the masks that they are trained on, the network, and its loss."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from make_denoisers import a_unet

from microrun.runtime.errors import EngineError, MicrorunError
from microrun.runtime.generation.overlaps import BLOCK
from microrun.runtime.generation.recipe import Order, find_usual
from microrun.runtime.generation.scale import scale_to_grains
from microrun.runtime.generation.tiling import tile_isotropic
from microrun.runtime.spec import ModelSpec, Training
from microrun.training.diffusion.batches import add_noise
from microrun.training.diffusion.checkpoint import load_denoiser
from microrun.training.diffusion.config import DiffusionConfig
from microrun.training.diffusion.layers import show_known
from microrun.training.diffusion.masks import NONE_SHARE, Masks, _kinds, known_voxels
from microrun.training.diffusion.start import Start, widen
from microrun.training.diffusion.trainer import DiffusionReport, DiffusionTrainer
from microrun.training.diffusion.unet_config import UnetConfig, entering_channels
from microrun.training.simulate.volumes import SimulatedVolume

BITS = 7
PLAIN = UnetConfig(3, (8, 8), BITS, BITS, blocks=1, head_size=8, groups=4, patch=4)
SEEING = dataclasses.replace(PLAIN, in_channels=entering_channels(BITS, True))
CONFIG = DiffusionConfig(batch=2, steps=2, unet=SEEING, known_inputs=True, precision="f32")
SOURCE = Training(data="layers", licence="none")


@pytest.fixture(scope="module")
def volumes() -> list[SimulatedVolume]:
    """Layers of eight voxels across z."""
    layers = np.broadcast_to((np.arange(48) // 8)[:, None, None], (48, 48, 48)).astype(np.int32)
    return [SimulatedVolume(layers, "potts", True)] * 2


def test_printed_volumes_are_grown_from_their_centre_and_learned_so(tmp_path: Path) -> None:
    """As `generate` grows them by default, in rows that are one hatch apart."""
    grains = np.arange(4**3, dtype=np.int32).reshape(4, 4, 4).repeat(8, 0).repeat(8, 1).repeat(8, 2)
    trainer = DiffusionTrainer(CONFIG, [SimulatedVolume(grains, "am", False, 8)] * 2, tmp_path, SOURCE)
    spec = trainer.describe(DiffusionReport(0, 1, 0.0, 0.0, 0.0, 0.0))
    assert spec.diffusion is not None and find_usual(spec.diffusion).order == "anisotropic"
    assert (spec.diffusion.process, spec.diffusion.hatch_voxels, spec.diffusion.grain_voxels) == ("am", 8, None)
    assert spec == ModelSpec.from_json(spec.to_json(), "here")
    (known,) = trainer._batches[0].known[:1]
    assert known.numpy().tobytes() in painted_masks("anisotropic")
    with pytest.raises(EngineError, match=r"rows 8 voxels apart.* give --voxel-um instead"):
        scale_to_grains(spec, 10.0)


@pytest.fixture
def trainer(volumes: list[SimulatedVolume], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DiffusionTrainer:
    monkeypatch.setattr("microrun.training.diffusion.denoiser_trainer.TESTED", 4)
    return DiffusionTrainer(CONFIG, volumes, tmp_path, SOURCE)


def painted_masks(order: Order) -> set[bytes]:
    """What every block of every tiling finds, by painting the blocks one after the other."""
    found = set()
    for tiling, known in itertools.chain.from_iterable(_kinds(order)):
        room = [side + BLOCK * (not wrap) for side, wrap in zip(tiling.shape, tiling.wraps, strict=True)]
        drawn, inside = np.zeros(room, bool), np.zeros(room, bool)
        inside[tuple(map(slice, tiling.shape))] = True
        if known is not None:
            drawn[tuple(map(slice, tiling.shape))] = known
        for corner in tiling.corners:
            window = np.ix_(*((low + np.arange(BLOCK)) % side for low, side in zip(corner, room, strict=True)))
            found.add((drawn[window] & inside[window]).tobytes())
            drawn[window] = True
    return found


@pytest.mark.parametrize("order", get_args(Order))
def test_training_masks_are_what_blocks_find_while_a_volume_grows(order: Order) -> None:
    masks = Masks(5, order).draw(range(200))
    assert masks.shape == (200, BLOCK, BLOCK, BLOCK) and masks.dtype == bool
    painted = painted_masks(order)
    drawn = {mask.tobytes() for mask in masks}
    assert not drawn - painted
    assert len(drawn) > 40
    empty = float((~masks.any(axis=(1, 2, 3))).mean())
    assert abs(empty - NONE_SHARE) < 0.1


def extents(masks: Iterable[np.ndarray]) -> set[int]:
    """How far known voxels reach along any axis."""
    axes = ((1, 2), (0, 2), (0, 1))
    return {int(mask.any(axis=axis).sum()) for mask in masks if mask.any() for axis in axes}


def test_blocks_that_stand_out_of_a_volume_find_masks_that_are_cut_at_its_face() -> None:
    """As most volumes have some: of one of 64 voxels, known voxels end after 16."""
    tiling = tile_isotropic((64, 64, 64))
    assert 16 in extents(known_voxels(tiling, block, None) for block in np.flatnonzero(tiling.has_known))
    assert len(extents(Masks(5).draw(range(400))) - {8, 16, 24, BLOCK}) >= 3


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_layers_at_both_faces_of_every_axis_are_trained_beside(axis: int) -> None:
    ends = set()
    for _, known in _kinds("isotropic")[-1]:
        assert known is not None
        hidden = np.flatnonzero(known.all(axis=tuple({0, 1, 2} - {axis})))
        ends |= {(len(hidden), int(hidden[0]))} if len(hidden) else set()
    assert ends == {(1, 0), (1, 51), (1, 103), (16, 0), (16, 44), (16, 88)}


def test_a_mask_is_a_function_of_seed_and_number() -> None:
    masks = Masks(5).draw(range(8))
    np.testing.assert_array_equal(Masks(5).draw([6, 2]), masks[[6, 2]])
    assert (Masks(6).draw(range(8)) != masks).any()


def samples() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two samples on their way, what is known of them, and where."""
    generator = torch.Generator().manual_seed(0)
    x, known = torch.randn(2, 2, BITS, 16, 16, 16, generator=generator)
    mask = torch.zeros(2, 1, 16, 16, 16, dtype=torch.bool)
    mask[0, :, :8] = True
    return x, known, mask


@torch.no_grad()
@pytest.mark.parametrize("detail", [0, 4])
def test_a_network_that_gets_known_inputs_begins_as_what_it_was(detail: int) -> None:
    plain = a_unet(dataclasses.replace(PLAIN, detail=detail))
    seeing = widen(plain, dataclasses.replace(SEEING, detail=detail)).eval()
    x, known, mask = samples()
    seen = show_known(x, known, mask)
    torch.testing.assert_close(seeing(seen, torch.tensor([3, 9])), plain(seen[:, :BITS], torch.tensor([3, 9])))
    assert torch.equal(seen[1, :BITS], x[1]) and not seen[1, BITS:].any()  # nothing is known of the second
    assert torch.equal(seen[0, :BITS, :8], known[0, :, :8]) and torch.equal(seen[0, :BITS, 8:], x[0, :, 8:])


def test_a_network_of_another_shape_is_refused() -> None:
    with pytest.raises(MicrorunError, match="cannot become one of"):
        widen(a_unet(PLAIN), dataclasses.replace(SEEING, channels=(8, 16)))
    with pytest.raises(MicrorunError, match="cannot become one of"):
        widen(a_unet(SEEING), PLAIN)


@torch.no_grad()
def test_only_unknown_voxels_count_in_the_loss(trainer: DiffusionTrainer) -> None:
    drawn = trainer._tested
    known = torch.zeros_like(drawn.known)
    known[0, :16] = known[1, :, :24] = known[3, ..., 5:] = True
    noise = trainer._draw_noise((1, 0), len(known))
    unet = a_unet(SEEING)
    loss = trainer._loss(unet, drawn._replace(known=known), noise)
    clean, mask = trainer._values(drawn.values), known[:, None]
    noised = add_noise(clean, noise, drawn.timestep, CONFIG.schedule)
    assert trainer._odds is not None
    odds = trainer._odds(unet(show_known(noised.x, clean, mask), drawn.timestep), noised.x, drawn.timestep)
    losses = np.log1p(np.exp(-2.0 * (clean * odds).double().numpy()))
    expected = np.mean([each[:, ~hidden].mean() for each, hidden in zip(losses, known.numpy(), strict=True)])
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_held_out_loss_is_the_same_whatever_the_batch(
    volumes: list[SimulatedVolume], tmp_path: Path, trainer: DiffusionTrainer
) -> None:
    other = DiffusionTrainer(dataclasses.replace(CONFIG, batch=3), volumes, tmp_path / "other", SOURCE)
    other.average = trainer.average
    assert other.evaluate() == pytest.approx(trainer.evaluate(), rel=1e-5)


def test_a_run_from_a_model_without_known_inputs(
    volumes: list[SimulatedVolume], tmp_path: Path, trainer: DiffusionTrainer
) -> None:
    plain = a_unet(PLAIN)
    diffusion = dataclasses.replace(trainer._diffusion, known_inputs=False)
    start = Start(tmp_path / "plain", plain, ModelSpec("plain", "denoiser", diffusion=diffusion))
    begun = DiffusionTrainer(dataclasses.replace(CONFIG, begun_from="plain"), volumes, tmp_path, SOURCE, start=start)
    assert torch.equal(begun.network.stem.weight[:, : BITS * 64], plain.stem.weight)
    list(begun.run(2))
    unet, spec = load_denoiser(tmp_path / "checkpoint.safetensors")
    assert unet.config == SEEING and spec.diffusion is not None and spec.diffusion.known_inputs
    assert spec.diffusion.sample_shape == (BITS, BLOCK, BLOCK, BLOCK)
    assert spec.training.data == "layers; begun from plain"
    assert unet.stem.weight[:, BITS * 64 :].any()  # the new inputs have learned
    other = dataclasses.replace(diffusion, n_colours=64, sample_shape=(6, BLOCK, BLOCK, BLOCK))
    start = Start(tmp_path / "plain", plain, ModelSpec("plain", "denoiser", diffusion=other))
    with pytest.raises(MicrorunError, match="its representation are 64 orientations as bits in 6 channels"):
        DiffusionTrainer(CONFIG, volumes, tmp_path, SOURCE, start=start)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"side": 16}, "known inputs are those of blocks of 32 voxels a side, not 16"),
        ({"unet": PLAIN}, "3 dimensions and 7 channels, 15 of them in, as known inputs take"),
    ],
)
def test_known_inputs_that_do_not_fit_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(CONFIG, **changes)  # type: ignore[arg-type]


def test_masks_of_all_kinds_are_among_those_trained_on() -> None:
    shares = np.array([mask.mean() for mask in Masks(1).draw(range(100))])
    assert ((shares > 0) & (shares < 0.1)).any() and (shares > 0.85).any()


@pytest.mark.slow
def test_a_network_that_sees_what_is_known_continues_planes(
    volumes: list[SimulatedVolume], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From pure noise: one that sees them copies the bits of layers on; to the other they are as noised as the rest."""
    monkeypatch.setattr("microrun.training.diffusion.denoiser_trainer.TESTED", 4)
    layers = [dataclasses.replace(volume, kind="am") for volume in volumes]  # never turned: layers lie across z
    right = {}
    for unet in (SEEING, PLAIN):
        asked = {"unet": unet, "known_inputs": unet.known_inputs, "steps": 150, "batch": 2, "learning_rate": 3e-3}
        config = dataclasses.replace(CONFIG, rate_warmup=20, **asked)
        trainer = DiffusionTrainer(config, layers, tmp_path / str(unet.in_channels), SOURCE)
        for _ in range(config.steps):
            trainer.train_step()
        right[unet] = share_of_right_bits(trainer)
    assert right[SEEING] > 0.6 > right[PLAIN]


@torch.no_grad()
def share_of_right_bits(trainer: DiffusionTrainer) -> float:
    """At the last timestep, where one half of a block along x is known, in the other."""
    clean = trainer._values(trainer._tested.values)
    timestep = torch.full((len(clean),), CONFIG.schedule.training_steps - 1)
    mask = torch.zeros_like(clean[:, :1], dtype=torch.bool)
    mask[..., : BLOCK // 2] = True
    x = add_noise(clean, trainer._draw_noise((1, 0), len(clean)), timestep, CONFIG.schedule).x
    seen = show_known(x, clean, mask) if trainer.config.known_inputs else x
    right = (trainer.network(seen, timestep) > 0) == (clean > 0)
    return float(right[..., BLOCK // 2 :].float().mean())
