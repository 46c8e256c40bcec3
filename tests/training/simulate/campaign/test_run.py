"""Campaigns: one whole file a case, the same on any executor, gone on with."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from small_pool import make_small_pool

from microrun.runtime.errors import MicrorunError, OutputError
from microrun.runtime.progress import finish
from microrun.runtime.sections.section_set import read_sections
from microrun.training.simulate.campaign import run
from microrun.training.simulate.campaign.cases import Case
from microrun.training.simulate.campaign.run import Campaign, gather_sections, run_campaign
from microrun.training.simulate.solidify import sections
from microrun.training.simulate.solidify.plan import Plan

CAMPAIGN = Campaign(Plan(layers=1, tracks=1, length_um=24, layer_um=12, substrate_um=20))
CASES = [Case(0, 150.0, 2.0), Case(1, 160.0, 3.0), Case(2, 170.0, 2.5)]


def pool_of(process, *_, **__):
    """In place of a field that takes seconds."""
    if process.power_w > 180:
        raise MicrorunError("nothing melts")
    return make_small_pool(2000 + 4 * process.power_w, process.speed_m_s, power_w=process.power_w)
    yield


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(run, "compute_field", pool_of)
    monkeypatch.setattr(sections, "ACROSS", 20)
    monkeypatch.setattr(sections, "ALONG", 12)


def simulate(folder, cases=CASES, threads=1, campaign=CAMPAIGN):
    with ThreadPoolExecutor(threads) as executor:
        return finish(run_campaign(campaign, cases, folder, executor))


def gathered(folder, name, **how):
    gather_sections(simulate(folder, **how), folder.parent / name)
    return read_sections(folder.parent / name)


def test_all_cases_come_together_in_their_order(tmp_path):
    made = gathered(tmp_path / "cases", "all.h5")
    assert [(made.power_w[made.case == case.number] == case.power_w).all() for case in CASES] == [True] * 3
    assert list(np.unique(made.case)) == [0, 1, 2]
    assert np.all(np.diff(made.case) >= 0)
    assert read_sections(tmp_path / "all.h5", "along").orientation.shape[1:] == (12, 12)


def test_the_number_of_workers_changes_nothing(tmp_path):
    one, three = (gathered(tmp_path / f"{count}", f"{count}.h5", threads=count) for count in (1, 3))
    assert np.array_equal(one.orientation, three.orientation)
    assert np.array_equal(one.grain, three.grain)


def test_cases_differ_though_their_laser_is_the_same(tmp_path):
    made = gathered(tmp_path / "c", "c.h5", cases=[Case(0, 150.0, 2.0), Case(1, 150.0, 2.0)])
    assert not np.array_equal(made.orientation[made.case == 0], made.orientation[made.case == 1])


def test_finished_cases_are_not_simulated_again(tmp_path, monkeypatch):
    folder = tmp_path / "cases"
    simulate(folder, CASES[:2])
    stamps = [path.stat().st_mtime_ns for path in sorted(folder.iterdir())]
    asked = []
    monkeypatch.setattr(run, "simulate_case", lambda campaign, case: asked.append(case) or original(campaign, case))
    simulate(folder)
    assert asked == CASES[2:]
    assert [path.stat().st_mtime_ns for path in sorted(folder.iterdir())][:2] == stamps


original = run.simulate_case


def test_a_folder_of_another_campaign_is_refused(tmp_path):
    folder = tmp_path / "cases"
    simulate(folder, CASES[:1])
    other = dataclasses.replace(CAMPAIGN, plan=dataclasses.replace(CAMPAIGN.plan, seed=1))
    with pytest.raises(OutputError, match="other settings"):
        simulate(folder, campaign=other)


def test_a_case_that_cannot_be_simulated_does_not_cost_the_others(tmp_path):
    folder = tmp_path / "cases"
    with pytest.raises(MicrorunError, match="1 of 4 cases cannot be simulated; the first: case_0009: nothing melts"):
        simulate(folder, [Case(9, 199.0, 2.0), *CASES])
    assert len(list(folder.iterdir())) == 3


def test_sections_smaller_than_asked_for_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sections, "ACROSS", 500)
    with pytest.raises(MicrorunError, match="500×500 cells"):
        simulate(tmp_path / "cases", CASES[:1])


def test_records_count_cases(tmp_path):
    with ThreadPoolExecutor(1) as executor:
        records = list(run_campaign(CAMPAIGN, CASES, tmp_path / "cases", executor))
    assert [(record.done, record.total) for record in records] == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_workers_of_dask_change_nothing(tmp_path):
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        gather_sections(
            finish(run_campaign(CAMPAIGN, CASES, tmp_path / "dask", client.get_executor())), tmp_path / "d.h5"
        )
    here, there = gathered(tmp_path / "here", "h.h5"), read_sections(tmp_path / "d.h5")
    assert np.array_equal(here.orientation, there.orientation)
    assert np.array_equal(here.grain, there.grain)
