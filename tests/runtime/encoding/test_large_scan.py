"""A scan larger than the memory that encoding may take."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.up2 import UpWriter

BYTES = 5_500_000_000
LIMIT = 1 << 30
SCRIPT = r"""
import re, sys
from pathlib import Path
from microrun.cli.main import main
sys.argv = ["microrun", "encode", sys.argv[1], "--background", "none"]
try:
    main()
except SystemExit as stopped:
    assert not stopped.code, stopped.code
# Not ru_maxrss: a child inherits its parent's.
print(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text()).group(1))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs sparse files and /proc")
def test_memory_does_not_grow_with_the_scan(tmp_path: Path) -> None:
    path = tmp_path / "large.up2"
    scan = Scan((100, BYTES // (480 * 480 * 2) // 100), (480, 480))
    UpWriter(path, scan).close()
    with path.open("r+b") as file:
        file.truncate(42 + scan.total * scan.pattern_bytes)  # sparse: patterns of zeros
    try:
        assert path.stat().st_size > 5_000_000_000
        done = subprocess.run([sys.executable, "-c", SCRIPT, path], capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        assert f"encoded  {scan.total:,} patterns" in done.stdout
        assert 1024 * int(done.stdout.split()[-1]) < LIMIT
    finally:
        path.unlink()
