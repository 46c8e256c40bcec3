"""A service with a tiny engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from encode_runs import SPEC
from services import Running, running

from microrun.runtime.serving import server, session, shared_memory
from microrun.runtime.testing import ProjectionEngine


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long before looking again, and rings are so small that pushes wait for room."""
    monkeypatch.setattr(session, "WAIT_S", 0.02)
    monkeypatch.setattr(session, "PATIENCE_S", 0.02)
    monkeypatch.setattr(server, "LOOK_S", 0.02)
    monkeypatch.setattr(shared_memory, "MOST_SLOTS", 4)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path, ProjectionEngine(SPEC, 2, 7)) as made:
        yield made
