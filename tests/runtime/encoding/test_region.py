"""Encoding a part of a scan: the latents are those of the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from encode_runs import COUNT, HEADER, SIG_SHAPE, EndedError, assert_same, contents, engine, run, stopping
from numpy.testing import assert_allclose, assert_array_equal
from picture_folders import write_pictures
from write_up2 import make_patterns, write_up

from microrun.runtime.encoding.encode_scan import EncodeRequest
from microrun.runtime.errors import LatentsError, ScanError
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.view.looking import open_scan_of

REGION = ((1, 9), (2, 15))
PATTERNS = make_patterns(COUNT, SIG_SHAPE)


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_up(tmp_path / "scan.up2", PATTERNS, HEADER)


@pytest.mark.parametrize("every", [None, 3])
def test_the_latents_of_a_part_are_those_of_the_whole(tmp_path: Path, scan: Path, every: int | None) -> None:
    run(EncodeRequest(scan, tmp_path / "whole.h5"), engine())
    run(EncodeRequest(scan, tmp_path / "part.h5", region=REGION, every=every), engine())
    whole, part = contents(tmp_path / "whole.h5"), contents(tmp_path / "part.h5")
    chosen = (slice(1, 9, every), slice(2, 15, every))
    for name in ("latents", "written", "ranges", "flags"):
        assert_array_equal(part[name], whole[name][chosen], name)
    assert_array_equal(part["background"], whole["background"])
    with open_latents(tmp_path / "whole.h5") as all_of_it, open_latents(tmp_path / "part.h5") as opened:
        for own, other in zip(opened.positions_um, all_of_it.positions_um, strict=True):
            assert_allclose(own, other[chosen])
        assert opened.origin.part is not None
        assert opened.origin.part.rows == (1, 9)
        assert_allclose(opened.origin.scan.step_um, np.array(all_of_it.origin.scan.step_um) * (every or 1))
        assert all_of_it.origin.part is None


def test_an_interrupted_part_is_gone_on_with(tmp_path: Path, scan: Path) -> None:
    asked = {"region": REGION, "every": 2, "background": "running"}
    run(EncodeRequest(scan, tmp_path / "whole.h5", **asked), engine())
    out = tmp_path / "cut.h5"
    with pytest.raises(EndedError):
        run(EncodeRequest(scan, out, **asked), engine(1, 3), stopping(7))
    run(EncodeRequest(scan, out, resume=True), engine())  # unasked, as it began
    assert_same(out, tmp_path / "whole.h5")
    for region in (None, ((0, 9), (2, 15))):
        with pytest.raises(LatentsError, match=r"it belongs to another region \(--region, --every\): rows 1:9 and"):
            run(EncodeRequest(scan, out, resume=True, region=region, every=1), engine())
    other = write_up(tmp_path / "other.up2", PATTERNS[::-1], HEADER)
    with pytest.raises(LatentsError, match="is of another scan than"):
        run(EncodeRequest(other, out, resume=True), engine())


def test_a_page_finds_the_patterns_of_a_part(tmp_path: Path, scan: Path) -> None:
    run(EncodeRequest(scan, tmp_path / "part.h5", region=REGION, every=2), engine())
    out = np.empty((1, *SIG_SHAPE), np.uint16)
    with open_latents(tmp_path / "part.h5") as latents:
        source, _ = open_scan_of(latents, scan)
        source.read_patterns(np.array([1]), out)
    assert_array_equal(out[0], PATTERNS[1 * 16 + 2 + 2])


def test_a_part_beside_the_map_is_refused(tmp_path: Path, scan: Path) -> None:
    out = tmp_path / "part.h5"
    with pytest.raises(ScanError, match=r"scan\.up2: a region of a map with 10 rows lies within 0:10; got 3:20"):
        run(EncodeRequest(scan, out, region=((3, 20), (0, 2))), engine())
    with pytest.raises(ScanError, match="take a part of a finished scan: leave out --follow"):
        run(EncodeRequest(scan, out, region=REGION, follow=True), engine())
    assert not out.exists()


def test_a_part_of_a_folder_of_pictures(tmp_path: Path, scan: Path) -> None:
    folder = write_pictures(tmp_path / "folder", PATTERNS)
    run(EncodeRequest(scan, tmp_path / "file.h5", region=REGION, every=2), engine())
    run(EncodeRequest(folder, tmp_path / "pictures.h5", grid=(10, 16), region=REGION, every=2), engine())
    assert_same(tmp_path / "pictures.h5", tmp_path / "file.h5")
