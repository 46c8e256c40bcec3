"""A service with a tiny engine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from encode_runs import SPEC
from services import Running, running
from streams import wait_until

from microrun.runtime.serving import server, session, shared_memory
from microrun.runtime.testing import ProjectionEngine

SERVE = """
import sys
from pathlib import Path
from encode_runs import SPEC
from microrun.runtime.testing import ProjectionEngine
from services import running
with running(Path(sys.argv[1]), ProjectionEngine(SPEC)):
    sys.stdin.read()
"""


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


@pytest.fixture
def killable(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A service in a process of its own, which may be killed; its token file is serve.token."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-c", SERVE, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, env=environment) as process:
        wait_until(lambda: (tmp_path / "serve.token").exists() or process.poll() is not None)
        yield process
        process.kill()
