"""Tables of grain measures, read back."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import voxel_oracles as oracles
from numpy.testing import assert_allclose

from microrun.runtime.volumes.compare import HEADLINE
from microrun.runtime.volumes.judge import Judgement, Side, judge, warn_of
from microrun.runtime.volumes.measure import MEASURES, measure_grains
from microrun.runtime.volumes.measured import MeasuredFile, measure_file
from microrun.runtime.volumes.tables import TITLES, to_csv, to_json, to_markdown, to_voxel_rows

VORONOI = oracles.voronoi((20, 22, 24), 40, 2)
STAGES = np.zeros(VORONOI.shape, np.uint8)
STAGES[:, :, 9:] = 1


@pytest.fixture
def file(tmp_path: Path) -> MeasuredFile:
    np.save(tmp_path / "a.npy", VORONOI)
    return measure_file(tmp_path / "a.npy", paint_stages=lambda shape, periodic: STAGES, by_stage=True)


@pytest.fixture
def beside(file: MeasuredFile, tmp_path: Path) -> Judgement:
    np.save(tmp_path / "b.npy", np.pad(VORONOI, 1, mode="edge"))
    return judge(Side([file]), Side([measure_file(tmp_path / "b.npy"), file]))


def test_every_grain_has_a_line_with_every_number() -> None:
    grains = measure_grains(VORONOI, 2.0)
    lines = list(csv.DictReader(to_csv({"one": grains, "two": grains}).splitlines()))
    assert len(lines) == 2 * len(grains.grain_id)
    line = lines[3]
    touching = str(int(grains.touches_boundary[3]))
    assert (line["volume"], line["grain_id"], line["touches_boundary"]) == ("one", "3", touching)
    for name in (*MEASURES, "surface_um2"):
        assert_allclose(float(line[name]), getattr(grains, name)[3])
    assert_allclose([float(line[f"{axis}_um"]) for axis in "zyxabc"], [*grains.centroid_um[3], *grains.semi_axes_um[3]])


def test_tables_hold_what_was_compared(beside: Judgement) -> None:
    assert beside.reference is not None
    text = to_markdown(beside, in_um=True)
    assert "# Grains of " in text and "a.npy beside " in text
    assert f"## Interior grains, {beside.own.n_interior} beside {beside.reference.n_interior}" in text
    tables = [part.splitlines() for part in text.split("\n\n") if part.startswith("|")]
    inside, voxels, every = ([line.split("|")[1].strip() for line in table[2:]] for table in tables)
    assert inside == [TITLES[name] for name in HEADLINE]
    assert every == list(TITLES.values())
    assert voxels[:3] == ["voxels in specks", "specks", "unstable voxels"]
    assert voxels[-1] == "grain size, all later stages"
    assert all(len({line.count("|") for line in table}) == 1 for table in tables)
    for name in HEADLINE:
        assert f"- {TITLES[name].partition(',')[0]}: " in text
    counted = to_markdown(beside, in_um=False)
    assert "grain volume, voxels |" in counted and "nearest centroid, voxels |" in counted and "µ" not in counted


def test_numbers_and_verdicts_are_kept_as_json(beside: Judgement) -> None:
    kept = json.loads(to_json(beside, True))
    assert kept["measures"][0]["wasserstein"] == beside.every[0].wasserstein
    assert kept["interior"][4]["ks_by_chance"] == beside.interior[4].ks_by_chance
    assert list(kept["verdicts"]) == list(HEADLINE)
    assert kept["verdicts"]["sphericity"] == kept["interior"][4]["verdict"]
    assert kept["speck_share"] == beside.own.tally.speck_share
    assert kept["unstable_share"] == beside.own.tally.unstable_share
    assert len(kept["size_by_stage"]) == 2
    assert [one["grains"] for one in kept["reference"]] == [40, 40]


def test_stages_are_shown_where_there_are_any(file: MeasuredFile, beside: Judgement) -> None:
    headings, cells = to_voxel_rows(beside)
    assert headings == ["", "volume", "reference"]
    assert cells[3][0] == "grain size, stage 0" and cells[3][2] == "–"
    alone = judge(Side([replace(file, stages=None)]), None)
    headings, cells = to_voxel_rows(alone)
    assert headings == ["", "volume"] and len(cells) == 3


def test_what_makes_a_comparison_doubtful_is_said(file: MeasuredFile, tmp_path: Path) -> None:
    assert warn_of(judge(Side([file]), Side([file]))) == []
    (said,) = warn_of(judge(Side([file]), Side([replace(file, absorbed_voxels=27)])))
    assert "below 0 or 27 voxels" in said and "--min-voxels 27" in said
    speckled = replace(file, tally=replace(file.tally, specks=7))
    (said,) = warn_of(judge(Side([file]), Side([speckled])))
    assert "7 specks are compared among 80 grains" in said and "--min-voxels 27" in said
    assert warn_of(judge(Side([speckled]), None)) == []
    np.save(tmp_path / "cut.npy", VORONOI[:3])
    thin = measure_file(tmp_path / "cut.npy")
    assert any("none is known to be whole" in said for said in warn_of(judge(Side([thin]), Side([file]))))
    assert any("no verdict" in said for said in warn_of(judge(Side([file]), Side([thin]))))
