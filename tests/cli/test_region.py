"""`--region` of all commands that read scans or latents: written in one way, and what it gives is that of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from command_line import Microrun, check_refused
from make_latents import write_features
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from scan_files import names_in, read_patterns
from small_scan import HEADER, SIG_SHAPE
from training_runs import write_bands
from write_ang import write_ang
from write_up2 import make_patterns, write_up

from microrun.runtime.convert import to_up
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.latents.region import take_region
from microrun.runtime.maps.analysis import AnalysisRequest, analyse_latents
from microrun.runtime.maps.conventional import map_patterns
from microrun.runtime.maps.orientation_file import load_orientations
from microrun.runtime.pictures.analysis_maps import draw_analysis
from microrun.runtime.progress import finish
from microrun.runtime.scans.open import open_scan, take_part
from microrun.runtime.scans.up_source import FileSource

WRITTEN = "a region is written ROW0:ROW1,COL0:COL1"
BESIDE = "a region of a map with 3 rows lies within 0:3; got 0:9"


def stored(path: Path, group: str = "/") -> dict[str, NDArray[np.floating]]:
    with h5py.File(path) as file:
        return {name: file[group][name][()] for name in file[group]}


def test_every_command_refuses_what_is_no_region_in_the_same_words(
    microrun: Microrun, scan: Path, latents: Path, tmp_path: Path
) -> None:
    made = names_in(tmp_path)
    for command in (
        ["physics", scan, "--no-index"], ["analyse", latents], ["convert", latents, "--to", "csv"],
        ["convert", scan, "--to", "up2", "--out", tmp_path / "new.up2"],
        ["train", "vae", scan, "--folder", tmp_path / "run", "--epochs", 1],
    ):  # fmt: skip
        check_refused(microrun(*command, "--region", "0-3"), WRITTEN)
        check_refused(microrun(*command, "--region", "0:9,:"), BESIDE)
        assert names_in(tmp_path) == made


@pytest.mark.parametrize("hexagonal", [0, 1], ids=["square", "hexagonal, shorter rows"])
def test_physics_of_a_region_are_those_of_the_whole(tmp_path: Path, hexagonal: int) -> None:
    patterns = make_patterns(15 - hexagonal, SIG_SHAPE)
    whole = open_scan(write_up(tmp_path / "scan.up2", patterns, replace(HEADER, hexagonal=hexagonal)))
    wanted, found = (finish(map_patterns(source)) for source in (whole, take_part(whole, ((1, 3), (1, 4)))))
    for name in ("image_quality", "sharpness", "mean_intensity"):
        assert_array_equal(getattr(found, name), getattr(wanted, name)[1:3, 1:4], name)


def test_orientations_and_latents_of_a_region(
    encode: Microrun, microrun: Microrun, scan: Path, latents: Path, tmp_path: Path
) -> None:
    angles, part, maps = write_ang(tmp_path / "angles.ang", (3, 5)), tmp_path / "part.h5", tmp_path / "maps"
    assert encode(scan, "--region", "1:3,:4", "--out", part).code == 0
    asked = ("physics", scan, "--orientations", angles, "--folder", maps)
    lacks = f"{part}: holds rows 1:3 and columns 0:4 of 3×5; wanted are rows 0:3 and columns 0:5 of 3×5"
    check_refused(microrun(*asked, "--latents", part), lacks, "--region")
    ran = microrun(*asked, "--region", "1:,1:4", "--latents", part)  # which hold more than is asked for
    assert ran.code == 0, ran
    wanted = load_orientations(angles, FileSource(scan).scan).rotations[1:3, 1:4]
    assert_array_equal(stored(maps / "scan.physics.h5")["rotations"], wanted)
    assert "rows [1, 3]" in microrun("inspect", maps / "scan.physics.h5").said
    other = write_up(tmp_path / "other.up2", make_patterns(15, SIG_SHAPE, seed=1), HEADER)
    for beside in (latents, part):
        said = microrun("physics", other, "--no-index", "--region", "1:3,:4", "--latents", beside)
        check_refused(said, f"{beside}: is of another scan than {other}")


HALVES = np.where(np.arange(10)[:, None] < 5, [1.0, 0, 2], [0.0, 1, 0]) * np.ones((8, 1, 1))
NOISY = HALVES + 0.02 * np.random.default_rng(0).random(HALVES.shape)


def test_a_region_is_analysed_and_the_map_holds_nothing_elsewhere(microrun: Microrun, tmp_path: Path) -> None:
    path, alone = write_features(tmp_path / "a.latents.h5", NOISY), write_features(tmp_path / "b.h5", NOISY[2:6, 3:9])
    with open_latents(alone) as opened:
        wanted = analyse_latents(opened, AnalysisRequest(1, 2, (1, 1)))
    ran = microrun("analyse", path, "--region", "2:6,3:9", "--clusters", 2, "--pick", "3,4", "--threshold", 1)
    assert (ran.code, ran.err) == (0, "")
    found = stored(path, "analysis")
    inside = np.zeros((8, 10), bool)
    inside[2:6, 3:9] = True
    for name, image, nothing in (
        ("clusters", wanted.clusters, -1), ("segments", wanted.segments, -1),
        ("latent_spread", wanted.spread, np.nan), ("latent_distance", wanted.distance, np.nan),
    ):  # fmt: skip
        assert_allclose(found[name][inside].reshape(4, 6), image, rtol=1e-6, err_msg=name)
        assert_array_equal(found[name][~inside], np.full(56, nothing, found[name].dtype), name)
    with h5py.File(path) as file:
        assert file["analysis"].attrs["region"] == "rows 2:6 and columns 3:9 of 8×10"
        assert file["analysis"].attrs["pick"].tolist() == [3, 4]
    ran = microrun("analyse", path, "--region", "2:6,3:9", "--pick", "0,0", "--overwrite")
    check_refused(ran, f"{path}: the point 0,0 is not in the region that is analysed")


def test_the_picture_names_the_point_that_was_typed(tmp_path: Path) -> None:
    with open_latents(write_features(tmp_path / "a.latents.h5", NOISY)) as opened:
        part, request = take_region(opened, ((2, 6), (3, 9))), AnalysisRequest(1, 2, (1, 2))
        figure = draw_analysis(part, analyse_latents(part, request), request)
    assert "distance to row 3, col 5" in [axis.get_title(loc="left") or axis.get_title() for axis in figure.axes]


def test_rows_and_columns_are_those_of_the_scan_where_latents_are_of_a_part(
    encode: Microrun, microrun: Microrun, scan: Path, latents: Path, tmp_path: Path
) -> None:
    part, out = tmp_path / "part.h5", tmp_path / "some.csv"
    assert encode(scan, "--region", "0:3,1:", "--every", 2, "--out", part).code == 0
    for source, region, places in (
        (latents, "1:3,2:4", [(1.5 * col, 1.5 * row) for row in (1, 2) for col in (2, 3)]),
        (part, "1:3,2:", [(4.5, 3.0)]),  # of rows 0 and 2, columns 1 and 3, what lies within
        (part, ":,:", [(1.5 * col, 1.5 * row) for row in (0, 2) for col in (1, 3)]),
    ):
        ran = microrun("convert", source, "--to", "csv", "--region", region, "--out", out, "--overwrite")
        assert (ran.code, ran.err) == (0, "")
        table = np.loadtxt(out, delimiter=",", skiprows=1, ndmin=2)
        assert_allclose(table[:, 2:4], places)
        assert_allclose(1.5 * table[:, 1::-1], places)  # steps of 1.5 µm
    said = (
        "holds rows 0:3 and columns 1:5 of 3×5, one of 2 along each; none of it is in rows 0:3 and columns 0:1 of 3×5"
    )
    check_refused(microrun("convert", part, "--to", "csv", "--region", ":,0:1"), f"{part}: {said}")


@pytest.mark.parametrize("to", ["hspy", "xdmf"])
def test_other_formats_place_a_region_on_the_sample(microrun: Microrun, latents: Path, tmp_path: Path, to: str) -> None:
    assert microrun("convert", latents, "--to", to, "--region", "1:3,2:4").code == 0
    if to == "xdmf":
        points = stored(latents.with_suffix(".xdmf.h5"))["points"]
        assert_allclose([points.min(axis=0)[:2], points.max(axis=0)[:2]], [(2.25, 0.75), (5.25, 3.75)])
        return
    import hyperspy.api as hs

    x, y = hs.load(latents.with_suffix(".hspy")).axes_manager.navigation_axes
    assert [(axis.offset, axis.scale, axis.size) for axis in (x, y)] == [(3, 1.5, 2), (1.5, 1.5, 2)]


def test_a_part_of_a_scan_becomes_a_pattern_file(microrun: Microrun, tmp_path: Path) -> None:
    patterns = make_patterns(15, SIG_SHAPE, "uint8")
    scan = write_up(tmp_path / "scan.up1", patterns, HEADER)
    asked = ("convert", scan, "--to", "up2", "--region", "1:3,1:4")
    check_refused(microrun(*asked), f"{scan}: a part of a scan is a scan of its own; name it, such as --out part.up2")
    out = tmp_path / "part.up2"
    ran = microrun(*asked, "--out", out)
    assert (ran.code, ran.err) == (0, "")
    assert "patterns 6 of 6, rows 1:3 and columns 1:4 of 3×5" in ran.said
    made = FileSource(out)
    assert (made.scan.nav_shape, made.scan.step_um, made.scan.dtype) == ((2, 3), (1.5, 1.5), "uint16")
    wanted = patterns.reshape(3, 5, *SIG_SHAPE)[1:3, 1:4].reshape(6, *SIG_SHAPE)
    assert_array_equal(read_patterns(out), wanted)
    beside = write_up(tmp_path / "scan.up2", make_patterns(15, SIG_SHAPE), HEADER)
    check_refused(microrun("convert", beside, "--to", "up1"), "scan.up1: exists", "--overwrite")
    check_refused(
        microrun("convert", beside, "--to", "up1", "--out", tmp_path / "new.up1"),
        "scan.up2: has 16 bits a pixel, a .up1 file 8; write a .up2 file",
    )
    check_refused(microrun("convert", scan, "--to", "up2", "--features", 3), "--features has no meaning for --to up2")
    check_refused(microrun("convert", tmp_path / "x.h5", "--to", "csv", "--grid", "3x5"), "--grid has no meaning for")
    assert names_in(tmp_path) == ["part.up2", "scan.up1", "scan.up2"]


def test_a_region_that_begins_with_a_shifted_row_is_no_pattern_file(microrun: Microrun, tmp_path: Path) -> None:
    scan = write_up(tmp_path / "scan.up2", make_patterns(14, SIG_SHAPE), replace(HEADER, hexagonal=1))
    asked = ("convert", scan, "--to", "up2", "--out", tmp_path / "part.up2")
    check_refused(microrun(*asked, "--region", "1:3,:"), "row 1 of its hexagonal grid is shifted", "a row earlier or")
    assert microrun(*asked, "--region", "0:2,:").code == 0
    assert FileSource(tmp_path / "part.up2").scan.total == 9


def test_a_pattern_file_that_the_disk_has_no_room_for_is_refused_at_once(
    microrun: Microrun, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(to_up.shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
    monkeypatch.setattr(FileSource, "read_patterns", None)  # nothing is read before
    check_refused(microrun("convert", scan, "--to", "up2", "--out", tmp_path / "new.up2"), "No space left", code=1)
    assert "new.up2" not in names_in(tmp_path)


@pytest.mark.usefixtures("on_the_cpu")
def test_a_model_is_trained_on_a_region(microrun: Microrun, tmp_path: Path) -> None:
    scan, settings = write_bands(tmp_path / "scan.up2", (8, 9), 0), ("--latent", 16, "--batch", 4, "--epochs", 1)
    out = tmp_path / "run"
    ran = microrun("train", "vae", scan, *settings, "--region", "1:7,2:9", "--folder", out)
    assert ran.code == 0, ran
    assert len(np.load(out / "prepared.npy")) == 42
    other: Sequence[object] = ("train", "vae", scan, "--resume", "--folder", out)
    check_refused(microrun(*other), out, "other data")
    assert microrun(*other, "--region", "1:7,2:9").code == 0
    check_refused(
        microrun("train", "vae", "--phase", "Ni", "--region", "1:3,2:8", "--folder", tmp_path / "none"),
        "--region takes a part of a scan: name one, or leave it out",
    )


def test_latents_of_a_region_are_those_of_the_file(latents: Path) -> None:
    with open_latents(latents) as opened:
        part = take_region(opened, ((1, None), (2, 5)))
        assert (part.shape, part.origin.scan.nav_shape) == ((2, 3, opened.shape[2]), (2, 3))
        for piece in (np.s_[:], np.s_[1], np.s_[0:1, 1:3], np.s_[1, 0:2], np.s_[..., 2]):
            assert_array_equal(part[piece], opened[1:, 2:5][piece])
        assert part.written.all() and not part.probes.any()
        assert_array_equal(part.background, opened.background)
