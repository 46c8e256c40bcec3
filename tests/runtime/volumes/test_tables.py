"""Tables of grain measures, read back."""

from __future__ import annotations

import csv
import json

import voxel_oracles as oracles
from numpy.testing import assert_allclose

from microrun.runtime.volumes.compare import collect_measures, compare_measures
from microrun.runtime.volumes.measure import MEASURES, measure_grains
from microrun.runtime.volumes.tables import TITLES, to_csv, to_json, to_markdown

VORONOI = oracles.voronoi((14, 16, 18), 40, 0)


def test_tables_hold_every_number() -> None:
    grains = measure_grains(VORONOI, 2.0)
    lines = list(csv.DictReader(to_csv({"one": grains, "two": grains}).splitlines()))
    assert len(lines) == 2 * len(grains.grain_id)
    line = lines[3]
    assert (line["volume"], line["grain_id"], line["touches_boundary"]) == (
        "one",
        "3",
        str(int(grains.touches_boundary[3])),
    )
    for name in (*MEASURES, "surface_um2"):
        assert_allclose(float(line[name]), getattr(grains, name)[3])
    assert_allclose([float(line[f"{axis}_um"]) for axis in "zyxabc"], [*grains.centroid_um[3], *grains.semi_axes_um[3]])
    values = collect_measures([grains])
    rows = compare_measures(values, {name: value + 1 for name, value in values.items()})
    table = to_markdown(rows, in_um=True).splitlines()
    assert [line.split("|")[1].strip() for line in table[2:]] == list(TITLES.values())
    assert len({line.count("|") for line in table}) == 1
    assert json.loads(to_json(rows, {"file": "a.npy"}))["measures"][0]["wasserstein"] == rows[0].wasserstein
    of_voxels = to_markdown(compare_measures(values, None), in_um=False)
    assert of_voxels.splitlines()[0] == "|  | median | mean |"
    assert "grain volume, voxels |" in of_voxels and "nearest centroid, voxels |" in of_voxels and "µ" not in of_voxels
