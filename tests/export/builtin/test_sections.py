"""What makes the built-in denoiser of sections, on a tiny scale."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_pool import make_small_pool

from microrun.export.builtin import sections as builtin
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.open import open_denoiser
from microrun.runtime.progress import finish
from microrun.runtime.sections.sample import SampleRequest, sample_sections
from microrun.training.diffusion.section_config import SectionConfig
from microrun.training.diffusion.unet_config import SMALL_SECTION_UNET
from microrun.training.simulate.campaign import run
from microrun.training.simulate.campaign.run import Campaign
from microrun.training.simulate.solidify import sections
from microrun.training.simulate.solidify.plan import Plan

TINY = replace(SMALL_SECTION_UNET, channels=(8, 8), head_size=8, groups=4, patch=2)


@contextmanager
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def pool_of(process, *_, **__):  # type: ignore[no-untyped-def]
    """In place of a field that takes seconds."""
    return make_small_pool(2000 + 4 * process.power_w, process.speed_m_s, power_w=process.power_w)
    yield


@pytest.mark.slow
def test_it_simulates_trains_exports_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "compute_field", pool_of)
    monkeypatch.setattr(builtin, "local_processes", threads)
    monkeypatch.setattr(sections, "ACROSS", 16)
    monkeypatch.setattr(sections, "ALONG", 12)
    monkeypatch.setattr(builtin, "CAMPAIGN", Campaign(Plan(layers=1, tracks=1, length_um=24, layer_um=12)))
    monkeypatch.setattr(builtin, "CASES", 3)
    monkeypatch.setattr(builtin, "CONFIG", SectionConfig(batch=2, steps=4, sides=(16, 16), unet=TINY))
    builtin.main(tmp_path)
    assert "3 of 3 cases" in capsys.readouterr().out
    checkpoint = tmp_path / "run" / "checkpoint.safetensors"
    weights, shipped = load_file(checkpoint), load_file(tmp_path / "sections.safetensors")
    assert all(torch.equal(shipped[name], weights[name].half()) for name in weights)
    with open_denoiser(str(tmp_path / "sections.onnx"), "cpu", EngineRequest("f32")) as denoiser:
        assert denoiser.spec.name == "sections"
        assert "microrun simulate sections --sobol 3" in denoiser.spec.training.data
        drawn = finish(sample_sections(denoiser, SampleRequest(((150.0, 0.75),), 1)))
    assert drawn.orientation.shape == (1, 16, 16)
    stamp = checkpoint.stat().st_mtime_ns
    builtin.main(tmp_path)  # nothing is simulated or trained again
    assert checkpoint.stat().st_mtime_ns == stamp
