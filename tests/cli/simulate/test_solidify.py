"""`microrun simulate solidify`: what it writes, what it says, and what it refuses."""

import h5py
import numpy as np
import pytest
from command_line import finish, start
from PIL import Image
from small_pool import make_small_pool

from microrun.runtime.sections.section_set import read_sections
from microrun.training.simulate.melt_pool.store import write_pool

SMALL = ("--layers", 2, "--tracks", 2, "--length", 40, "--hatch-um", 24, "--layer-um", 12, "--substrate", 8)


@pytest.fixture
def pool(tmp_path):
    path = tmp_path / "pool.h5"
    write_pool(path, make_small_pool())
    return path


def test_a_part_its_sections_and_a_picture(microrun, pool, tmp_path):
    ran = microrun("simulate", "solidify", pool, *SMALL, "--out", tmp_path / "part.h5")
    assert ran.code == 0, ran.err
    for said in ("never solidified", "nuclei", "grains", "part.sections.h5", "part.png"):
        assert said in ran.said
    with h5py.File(tmp_path / "part.h5") as file:
        assert file["grain_id"].shape == file["orientation"].shape
    assert len(read_sections(tmp_path / "part.sections.h5")) == 4
    assert Image.open(tmp_path / "part.png").size[0] > 800
    assert sorted(path.name for path in tmp_path.iterdir()) == ["part.h5", "part.png", "part.sections.h5", "pool.h5"]


def test_threads_and_seeds(microrun, pool, tmp_path):
    grains = {}
    for name, options in (("one", ("--threads", 1)), ("two", ("--threads", 2)), ("other", ("--seed", 3))):
        assert microrun("simulate", "solidify", pool, *SMALL, *options, "--out", tmp_path / f"{name}.h5").code == 0
        with h5py.File(tmp_path / f"{name}.h5") as file:
            grains[name] = file["grain_id"][()]
    assert np.array_equal(grains["one"], grains["two"])
    assert not np.array_equal(grains["one"], grains["other"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--dt", "6e-7"), "time step must be above 0 and below"),
        (("--layer-um", 1), "layer_um must be at least one cell"),
        (("--length", 0), "length_um must be above 0"),
        (("--temperature-file", "f.nc"), "one of the two"),
        (("--travel", "-x"), "are for .vti and .nc files"),
        (("--length-unit", "m"), "are for .vti and .nc files"),
        (("--power", 100), "--power and --speed together"),
        (("--power", 100, "--speed", 1), "holds power and speed itself"),
    ],
)
def test_bad_options_are_one_line(microrun, pool, tmp_path, options, said):
    ran = microrun("simulate", "solidify", pool, *SMALL, *options, "--out", tmp_path / "part.h5")
    assert ran.code == 2
    assert said in " ".join(ran.err.split())
    assert "Traceback" not in ran.err
    assert not (tmp_path / "part.h5").exists()


def test_bad_files_are_one_line(microrun, pool, tmp_path):
    (tmp_path / "text.h5").write_text("no pool")
    write_pool(tmp_path / "cold.h5", make_small_pool(1500.0))
    for name, said in (("none.h5", "none.h5"), ("text.h5", "text.h5"), ("cold.h5", "nothing melts")):
        ran = microrun("simulate", "solidify", tmp_path / name, *SMALL, "--out", tmp_path / "part.h5")
        assert ran.code == 2, ran.err
        assert said in ran.err
    assert microrun("simulate", "solidify", pool, "--out", tmp_path / "part.npy").code != 0
    (tmp_path / "part.h5").write_text("kept")
    ran = microrun("simulate", "solidify", pool, *SMALL, "--out", tmp_path / "part.h5")
    assert "--overwrite" in ran.err
    assert (tmp_path / "part.h5").read_text() == "kept"


def test_another_program_s_temperatures(microrun, tmp_path):
    field = make_small_pool()
    rows = "".join(
        f"{x * 2.5e-6!r},{y * 2.5e-6!r},{z * 2.5e-6!r},{x * 2e-6!r},{x * 2e-6 + 3e-5!r},2e7\n"
        for z in range(4) for y in range(8) for x in range(12)
    )  # fmt: skip
    (tmp_path / "events.csv").write_text("x,y,z,tm,tl,cr\n" + rows)
    options = ("--power", field.process.power_w, "--speed", 1.2, "--substrate", 10)
    ran = microrun(
        "simulate", "solidify", "--temperature-file", tmp_path / "events.csv", *options, "--out", tmp_path / "p.h5"
    )
    assert ran.code == 0, ran.err
    with h5py.File(tmp_path / "p.h5") as file:
        assert file.attrs["step_um"] == 2.5
    assert read_sections(tmp_path / "p.sections.h5").speed_m_s[0] == 1.2


def test_ctrl_c_keeps_finished_tracks(pool, tmp_path):
    import signal
    import time

    arguments = ("simulate", "solidify", pool, *SMALL[:4], "--length", 400, *SMALL[6:], "--out", tmp_path / "part.h5")
    running = start(*arguments)
    checkpoint = tmp_path / "part.part.h5"
    limit = time.monotonic() + 120
    while not checkpoint.exists() and running.poll() is None and time.monotonic() < limit:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    ran = finish(running)
    assert ran.code == 130, ran.err
    assert "finished tracks are kept" in " ".join(ran.err.split())
    assert checkpoint.exists()
    again = finish(start(*arguments))
    assert again.code == 0, again.err
    assert not checkpoint.exists()
