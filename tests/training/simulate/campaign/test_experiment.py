"""An emulated experiment: its cases, its files, and that it goes on where it stopped."""

from __future__ import annotations

import dataclasses
import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import Delaunay
from small_pool import make_small_pool

from microrun.runtime.errors import MicrorunError, OutputError
from microrun.runtime.progress import Job, finish
from microrun.runtime.sections.map_table import cut_maps
from microrun.runtime.sections.text_maps import read_ang
from microrun.training.simulate.campaign import experiment as module
from microrun.training.simulate.campaign.cases import POWER_W, SPEED_M_S, Case
from microrun.training.simulate.campaign.experiment import (
    HELD_OUT,
    REFINING,
    Experiment,
    run_experiment,
)
from microrun.training.simulate.campaign.experiment_table import check_table, write_table
from microrun.training.simulate.campaign.potts_part import PottsPlan

PLAN = PottsPlan(
    layers=1, tracks=1, length_um=60, hatch_um=220, layer_um=16, substrate_um=200, cell_um=4, substrate_steps=1
)
SMALL = Experiment(maps=2, seed=5, plan=PLAN)
CASES = (Case(0, 150.0, 2.0), Case(3, 120.0, 1.0))


@pytest.fixture(autouse=True)
def quick_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field in closed form instead of flow; none below 50 W."""

    def compute(process: module.Process, **_: object) -> Job[object]:
        yield from ()
        peak = 2600.0 if process.power_w > 50 else 1000.0
        return make_small_pool(peak, process.speed_m_s, power_w=process.power_w)

    monkeypatch.setattr(module, "compute_field", compute)


def run(folder: Path, cases: tuple[Case, ...] = CASES, settings: Experiment = SMALL, workers: int = 1) -> list[Path]:
    with ThreadPoolExecutor(workers) as executor:
        return finish(run_experiment(settings, cases, folder, executor))


def digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.*")
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiment")
    with pytest.MonkeyPatch.context() as patch:
        quick_pools.__wrapped__(patch)  # type: ignore[attr-defined]
        run(folder)
    write_table(folder / "labels.csv", SMALL, CASES)
    return folder


def test_held_out_cases_lie_between_the_others_and_apart_from_them() -> None:
    refining, held = (np.array([(c.power_w, c.speed_m_s) for c in cases]) for cases in (REFINING, HELD_OUT))
    assert sorted(case.number for case in REFINING + HELD_OUT) == list(range(8))
    assert (Delaunay(refining).find_simplex(held) >= 0).all()
    apart = np.abs(held[:, None] - refining)
    assert ((apart[..., 0] >= 25) | (apart[..., 1] >= 0.1 - 1e-9)).all()
    everything = np.concatenate([refining, held])
    assert everything.min(axis=0) == pytest.approx((POWER_W[0], SPEED_M_S[0]))
    assert everything.max(axis=0) == pytest.approx((POWER_W[1], SPEED_M_S[1]))


def test_a_case_has_maps_across_and_along_of_its_own_step(made: Path) -> None:
    for case in CASES:
        names = sorted(path.name for path in (made / case.name).iterdir())
        assert names == ["across_000.ang", "across_001.ang", "along_000.ang", "settings.json"]
    steps = [read_ang(made / case.name / "across_000.ang").step_um[0] for case in CASES]
    assert steps == pytest.approx([1.5, 3.0])
    assert (
        "# Emulated experiment, no measurement: 120 W, 1 m/s, case_0003.\n"
        in (made / "case_0003/along_000.ang").read_text()
    )


def test_the_table_becomes_sections_that_say_what_they_are(made: Path) -> None:
    across, along = finish(cut_maps(made / "labels.csv")).sets
    assert (across.origin, along.origin) == ("emulated experiment",) * 2
    assert across.orientation.shape == (4, 100, 100)
    assert along.orientation.shape == (2, 64, 64)
    assert across.power_w.tolist() == [150, 150, 120, 120]
    assert across.case.tolist() == [0, 0, 1, 1]
    assert across.details["hatch_um"] == "220"


def test_the_same_seed_gives_the_same_files_for_any_number_of_workers(made: Path, tmp_path: Path) -> None:
    run(tmp_path, CASES[::-1], workers=2)
    assert digest(tmp_path) == {name: value for name, value in digest(made).items() if name != "labels.csv"}


def test_another_seed_gives_other_maps(made: Path, tmp_path: Path) -> None:
    run(tmp_path, CASES[:1], dataclasses.replace(SMALL, seed=6))
    one, other = (read_ang(folder / "case_0000/across_000.ang").euler for folder in (made, tmp_path))
    assert np.abs(one - other).mean() > 0.5


def test_finished_cases_are_kept_and_a_half_written_one_is_made_again(tmp_path: Path) -> None:
    run(tmp_path, CASES[:1])
    kept = (tmp_path / "case_0000/across_000.ang").stat().st_mtime_ns
    (tmp_path / ".part-case_0003").mkdir()
    (tmp_path / ".part-case_0003/across_000.ang").write_text("half")
    run(tmp_path)
    assert (tmp_path / "case_0000/across_000.ang").stat().st_mtime_ns == kept
    assert sorted(path.name for path in tmp_path.iterdir()) == ["case_0000", "case_0003"]


def test_a_folder_of_other_settings_is_refused(made: Path) -> None:
    with pytest.raises(OutputError, match="case_0000: is a case of an experiment with other settings"):
        run(made, settings=dataclasses.replace(SMALL, seed=6))


def test_a_case_that_does_not_melt_is_said_and_others_are_kept(tmp_path: Path) -> None:
    with pytest.raises(MicrorunError, match=r"1 of 2 cases cannot be simulated; the first: case_0001: nothing melts"):
        run(tmp_path, (Case(1, 40.0, 1.0), CASES[0]))
    assert (tmp_path / "case_0000/settings.json").is_file()


def test_experiments_that_are_not_possible() -> None:
    with pytest.raises(MicrorunError, match="1 to 1,000 maps"):
        Experiment(maps=0)
    with pytest.raises(MicrorunError, match="a seed is 0"):
        Experiment(seed=-1)


def test_a_table_of_ours_may_be_replaced_and_no_other(made: Path, tmp_path: Path) -> None:
    check_table(tmp_path / "labels.csv", SMALL, CASES)
    path = made / "labels.csv"
    check_table(path, SMALL, CASES)
    check_table(path, SMALL, (*CASES, Case(4, 130.0, 1.0)))  # cases were added
    other = tmp_path / "labels.csv"
    for text in ("", "file,power_w,speed_m_s\nmine.ang,150,0.9\n", path.read_text().replace("across_001", "mine")):
        other.write_text(text)
        with pytest.raises(OutputError, match=r"labels.csv: is not a table of .* rename it"):
            check_table(other, SMALL, CASES)
    for settings, cases in ((dataclasses.replace(SMALL, maps=3), CASES), (SMALL, CASES[:1])):
        with pytest.raises(OutputError, match="is not a table"):
            check_table(path, settings, cases)
    with pytest.raises(OutputError, match="is not a table"):
        check_table(tmp_path, SMALL, CASES)
