"""`microrun analyse` as users run it."""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from command_line import Microrun, check_refused, run_here
from make_latents import SCANS, make_contents, make_origin, write_features
from numpy.testing import assert_array_equal
from scan_files import names_in
from write_up2 import Header, make_patterns, write_up

from microrun.runtime.files.extras import install_command
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.latents.writer import LatentsWriter


@pytest.fixture
def microrun(capsys: pytest.CaptureFixture[str]) -> Microrun:
    return lambda *arguments: run_here(capsys, *arguments)


@pytest.fixture
def regions(tmp_path: Path) -> Path:
    """Latents of a left and a right region, with noise."""
    left = (np.indices((8, 10))[1] < 4)[..., None]
    features = np.where(left, [1.0, 0, 0, 2, 0], [0.0, 1, 1, 0, 0]) + 0.02 * np.random.default_rng(0).random((8, 10, 5))
    return write_features(tmp_path / "scan.latents.h5", features)


def test_analyse_stores_and_draws(microrun: Microrun, regions: Path) -> None:
    ran = microrun("analyse", regions, "--clusters", "2")
    assert (ran.code, ran.err) == (0, "")
    picture = regions.parent / "scan.analysis.png"
    for part in (
        "features",
        "Geary's C",
        "segments 2 closer than",
        "2 of more than one point",
        f"stored in {regions}",
        f"wrote {picture}",
    ):
        assert part in ran.said
    assert picture.read_bytes().startswith(b"\x89PNG")
    with h5py.File(regions) as file:
        group = file["analysis"]
        assert set(group) == {
            "structure", "feature_order", "principal_colours", "latent_spread", "segments", "clusters",
        }  # fmt: skip
        assert_array_equal(group["segments"], np.where(np.arange(10) < 4, 0, 1) * np.ones((8, 1)))
        assert_array_equal(group["clusters"], np.where(np.arange(10) < 4, 1, 0) * np.ones((8, 1)))
        assert group["feature_order"][-1] == 4  # the one that is noise alone
        assert group["principal_colours"].shape == (8, 10, 3)
        assert (group.attrs["clusters"], group.attrs["threshold"] > 0) == (2, True)
    with open_latents(regions) as opened:
        assert opened.written.all()


def test_options_of_analyse(microrun: Microrun, regions: Path, tmp_path: Path) -> None:
    options = ("--pick", " 2, 7", "--threshold", "0.5", "--clusters", "3", "--folder", tmp_path / "maps" / "here")
    assert microrun("analyse", regions, *options).code == 0
    assert names_in(tmp_path / "maps" / "here") == ["scan.analysis.png"]
    with h5py.File(regions) as file:
        attributes = dict(file["analysis"].attrs)
        assert attributes.pop("pick").tolist() == [2, 7]
        assert attributes == {"threshold": 0.5, "clusters": 3, "colour_axes": "scan"}
        assert file["analysis/latent_distance"][2, 7] == 0
    assert microrun("analyse", regions).code == 0
    with h5py.File(regions) as file:
        assert "latent_distance" not in file["analysis"]


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("pick", "12", "a point is written ROW,COL"),
        ("pick", "a,b", "a point is written ROW,COL"),
        ("pick", "1,2,3", "a point is written ROW,COL"),
        ("pick", "8,0", "the map has 8×10 points, counted from 0; got 8,0"),
        ("pick", "-1,0", "the map has 8×10 points, counted from 0; got -1,0"),
        ("threshold", "0", "must be positive"),
        ("threshold", "-2", "must be positive"),
        ("threshold", "nan", "must be positive"),
        ("threshold", "x", "threshold"),
        ("clusters", "1", "at least 2 clusters"),
        ("clusters", "81", "81 clusters of 80 points"),
    ],
)
def test_what_cannot_be_analysed(microrun: Microrun, regions: Path, option: str, value: str, said: str) -> None:
    before = regions.read_bytes()
    check_refused(microrun("analyse", regions, f"--{option}={value}"), said)
    assert regions.read_bytes() == before
    assert names_in(regions.parent) == ["scan.latents.h5"]


def test_files_that_cannot_be_analysed(microrun: Microrun, regions: Path, tmp_path: Path) -> None:
    scan = write_up(tmp_path / "scan.up2", make_patterns(15), Header(nav_shape=(3, 5)))
    check_refused(microrun("analyse", tmp_path / "none.h5"), "none.h5")
    check_refused(microrun("analyse", scan), scan)
    before = regions.read_bytes()
    check_refused(microrun("analyse", regions, "--folder", tmp_path / "maps.png"), "maps.png: is the name of a picture")
    check_refused(microrun("analyse", regions, "--folder", scan / "maps"), "is a file; expected a folder")
    assert regions.read_bytes() == before


def test_a_growing_file_is_not_analysed(microrun: Microrun, tmp_path: Path) -> None:
    left, contents = tmp_path / "left.h5", make_contents(SCANS["square"])
    with LatentsWriter.create(tmp_path / "a.h5", make_origin(SCANS["square"]), contents.background) as writer:
        writer.write(contents.batch(np.arange(20)))
        writer.flush()
        left.write_bytes(writer.path.read_bytes())
    check_refused(microrun("analyse", left, "--clusters", "2"), left, "end it with encode --resume")
    assert names_in(tmp_path) == ["a.h5", "left.h5"]


def test_a_library_that_is_missing(microrun: Microrun, regions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)  # type: ignore[arg-type]
    before = regions.read_bytes()
    check_refused(microrun("analyse", regions), "error: scikit-learn is not installed", install_command("analyse"))
    assert regions.read_bytes() == before
    assert names_in(regions.parent, "*.png") == []
