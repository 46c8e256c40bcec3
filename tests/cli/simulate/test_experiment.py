"""`microrun simulate experiment`: what it writes, and bad input in one line."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from command_line import run_here
from small_pool import make_small_pool

from microrun.runtime.progress import Job
from microrun.runtime.sections.map_table import read_map_table
from microrun.training.simulate.campaign import experiment, run
from microrun.training.simulate.campaign.cases import Case
from microrun.training.simulate.campaign.potts_part import PottsPlan

PLAN = PottsPlan(
    layers=1, tracks=1, length_um=60, hatch_um=220, layer_um=16, substrate_um=200, cell_um=4, substrate_steps=1
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small parts under a field in closed form, in this process."""

    def compute(process: experiment.Process, **_: object) -> Job[object]:
        yield from ()
        return make_small_pool(speed_m_s=process.speed_m_s, power_w=process.power_w)

    @contextmanager
    def threads() -> Iterator[Executor]:
        with ThreadPoolExecutor(1) as executor:
            yield executor

    monkeypatch.setattr(experiment, "compute_field", compute)
    monkeypatch.setattr(experiment, "Experiment", partial(experiment.Experiment, plan=PLAN))
    monkeypatch.setattr(run, "local_processes", threads)


def test_tables_of_refining_and_of_held_out_cases(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = {"labels.csv": (Case(0, 150.0, 2.0),), "held_out.csv": (Case(1, 120.0, 1.0),)}
    monkeypatch.setattr(experiment, "TABLES", tables)
    ran = run_here(capsys, "simulate", "experiment", tmp_path / "lab", "--maps", 1)
    assert ran.code == 0, ran.err
    assert "held_out.csv: 2 maps of 1 cases of an emulated experiment" in ran.said
    entries = [entry for name in tables for entry in read_map_table(tmp_path / "lab" / name)]
    assert [(e.power_w, e.plane, e.origin) for e in entries] == [
        (power, plane, "emulated experiment") for power in (150.0, 120.0) for plane in ("across", "along")
    ]


def test_cases_of_one_s_own_are_all_in_one_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cases.csv").write_text("power_w,speed_m_s\n150,2\n")
    ran = run_here(capsys, "simulate", "experiment", tmp_path, "--cases", tmp_path / "cases.csv", "--maps", 1)
    assert ran.code == 0, ran.err
    assert len(read_map_table(tmp_path / "labels.csv")) == 2
    assert not (tmp_path / "held_out.csv").exists()
    again = run_here(
        capsys, "simulate", "experiment", tmp_path, "--cases", tmp_path / "cases.csv", "--maps", 1, "--seed", 1
    )
    assert again.code == 1  # of what is there, not of what was asked
    assert "other settings" in again.err
    assert again.err.count("\n") == 1


@pytest.mark.parametrize("row", ["0,0.8", "150,-1", "150,fast"])
def test_cases_that_are_not_possible(tmp_path: Path, capsys: pytest.CaptureFixture[str], row: str) -> None:
    (tmp_path / "cases.csv").write_text(f"power_w,speed_m_s\n{row}\n")
    ran = run_here(capsys, "simulate", "experiment", tmp_path / "lab", "--cases", tmp_path / "cases.csv")
    assert ran.code == 2
    assert ran.err.count("\n") == 1
    assert not (tmp_path / "lab").exists()


@pytest.mark.parametrize("name", ["labels.csv", "held_out.csv"])
def test_a_table_of_one_s_own_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (tmp_path / name).write_text("file,power_w,speed_m_s\nmine.ang,150,0.9\n")
    ran = run_here(capsys, "simulate", "experiment", tmp_path, "--maps", 1)
    assert ran.code == 1
    assert f"{name}: is not a table of an emulated experiment" in " ".join(ran.err.split())
    assert [path.name for path in tmp_path.iterdir()] == [name]  # nothing was simulated
    assert "mine.ang" in (tmp_path / name).read_text()
