"""Pipes in the place of files: refused at once, since opening one waits for whoever writes it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from microrun.runtime.engines.open import open_engine, read_model_spec
from microrun.runtime.errors import MicrorunError
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.scans.following_source import FollowingSource
from microrun.runtime.scans.open import open_scan
from microrun.runtime.sections.section_set import read_sections
from microrun.runtime.volumes.volume import open_volume


def follow(path: Path) -> FollowingSource:
    return FollowingSource(path, idle_timeout_s=0.05)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("a.up1", open_scan), ("a.up2", open_scan), ("a.up2", follow), ("a.latents.h5", open_latents),
        ("a.npy", open_volume), ("a.h5", open_volume), ("a.h5", read_sections), ("a.onnx", open_engine),
        ("a.onnx", read_model_spec),
    ],
)  # fmt: skip
def test_a_pipe_is_no_file(tmp_path: Path, name: str, read: Callable[[Path], object]) -> None:
    path = tmp_path / name
    os.mkfifo(path)
    with pytest.raises(MicrorunError, match=r"no such|a pipe or a device") as error:
        read(path)
    assert "\n" not in str(error.value) and name in str(error.value)
