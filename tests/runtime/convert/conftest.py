"""Latents to convert."""

from __future__ import annotations

from pathlib import Path

import pytest
from convert_truth import SCANS, SIZE, Truth, write_latents

from microrun.runtime.convert import chosen_features


@pytest.fixture(params=SCANS)
def truth(request: pytest.FixtureRequest, tmp_path: Path) -> Truth:
    """Latents of every kind of scan, of which a few patterns are missing."""
    scan = SCANS[request.param]
    return write_latents(tmp_path / "scan.latents.h5", scan, "float32", max(1, scan.total - 4))


@pytest.fixture
def square(tmp_path: Path) -> Truth:
    return write_latents(tmp_path / "scan.latents.h5", SCANS["square"], count=30)


@pytest.fixture(autouse=True)
def two_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the maps in several pieces, as if they were large."""
    monkeypatch.setattr(chosen_features, "PIECE_BYTES", 3 * 7 * SIZE * 4)
