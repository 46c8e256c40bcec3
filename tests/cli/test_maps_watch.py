"""Pictures that are drawn anew while a scan is encoded."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import Microrun, check_refused
from make_latents import SCANS, make_contents, make_origin

from microrun.runtime.files.lock import FileLock
from microrun.runtime.latents.writer import LatentsWriter


@pytest.fixture
def moments(tmp_path: Path) -> list[Path]:
    """The latents file of a run, after ten patterns of 42, after all, and finished: HDF5 lets one process do one."""
    origin, contents = make_origin(SCANS["square"]), make_contents(SCANS["square"])
    kept = []
    with LatentsWriter.create(tmp_path / "run.h5", origin, contents.background) as writer:
        for numbers in (np.arange(10), np.arange(10, 42)):
            writer.write(contents.batch(numbers))
            writer.flush()
            kept.append(Path(shutil.copy(tmp_path / "run.h5", tmp_path / f"{len(kept)}.h5")))
    return [*kept, tmp_path / "run.h5"]


def in_turn(monkeypatch: pytest.MonkeyPatch, *steps: Callable[[], object]) -> None:
    """What happens while the command waits."""
    left = list(steps)
    monkeypatch.setattr(time, "sleep", lambda seconds: left.pop(0)())


def interrupt() -> None:
    raise KeyboardInterrupt


def test_maps_are_drawn_anew_until_the_run_ends(
    microrun: Microrun, moments: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, picture = tmp_path / "scan.latents.h5", tmp_path / "scan.pca.png"
    first, later, finished = moments
    seen: list[bytes] = []

    def grow() -> None:
        seen.append(picture.read_bytes())
        later.replace(path)

    first.replace(path)
    in_turn(monkeypatch, lambda: None, grow, lambda: finished.replace(path))
    ran = microrun("maps", path, "--pca", "--watch")
    assert (ran.code, ran.err) == (0, "")
    drawn = [line for line in ran.out.splitlines() if line.startswith("drawn")]
    assert drawn == [f"drawn    {done} of 42 patterns" for done in (10, 42, 42)]
    assert ran.out.splitlines()[-1].startswith("next     microrun analyse")
    assert picture.read_bytes() != seen[0]


def test_ctrl_c_ends_watching(
    microrun: Microrun, moments: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_turn(monkeypatch, interrupt)
    ran = microrun("maps", moments[0], "--pca", "--watch")
    assert (ran.code, ran.err) == (0, "")
    assert "drawn 10 of 42 patterns" in ran.said
    check_refused(microrun("maps", moments[0], "--pca", "--watch"), "0.pca.png: exists; replace it with --overwrite")
    ran = microrun("maps", moments[2], "--pca", "--watch")  # it is finished
    assert (ran.code, "drawn" in ran.out) == (0, False)


def test_blank_patterns_at_the_start_are_waited_out(
    microrun: Microrun, moments: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scan.latents.h5"
    origin, contents = make_origin(SCANS["square"]), make_contents(SCANS["square"])
    blank = contents.batch(np.arange(10))
    with LatentsWriter.create(tmp_path / "blank.h5", origin, contents.background) as writer:
        writer.write(replace(blank, flags=np.ones_like(blank.flags)))
        writer.flush()
        shutil.copy(tmp_path / "blank.h5", path)
    in_turn(monkeypatch, lambda: moments[2].replace(path))
    ran = microrun("maps", path, "--pca", "--watch")
    assert (ran.code, ran.err) == (0, "")
    assert [line for line in ran.out.splitlines() if line.startswith("drawn")] == ["drawn    42 of 42 patterns"]


def test_watching_a_killed_run_ends(microrun: Microrun, moments: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microrun.cli.maps.QUIET_S", 0.0)
    with FileLock(moments[0]):  # its run lives, however long it has been waiting
        in_turn(monkeypatch, lambda: None, lambda: None, interrupt)
        assert microrun("maps", moments[0], "--pca", "--watch").err == ""
    in_turn(monkeypatch, lambda: None)
    ran = microrun("maps", moments[0], "--pca", "--watch", "--overwrite")
    assert (ran.code, "drawn 10 of 42 patterns" in ran.said) == (0, True)
    assert ran.err == f"warning: {moments[0]}: nobody writes it any more; go on with its run by encode --resume\n"
