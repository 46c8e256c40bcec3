from __future__ import annotations

from pathlib import Path

import pytest
from compiled_once import exchange

from microrun.runtime.files.lock import FileLock


def keep(cache: Path, name: str, compiled: str) -> None:
    (cache / "orix").mkdir(parents=True, exist_ok=True)
    (cache / "orix" / name).write_text(compiled)


def kept(cache: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in cache.glob("*/*")}


def test_workers_take_what_others_compiled_and_keep_their_own(tmp_path: Path) -> None:
    one, other, shared = (tmp_path / name for name in ("gw0", "gw1", "shared"))
    keep(one, "turn.1.nbc", "code of one")
    keep(one, "turn.nbi", "index of one")
    keep(one, "half.nbi.tmp.5", "half written")
    keep(other, "scale.nbi", "index of other")
    for worker in (one, other, one):
        exchange(worker, shared)
    whole = {"turn.1.nbc": "code of one", "turn.nbi": "index of one", "scale.nbi": "index of other"}
    assert kept(shared) == kept(other) == whole
    keep(other, "turn.nbi", "what it compiled since")
    exchange(other, shared)
    assert kept(other)["turn.nbi"] == "what it compiled since" and kept(shared) == whole


def test_code_is_there_before_its_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[str] = []
    for name in ("a.nbi", "b.nbc", "c.nbi", "d.nbc"):
        keep(tmp_path / "gw0", name, name)
    monkeypatch.setattr("compiled_once.shutil.copyfile", lambda _, part: copied.append(part.stem) or part.touch())
    exchange(tmp_path / "gw0", tmp_path / "shared")
    assert [Path(name).suffix for name in copied] == [".nbc", ".nbc", ".nbi", ".nbi"]


def test_nobody_waits_for_another_worker(tmp_path: Path) -> None:
    keep(tmp_path / "gw0", "turn.nbi", "index")
    shared = tmp_path / "shared"
    with FileLock(shared):
        exchange(tmp_path / "gw0", shared)
    assert kept(shared) == {}
