"""`microrun simulate potts` and `am`: what they write, and bad input in one line."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import typer
from command_line import finish, start
from typer.testing import CliRunner

from microrun.cli.simulate import volumes
from microrun.runtime.errors import MicrorunError, OutputError
from microrun.runtime.files.output import name_beside
from microrun.training.simulate.volumes import read_volumes

app = typer.Typer()
app.command("potts")(volumes.potts)
app.command("am")(volumes.am)


def simulate(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, MicrorunError):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def test_potts_writes_as_many_volumes_as_asked(tmp_path: Path) -> None:
    path = tmp_path / "v.h5"
    simulate("potts", path, "--size", 16, "--steps", 2, "--seed", 3, "--count", 2)
    made = read_volumes(path)
    assert [volume.grain_ids.shape for volume in made] == [(16, 16, 16)] * 2
    assert (made[0].grain_ids != made[1].grain_ids).any()
    with h5py.File(path) as file:
        assert [file[name].attrs["seed"] for name in file] == [3, 4]


def test_a_volume_of_a_series_can_be_made_alone(tmp_path: Path) -> None:
    simulate("potts", tmp_path / "series.h5", "--size", 12, "--steps", 1, "--count", 2)
    simulate("potts", tmp_path / "alone.h5", "--size", 12, "--steps", 1, "--seed", 1)
    (alone,) = read_volumes(tmp_path / "alone.h5")
    np.testing.assert_array_equal(read_volumes(tmp_path / "series.h5")[1].grain_ids, alone.grain_ids)


def test_what_is_finished_stays_when_a_series_is_interrupted(tmp_path: Path) -> None:
    path, count = tmp_path / "series.h5", 1_000_000
    process = start("simulate", "potts", path, "--size", 40, "--steps", 1, "--seed", 3, "--count", count)
    wait_for(process, path, at_least=500_000)
    process.send_signal(signal.SIGINT)
    ran, made = finish(process), len(read_volumes(path))
    assert ran.code == 130 and made > 0
    assert f"seeds 3 to {3 + made - 1}" in ran.said
    assert f"{made} of {count} volumes are kept" in ran.err
    assert f"--seed {3 + made} --count {count - made}" in ran.err


def test_of_a_series_without_a_finished_volume_nothing_stays(tmp_path: Path) -> None:
    path = tmp_path / "none.h5"
    process = start("simulate", "potts", path, "--size", 24, "--steps", 1_000_000)
    wait_for(process, path, at_least=0)
    process.send_signal(signal.SIGINT)
    assert finish(process).code == 130
    assert list(tmp_path.iterdir()) == []


def wait_for(process: subprocess.Popen[str], path: Path, at_least: int) -> None:
    """Wait until so many bytes are written beside a path."""
    beside, until = name_beside(path), time.monotonic() + 100
    while process.poll() is None and time.monotonic() < until:
        if beside.exists() and beside.stat().st_size >= at_least:
            return
        time.sleep(0.05)


def test_am_takes_pool_and_tracks(tmp_path: Path) -> None:
    path = tmp_path / "v.h5"
    tracks = ("--speed", 3, "--hatch", 3, "--layer", 2, "--pool", "8x6x4", "--mobile-zone", 3)
    simulate("am", path, "--size", 10, *tracks)
    (volume,) = read_volumes(path)
    assert volume.kind == "am"
    assert not volume.periodic


def test_bad_input_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "v.h5"
    with pytest.raises(OutputError, match=r"written as \.h5"):
        simulate("potts", tmp_path / "v.npy")
    with pytest.raises(MicrorunError, match="leaves gaps"):
        simulate("am", path, "--hatch", 30)
    assert "LENGTHxWIDTHxDEPTH" in simulate("am", path, "--pool", "8x6", code=2)
    assert "--size" in simulate("potts", path, "--size", 2, code=2)
    assert not list(tmp_path.iterdir())


def test_what_is_far_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "v.h5"
    for arguments in (["--seed", 2**63], ["--seed", 2**63 - 1, "--count", 2]):
        with pytest.raises(MicrorunError, match=r"must be below 2⁶³"):
            simulate("potts", path, "--size", 12, *arguments)
    with pytest.raises(MicrorunError, match="take a smaller --size, --pool or --mobile-zone"):
        simulate("am", path, "--size", 24, "--mobile-zone", 20_000)
    assert not list(tmp_path.iterdir())
    simulate("potts", path, "--size", 12, "--steps", 1, "--seed", 2**63 - 1)


def test_a_file_is_replaced_on_demand_only(tmp_path: Path) -> None:
    path = tmp_path / "v.h5"
    simulate("potts", path, "--size", 8, "--steps", 1)
    with pytest.raises(OutputError, match="exists"):
        simulate("potts", path, "--size", 9, "--steps", 1)
    simulate("potts", path, "--size", 9, "--steps", 1, "--overwrite")
    assert read_volumes(path)[0].grain_ids.shape == (9, 9, 9)
