"""Memory that work takes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from microrun.cli.bench import timing
from microrun.cli.bench.timing import peak_bytes


def test_memory_is_what_the_work_takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    size = 1 << 26
    took = peak_bytes(lambda: np.ones(size, np.uint8))
    assert (took is None) == (sys.platform != "linux")
    assert took is None or size * 0.95 < took < size * 1.2
    done: list[int] = []
    monkeypatch.setattr(timing, "PROCESS", tmp_path / "none")
    assert peak_bytes(lambda: done.append(1)) is None
    assert done == []
