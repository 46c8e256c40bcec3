"""Fixtures of the tests of export."""

from __future__ import annotations

from pathlib import Path

import pytest

from microrun.export.calibration import QuantiseRequest
from microrun.export.quantize import quantise
from microrun.runtime.engines.catalogue import MODELS
from microrun.runtime.progress import finish
from microrun.runtime.scans.up_source import FileSource


@pytest.fixture(scope="session")
def asked(simulated_scan: Path) -> QuantiseRequest:
    """The simulated scan, to calibrate and to judge on."""
    return QuantiseRequest(FileSource(simulated_scan))


@pytest.fixture(scope="session")
def int8(asked: QuantiseRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in model, quantised."""
    out = tmp_path_factory.mktemp("int8") / "vae32.int8.onnx"
    finish(quantise(MODELS / "vae32.onnx", out, asked))
    return out


@pytest.fixture(scope="session")
def other_scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve patterns of another sample, 3×4."""
    from microrun.training.simulate.patterns import Exposure, PatternSimulator
    from microrun.training.simulate.sample import Recipe, random_sample
    from microrun.training.simulate.scan import simulate_scan

    path = tmp_path_factory.mktemp("other") / "other.up2"
    sample = random_sample((3, 4), 7, Recipe(blur_px=(0.8, 0.8)))
    simulator, exposure = PatternSimulator((120, 120)), Exposure(electrons=9600, gain=3)
    finish(simulate_scan(path, sample, simulator, exposure, seed=8, step_um=0.5))
    return path
