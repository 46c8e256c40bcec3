"""Fixtures of the tests of training."""

from __future__ import annotations

import pytest
import torch
from training_runs import prepare, write_bands

from microrun.runtime.scans.up_source import FileSource
from microrun.training.vae.data import Prepared


@pytest.fixture(autouse=True)
def on_the_cpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only there are results bitwise the same; tests with the mark `gpu` are for the rest."""
    if request.node.get_closest_marker("gpu") is None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture(scope="session")
def scans(tmp_path_factory: pytest.TempPathFactory) -> list[FileSource]:
    """Two scans of 3×8 patterns."""
    folder = tmp_path_factory.mktemp("scans")
    return [FileSource(write_bands(folder / f"{number}.up2", (3, 8), number)) for number in range(2)]


@pytest.fixture(scope="session")
def data(scans: list[FileSource], tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The two scans, prepared: 38 patterns to train on, 10 to test on."""
    return prepare(scans, tmp_path_factory.mktemp("prepared"))
