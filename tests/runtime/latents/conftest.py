"""Fixtures of the tests of latents files."""

from __future__ import annotations

import faulthandler
from collections.abc import Iterator
from pathlib import Path

import pytest

LONG_S = 120.0  # for what would otherwise hang; nothing takes that long


@pytest.fixture(autouse=True)
def a_hang_ends_the_run() -> Iterator[None]:
    """HDF5 waits inside C, without end, for what it takes for the half-written part of a growing file."""
    faulthandler.dump_traceback_later(LONG_S, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scan.latents.h5"
