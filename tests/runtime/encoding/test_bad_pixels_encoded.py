"""A camera's bad pixels in a run from a scan file to a latents file: filled, recorded, or kept as in the paper."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encode_runs import COUNT, HEADER, LONG_S, SIG_SHAPE, EndedError, assert_same, contents, engine, run, stopping
from numpy.typing import NDArray
from write_up2 import write_up

from microrun.runtime.encoding.encode_scan import EncodeRequest
from microrun.runtime.errors import LatentsError
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.scans.up2 import ScanWarning

PLACE = (11, 13)
FILLED = "1 of 576 pixels is dead, hot or stuck: filled from those around"


@pytest.fixture
def good() -> NDArray[Any]:
    rng = np.random.default_rng(0)
    return rng.normal(15_000, 600, (COUNT, *SIG_SHAPE)).astype(np.uint16)


@pytest.fixture
def hot(good: NDArray[Any], tmp_path: Path) -> Path:
    """A pixel flickers to white in half of the patterns."""
    spoiled = good.copy()
    spoiled[np.random.default_rng(1).random(COUNT) < 0.5, PLACE[0], PLACE[1]] = 65535
    return write_up(tmp_path / "hot.up2", spoiled, HEADER)


@pytest.mark.parametrize("background", ["auto", "running", "none"])
def test_a_hot_pixel_hardly_changes_the_latents(good: NDArray[Any], hot: Path, tmp_path: Path, background: str) -> None:
    request = EncodeRequest(write_up(tmp_path / "good.up2", good, HEADER), tmp_path / "good.h5", background=background)
    run(request, engine())
    spoiled = replace(request, scan=hot, out=tmp_path / "hot.h5")
    with pytest.warns(ScanWarning, match=FILLED):
        run(spoiled, engine())
    run(replace(spoiled, out=tmp_path / "kept.h5", bad_pixels="keep"), engine())
    one, other, kept = (contents(tmp_path / name)["latents"].ravel() for name in ("good.h5", "hot.h5", "kept.h5"))
    assert np.corrcoef(one, other)[0, 1] > 0.99 > 0.9 > np.corrcoef(one, kept)[0, 1]
    with open_latents(tmp_path / "hot.h5") as latents:
        assert np.argwhere(latents.bad_pixels).tolist() == [list(PLACE)]
    with open_latents(tmp_path / "kept.h5") as latents:
        assert not latents.bad_pixels.any() and latents.bad_pixels.shape == SIG_SHAPE


def test_a_good_camera_gives_the_same_bits_either_way(good: NDArray[Any], tmp_path: Path) -> None:
    scan = write_up(tmp_path / "good.up2", good, HEADER)
    run(EncodeRequest(scan, tmp_path / "fill.h5"), engine())
    run(EncodeRequest(scan, tmp_path / "keep.h5", bad_pixels="keep"), engine())
    assert_same(tmp_path / "fill.h5", tmp_path / "keep.h5")


@pytest.mark.filterwarnings("ignore::microrun.runtime.scans.up2.ScanWarning")
def test_a_resumed_run_goes_on_with_the_same_pixels(hot: Path, tmp_path: Path) -> None:
    whole, part = EncodeRequest(hot, tmp_path / "whole.h5"), EncodeRequest(hot, tmp_path / "part.h5")
    run(whole, engine())
    with pytest.raises(EndedError):
        run(part, engine(), stopping(40))
    with pytest.raises(LatentsError, match=r"another choice of bad pixels"):
        run(replace(part, resume=True, bad_pixels="keep"), engine())
    run(replace(part, resume=True), engine())
    assert_same(part.out, whole.out)


def test_a_run_that_kept_them_is_resumed_so(hot: Path, tmp_path: Path) -> None:
    kept = EncodeRequest(hot, tmp_path / "kept.h5", bad_pixels="keep")
    run(kept, engine())
    before = contents(kept.out)["latents"]
    run(replace(kept, resume=True, bad_pixels="fill"), engine())
    np.testing.assert_array_equal(contents(kept.out)["latents"], before)


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_a_hot_pixel_is_found_while_the_scan_grows(good: NDArray[Any], hot: Path, tmp_path: Path) -> None:
    live, out = tmp_path / "live.up2", tmp_path / "live.h5"
    whole = hot.read_bytes()
    live.write_bytes(whole[: len(whole) // 4])  # 40 of 160 patterns
    adding = threading.Timer(0.3, append, [live, whole[len(whole) // 4 :]])
    adding.start()
    with pytest.warns(ScanWarning, match=FILLED):
        run(EncodeRequest(live, out, follow=True, idle_timeout_s=LONG_S), engine())
    adding.join()
    clean = EncodeRequest(write_up(tmp_path / "good.up2", good, HEADER), tmp_path / "good.h5", background="running")
    run(clean, engine())
    found, wanted = contents(out), contents(clean.out)
    assert found["written"].all()
    assert np.corrcoef(found["latents"].ravel(), wanted["latents"].ravel())[0, 1] > 0.99
    with open_latents(out) as latents:
        assert np.argwhere(latents.bad_pixels).tolist() == [list(PLACE)]


def test_with_a_background_of_its_own_a_growing_scan_is_encoded_at_once(hot: Path, tmp_path: Path) -> None:
    out = tmp_path / "live.h5"
    run(EncodeRequest(hot, out, follow=True, background="none", idle_timeout_s=0), engine())
    with open_latents(out) as latents:
        assert not latents.bad_pixels.any()
