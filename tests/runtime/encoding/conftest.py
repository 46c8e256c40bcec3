"""A scan to encode, and a background for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encode_runs import COUNT, HEADER, SIG_SHAPE
from numpy.typing import NDArray
from write_up2 import make_patterns, write_up


@pytest.fixture(scope="module")
def patterns() -> NDArray[Any]:
    return make_patterns(COUNT, SIG_SHAPE)


@pytest.fixture
def scan(tmp_path: Path, patterns: NDArray[Any]) -> Path:
    return write_up(tmp_path / "scan.up2", patterns, HEADER)


@pytest.fixture
def background_file(tmp_path: Path) -> Path:
    path = tmp_path / "background.npy"
    np.save(path, np.linspace(0, 50_000, 24 * 24).reshape(SIG_SHAPE))
    return path
