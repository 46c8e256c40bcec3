"""Fixtures of the tests of training."""

from __future__ import annotations

import pytest
from training_runs import prepare

from microrun.runtime.scans.up_source import FileSource
from microrun.training.vae.data import Prepared


@pytest.fixture(autouse=True)
def always_on_the_cpu(on_the_cpu: None) -> None:
    """All tests of training run there."""


@pytest.fixture(scope="session")
def data(banded_scans: list[FileSource], tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The two scans, prepared: 38 patterns to train on, 10 to test on."""
    return prepare(banded_scans, tmp_path_factory.mktemp("prepared"))
