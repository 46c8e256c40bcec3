"""An instrument's PC tells nobody what it runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from write_up2 import Header, make_patterns, write_up

import microrun.runtime
from microrun.runtime.engines.libraries import has_library, offers_cuda

IMPORT = re.compile(r"^\s*(import|from) (onnxruntime|openvino)\b(?!\.quantization)", re.MULTILINE)
ENCODE = """
import sys
from pathlib import Path
from microrun.cli.app import run
sys.argv = ["microrun", "encode", "scan.up2", "--engine", "vae32", "--out", "out.h5", "--device", "auto"]
try:
    run()
finally:
    Path("modules").write_text("\\n".join(sys.modules))
"""
LOAD = """
import time
from microrun.runtime.engines.libraries import load_onnxruntime, load_openvino
load_openvino(), load_onnxruntime()
time.sleep(0.5)
"""


def run_apart(code: str, folder: Path, *before: str) -> None:
    """Run in a process with a home of its own, which knows nothing of being tested."""
    home = folder / "home"
    home.mkdir()
    known = ("CI", "TF_BUILD", "JENKINS_URL", "ORT_DISABLE_TELEMETRY")
    environment = {name: value for name, value in os.environ.items() if name not in known}
    environment |= {"HOME": str(home), "USERPROFILE": str(home), "NUMBA_CACHE_DIR": str(folder / "numba")}
    command = [*before, sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in home.rglob("*")] == []


def test_encoding_leaves_nothing_beside_its_own_files_and_does_not_load_what_it_does_not_use(tmp_path: Path) -> None:
    write_up(tmp_path / "scan.up2", make_patterns(6, (60, 60)), Header(sig_shape=(60, 60)))
    run_apart(ENCODE, tmp_path)
    assert (tmp_path / "out.h5").exists()
    loaded = (tmp_path / "modules").read_text().splitlines()
    assert "openvino" in loaded
    assert not offers_cuda() or "onnxruntime" in loaded
    assert offers_cuda() or "onnxruntime" not in loaded
    assert "openvino_telemetry.main" not in loaded


def test_neither_library_leaves_an_id(tmp_path: Path) -> None:
    run_apart(LOAD, tmp_path)


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_neither_library_asks_for_a_host(tmp_path: Path) -> None:
    run_apart(LOAD, tmp_path, "strace", "-f", "-qq", "-e", "trace=network", "-o", "calls")
    assert "connect(" not in (tmp_path / "calls").read_text()


def test_only_one_place_imports_them() -> None:
    root = Path(microrun.runtime.__path__[0]).parents[2]
    if not (root / "cli").is_dir():
        pytest.skip("the sources are not here")
    found = [
        path.name
        for part in ("kernels", "runtime", "training", "export", "cli")
        for path in (root / part).rglob("*.py")
        if IMPORT.search(path.read_text(encoding="utf-8"))
    ]
    assert found == ["libraries.py"]


def test_libraries_are_found_without_being_imported() -> None:
    assert has_library("numpy") and not has_library("no_such_library")
