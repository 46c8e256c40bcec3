"""Samplers against diffusers on a shared denoiser, and against distributions whose best denoiser is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from samplers import Known, sample_ddim, sample_ddpm, sample_repaint

from microrun.kernels.noise import normal_noise
from microrun.runtime.errors import MicrorunError
from microrun.runtime.generation.sampling import Sampling, Steps, tabulate_steps
from microrun.runtime.schedule import Schedule

Array = NDArray[np.floating[Any]]
Denoise = Callable[[Array, int], Array]

SHAPE = (3, 1, 8, 8, 8)
PREDICTIONS = ("eps", "v", "bits")
THEIR_NAMES = dict(zip(PREDICTIONS, ("epsilon", "v_prediction", "sample"), strict=True))


def say(schedule: Schedule, clean: Array, eps: Array, t: int) -> Array:
    """What a network outputs that knows sample and noise."""
    kept = schedule.alphas_cumprod[t]
    return {"eps": eps, "bits": clean, "v": np.sqrt(kept) * eps - np.sqrt(1 - kept) * clean}[schedule.prediction]


def two_values(schedule: Schedule) -> Denoise:
    """The best denoiser of voxels that are −0.7 or 0.7, give or take 0.3."""

    def denoise(x: Array, t: int) -> Array:
        kept = schedule.alphas_cumprod[t]
        signal, noise = np.sqrt(kept), np.sqrt(1 - kept)
        variance = kept * 0.09 + 1 - kept
        wide = x.astype(np.float64)
        clean = (0.09 * signal * wide + (1 - kept) * 0.7 * np.tanh(signal * 0.7 * wide / variance)) / variance
        eps = (wide - signal * clean) / noise
        return say(schedule, clean, eps, t).astype(x.dtype)

    return denoise


def gaussian(schedule: Schedule, mean: Array, covariance: Array) -> Denoise:
    """The best denoiser of samples (n, k) from one normal distribution."""

    def denoise(x: Array, t: int) -> Array:
        kept = schedule.alphas_cumprod[t]
        signal, noise = np.sqrt(kept), np.sqrt(1 - kept)
        noised = kept * covariance + (1 - kept) * np.eye(len(mean))
        eps = noise * (x - signal * mean) @ np.linalg.inv(noised)
        clean = mean + signal * (x - signal * mean) @ np.linalg.inv(noised) @ covariance
        return say(schedule, clean, eps, t)

    return denoise


def normals(shape: tuple[int, ...], seed: int = 0) -> Callable[[int], Array]:
    def noise(evaluation: int) -> Array:
        out = np.empty((1, *shape), np.float32)
        normal_noise(seed, np.zeros(1, np.int64), evaluation, out)
        return out[0]

    return noise


class Diffusers:
    """A scheduler of diffusers with its generator, and the same draws again for ours.

    In float64 it must say the same as ours; in float32, which it is made for, as much as its rounding allows.
    """

    def __init__(self, name: str, schedule: Schedule, dtype: Any, **options: Any) -> None:
        diffusers, self.torch = pytest.importorskip("diffusers"), pytest.importorskip("torch")
        kept = schedule.alphas_cumprod
        betas = 1 - kept / np.append(1.0, kept[:-1])
        if name != "RePaintScheduler":
            options["prediction_type"] = THEIR_NAMES[schedule.prediction]
        self.scheduler = getattr(diffusers, name)(
            schedule.training_steps, trained_betas=betas.astype(dtype), clip_sample=False, **options
        )
        self.dtype = dtype
        if dtype == np.float64:
            self.scheduler.alphas_cumprod = self.torch.from_numpy(kept.copy())
        self.generators = self.torch.Generator().manual_seed(5), self.torch.Generator().manual_seed(5)

    def step(self, output: Array, t: int, x: Array, *more: Any, **options: Any) -> Array:
        tensors = [self.torch.from_numpy(array) for array in (output, x, *more)]
        stepped = self.scheduler.step(tensors[0], t, *tensors[1:], generator=self.generators[0], **options)
        return stepped.prev_sample.numpy()

    def draw(self) -> Array:
        dtype = self.torch.from_numpy(np.empty(0, self.dtype)).dtype
        return self.torch.randn(SHAPE, generator=self.generators[1], dtype=dtype).numpy()


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("steps", [250, 1000])
@pytest.mark.parametrize(("dtype", "error"), [(np.float32, 1.5e-4), (np.float64, 1e-12)])
def test_ddpm_is_that_of_diffusers(dtype: Any, error: float, steps: int, prediction: Any) -> None:
    schedule = Schedule(steps, prediction=prediction)
    denoise, x = two_values(schedule), normals(SHAPE)(0).astype(dtype)
    theirs = Diffusers("DDPMScheduler", schedule, dtype)
    expected = x
    for t in range(steps - 1, -1, -1):
        expected = theirs.step(denoise(expected, t), t, expected)
    draws = [theirs.draw() for _ in range(steps - 1)] + [np.zeros(SHAPE, dtype)]
    ours = sample_ddpm(denoise, x, schedule, lambda number: draws[number - 1])
    assert ours.dtype == dtype
    assert abs(ours - expected).max() < error
    assert_allclose(abs(ours).mean(), 0.7, atol=0.05)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("count", [1, 10, 25, 50, 250])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ddim_is_that_of_diffusers(dtype: Any, eta: float, count: int, prediction: Any) -> None:
    schedule = Schedule(250, prediction=prediction)
    denoise, x = two_values(schedule), normals(SHAPE)(0).astype(dtype)
    theirs = Diffusers("DDIMScheduler", schedule, dtype)
    theirs.scheduler.set_timesteps(count)
    expected = x
    for t in theirs.scheduler.timesteps.tolist():
        expected = theirs.step(denoise(expected, t), t, expected, eta=eta)
    draws = [theirs.draw() for _ in range(count)]
    sampling = Sampling(count, eta, spacing="leading")
    ours = sample_ddim(denoise, x, schedule, lambda number: draws[number - 1], sampling)
    rounding = 3e-6 if eta == 0 and count <= 50 else 3e-5
    assert abs(ours - expected).max() < (1e-12 if dtype == np.float64 else rounding)


def repaint_with_diffusers(
    theirs: Diffusers, denoise: Denoise, x: Array, known: Known, eta: float
) -> tuple[Array, list[Array]]:
    """Their samples, and for each evaluation the one normal per voxel that its several draws come to."""
    betas, kept = (
        array.numpy().astype(np.float64) for array in (theirs.scheduler.betas, theirs.scheduler.alphas_cumprod)
    )
    timesteps = theirs.scheduler.timesteps.tolist()
    stride = theirs.scheduler.config.num_train_timesteps // theirs.scheduler.num_inference_steps
    mask, drawn = known.mask.astype(x.dtype), []
    last = timesteps[0] + 1
    for t in timesteps:
        if t < last:
            x = theirs.step(denoise(x, t), t, x, known.values, mask)
            before = kept[t - stride] if t >= stride else 1.0
            spread = eta * np.sqrt((1 - before) / (1 - kept[t]) * (1 - kept[t] / before))
            deviation = np.where(known.mask, np.sqrt(1 - before), spread)
            drawn.append((deviation * theirs.draw(), deviation))
        else:
            # Here lies the one difference: their forward step from level l − 1 to l takes the variances from
            # timestep l · stride on, one stride late, so that resampling agrees only where the stride is 1.
            x = theirs.scheduler.undo_step(theirs.torch.from_numpy(x), last, theirs.generators[0]).numpy()
            noise, deviation = drawn[-1]
            beta = betas[last]
            noise = np.sqrt(1 - beta) * noise + np.sqrt(beta) * theirs.draw()
            drawn[-1] = noise, np.sqrt((1 - beta) * deviation**2 + beta)
        last = t
    return x, [(noise / np.where(deviation > 0, deviation, 1)).astype(theirs.dtype) for noise, deviation in drawn]


@pytest.mark.parametrize(
    ("steps", "count", "n_resample", "jump_length"),
    [(50, 50, 1, 1), (250, 25, 1, 1), (50, 50, 4, 1), (50, 50, 2, 5), (60, 60, 2, 7)],
)
@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize(("dtype", "error"), [(np.float32, 9e-6), (np.float64, 1e-12)])
def test_repaint_is_that_of_diffusers(
    dtype: Any, error: float, eta: float, steps: int, count: int, n_resample: int, jump_length: int
) -> None:
    schedule = Schedule(steps)
    denoise, x = two_values(schedule), normals(SHAPE)(0).astype(dtype)
    known = Known(0.7 * np.sign(normals(SHAPE, 1)(0)).astype(dtype), normals(SHAPE, 2)(0) > 0)
    theirs = Diffusers("RePaintScheduler", schedule, dtype, eta=eta)
    theirs.scheduler.set_timesteps(count, jump_length, n_resample)
    expected, draws = repaint_with_diffusers(theirs, denoise, x, known, eta)
    sampling = Sampling(count, eta, n_resample, jump_length, spacing="leading")
    ours = sample_repaint(denoise, x, schedule, lambda number: draws[number - 1], sampling, known)
    assert len(tabulate_steps(schedule, sampling, True).timesteps) == len(draws)
    assert abs(ours - expected).max() < error


def test_the_count_of_evaluations_is_the_papers() -> None:
    schedule = Schedule(250)
    # GrainPaint's "10 resamplings" are ten more than the first; its loop leaves out one timestep: 2,489.
    paper = Sampling(250, n_resample=11, plain_steps=25)
    assert len(tabulate_steps(schedule, paper, has_known=True).timesteps) == 250 + 10 * 224 == 2490
    assert len(tabulate_steps(schedule, paper, has_known=False).timesteps) == 250


def test_last_steps_are_plain_and_jumps_go_back_as_far_as_asked() -> None:
    timesteps = tabulate_steps(Schedule(50), Sampling(10, n_resample=3, jump_length=2, plain_steps=4), True).timesteps
    levels = (timesteps // 5).tolist()
    assert levels == [9, 8, 7, 6, 7, 6, 7, 6, 5, 4, 5, 4, 5, 4, 3, 2, 1, 0]


def check_marginals(steps: Steps, schedule: Schedule) -> None:
    """Whatever is denoised, or known, ends with the signal and the noise of the next step's level."""
    kept = np.append(schedule.alphas_cumprod[steps.timesteps], 1.0)
    signal, noise = np.sqrt(kept), np.sqrt(1 - kept)
    a, b, c, d, e = steps.coefficients.T
    assert_allclose(a, signal[1:], atol=1e-12)
    assert_allclose(b, noise[1:], atol=1e-12)
    # For x = signal·x_0 + noise·ε a perfect network says ε, or x_0, or v = signal·ε − noise·x_0.
    of_clean, of_eps = {"eps": (0, 1), "bits": (1, 0), "v": (-noise[:-1], signal[:-1])}[schedule.prediction]
    assert_allclose(c * signal[:-1] + d * of_clean, signal[1:], atol=1e-9)
    assert_allclose((c * noise[:-1] + d * of_eps) ** 2 + e**2, 1 - kept[1:], atol=1e-9)


@pytest.mark.parametrize("eta", [0.0, 0.7, 1.0])
@pytest.mark.parametrize(
    "schedule",
    [
        *(Schedule(250, prediction=prediction) for prediction in PREDICTIONS),
        *(Schedule(100, zero_terminal_snr=True, prediction=prediction) for prediction in PREDICTIONS[1:]),
    ],
)
def test_every_step_of_every_plan_ends_at_the_level_of_the_next(schedule: Schedule, eta: float) -> None:
    for sampling in (Sampling(100, eta), Sampling(33, eta, 5, 1, 4), Sampling(60, eta, 3, 6)):
        for has_known in (False, True):
            check_marginals(tabulate_steps(schedule, sampling, has_known), schedule)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize(("count", "eta"), [(1000, 1.0), (1000, 0.0), (200, 0.0), (100, 0.0)])
def test_a_gaussian_is_drawn_with_its_mean_and_variance(count: int, eta: float, prediction: Any) -> None:
    schedule = Schedule(1000, prediction=prediction)
    mean, covariance = np.array([0.4, -0.6]), np.array([[0.25, 0.15], [0.15, 0.36]])
    denoise, noise = gaussian(schedule, mean, covariance), normals((20_000, 2))
    if count == 1000 and eta == 1:
        samples = sample_ddpm(denoise, noise(0).astype(np.float64), schedule, noise)
    else:
        samples = sample_ddim(denoise, noise(0).astype(np.float64), schedule, noise, Sampling(count, eta))
    assert_allclose(samples.mean(axis=0), mean, atol=0.015)
    assert_allclose(np.cov(samples.T), covariance, atol=0.015 if count == 1000 else 0.03)


@pytest.mark.parametrize("prediction", PREDICTIONS[1:])
def test_zero_terminal_snr_finds_means_that_lie_far_off(prediction: Any) -> None:
    far = np.array([2.0, -3.0])
    noise = normals((4000, 2))
    zero = Schedule(100, zero_terminal_snr=True, prediction=prediction)
    drawn = sample_ddim(
        gaussian(zero, far, 0.01 * np.eye(2)), noise(0).astype(np.float64), zero, noise, Sampling(50, 0)
    )
    assert_allclose(drawn.mean(axis=0), far, atol=0.01)


def test_known_voxels_are_as_far_ahead_as_asked() -> None:
    schedule = Schedule(250)
    level, ahead = (tabulate_steps(schedule, Sampling(50, n_resample=2, known_lead=lead), True) for lead in (0, 0.2))
    assert_array_equal(level.timesteps, ahead.timesteps)
    assert_array_equal(level.coefficients[:, 2:], ahead.coefficients[:, 2:])
    ends = np.append(level.timesteps[1:], -1)
    kept = np.append(schedule.alphas_cumprod, 1.0)[np.maximum(ends - 50, -1)]
    assert_allclose(ahead.coefficients[:, :2].T ** 2, [kept, 1 - kept], atol=1e-12)


def conditional(n_resample: int, known_lead: float = 0) -> tuple[float, float]:
    """Mean and variance of the second of two correlated values, the first given as 1.2."""
    schedule = Schedule(1000)
    mean, covariance = np.array([0.2, -0.3]), np.array([[0.5, 0.4], [0.4, 0.5]])
    noise = normals((4000, 2), seed=3)
    known = Known(np.full((4000, 2), [1.2, np.nan]), np.tile([True, False], (4000, 1)))
    sampling = Sampling(1000, n_resample=n_resample, known_lead=known_lead)
    denoise, x = gaussian(schedule, mean, covariance), noise(0).astype(np.float64)
    samples = sample_repaint(denoise, x, schedule, noise, sampling, known)
    assert (samples[:, 0] == 1.2).all()
    return float(samples[:, 1].mean()), float(samples[:, 1].var())


def test_repaint_draws_the_conditional_distribution() -> None:
    mean, variance = -0.3 + 0.8 * (1.2 - 0.2), 0.5 - 0.4 * 0.8
    once, often = conditional(1), conditional(20)
    assert_allclose(often, (mean, variance), atol=0.02)
    assert abs(often[0] - mean) < abs(once[0] - mean) / 3  # one pass hardly sees what is given


def test_a_lead_lets_one_pass_see_more_of_what_is_given() -> None:
    mean, (level, variance), (ahead, same) = 0.5, conditional(1), conditional(1, 0.2)
    assert abs(ahead - mean) < 0.85 * abs(level - mean)
    assert same == pytest.approx(variance, rel=0.01)


def test_known_voxels_come_out_to_the_last_bit() -> None:
    schedule = Schedule(50)
    known = Known(normals(SHAPE, 1)(0) * np.float32(1e3), normals(SHAPE, 2)(0) > 1)
    noise = normals(SHAPE)
    for sampling in (Sampling(50), Sampling(7, 0.0, 3), Sampling(20, 1.0, 4, 3), Sampling(20, known_lead=0.3)):
        samples = sample_repaint(two_values(schedule), noise(0), schedule, noise, sampling, known)
        assert_array_equal(samples[known.mask], known.values[known.mask])
        assert np.isfinite(samples).all()


def test_blocks_without_known_voxels_are_not_resampled() -> None:
    schedule, noise = Schedule(50), normals(SHAPE)
    nothing = Known(np.full(SHAPE, np.nan, np.float32), np.zeros(SHAPE, bool))
    calls = []

    def denoise(x: Array, t: int) -> Array:
        calls.append(t)
        return two_values(schedule)(x, t)

    sampling = Sampling(50, n_resample=10)
    samples = sample_repaint(denoise, noise(0), schedule, noise, sampling, nothing)
    assert calls == list(range(49, -1, -1))
    assert_array_equal(samples, sample_ddpm(two_values(schedule), noise(0), schedule, noise))


def test_a_batch_of_both_kinds_is_refused() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[1, 0, 0, 0, 0] = True
    schedule, noise = Schedule(50), normals(SHAPE)
    with pytest.raises(MicrorunError, match="batches of their own"):
        sample_repaint(two_values(schedule), noise(0), schedule, noise, Sampling(50), Known(noise(1), mask))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"eta": 1.5}, "eta must be 0 .* to 1 .*; got 1.5"),
        ({"n_resample": 0}, "got 0, 1, 0"),
        ({"jump_length": 0}, "got 1, 0, 0"),
        ({"plain_steps": -1}, "got 1, 1, -1"),
        ({"known_lead": 1.2}, "known_lead is a share of all timesteps, 0 to 1; got 1.2"),
        (
            {"n_resample": 10**9},
            "at most 1,000,000 evaluations of the network; 50 timesteps, each denoised 1,000,000,000",
        ),
    ],
)
def test_values_that_make_no_sampling_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(MicrorunError, match=message):
        Sampling(50, **values)
