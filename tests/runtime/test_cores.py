"""Cores, as bound and as a container allows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from microrun.runtime import cores


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(cores, "CGROUP", tmp_path)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("max 100000", 8), ("200000 100000", 2), ("250000 100000", 3), ("50000 100000", 1), ("9900000 100000", 8),
        ("0 100000", 8), ("nonsense", 8), ("", 8), ("1 0", 8),
    ],
)  # fmt: skip
def test_a_containers_share_of_time(tmp_path: Path, text: str, count: int) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert cores.count_cores() == count


@pytest.mark.parametrize(("quota", "count"), [("-1", 8), ("300000", 3), ("x", 8)])
def test_a_containers_share_of_time_as_older_systems_tell_it(tmp_path: Path, quota: str, count: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert cores.count_cores() == count


def test_without_a_limit_all_that_it_is_bound_to() -> None:
    assert cores.count_cores() == 8
