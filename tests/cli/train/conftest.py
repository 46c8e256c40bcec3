"""Fixtures of the tests of training as users start it."""

from __future__ import annotations

import pytest


@pytest.fixture
def pictures() -> None:
    """For a test that looks at pictures: they are drawn."""


@pytest.fixture(autouse=True)
def few_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run draws its pictures again with each report, half a second each: only for those who look at them."""
    if "pictures" not in request.fixturenames:
        monkeypatch.setattr("microrun.training.loop.curves.draw_loss", lambda *_: None)
        monkeypatch.setattr("microrun.training.vae.pictures.draw_reconstructions", lambda *_: None)
