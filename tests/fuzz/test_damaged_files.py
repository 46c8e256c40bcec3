"""Some damaged files of every kind, as `run.py` reads them by the thousands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).with_name("run.py")
EACH = 6


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited and measured as on Linux")
def test_damaged_files_of_every_kind_are_read_or_refused_in_a_line(tmp_path: Path) -> None:
    command = [sys.executable, RUN, "--count", str(EACH), "--seed", "2026", "--keep", tmp_path]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    total = next(line for line in ran.stdout.splitlines() if line.startswith("| all |"))
    assert int(total.split("|")[2].replace(",", "")) > 20 * EACH
