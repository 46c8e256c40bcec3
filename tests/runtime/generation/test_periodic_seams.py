"""Opposite faces of what the built-in denoiser draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from microrun.runtime.engines.open import open_denoiser
from microrun.runtime.generation.generate import generate
from microrun.runtime.generation.recipe import PRESETS
from microrun.runtime.generation.request import GenerateRequest
from microrun.runtime.progress import finish


@pytest.mark.slow
def test_opposite_faces_fit_as_well_as_any_two_planes(tmp_path: Path) -> None:
    out = tmp_path / "out.npy"
    request = GenerateRequest((32, 40, 40), 1, sampling=PRESETS["fast"], periodic="yx", out=out)
    with open_denoiser("grains", "cpu") as denoiser:
        finish(generate(request, denoiser))
    labels = np.load(out)
    differ = [[np.mean(plane != following) for plane, following in zip(planes, np.roll(planes, -1, 0), strict=True)]
              for planes in (labels, labels.transpose(1, 0, 2), labels.transpose(2, 0, 1))]  # fmt: skip
    assert differ[0][-1] > 0.6  # z is not periodic: hardly a grain goes on
    for along in differ[1:]:
        assert along[-1] < 1.7 * np.mean(along[:-1])
