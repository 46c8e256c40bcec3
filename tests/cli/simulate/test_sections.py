"""`microrun simulate sections`, with fields that take no time."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from small_pool import make_small_pool

from microrun.runtime.sections.section_set import read_sections
from microrun.training.simulate.campaign import run
from microrun.training.simulate.solidify import sections

SMALL = ("--layers", 1, "--length", 24)


def pool_of(process, *_, **__):
    """In place of a field that takes seconds."""
    return make_small_pool(2000 + 4 * process.power_w, process.speed_m_s, power_w=process.power_w)
    yield


@contextmanager
def threads():
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def simulate(microrun, monkeypatch, tmp_path):
    monkeypatch.setattr(run, "compute_field", pool_of)
    monkeypatch.setattr(run, "local_processes", threads)
    monkeypatch.setattr(sections, "ACROSS", 20)
    monkeypatch.setattr(sections, "ALONG", 12)
    return lambda *options: microrun("simulate", "sections", *SMALL, *options)


def test_cases_become_a_file_of_sections(simulate, tmp_path):
    out = tmp_path / "sim.h5"
    ran = simulate("--sobol", 3, "--out", out)
    assert ran.code == 0, ran.err
    assert "sections of 3 cases, 6 across and 27 along" in ran.said
    made = read_sections(out)
    assert len(np.unique(made.power_w)) == 3
    assert 100 <= made.power_w.min() <= made.power_w.max() <= 200
    assert len(list((tmp_path / "sim.cases").iterdir())) == 3


def test_a_table_of_cases_and_another_seed(simulate, tmp_path):
    table = tmp_path / "cases.csv"
    table.write_text("power_w,speed_m_s\n150,0.9\n")
    made = []
    for seed in (0, 1):
        out = tmp_path / f"{seed}.h5"
        assert simulate("--cases", table, "--seed", seed, "--out", out).code == 0
        made.append(read_sections(out))
    assert (made[0].power_w == 150).all()
    assert not np.array_equal(made[0].orientation, made[1].orientation)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "one of the two"),
        (("--sobol", 2, "--cases", "cases.csv"), "one of the two"),
        (("--sobol", 2, "--absorptivity", 2), "absorptivity"),
        (("--sobol", 2, "--depth", 0), "depth"),
        (("--sobol", 2, "--dask", "tcp://127.0.0.1:1"), "no Dask scheduler answers"),
        (("--cases", "none.csv"), "none.csv"),
        (("--sobol", 2, "--length", 22), "the parts are 22 µm long: take a greater --length"),
    ],
)
def test_bad_options_are_one_line(simulate, tmp_path, monkeypatch, options, said):
    from microrun.runtime.generation import cluster

    monkeypatch.setattr(cluster, "TIMEOUT_S", 0.5)
    ran = simulate(*options, "--out", tmp_path / "sim.h5")
    assert ran.code == 2
    assert said in " ".join(ran.err.split())
    assert not (tmp_path / "sim.h5").exists()


def test_files_that_are_there_are_kept(simulate, tmp_path):
    out = tmp_path / "sim.h5"
    out.write_text("kept")
    assert "--overwrite" in simulate("--sobol", 1, "--out", out).err
    assert out.read_text() == "kept"
    assert simulate("--sobol", 1, "--out", out, "--overwrite").code == 0
    assert (
        simulate("--sobol", 1, "--seed", 1, "--out", out, "--overwrite").code != 0
    )  # its folder is of another campaign


def test_parts_that_are_too_small_are_refused_before_they_are_built(simulate, monkeypatch, tmp_path):
    monkeypatch.setattr(sections, "ACROSS", 400)
    monkeypatch.setattr(run, "build_part", None)
    ran = simulate("--sobol", 1, "--out", tmp_path / "sim.h5")
    assert ran.code == 2 and "sections across are to show 400×400 cells, this part's would only" in ran.err, ran
