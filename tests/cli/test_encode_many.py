"""Parts of scans, and several scans in one command."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from command_line import Microrun, check_refused
from encode_runs import assert_same
from numpy.testing import assert_array_equal

from microrun.runtime.latents.reader import open_latents


def test_a_region_and_every_so_many(
    encode: Microrun, microrun: Microrun, scan: Path, latents: Path, tmp_path: Path
) -> None:
    out = tmp_path / "part.h5"
    ran = encode(scan, "--region", "0:3,1:", "--every", "2", "--out", out)
    assert (ran.code, ran.err) == (0, "")
    assert (
        "2×2 square map, step 3 µm, 4 patterns of 60×60 uint16, rows 0:3 and columns 1:5 of 3×5, one of 2" in ran.said
    )
    with open_latents(latents) as whole, open_latents(out) as part:
        assert_array_equal(part.latents, whole.latents[::2, 1::2])
        assert_array_equal(part.positions_um[0], whole.positions_um[0][::2, 1::2])
    assert "region rows 0:3 and columns 1:5 of 3×5, one of 2 along each" in microrun("inspect", out).said
    check_refused(
        encode(scan, "--region", "0-3", "--out", out, "--overwrite"), "a region is written ROW0:ROW1,COL0:COL1"
    )
    check_refused(
        encode(scan, "--region", "0:9,:", "--out", out, "--overwrite"), "scan.up2: a region of a map with 3 rows"
    )
    check_refused(
        encode(scan, "--region", "0:2,:", "--out", out, "--resume"), "belongs to another region (--region, --every)"
    )


def test_several_scans_with_one_engine(encode: Microrun, scan: Path, latents: Path, tmp_path: Path) -> None:
    other = Path(shutil.copy(scan, tmp_path / "zweiter Scan.up2"))
    damaged = tmp_path / "damaged.up2"
    damaged.write_bytes(b"")
    folder = tmp_path / "deep" / "latents"
    ran = encode(scan, damaged, other, "--folder", folder)
    assert ran.code == 2
    assert ran.out.count("engine  ") == 1
    assert f"error: {damaged}: the file is empty" in ran.err
    assert ran.err.splitlines()[-1] == "error: 1 of 3 scans could not be encoded, as said above"
    assert sorted(path.name for path in folder.iterdir()) == ["scan.latents.h5", "zweiter Scan.latents.h5"]
    for name in ("scan", "zweiter Scan"):
        assert_same(folder / f"{name}.latents.h5", latents)
    ran = encode(scan, other, "--folder", folder, "--resume")
    assert (ran.code, ran.out.count("had all patterns")) == (0, 2)
    assert encode(scan, "--folder", tmp_path / "deep").code == 0
    assert_same(tmp_path / "deep" / "scan.latents.h5", latents)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--out", "all.h5"], "all.h5: --out names the latents of one scan; for several name a folder, --folder DIR"),
        (["--follow"], "one scan can be followed at a time"),
        ([], "scan.latents.h5: exists; go on with it by --resume"),
    ],
)
def test_several_scans_are_refused_before_the_first_begins(
    encode: Microrun, scan: Path, latents: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    other = Path(shutil.copy(scan, tmp_path / "other.up2"))
    check_refused(encode(other, scan, *options), said)
    check_refused(encode(other, tmp_path / "none.up2", "--folder", tmp_path / "new"), "none.up2: no such file")
    check_refused(encode(other, other), "other.latents.h5: would be written for two of the scans")
    assert sorted(path.name for path in tmp_path.glob("*")) == ["other.up2", latents.name, scan.name, "tiny.onnx"]
