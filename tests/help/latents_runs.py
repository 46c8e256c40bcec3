"""Latents files as runs write them, whole or in part, and child processes that write or read them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microrun.runtime.latents.batch import EncodedBatch
from microrun.runtime.latents.origin import Origin
from microrun.runtime.latents.reader import Latents, open_latents
from microrun.runtime.latents.writer import LatentsWriter
from microrun.runtime.scans.scan import Scan
from microrun.runtime.spec import ModelSpec, Preprocessing

SCAN = Scan((6, 7), (8, 8), step_um=(0.5, 0.25))
SIZE = 5
SPEC = ModelSpec("tiny", "encoder", SIZE, Preprocessing((4, 4), 0))
ORIGIN = Origin(SCAN, "f" * 64, SPEC, "e" * 64, "NumPy on cpu", "f32", "mean")
BACKGROUND = np.arange(16, dtype=np.float32).reshape(4, 4)
ARRAYS = ("latents", "written", "ranges", "flags", "background")

# What the child processes run; `batch` gives the same values there as here.
CHILD = """
import dataclasses, sys
sys.path.insert(0, {folder!r})
from latents_runs import *
from microrun.runtime.errors import OutputError
from microrun.runtime.latents import writer as latents_writer
path = Path(sys.argv[1])
"""


def batch(*indices: int, size: int = SIZE) -> EncodedBatch:
    """Make a batch whose values follow from the numbers of its patterns."""
    numbers = np.array(indices, np.int64)
    values = np.stack([np.random.default_rng(number).standard_normal(size + 2) for number in indices])
    singles = values.astype(np.float32)
    return EncodedBatch(numbers, singles[:, :size], singles[:, size:], numbers % 10 == 3)


def write_all(writer: LatentsWriter, start: int = 0, step: int = 4) -> None:
    total, size = writer.origin.scan.total, writer.origin.spec.latent_size
    for first in range(start, total, step):
        writer.write(batch(*range(first, min(first + step, total)), size=size))


def write_file(path: Path, origin: Origin = ORIGIN, count: int | None = None) -> Path:
    """Write the first patterns, or all."""
    with LatentsWriter.create(path, origin, BACKGROUND) as writer:
        if count is None:
            write_all(writer)
        else:
            writer.write(batch(*range(count), size=origin.spec.latent_size))
    return path


def contents(path: Path) -> dict[str, Any]:
    with open_latents(path) as latents:
        return {name: getattr(latents, name) for name in ARRAYS}


def check_holds(latents: Latents, indices: list[int], all_else_empty: bool = True) -> None:
    """Check that exactly these patterns are there, with their values."""
    rows, cols = latents.origin.scan.locate(np.array(indices, np.int64))
    written = np.zeros(latents.origin.scan.nav_shape, bool)
    written[rows, cols] = True
    np.testing.assert_array_equal(latents.written, written)
    expected = batch(*indices, size=latents.origin.spec.latent_size)
    np.testing.assert_array_equal(latents.latents[rows, cols], expected.latents.astype(latents.origin.dtype))
    np.testing.assert_array_equal(latents.ranges[rows, cols], expected.ranges)
    np.testing.assert_array_equal(latents.flags[rows, cols], expected.flags)
    assert not all_else_empty or np.isnan(latents.latents[~written]).all()


def one_line(error: pytest.ExceptionInfo[Exception], path: Path) -> None:
    text = str(error.value)
    assert str(path) in text
    assert "\n" not in text


def start_child(script: str, *arguments: object) -> subprocess.Popen[str]:
    code = CHILD.format(folder=str(Path(__file__).parent)) + script
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def read_line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        _, error = child.communicate()
        pytest.fail(f"the child ended: {error}")
    return line.strip()


def leave_behind(path: Path) -> Path:
    """Write a file as a killed run leaves it: HDF5's mark of a writer is still set."""
    with LatentsWriter.create(path.with_name("growing.h5"), ORIGIN, BACKGROUND) as writer:
        writer.write(batch(*range(20)))
        writer.flush()
        path.write_bytes(writer.path.read_bytes())
    return path


def cut(share: float) -> Callable[[Path], object]:
    def damage(path: Path) -> None:
        whole = path.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])

    return damage
