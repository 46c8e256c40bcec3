from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


def test_embedding(capsys: pytest.CaptureFixture[str]) -> None:
    latents = runpy.run_path(str(EXAMPLES / "embed.py"))["main"]()
    assert latents.shape == (12, 16, 32)
    assert np.isfinite(latents).all()
    assert "192 patterns" in capsys.readouterr().out
