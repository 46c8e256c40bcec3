"""Sections drawn by a model: the same for any batch, order and company, and as the sampler in NumPy draws them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from make_denoisers import (
    SECTION_SCHEDULE,
    SECTIONS,
    TINY_SECTIONS,
    WINDOW,
    a_unet,
    section_graph,
    write_denoiser,
    write_section_denoiser,
)
from numpy.testing import assert_array_equal
from samplers import sample_ddim

from microrun.export.graph import save_model
from microrun.kernels.noise import normal_noise
from microrun.runtime.conditions import Condition
from microrun.runtime.engines.denoiser import Denoiser
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.onnx_cpu import OnnxDenoiser
from microrun.runtime.engines.openvino_cpu import OpenvinoDenoiser
from microrun.runtime.errors import EngineError, SectionsError, SpecError
from microrun.runtime.generation.sampling import Sampling
from microrun.runtime.progress import finish
from microrun.runtime.sections.sample import SampleRequest, sample_sections
from microrun.runtime.sections.section_set import SectionSet
from microrun.runtime.sections.smoothing import smooth_orientations
from microrun.runtime.spec import ModelSpec
from microrun.training.diffusion.bits import BitOdds

POINTS = ((150.0, 0.9), (120.0, 0.5))
DDIM = Sampling(6, eta=0.0)
DDPM = Sampling(SECTION_SCHEDULE.training_steps)
Opener = Callable[[Path, EngineRequest], Denoiser]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_section_denoiser(tmp_path_factory.mktemp("models") / "tiny.onnx")


@pytest.fixture
def denoiser(model: Path) -> Iterator[Denoiser]:
    with OnnxDenoiser(model) as opened:
        yield opened


def draw(denoiser: Denoiser, **changes: Any) -> SectionSet:
    request = SampleRequest(POINTS, 3, seed=7, sampling=DDIM, smoothing=0)
    return finish(sample_sections(denoiser, dataclasses.replace(request, **changes)))


@pytest.mark.parametrize("sampling", [DDIM, DDPM], ids=["ddim", "ddpm"])
def test_sections_are_what_the_sampler_in_numpy_draws(denoiser: Denoiser, sampling: Sampling) -> None:
    found = draw(denoiser, sampling=sampling)
    unet, odds = a_unet(TINY_SECTIONS), BitOdds(SECTION_SCHEDULE)
    for place, section in enumerate(found.orientation):
        (power, speed), number = POINTS[place // 3], place % 3
        condition = torch.tensor([[(power - 150) / 50, (speed - 0.75) / 0.25]])

        def noise(evaluation: int, number: int = number) -> Any:
            out = np.empty((1, *SECTIONS.sample_shape), np.float32)
            normal_noise(7, np.array([number]), evaluation, out)
            return out

        def denoise(x: Any, t: int, condition: torch.Tensor = condition) -> Any:
            given = torch.from_numpy(x), torch.tensor([t])
            with torch.no_grad():
                return torch.tanh(odds(unet(*given, condition), *given)).numpy()

        values = sample_ddim(denoise, noise(0), SECTION_SCHEDULE, noise, sampling)[0]
        distances = np.square(SECTIONS.codes[:, :, None, None] - values).sum(axis=1)
        expected = distances.argmin(axis=0)
        sure = np.diff(np.sort(distances, axis=0)[:2], axis=0)[0] > 1e-3  # rounding decides elsewhere
        assert sure.mean() > 0.6
        assert_array_equal(section[sure], expected[sure])


@pytest.mark.parametrize("opener", [OpenvinoDenoiser, OnnxDenoiser])
@pytest.mark.parametrize("sampling", [DDIM, DDPM], ids=["ddim", "ddpm"])
def test_sections_are_the_same_for_any_batch_and_lanes(opener: Opener, model: Path, sampling: Sampling) -> None:
    drawn = []
    for lanes, batch in ((1, 1), (1, 4), (3, 2)):
        with opener(model, EngineRequest("f32", lanes, batch)) as denoiser:
            drawn.append(draw(denoiser, sampling=sampling).orientation)
    assert_array_equal(drawn[1], drawn[0])
    assert_array_equal(drawn[2], drawn[0])


def test_a_section_does_not_know_of_others(denoiser: Denoiser) -> None:
    whole = draw(denoiser)
    turned, alone, fewer = (
        draw(denoiser, points=POINTS[::-1]), draw(denoiser, points=POINTS[1:]), draw(denoiser, count=2),
    )  # fmt: skip
    assert_array_equal(turned.orientation, whole.orientation[[3, 4, 5, 0, 1, 2]])
    assert_array_equal(alone.orientation, whole.orientation[3:])
    assert_array_equal(fewer.orientation, whole.orientation[[0, 1, 3, 4]])
    assert not np.array_equal(draw(denoiser, seed=8).orientation, whole.orientation)
    assert not np.array_equal(whole.orientation[:3], whole.orientation[3:])  # the condition counts


def test_what_was_drawn_is_smoothed_and_that_is_told(denoiser: Denoiser) -> None:
    raw, smooth = draw(denoiser), draw(denoiser, smoothing=2)
    assert_array_equal(smooth.orientation, smooth_orientations(raw.orientation, 2))
    changed = float((smooth.orientation != raw.orientation).mean())
    assert float(smooth.details["smoothed_cells"]) == pytest.approx(changed, abs=1e-5)
    assert smooth.details["smoothing"] == "2"
    assert float(raw.details["smoothed_cells"]) == 0
    for passes in (-1, 101):
        with pytest.raises(SectionsError, match="smoothed 0 to 100 times"):
            SampleRequest(POINTS, smoothing=passes)


def test_the_set_tells_what_was_drawn(denoiser: Denoiser) -> None:
    found = draw(denoiser)
    assert (found.origin, found.plane, found.step_um, found.grain) == ("sample", "across", 2.0, None)
    assert found.power_w.tolist() == [150] * 3 + [120] * 3 and found.speed_m_s.tolist() == [0.9] * 3 + [0.5] * 3
    assert found.case.tolist() == [0] * 3 + [1] * 3
    assert found.orientation.min() >= 0 and found.orientation.max() < 20
    details = found.details
    assert (details["model"], details["seed"], details["steps"], details["eta"]) == ("tiny-sections", "7", "6", "0")
    assert 0 < float(details["unclear_cells"]) < 1 and details["model_sha256"] == denoiser.info.sha256


def test_unclear_cells_are_counted(denoiser: Denoiser, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the cells a code, a quarter no code of the twenty, a quarter between two."""
    values = np.ones((5, 10, 10), np.float32) * SECTIONS.codes[3][:, None, None]
    values[:, 5:, :5] = 1  # 31
    values[:, 5:, 5:] = 0
    monkeypatch.setattr("microrun.runtime.engines.slots.SlotLane.read", lambda *_: values)
    found = draw(denoiser)
    assert float(found.details["unclear_cells"]) == 0.5
    assert (found.orientation[:, :5] == 3).all() and (found.orientation[:, 5:] < 20).all()


def test_progress_counts_evaluations(denoiser: Denoiser) -> None:
    reports = list(sample_sections(denoiser, SampleRequest(POINTS, 2, sampling=DDIM)))
    assert {one.total for one in reports} == {24} and [one.done for one in reports] == sorted(
        one.done for one in reports
    )
    assert reports[-1].done == 24


def test_a_job_that_is_left_stops_its_threads(model: Path) -> None:
    with OnnxDenoiser(model, EngineRequest(lanes=1)) as denoiser:
        job = sample_sections(denoiser, SampleRequest(POINTS, 10_000, sampling=DDPM))
        next(job)
        job.close()  # returns, and does not draw 20,000 sections


def test_an_engine_that_fails_ends_the_job(denoiser: Denoiser, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise EngineError("the library failed")

    monkeypatch.setattr("microrun.runtime.engines.slots.SlotLane.step", fail)
    with pytest.raises(EngineError, match="the library failed"):
        draw(denoiser)


# --- what is refused


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ((210.0, 0.9), "power_w 210 lies outside the window that the model was trained in, 100 to 200; stay within"),
        ((150.0, 0.4), "speed_m_s 0.4 lies outside .* 0.5 to 1; stay within, or say --extrapolate"),
        ((0.0, 0.9), "power_w must be more than 0; got 0"),
        ((150.0, -1.0), "speed_m_s must be more than 0; got -1"),
        ((float("nan"), 0.9), "power_w must be more than 0; got nan"),
    ],
)
def test_powers_and_speeds_outside_the_window_are_refused(
    denoiser: Denoiser, point: tuple[float, float], message: str
) -> None:
    with pytest.raises(SectionsError, match=message):
        draw(denoiser, points=(POINTS[0], point))
    if min(point) > 0:
        assert len(draw(denoiser, points=(point,), extrapolate=True)) == 3
    else:
        with pytest.raises(SectionsError, match="must be more than 0"):
            draw(denoiser, points=(point,), extrapolate=True)


def test_of_a_single_power_nothing_is_extrapolated(tmp_path: Path) -> None:
    diffusion = dataclasses.replace(SECTIONS, conditions=(Condition("power_w", 150, 150), WINDOW[1]))
    save_model(section_graph(), ModelSpec("one", "denoiser", diffusion=diffusion), tmp_path / "one.onnx")
    with OnnxDenoiser(tmp_path / "one.onnx") as denoiser:
        assert len(draw(denoiser, points=((150.0, 0.9),))) == 3
        with pytest.raises(SectionsError, match="150 to 150; it knows no other"):
            draw(denoiser, points=((151.0, 0.9),), extrapolate=True)


def test_a_denoiser_of_volumes_is_refused(tmp_path: Path) -> None:
    with (
        OnnxDenoiser(write_denoiser(tmp_path / "grains.onnx")) as denoiser,
        pytest.raises(SpecError, match=r"grains\.onnx: draws no sections for laser power and speed"),
    ):
        draw(denoiser)


@pytest.mark.parametrize(
    ("values", "message"), [({"points": ()}, "at least one"), ({"count": 0}, "at least one"), ({"seed": -1}, "seed")]
)
def test_senseless_requests_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SectionsError, match=message):
        SampleRequest(**{"points": POINTS, **values})
