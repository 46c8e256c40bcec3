"""Volumes of a denoiser that sees what is known: no RePaint, and every block in as many evaluations."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from growth import SHAPE, a_request, grow_slowly, grown
from make_denoisers import COLOUR_CHANNELS, SCHEDULE, a_unet, block_unet, write_block_denoiser
from numpy.testing import assert_array_equal
from samplers import Known, sample_repaint

from microrun.runtime.array_types import Float32
from microrun.runtime.colour_codes import colour_values
from microrun.runtime.engines.denoiser import Denoiser
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.open import open_denoiser
from microrun.runtime.errors import EngineError, VolumeError
from microrun.runtime.generation.block_folder import BlockFolder
from microrun.runtime.generation.block_steps import tabulate_kinds
from microrun.runtime.generation.effort import evaluations_of_blocks, evaluations_per_block
from microrun.runtime.generation.overlaps import BLOCK
from microrun.runtime.generation.recipe import PRESETS, REPAINT, Preset, fit_sampling
from microrun.runtime.generation.sampling import Sampling
from microrun.runtime.schedule import Schedule
from microrun.runtime.spec import Diffusion, ModelSpec
from microrun.training.diffusion.layers import show_known

FEW = Sampling(6)
SHAPE_OF_SAMPLE = (COLOUR_CHANNELS, BLOCK, BLOCK, BLOCK)


def spec_of(known_inputs: bool) -> ModelSpec:
    """Of a denoiser of blocks, trained with as many timesteps as the built-in one."""
    diffusion = Diffusion(SHAPE_OF_SAMPLE, Schedule(250), 16, known_inputs=known_inputs)
    return ModelSpec("blocks", "denoiser", diffusion=diffusion)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_block_denoiser(tmp_path_factory.mktemp("denoisers") / "seeing.onnx", known_inputs=True)


@pytest.fixture(scope="module")
def denoiser(model: Path) -> Iterator[Denoiser]:
    with open_denoiser(model, "cpu", EngineRequest("f32", lanes=1, batch=2)) as opened:
        yield opened


# --- drawing


def draw(denoiser: Denoiser, x: Float32, known: Known) -> Float32:
    """A sample by the engine's lane, without noise on the way."""
    steps, lane = tabulate_kinds(denoiser.diffusion, dataclasses.replace(FEW, eta=0.0))[1], denoiser.lane()
    lane.load(0, x, known.values, known.mask)
    for timestep, row in zip(steps.timesteps, steps.coefficients, strict=True):
        rows = np.tile(row.astype(np.float32), (lane.batch, 1))
        lane.step(np.repeat(np.int32(timestep), lane.batch), rows, np.zeros((lane.batch, *x.shape), np.float32))
    return lane.read(0)


def test_the_engine_draws_what_numpy_draws(denoiser: Denoiser) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(SHAPE_OF_SAMPLE, np.float32)
    mask = np.zeros(SHAPE_OF_SAMPLE, bool)
    mask[:, :8] = True
    known = Known(2.0 * rng.integers(0, 2, SHAPE_OF_SAMPLE).astype(np.float32) - 1, mask)
    unet = a_unet(block_unet(COLOUR_CHANNELS, True))

    @torch.no_grad()
    def denoise(now: Float32, timestep: int) -> Float32:
        parts = (torch.from_numpy(array) for array in (now, known.values[None], mask[None, :1]))
        return np.asarray(unet(show_known(*parts), torch.tensor([timestep])))

    ahead = dataclasses.replace(FEW, eta=0.0, known_lead=1.0)  # clean from the first step on
    expected = sample_repaint(
        denoise, x[None], SCHEDULE, lambda _: np.zeros_like(x[None]), ahead, Known(known.values[None], mask[None])
    )[0]
    found = draw(denoiser, x, known)
    assert_array_equal(found[mask], known.values[mask])
    assert np.linalg.norm(found - expected) < 1e-3 * np.linalg.norm(expected)
    blind = draw(denoiser, x, Known(known.values, np.zeros_like(mask)))
    assert abs(blind - found)[~mask].max() > 0.01  # what is known matters to what is not


def test_values_where_nothing_is_known_are_never_seen(denoiser: Denoiser) -> None:
    x = np.random.default_rng(1).standard_normal(SHAPE_OF_SAMPLE, np.float32)
    mask = np.zeros(SHAPE_OF_SAMPLE, bool)
    mask[:, :, :4] = True
    one, other = np.ones_like(x), np.where(mask, 1, np.float32(1e30))
    assert_array_equal(draw(denoiser, x, Known(one, mask)), draw(denoiser, x, Known(other, mask)))


def test_a_volume_is_its_blocks_one_after_the_other(denoiser: Denoiser, tmp_path: Path) -> None:
    request = a_request(tmp_path, shape=(32, 40, 56), sampling=FEW)
    assert_array_equal(grown(request, denoiser), grow_slowly(denoiser, request))


def test_the_batch_changes_nothing(denoiser: Denoiser, model: Path, tmp_path: Path) -> None:
    volume = grown(a_request(tmp_path, shape=(32, 32, 104), sampling=FEW), denoiser)
    with open_denoiser(model, "cpu", EngineRequest("f32", lanes=1, batch=1)) as alone:
        again = a_request(tmp_path, shape=(32, 32, 104), sampling=FEW, out=tmp_path / "again.h5")
        assert_array_equal(grown(again, alone), volume)


def test_known_grains_stay(denoiser: Denoiser, tmp_path: Path) -> None:
    labels = np.full((32, 32, 56), -1, np.int32)
    labels[:, :, :3] = np.arange(32)[:, None, None] // 8
    request = a_request(tmp_path, shape=labels.shape, sampling=FEW, known=labels)
    volume, colours = grown(request, denoiser), request.colour_known(16)
    assert_array_equal(volume[:, :, :3], colours[labels[:, :, :3]])
    values = colour_values(volume, 16, COLOUR_CHANNELS)
    assert values.shape == (COLOUR_CHANNELS, *labels.shape)


# --- how much it takes


def test_every_block_takes_as_many_evaluations_as_timesteps(denoiser: Denoiser, tmp_path: Path) -> None:
    folder = a_request(tmp_path, shape=SHAPE, sampling=Preset(timesteps=9)).open_folder(denoiser.spec, denoiser.info)
    assert set(evaluations_of_blocks(folder)) == {9}
    assert folder.blueprint.sampling == Sampling(9)


@pytest.mark.parametrize(
    ("known_inputs", "name", "evaluations"),
    [
        (True, "default", (50, 50)), (True, "fast", (25, 25)),
        (False, "default", (50, 94)), (False, "fast", (25, 47)), (False, "repaint", (250, 2_490)),
    ],
)  # fmt: skip
def test_a_preset_is_what_the_denoiser_takes(known_inputs: bool, name: str, evaluations: tuple[int, int]) -> None:
    sampling = Preset(name).of(spec_of(known_inputs))  # type: ignore[arg-type]
    assert evaluations_per_block(Schedule(250), sampling) == evaluations
    assert fit_sampling(sampling, spec_of(known_inputs)) == sampling


def test_options_take_the_place_of_the_preset() -> None:
    seeing, blind = spec_of(True), spec_of(False)
    assert Preset("fast", timesteps=40).of(seeing) == Sampling(40)
    assert Preset("fast", resample=0).of(seeing) == Sampling(25)
    fast = PRESETS["fast"]
    assert Preset("fast", 40, 3).of(blind) == dataclasses.replace(fast, count=40, n_resample=4, plain_steps=4)
    assert Preset("repaint").of(blind) == REPAINT and not REPAINT.known_lead


# --- what is refused


@pytest.mark.parametrize(
    "asked",
    [
        Preset("repaint"), Preset(resample=1), PRESETS["default"], Sampling(50, n_resample=2),
        Sampling(50, known_lead=0.1),
    ],
)  # fmt: skip
def test_repaint_is_refused_by_a_denoiser_that_sees_what_is_known(
    denoiser: Denoiser, tmp_path: Path, asked: Sampling | Preset
) -> None:
    request = a_request(tmp_path, sampling=asked)
    with pytest.raises(EngineError, match="tiny-blocks: sees what is known, so that nothing is drawn again") as error:
        request.open_folder(denoiser.spec, denoiser.info)
    assert "\n" not in str(error.value)
    assert not request.folder.exists()


def test_a_preset_that_there_is_not_is_refused() -> None:
    with pytest.raises(VolumeError, match="a preset is one of default, fast, repaint; got 'best'"):
        Preset("best")  # type: ignore[arg-type]


def test_blocks_of_a_denoiser_that_is_blind_are_not_gone_on_with(denoiser: Denoiser, tmp_path: Path) -> None:
    request = a_request(tmp_path, sampling=Preset())
    with open_denoiser(write_block_denoiser(tmp_path / "blind.onnx"), "cpu", EngineRequest("f32", lanes=1)) as blind:
        made: BlockFolder = a_request(tmp_path, sampling=Preset(timesteps=6)).open_folder(blind.spec, blind.info)
    assert made.blueprint.sampling.known_lead > 0
    with pytest.raises(VolumeError, match=r"another volume .*n_resample 2, not 1.*another denoiser"):
        dataclasses.replace(request, sampling=Preset(timesteps=6)).open_folder(denoiser.spec, denoiser.info)
