"""`microrun simulate potts` and `am`: what they write, and bad input in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from microrun.cli import console
from microrun.cli.simulate import volumes
from microrun.runtime.errors import MicrorunError, OutputError
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
    simulate("potts", path, "--size", 16, "--duration", 2, "--seed", 3, "--count", 2)
    made = read_volumes(path)
    assert [volume.grain_ids.shape for volume in made] == [(16, 16, 16)] * 2
    assert (made[0].grain_ids != made[1].grain_ids).any()
    with h5py.File(path) as file:
        assert [file[name].attrs["seed"] for name in file] == [3, 4]


def test_a_volume_of_a_series_can_be_made_alone(tmp_path: Path) -> None:
    simulate("potts", tmp_path / "series.h5", "--size", 12, "--duration", 1, "--count", 2)
    simulate("potts", tmp_path / "alone.h5", "--size", 12, "--duration", 1, "--seed", 1)
    (alone,) = read_volumes(tmp_path / "alone.h5")
    np.testing.assert_array_equal(read_volumes(tmp_path / "series.h5")[1].grain_ids, alone.grain_ids)


def test_what_is_finished_stays_when_a_series_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "series.h5"
    series = ("--size", 12, "--duration", 1, "--seed", 3, "--count", 4)
    monkeypatch.setattr(console, "progress_bar", interrupted_at(3))
    said = " ".join(simulate("potts", path, *series, code=130).split())
    assert "seeds 3 to 4" in said and "2 of 4 volumes are kept" in said and "--seed 5 --count 2" in said
    assert len(read_volumes(path)) == 2
    monkeypatch.setattr(console, "progress_bar", interrupted_at(1))
    simulate("potts", tmp_path / "none.h5", *series, code=130)
    assert [file.name for file in tmp_path.iterdir()] == ["series.h5"]


def interrupted_at(step: int) -> Callable[[str, str], AbstractContextManager[console.Update]]:
    """What shows bars; somebody presses Ctrl-C at a step."""

    @contextmanager
    def progress_bar(title: str, unit: str) -> Iterator[console.Update]:
        def update(done: int, total: int, note: str = "") -> None:
            if done == step:
                raise KeyboardInterrupt

        yield update

    return progress_bar


def test_am_takes_pool_and_tracks(tmp_path: Path) -> None:
    path = tmp_path / "v.h5"
    tracks = ("--advance", 3, "--hatch", 3, "--layer", 2, "--pool", "8x6x4", "--mobile-zone", 3)
    simulate("am", path, "--size", 10, *tracks)
    (volume,) = read_volumes(path)
    assert volume.kind == "am"
    assert not volume.periodic
    simulate("am", tmp_path / "inside.h5", "--size", 10, *tracks, "--inside")
    (inside,) = read_volumes(tmp_path / "inside.h5")
    assert (inside.grain_ids.shape, inside.hatch) == ((10, 10, 10), 3)
    assert inside.grain_ids.max() < volume.grain_ids.max()  # no top layers that were melted once, tiny grains


def test_bad_input_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "v.h5"
    with pytest.raises(OutputError, match=r"ends in \.h5"):
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
    simulate("potts", path, "--size", 12, "--duration", 1, "--seed", 2**63 - 1)


def test_a_file_is_replaced_on_demand_only(tmp_path: Path) -> None:
    path = tmp_path / "v.h5"
    simulate("potts", path, "--size", 8, "--duration", 1)
    with pytest.raises(OutputError, match="exists"):
        simulate("potts", path, "--size", 9, "--duration", 1)
    simulate("potts", path, "--size", 9, "--duration", 1, "--overwrite")
    assert read_volumes(path)[0].grain_ids.shape == (9, 9, 9)
