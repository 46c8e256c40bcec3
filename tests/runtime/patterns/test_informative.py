"""Frames without information change nothing that is computed over a scan, and are counted."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import oracles
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from write_up2 import Header, make_patterns, write_up

from microrun.runtime.errors import ScanError
from microrun.runtime.patterns.background import load_background, mean_background
from microrun.runtime.patterns.informative import sample_informative
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.up2 import ScanWarning
from microrun.runtime.scans.up_source import FileSource
from microrun.runtime.spec import Preprocessing

SIG_SHAPE = (8, 8)
COUNT = 60
BLANK = {
    "black": lambda dtype: 0,
    "saturated": lambda dtype: int(np.iinfo(dtype).max),
    "saturated at 12 bits": lambda dtype: min(4095, int(np.iinfo(dtype).max)),
}


@pytest.fixture
def preprocessor() -> Preprocessor:
    return Preprocessor(Preprocessing((4, 4)), SIG_SHAPE)


def write(path: Path, patterns: NDArray[Any]) -> FileSource:
    return FileSource(write_up(path, patterns, Header(sig_shape=SIG_SHAPE, nav_shape=(1, len(patterns)))))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("blank", [[5], [0, 1, 2, 59], [*range(36, 60)], [*range(0, 60, 2)]], ids=len)
@pytest.mark.parametrize("value", BLANK.values(), ids=BLANK)
def test_blank_frames_stay_out_of_the_mean_background(
    tmp_path: Path, preprocessor: Preprocessor, value: Any, blank: list[int], dtype: str
) -> None:
    patterns = make_patterns(COUNT, SIG_SHAPE, dtype)
    expected = oracles.bin_whole(np.delete(patterns, blank, axis=0).mean(axis=0), 2)
    patterns[blank] = value(dtype)
    source = write(tmp_path / ("a.up1" if dtype == "uint8" else "a.up2"), patterns)
    carry = "carries" if len(blank) == 1 else "carry"
    with pytest.warns(ScanWarning, match=f"{len(blank)} of 60 patterns {carry} no information; left out of the mean"):
        mean = mean_background(source, preprocessor)
    assert_allclose(mean, expected, rtol=1e-6)


def test_a_frame_that_is_constant_inside_the_mask_is_blank(tmp_path: Path, preprocessor: Preprocessor) -> None:
    patterns = make_patterns(COUNT, SIG_SHAPE)
    outside = ~oracles.circular_keep((4, 4), 0).repeat(2, axis=0).repeat(2, axis=1)
    patterns[7] = np.where(outside, patterns[7], 500)
    with pytest.warns(ScanWarning, match="1 of 60"):
        mean_background(write(tmp_path / "a.up2", patterns), preprocessor)


def test_what_is_blank_is_what_is_flagged(preprocessor: Preprocessor) -> None:
    patterns = make_patterns(8, SIG_SHAPE)
    patterns[[1, 4]] = [[[0]], [[65535]]]
    patterns[6], patterns[6, 3, 3] = 900, 901  # a single count is contrast
    binned = np.empty((8, 4, 4), np.float32)
    preprocessor.bin(patterns, binned)
    kept = binned.copy()
    keep, nothing = oracles.circular_keep((4, 4), 0), np.zeros((4, 4))
    expected = [oracles.rescale_pattern(oracles.bin_whole(pattern, 2), nothing, keep).flagged for pattern in patterns]
    assert_array_equal(preprocessor.find_blank(binned), expected)
    assert_array_equal(binned, kept)


def test_of_a_scan_that_is_mostly_blank_more_is_looked_at(tmp_path: Path, preprocessor: Preprocessor) -> None:
    patterns = np.zeros((400, *SIG_SHAPE), np.uint16)
    patterns[:40] = make_patterns(40, SIG_SHAPE)
    batches = list(sample_informative(write(tmp_path / "a.up2", patterns), preprocessor, 50))
    binned = np.concatenate([batch.binned for batch in batches])
    looked_at = len(binned) + sum(batch.blank for batch in batches)
    assert 25 <= len(binned) <= 40 and looked_at <= 400
    known = [oracles.bin_whole(pattern, 2) for pattern in patterns[:40]]
    places = [np.flatnonzero([np.allclose(one, other) for other in known]) for one in binned]
    assert len({int(place[0]) for place in places}) == len(binned), "a pattern counts once"


def test_a_scan_without_blank_frames_says_nothing(tmp_path: Path, preprocessor: Preprocessor) -> None:
    source = write(tmp_path / "a.up2", make_patterns(COUNT, SIG_SHAPE))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batches = list(sample_informative(source, preprocessor, 20))
        mean_background(source, preprocessor)
    assert sum(len(batch.binned) for batch in batches) == 20


def test_nothing_but_blank_frames_make_no_background(tmp_path: Path, preprocessor: Preprocessor) -> None:
    source = write(tmp_path / "a.up2", np.full((9, *SIG_SHAPE), 65535, np.uint16))
    with pytest.warns(ScanWarning, match="9 of 9"):
        assert not mean_background(source, preprocessor).any()
    with pytest.raises(ScanError, match=r"a\.up2: none of its patterns carries information"):
        load_background(source.path, preprocessor)
