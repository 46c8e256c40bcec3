"""Ctrl-C pressed several times in a row, as impatient people do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Ran, check_refused, finish, start
from make_denoisers import write_block_denoiser
from make_models import write_decoder, write_encoder
from write_up2 import Header, make_patterns, write_up

from microrun.cli import interrupts
from microrun.runtime.errors import LatentsError
from microrun.runtime.latents.reader import open_latents

SIG_SHAPE = (60, 60)
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def press_five_times(process: subprocess.Popen[str], there: Callable[[], bool]) -> Ran:
    """Wait for something, then press Ctrl-C five times within a second."""
    deadline = time.monotonic() + 60
    while not there():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.005)
    for _ in range(5):
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    return finish(process)


def count_written(path: Path) -> int:
    try:
        with open_latents(path) as latents:
            return int(latents.written.sum())
    except LatentsError:  # not there yet
        return 0


@POSIX
def test_generate_keeps_its_blocks(tmp_path: Path) -> None:
    denoiser, blocks = write_block_denoiser(tmp_path / "tiny.onnx"), tmp_path / "out.npy.blocks"
    slow = ("--size", "32x32x900", "--timesteps", 24, "--resample", 40, "--device", "cpu")
    process = start("generate", "--out", tmp_path / "out.npy", "--engine", denoiser, *slow)
    ran = press_five_times(process, lambda: blocks.is_dir() and any(blocks.glob("block-*")))
    check_refused(ran, "interrupted", "blocks are kept: run the same again to go on", code=130)
    assert any(blocks.glob("block-*"))


@POSIX
def test_encode_keeps_its_latents_and_decode_leaves_nothing(tmp_path: Path) -> None:
    scan, out = tmp_path / "scan.up1", tmp_path / "scan.latents.h5"
    write_up(scan, make_patterns(20_000, SIG_SHAPE, "uint8"), Header(sig_shape=SIG_SHAPE, nav_shape=(100, 200)))
    encoder, decoder = write_encoder(tmp_path / "tiny.onnx"), write_decoder(tmp_path / "tiny.decoder.onnx")
    slow = ("--device", "cpu", "--precision", "f32")
    process = start("encode", scan, "--engine", encoder, "--batch", 1, "--lanes", 1, *slow)
    ran = press_five_times(process, lambda: count_written(out) > 0)
    check_refused(ran, "interrupted; go on with --resume", code=130)
    with open_latents(out) as latents:
        assert not latents.growing and 0 < latents.written.sum() < 20_000
    decoded = tmp_path / "scan.decoded.up2"
    process = start("decode", out, "--engine", decoder, "--add-background", *slow)
    check_refused(press_five_times(process, lambda: any(tmp_path.glob(".part-*"))), "interrupted", code=130)
    assert not decoded.exists() and not list(tmp_path.glob(".part-*"))


@POSIX
def test_a_command_that_is_still_starting(tmp_path: Path) -> None:
    setup = """
from pathlib import Path
import time
import microrun.cli.app as app

def run():
    Path('started').touch()
    time.sleep(60)

app.run = run"""
    process = start("models", setup=setup, folder=tmp_path)
    check_refused(press_five_times(process, (tmp_path / "started").exists), "interrupted", code=130)


# --- the handler


@pytest.fixture
def pressed(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Clock that the handler looks at, and the code that it ends the process with."""
    seen = {"now": 0.0}
    monkeypatch.setattr(interrupts.time, "monotonic", lambda: seen["now"])
    monkeypatch.setattr(os, "_exit", lambda code: seen.update(code=code))
    monkeypatch.setattr(interrupts, "_pressed_s", None)
    return seen


def test_only_the_first_press_interrupts(pressed: dict[str, float]) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupts.heed(signal.SIGINT, None)
    for now in (0.1, 0.5, 1.0, 4.9):
        pressed["now"] = now
        interrupts.heed(signal.SIGINT, None)
    assert "code" not in pressed


def test_a_press_seconds_later_ends_what_does_not_end(
    pressed: dict[str, float], capfd: pytest.CaptureFixture[str]
) -> None:
    assert interrupts.is_first()
    pressed["now"] = 6.0
    interrupts.heed(signal.SIGINT, None)
    assert pressed["code"] == 130
    assert capfd.readouterr().err == "error: interrupted at once; what was being written is dropped\n"


CTRL_BREAK = """
import signal
from microrun.cli import interrupts
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell may have had ignored
interrupts.SIGNALS = [signal.SIGINT, signal.SIGTERM]  # the other stands for it
try:
    with interrupts.heeded():
        signal.raise_signal(signal.SIGTERM)
except KeyboardInterrupt:
    print(signal.getsignal(signal.SIGTERM) == signal.SIG_IGN)  # Python itself is ending
"""


@POSIX
def test_ctrl_break_of_windows_is_heeded_too() -> None:
    """In a process of its own: libraries that the others load take signals for themselves, and die of them."""
    done = subprocess.run([sys.executable, "-c", CTRL_BREAK], capture_output=True, timeout=60, check=True)
    assert done.stdout.split() == [b"True"]


def test_a_command_that_runs_behind_a_shell_stays_deaf() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts.heeded():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
