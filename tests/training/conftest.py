"""Fixtures of the tests of training."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from training_runs import prepare, write_bands

from microrun.runtime.file_sources import FileSource
from microrun.training.data import Prepared


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Nothing here is large enough for several threads, and they are slow where others use the cores, too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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
