"""Denoisers on a card against the CPU. Run by tests/gpu/run.sh."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from make_denoisers import a_unet
from numpy.typing import NDArray

from microrun.export.graph import save_model
from microrun.export.step_graph import trace_step
from microrun.runtime.engines.denoiser import Denoiser
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.libraries import offers_cuda
from microrun.runtime.engines.nvidia.cuda import find_cards
from microrun.runtime.engines.open import open_denoiser
from microrun.runtime.errors import EngineError
from microrun.runtime.schedule import Schedule
from microrun.runtime.spec import Diffusion, ModelSpec
from microrun.training.diffusion.unet_config import GRAIN_UNET

pytestmark = pytest.mark.gpu
TOLERANCES = {"f32": 5e-3, "f16": 1e-2}  # relative L2; f32 may be TF32 on a card
SAMPLES = 3
TIMESTEPS = (249, 120, 7)
DIFFUSION = Diffusion((GRAIN_UNET.in_channels, 32, 32, 32), Schedule(), 1 << GRAIN_UNET.in_channels)
Float32 = NDArray[np.float32]


@pytest.fixture(scope="module", autouse=True)
def card() -> None:
    try:
        find_cards()
    except EngineError as error:
        pytest.skip(str(error))
    if not offers_cuda():
        pytest.skip("the installed ONNX Runtime has no CUDA")


@pytest.fixture(scope="module", params=list(TOLERANCES))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network of the built-in denoiser with random weights, also where a new one has zeros."""
    precision: Literal["f32", "f16"] = request.param
    path = tmp_path_factory.mktemp("denoisers") / f"{precision}.onnx"
    graph = trace_step(a_unet(GRAIN_UNET), DIFFUSION.sides, DIFFUSION.schedule, precision)
    save_model(graph, ModelSpec("random", "denoiser", precision=precision, diffusion=DIFFUSION), path)
    return path


def run_steps(denoiser: Denoiser) -> tuple[Float32, Float32, NDArray[np.bool_]]:
    """Take some steps; the samples, and what of them was known and where."""
    rng, shape = np.random.default_rng(0), (SAMPLES, *DIFFUSION.sample_shape)
    x, known, noise = rng.standard_normal((3, *shape), np.float32)
    mask = rng.random(shape) < 0.3
    lane = denoiser.lane()
    for slot in range(SAMPLES):
        lane.load(slot, x[slot], known[slot], mask[slot])
    coefficients = np.tile(np.array([1, 0, 0.7, -0.6, 0.1], np.float32), (lane.batch, 1))
    padded = np.zeros((lane.batch, *DIFFUSION.sample_shape), np.float32)
    padded[:SAMPLES] = noise
    for first in TIMESTEPS:
        lane.step(np.full(lane.batch, first, np.int32), coefficients, padded)
    return np.stack([lane.read(slot) for slot in range(SAMPLES)]), known, mask


@pytest.mark.parametrize("batch", [SAMPLES, 16])
def test_a_card_agrees_with_the_cpu(model: Path, batch: int) -> None:
    with open_denoiser(model, "cpu", EngineRequest("f32", lanes=1, batch=SAMPLES)) as reference:
        expected, known, mask = run_steps(reference)
    with open_denoiser(model, "cuda", EngineRequest(batch=batch)) as denoiser:
        (found, _, _), (again, _, _) = run_steps(denoiser), run_steps(denoiser)
    error = np.linalg.norm((found - expected)[~mask]) / np.linalg.norm(expected[~mask])
    print(f"{denoiser.info}: relative error {error:.1e}")
    assert error < TOLERANCES[denoiser.info.precision]
    np.testing.assert_array_equal(found[mask], known[mask])
    np.testing.assert_array_equal(again, found)
