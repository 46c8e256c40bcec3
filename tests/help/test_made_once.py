from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import made_once
import pytest

MAKING = """
import os, sys, time
from pathlib import Path
import made_once
made_once.keep_in(Path(sys.argv[1]))
def make():
    with Path(sys.argv[1], "makers").open("a") as makers:
        makers.write("made\\n")
    time.sleep(0.2)
    return b"what takes long"
print(made_once.made_once("thing", make))
"""


def test_processes_that_need_the_same_wait_for_the_first(tmp_path: Path) -> None:
    command = [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{MAKING}", str(tmp_path)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert {one.communicate(timeout=120)[0].strip() for one in started} == {"b'what takes long'"}
    assert (tmp_path / "makers").read_text() == "made\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["makers", "thing"]


def test_what_cannot_be_made_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> bytes:
        raise ValueError("no")

    monkeypatch.setattr(made_once, "_folders", [tmp_path])
    with pytest.raises(ValueError, match="no"):
        made_once.made_once("thing", fail)
    assert made_once.made_once("thing", lambda: b"made") == b"made"
