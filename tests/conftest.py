"""Fixtures that all rooms share."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray
from write_up2 import Header, write_up

DATA = Path(__file__).parent / "data"

# A busy machine must not fail a test, and a run leaves nothing in the working tree.
settings.register_profile("microrun", deadline=None, max_examples=60, database=None, print_blob=True)
settings.load_profile("microrun")


class Measured(NamedTuple):
    """Real patterns: (n, rows, cols) uint8, their static background (rows, cols) uint8, and their file."""

    patterns: NDArray[np.uint8]
    background: NDArray[np.uint8]
    path: Path


def _load(name: str) -> Measured:
    path = DATA / name
    with h5py.File(path) as file:
        ebsd = file["Scan 1/EBSD"]
        return Measured(ebsd["Data/patterns"][()], ebsd["Header/static_background"][()], path)


@pytest.fixture(scope="session")
def nickel() -> Measured:
    """Nine nickel patterns of 60×60 pixels, a 3×3 scan."""
    return _load("nickel_ebsd_small.h5")


@pytest.fixture(scope="session")
def silicon() -> Measured:
    """One silicon pattern of 480×480 pixels."""
    return _load("silicon_ebsd.h5")


@pytest.fixture
def nickel_up1(nickel: Measured, tmp_path: Path) -> Path:
    """The nickel scan as a version 3 file."""
    return write_up(tmp_path / "nickel.up1", nickel.patterns, Header(sig_shape=(60, 60), nav_shape=(3, 3)))
