"""Latents files whose run was watched: blocks that were measured, alarms, and where the run stands."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from make_latents import SPEC, make_contents, make_origin

from microrun.runtime.known_latents import KnownLatents
from microrun.runtime.latents.watched import MEASURED, MONITOR, WRITING, Alarm, RunStatus, block_size
from microrun.runtime.latents.writer import LatentsWriter
from microrun.runtime.scans.scan import Scan

SCAN = Scan((32, 16), (8, 8), step_um=(0.5, 0.5))
KNOWN = KnownLatents.of(np.random.default_rng(1).standard_normal((200, 5)) * [4, 3, 2, 1, 1])
BLUR = Alarm(320, None, "sharpness", -0.18, "sharpness −18 % since row 20: defocus?")
BRIGHT = Alarm(64, 192, "mean", 0.2, "brightness +20 % since row 4: beam current, or exposure?")


def status(done: int, state: int = WRITING, age_s: float = 0.0, alarms: int = 2) -> RunStatus:
    """As a run says it, so many seconds ago."""
    now = time.time() - age_s
    return RunStatus(state, now - 60, now, 800.0, done, done + 30, SCAN.total, 7, 0, done // 64, alarms, 128)


def block(number: int) -> np.void:
    """What was measured of a block: blurred from row 20 on."""
    row = np.zeros(1, MONITOR)
    for name in MEASURED:
        row[name] = np.nan
    row["first"], row["count"], row["sharpness"] = 64 * number, 64, 0.7 if number < 5 else 0.574
    return row[0]


def write_watched(path: Path, done: int, *, state: int = WRITING, age_s: float = 0.0, copy: bool = False) -> Path:
    """Write the first patterns of a scan, of 64 in a block.

    Parameters
    ----------
    path
        The file.
    done
        Patterns that are encoded.
    state, age_s
        What the run says that it does, and how many seconds ago it said so.
    copy
        Leave the file as a run does that was killed.
    """
    assert block_size(SCAN.total) == 64
    spec = replace(SPEC, known=KNOWN)
    contents = make_contents(SCAN, spec)
    at = path.with_name("growing.h5") if copy else path
    with LatentsWriter.create(at, make_origin(SCAN, spec), contents.background) as writer:
        writer.write(contents.batch(np.arange(done)))
        for number in range(done // 64):
            writer.keep_block(number, block(number))
        writer.keep_alarms([BRIGHT, BLUR])
        writer.keep_status(status(done, state, age_s))
        writer.flush()
        if copy:
            path.write_bytes(at.read_bytes())
    return path
