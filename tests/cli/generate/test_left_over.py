"""`microrun generate` after a run that was killed between writing the volume and clearing its blocks."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import Microrun, Ran, check_refused, finish, run_here, start
from make_denoisers import write_block_denoiser
from numpy.testing import assert_array_equal

from microrun.runtime.files.lock import FileLock

OPTIONS = ("--size", 32, "--timesteps", 2, "--resample", 0, "--min-voxels", 0, "--device", "cpu")
KILLED_THERE = """
import os, signal
from microrun.runtime.generation.block_folder import BlockFolder
BlockFolder.remove = lambda folder: os.kill(os.getpid(), signal.SIGKILL)
"""
KILLED_WHILE_CLEARING = """
import os, signal, shutil
from microrun.runtime.generation import block_folder
block_folder.shutil.rmtree = lambda folder: os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_block_denoiser(tmp_path_factory.mktemp("denoisers") / "tiny.onnx")


@pytest.fixture
def microrun(capsys: pytest.CaptureFixture[str], denoiser: Path) -> Microrun:
    def run(*arguments: object) -> Ran:
        return run_here(capsys, "generate", *OPTIONS, "--engine", denoiser, *arguments)

    return run


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("killed", [KILLED_THERE, KILLED_WHILE_CLEARING])
@pytest.mark.parametrize("name", ["out.npy", "out.h5"])
def test_a_run_that_was_killed_before_it_cleared_its_blocks(
    microrun: Microrun, denoiser: Path, tmp_path: Path, name: str, killed: str
) -> None:
    out, blocks = tmp_path / name, tmp_path / f"{name}.blocks"
    ran = finish(start("generate", *OPTIONS, "--engine", denoiser, "--out", out, setup=killed))
    assert ran.code == -signal.SIGKILL and out.exists() and blocks.is_dir()
    written = out.read_bytes()
    check_refused(microrun("--out", out), f"{out}: exists; whole", f"{blocks} is cleared", "--overwrite")
    assert out.read_bytes() == written and not blocks.exists()
    check_refused(microrun("--out", out), f"{out}: exists; replace it")


def test_blocks_that_a_volume_is_not_made_of_stay(
    microrun: Microrun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, blocks = tmp_path / "out.npy", tmp_path / "out.npy.blocks"
    assert microrun("--out", out).code == 0
    older = np.load(out)

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("microrun.runtime.generation.generate.write_grains", stopped)
        assert microrun("--out", out, "--seed", 1, "--overwrite").code == 130
    for times in ((0, 0), None):  # of last week, say, or touched meanwhile
        os.utime(out, times)
        check_refused(microrun("--out", out, "--seed", 1), f"{out}: exists; replace it")
    assert list(blocks.glob("block-*"))
    assert_array_equal(np.load(out), older)
    ran = microrun("--out", out, "--seed", 1, "--overwrite")
    assert ran.code == 0 and "going on 1 of 1 blocks" in ran.said and not blocks.exists()


def test_blocks_of_a_run_that_is_not_over_stay(microrun: Microrun, tmp_path: Path) -> None:
    out, blocks = tmp_path / "out.npy", tmp_path / "out.npy.blocks"
    assert microrun("--out", out).code == 0
    blocks.mkdir()
    (blocks / "blueprint.json").write_text("{}")
    with FileLock(blocks):
        check_refused(microrun("--out", out), "another run is growing it")
    assert (blocks / "blueprint.json").exists()
