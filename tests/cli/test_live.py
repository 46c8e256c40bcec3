"""Commands as processes: beside a growing scan, killed, interrupted, and on a full disk."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Microrun, check_refused, finish, run_here, start
from make_models import write_encoder
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from write_up2 import Header, make_patterns, write_up

from microrun.runtime.errors import LatentsError
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.patterns.background import BLOCK

SIG_SHAPE = (60, 60)
NAV_SHAPE = (20, 25)
COUNT = 500
HEADER = Header(sig_shape=SIG_SHAPE, nav_shape=NAV_SHAPE)
ARRAYS = ("latents", "written", "ranges", "flags", "background")
LONG_S = 120.0  # for what would otherwise hang; nothing waits that long


@pytest.fixture(scope="module")
def patterns() -> NDArray[Any]:
    return make_patterns(COUNT, SIG_SHAPE)


@pytest.fixture
def scan(tmp_path: Path, patterns: NDArray[Any]) -> Path:
    return write_up(tmp_path / "scan.up2", patterns, HEADER)


@pytest.fixture
def options(tmp_path: Path) -> tuple[object, ...]:
    """A tiny engine on the CPU."""
    return ("--engine", write_encoder(tmp_path / "tiny.onnx"), "--device", "cpu", "--precision", "f32")


@pytest.fixture
def microrun(capsys: pytest.CaptureFixture[str]) -> Microrun:
    return lambda *arguments: run_here(capsys, *arguments)


def contents(path: Path) -> dict[str, NDArray[Any]]:
    with open_latents(path) as latents:
        return {name: getattr(latents, name) for name in ARRAYS}


def assert_same(found: Path, expected: Path) -> None:
    """Compare bit by bit."""
    one, other = contents(found), contents(expected)
    for name in ARRAYS:
        assert_array_equal(one[name], other[name], name)


def count_written(path: Path) -> int:
    try:
        with open_latents(path) as latents:
            return int(latents.written.sum())
    except LatentsError:  # not there yet
        return 0


def append_until_written(growing: Path, patterns: NDArray[Any], out: Path) -> Callable[[], bool]:
    """A condition to wait for: latents are on the disk. Each look adds a pattern to the scan, but for the last 100."""
    rest = iter(patterns[100:-100])

    def written() -> bool:
        pattern = next(rest, None)
        if pattern is not None:
            with growing.open("ab") as file:
                file.write(pattern.tobytes())
        return count_written(out) > 0

    write_up(growing, patterns[:100], HEADER)
    return written


def wait_for(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.mark.parametrize("background", ["file", "running"])
def test_following_beside_replay_equals_offline(
    microrun: Microrun, scan: Path, tmp_path: Path, options: tuple[object, ...], background: str
) -> None:
    if background == "file":
        background = str(tmp_path / "background.npy")
        np.save(background, np.linspace(0, 50_000, 3600).reshape(SIG_SHAPE))
    growing, live, offline = (tmp_path / name for name in ("growing.up2", "live.h5", "offline.h5"))
    follow = ("--follow", "--idle-timeout", LONG_S, "--background", background)
    process = start("encode", growing, "--out", live, *follow, *options)
    replayed = microrun("replay", scan, growing, "--rate", "3000")
    assert replayed.code == 0
    assert f"replayed {COUNT} patterns" in replayed.said
    ran = finish(process)
    assert (ran.code, ran.err) == (0, "")
    assert f"encoded {COUNT} patterns" in ran.said
    assert "behind the camera" in ran.said
    assert microrun("encode", scan, "--out", offline, "--background", background, *options).code == 0
    assert_same(live, offline)


@pytest.mark.parametrize("background", ["auto", "running"])
def test_a_killed_run_is_resumed_bit_by_bit(
    microrun: Microrun, tmp_path: Path, options: tuple[object, ...], background: str
) -> None:
    header = Header(sig_shape=SIG_SHAPE, nav_shape=(60, 100))
    scan = write_up(tmp_path / "long.up1", make_patterns(6000, SIG_SHAPE, "uint8"), header)
    out, whole = tmp_path / "out.h5", tmp_path / "whole.h5"
    arguments = ("encode", scan, "--background", background, "--batch", "1", "--lanes", "1", *options)
    process = start(*arguments, "--out", out)
    wait_for(process, lambda: count_written(out) > 0)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    before = count_written(out)
    assert 0 < before < 6000
    ran = microrun(*arguments, "--out", out, "--resume")
    assert (ran.code, ran.err) == (0, "")
    again = background == "running" and before < BLOCK  # its mean may have been that of fewer patterns
    assert f"encoded {6000 if again else 6000 - before:,} patterns" in ran.said
    assert microrun(*arguments, "--out", whole).code == 0
    assert_same(out, whole)


@pytest.mark.parametrize("background", ["none", "running"])
def test_ctrl_c_keeps_what_was_encoded(
    microrun: Microrun,
    scan: Path,
    tmp_path: Path,
    patterns: NDArray[Any],
    options: tuple[object, ...],
    background: str,
) -> None:
    growing, out, whole = (tmp_path / name for name in ("growing.up2", "out.h5", "whole.h5"))
    written = append_until_written(growing, patterns, out)
    arguments = ("encode", growing, "--out", out, "--background", background, "--follow", *options)
    process = start(*arguments, "--idle-timeout", LONG_S)
    wait_for(process, written)
    process.send_signal(signal.SIGINT)
    ran = finish(process)
    assert ran.code == 0, ran.err
    done = count_written(out)
    assert 0 < done < COUNT
    assert f"encoded {done} patterns" in ran.said
    assert ran.err.splitlines() == [
        f"warning: {COUNT - done} patterns of the scan are missing; --resume adds them once they are there"
    ]
    write_up(growing, patterns, HEADER)
    assert microrun(*arguments, "--resume").code == 0
    assert microrun("encode", scan, "--out", whole, "--background", background, *options).code == 0
    assert_same(out, whole)


@pytest.mark.parametrize("change", ["vanishes", "shrinks"])
def test_what_was_encoded_stays_when_the_scan_goes_away(
    tmp_path: Path, patterns: NDArray[Any], options: tuple[object, ...], change: str
) -> None:
    growing, out = tmp_path / "growing.up2", tmp_path / "out.h5"
    written = append_until_written(growing, patterns, out)
    process = start("encode", growing, "--out", out, "--follow", "--idle-timeout", LONG_S, *options)
    wait_for(process, written)
    before = count_written(out)
    if change == "vanishes":
        growing.unlink()
    else:
        write_up(growing, patterns[:10], HEADER)
    check_refused(finish(process), growing)
    assert count_written(out) >= before > 0


def test_a_full_disk(scan: Path, tmp_path: Path, options: tuple[object, ...]) -> None:
    setup = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    out = tmp_path / "out.h5"
    check_refused(finish(start("encode", scan, "--out", out, *options, setup=setup)), out, "cannot be written", code=1)
    assert not out.exists()
    copy = tmp_path / "copy.up2"
    check_refused(finish(start("replay", scan, copy, "--rate", "0", setup=setup)), copy, "cannot be written", code=1)
    assert finish(start("encode", scan, "--out", out, *options)).code == 0
    setup = setup.replace("20_000", "2000")
    check_refused(finish(start("maps", out, "--pca", setup=setup)), "out.pca.png", "cannot be written", code=1)
    assert sorted(path.name for path in tmp_path.glob("*.png")) == []


def test_the_default_output_lies_beside_the_scan(scan: Path, tmp_path: Path, options: tuple[object, ...]) -> None:
    ran = finish(start("encode", scan.name, *options, folder=tmp_path))
    assert (ran.code, ran.err) == (0, "")
    assert count_written(tmp_path / "scan.latents.h5") == COUNT
