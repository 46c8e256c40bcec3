"""`microrun sections`, and sections in `convert` and `inspect`: what is said and written, every bad input in a line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from command_line import Microrun, check_refused, hide_library
from feature_networks import write_feature_network
from map_files import blocks, write_ang_map
from section_sets import draw_cells, make_set

from microrun.runtime.files.extras import install_command
from microrun.runtime.sections.measures import MEASURES
from microrun.runtime.sections.section_set import read_sections, write_sections


def write(path: Path, seed: int, **changes: object) -> Path:
    cells = draw_cells((12, 40, 40), 30, seed)
    power = np.repeat([100.0, 150.0], 6)
    write_sections(path, [make_set(cells, **({"power_w": power} | changes))])
    return path


@pytest.fixture
def sections(tmp_path: Path) -> Path:
    return write(tmp_path / "drawn.h5", 0, origin="sample", details={"hatch_um": "40"})


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    return write(tmp_path / "real.h5", 1, origin="measured")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the pictures out, which take longest."""
    monkeypatch.setattr("microrun.cli.sections._draw", lambda *_: [])


def test_sections_are_measured(microrun: Microrun, sections: Path, tmp_path: Path) -> None:
    ran = microrun("sections", sections)
    assert (ran.code, ran.err) == (0, "")
    for part in ("12 across the tracks, sample, 12 cases", "smaller than 4 µm joined neighbours", "100 W, 0.9 m/s"):
        assert part in ran.said
    assert "MAPE" not in ran.said
    made = {path.name for path in tmp_path.iterdir()} - {"drawn.h5"}
    pictures = {f"drawn.across.{kind}.png" for kind in ("representative", "histograms", "map", "trends")}
    assert made == {"drawn.across.csv", "drawn.across.json"} | pictures
    whole = json.loads((tmp_path / "drawn.across.json").read_text())
    assert (whole["plane"], whole["hatch_um"], whole["grains_by"]) == ("across", 40.0, "orientation")
    assert whole["sections"]["count"] == 12


@pytest.mark.usefixtures("undrawn")
def test_sections_are_compared(microrun: Microrun, sections: Path, reference: Path, tmp_path: Path) -> None:
    ran = microrun("sections", sections, "--reference", reference, "--folder", tmp_path / "made" / "here")
    assert (ran.code, ran.err) == (0, "")
    for part in ("reference 12 across the tracks, measured", "MAPE, %", "KID on physics descriptors", "95 % of halves"):
        assert part in ran.said
    assert "FID" not in ran.said
    rows = list(csv.DictReader((tmp_path / "made" / "here" / "drawn.across.csv").open()))
    together = {row["measure"] for row in rows if row["condition"] == "all conditions in common"}
    assert together == {*MEASURES, "descriptors"}


@pytest.mark.usefixtures("undrawn")
def test_what_is_of_one_case_is_said_of_its_side(microrun: Microrun, sections: Path, tmp_path: Path) -> None:
    one_each = write(tmp_path / "one.h5", 1, origin="measured", case=np.repeat([0, 1], 6).astype(np.int32))
    said = microrun("sections", sections, "--reference", one_each).said
    assert "reference of one case in 2 of 2 conditions: their intervals are too narrow, and what chance" in said
    assert "sections of one case" not in said
    said = microrun("sections", one_each, "--reference", sections).said
    assert "sections of one case in 2 of 2 conditions: their intervals are too narrow" in said
    assert "reference of one case" not in said
    drawn = write(tmp_path / "drawn_once.h5", 1, origin="sample", case=np.repeat([0, 1], 6).astype(np.int32))
    assert "of one case" not in microrun("sections", drawn).said  # each is drawn for itself


@pytest.mark.usefixtures("undrawn")
def test_conditions_of_one_side_are_named(microrun: Microrun, sections: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other.h5", 2, power_w=np.repeat([150.0, 180.0], 6))
    ran = microrun("sections", sections, "--reference", other)
    assert ran.code == 0
    assert "left out of the comparison: 100 W, 0.9 m/s; 180 W, 0.9 m/s" in ran.err


@pytest.mark.usefixtures("undrawn")
def test_fid_comes_from_the_users_network_alone(
    microrun: Microrun, sections: Path, reference: Path, tmp_path: Path
) -> None:
    network = write_feature_network(tmp_path / "mean.onnx")
    ran = microrun("sections", sections, "--reference", reference, "--inception", network)
    assert ran.code == 0
    assert f"by {network} (SHA-256 " in ran.said
    whole = json.loads((tmp_path / "drawn.across.json").read_text())
    assert whole["network"]["fid"] > 0
    check_refused(microrun("sections", sections, "--inception", network), "--reference")
    none = tmp_path / "none.onnx"
    wrong = microrun("sections", sections, "--reference", reference, "--inception", none, "--overwrite")
    check_refused(wrong, "none is downloaded")


@pytest.mark.usefixtures("undrawn")
def test_the_lean_asks_for_the_hatch(microrun: Microrun, reference: Path) -> None:
    assert "give --hatch-um" in microrun("sections", reference).err
    assert microrun("sections", reference, "--hatch-um", 50, "--overwrite").err == ""


def test_what_cannot_be_measured(microrun: Microrun, sections: Path, tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("no sections")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs["format"] = "microrun volumes 1"
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file.attrs["format"] = "microrun sections 1"
    write(tmp_path / "far.h5", 0, power_w=np.full(12, 400.0))
    write(tmp_path / "fine.h5", 0, step_um=1.0)
    for arguments, words in (
        (["none.h5"], "no such file"),
        (["text.h5"], "is a text file, not a file of sections"),
        (["other.h5"], "is a file of simulated volumes, not a file of sections"),
        (["empty.h5"], "contains no sections"),
        (["drawn.h5", "--plane", "along"], "contains no sections along the tracks"),
        (["drawn.h5", "--hatch-um", "0"], "more than 0"),
        (["drawn.h5", "--reference", tmp_path / "far.h5"], "no sections of the same power and speed"),
        (["drawn.h5", "--reference", tmp_path / "fine.h5"], "cells of 1 µm"),
    ):
        check_refused(microrun("sections", tmp_path / arguments[0], *arguments[1:]), words)


def test_sections_are_inspected(microrun: Microrun, sections: Path, tmp_path: Path) -> None:
    said = microrun("inspect", sections).said
    for part in ("sections of printed metal, sample", "12 of 40×40 cells of 2 µm, 20 orientations, without grain ids",
                 "100 to 150 W, 0.9 m/s: 2 conditions, 12 cases", "hatch_um 40"):  # fmt: skip
        assert part in said
    with h5py.File(sections, "r+") as file:
        del file["across/case"]
    check_refused(microrun("inspect", sections), "across/case is missing")


def test_maps_are_converted(microrun: Microrun, tmp_path: Path) -> None:
    grain = blocks(110, 210, 6)
    grain[30, 20:60] = -1
    write_ang_map(tmp_path / "a.ang", grain, 2.0)
    table = tmp_path / "labels.csv"
    table.write_text("file,power_w,speed_m_s\na.ang,150,0.9\n")
    ran = microrun("convert", table, "--to", "sections", "--out", tmp_path / "real.h5")
    assert (ran.code, ran.err) == (0, "")
    assert "a.ang: 420×220 µm in steps of 2 µm" in ran.said
    assert "2 across the tracks, measured" in ran.said
    assert len(read_sections(tmp_path / "real.h5")) == 2
    check_refused(microrun("convert", table, "--to", "sections", "--out", tmp_path / "real.h5"), "--overwrite")
    assert microrun("convert", table, "--to", "sections").code == 0
    assert (tmp_path / "labels.h5").exists()
    check_refused(microrun("convert", table, "--to", "sections", "--features", "1"), "no meaning for --to sections")
    table.write_text("file,power_w,speed_m_s\na.ang,0,0.9\n")
    check_refused(microrun("convert", table, "--to", "sections", "--overwrite"), "more than 0")


def test_pillow_is_asked_for(microrun: Microrun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "labels.csv").write_text("file,power_w,speed_m_s,step_um\na.png,150,0.9,2\n")
    hide_library(monkeypatch, "PIL")
    ran = microrun("convert", tmp_path / "labels.csv", "--to", "sections")
    check_refused(ran, f"error: pillow is not installed; {install_command('pictures')}")
