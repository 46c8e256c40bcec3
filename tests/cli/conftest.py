"""Fixtures that the tests of all commands share."""

from __future__ import annotations

import pytest
from command_line import Microrun, run_here


@pytest.fixture
def microrun(capsys: pytest.CaptureFixture[str]) -> Microrun:
    """The command, run in this process."""
    return lambda *arguments: run_here(capsys, *arguments)
