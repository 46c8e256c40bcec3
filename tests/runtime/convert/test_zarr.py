"""Latents in zarr, as its own library reads it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import zarr
from convert_truth import BACKGROUND, SCANS, SIZE, SPEC, convert, origin_of, write_latents
from numpy.testing import assert_allclose

from microrun.runtime.latents.origin import LatentType
from microrun.runtime.scans.scan import Scan


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("name", SCANS)
def test_zarr_reads_all_that_there_is(tmp_path: Path, name: str, dtype: LatentType) -> None:
    scan = SCANS[name]
    truth = write_latents(tmp_path / "scan.latents.h5", scan, dtype, max(1, scan.total - 4))
    group = zarr.open_group(convert(truth, "zarr", [3, 1]), mode="r")
    assert group.metadata.zarr_format == 3
    expected = {
        "latents": truth.values[..., [1, 3]].astype(dtype), "ranges": truth.ranges, "flags": truth.flags,
        "written": truth.written, "x_um": truth.x, "y_um": truth.y, "background": BACKGROUND, "feature": [1, 3],
    }  # fmt: skip
    assert set(group.array_keys()) == set(expected)
    for key, values in expected.items():
        assert_allclose(group[key][...], values, rtol=1e-12, err_msg=key)
    assert group["latents"].dtype == dtype
    assert group["flags"].dtype == group["written"].dtype == bool
    last = {"latents": ("feature",), "ranges": ("bound",)}
    for key in ("latents", "ranges", "flags", "written", "x_um", "y_um"):
        assert group[key].metadata.dimension_names == ("row", "col", *last.get(key, ()))
    assert group["feature"].metadata.dimension_names == ("feature",)
    unit = "µm" if scan.step_um[0] else "steps"
    assert group["x_um"].attrs["units"] == group["y_um"].attrs["units"] == unit
    assert group.attrs["features"] == [1, 3]
    assert group.attrs["origin"] == json.loads(origin_of(scan, dtype).to_json())
    assert group.attrs["spec"] == json.loads(SPEC.to_json())


def test_zarr_has_chunks_of_a_sensible_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # blocks as they are
    truth = write_latents(tmp_path / "wide.h5", Scan((1, 9000), (8, 8)), count=900)
    assert zarr.open_group(convert(truth, "zarr"))["latents"].chunks == (1, 4096, SIZE)
    truth = write_latents(tmp_path / "square.h5", Scan((100, 100), (8, 8)), count=900)
    assert zarr.open_group(convert(truth, "zarr"))["latents"].chunks == (64, 64, SIZE)
