"""The page of mistakes says what is said."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import Microrun, check_refused

PAGE = Path(__file__).parents[2] / "docs" / "mistakes.md"
ROW = re.compile(r"^\| `(.+?)`.* \| (.+) \|$", re.MULTILINE)
ROWS = ROW.findall(PAGE.read_text(encoding="utf-8"))


@pytest.fixture
def folder(scan: Path, latents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to slip in."""
    made = tmp_path / "slips"
    (made / "empty").mkdir(parents=True)
    np.save(made / "grains.npy", np.arange(64).reshape(4, 4, 4))
    (made / "notes.md").write_text("# notes\n", encoding="utf-8")
    (made / "empty.up2").touch()
    shutil.copy(scan, made / "small.up2")
    shutil.copy(latents, made / "small.latents.h5")
    monkeypatch.chdir(made)
    return made


@pytest.mark.parametrize(("typed", "said"), ROWS, ids=[typed for typed, _ in ROWS])
def test_a_slip_is_answered_as_the_page_says(microrun: Microrun, folder: Path, typed: str, said: str) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    said = said.partition(" See ")[0]  # the rest names the program, which is pytest here
    check_refused(microrun(*typed.split()), f"error: {said}")
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_the_page_holds_more_than_twenty_of_them() -> None:
    assert len(ROWS) > 20
