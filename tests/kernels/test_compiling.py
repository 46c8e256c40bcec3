"""Numba's cache stays where it is, whatever is imported meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from microrun.kernels.compiling import CACHE, kept_cache

INDEXING = """
import numpy as np
from orix.quaternion import Rotation
from microrun.runtime import Geometry, Indexer
Indexer(Geometry((0.42, 0.79, 0.50)), (60, 60), (120, 120))
(~Rotation.identity()).data
"""


@pytest.mark.parametrize("before", [None, "here"])
def test_a_library_that_moves_the_cache_is_undone(
    before: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as changed:
        if before is None:
            changed.delenv(CACHE, raising=False)
        else:
            changed.setenv(CACHE, str(tmp_path / before))
        with kept_cache():
            os.environ[CACHE] = "elsewhere"
            numba.config.reload_config()  # type: ignore[no-untyped-call]
        assert os.environ.get(CACHE) == (None if before is None else str(tmp_path / before))
        assert os.environ.get(CACHE, "") == numba.config.CACHE_DIR
    numba.config.reload_config()  # type: ignore[no-untyped-call]


@pytest.mark.slow
def test_indexing_runs_where_nothing_was_compiled_yet_and_again(tmp_path: Path) -> None:
    """PyEBSDIndex moves the cache to a folder of all its installations, and what orix loads from there dies."""
    for _ in range(2):
        environment = {**os.environ, CACHE: str(tmp_path / "numba")}
        done = subprocess.run([sys.executable, "-c", INDEXING], env=environment, timeout=300, capture_output=True)
        assert done.returncode == 0, done.stderr[-1000:]
