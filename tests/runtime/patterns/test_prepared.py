"""Prepared patterns of a finished scan, against the oracle's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles import bin_whole, circular_keep, rescale_pattern
from write_up2 import Header, make_patterns, write_up

from microrun.runtime.patterns.prepared import BATCH, prepare_patterns
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.up_source import FileSource
from microrun.runtime.spec import Preprocessing

COUNT = 150
KEEP = circular_keep((4, 4), 0)
BACKGROUND = np.random.default_rng(1).uniform(0, 30_000, (4, 4)).astype(np.float32)


@pytest.fixture
def patterns() -> np.ndarray:
    made = make_patterns(COUNT, (8, 8))
    made[70] = 1234
    return made


@pytest.fixture
def source(patterns: np.ndarray, tmp_path: Path) -> FileSource:
    return FileSource(write_up(tmp_path / "scan.up2", patterns, Header(sig_shape=(8, 8), nav_shape=(10, 15))))


@pytest.mark.parametrize("indices", [np.arange(COUNT), np.array([149, 70, 3]), np.arange(0, 128, 2), np.array([70])])
def test_patterns_are_prepared_as_by_the_oracle(patterns: np.ndarray, source: FileSource, indices: np.ndarray) -> None:
    batches = list(prepare_patterns(source, Preprocessor(Preprocessing((4, 4)), (8, 8)), BACKGROUND, indices))
    assert [len(batch.flags) for batch in batches] == [
        min(BATCH, len(indices) - n) for n in range(0, len(indices), BATCH)
    ]
    found = [np.concatenate(column) for column in zip(*batches, strict=True)]
    for index, prepared, value_range, flagged, mean in zip(indices, *found, strict=True):
        binned = bin_whole(patterns[index], 2)
        expected = rescale_pattern(binned, BACKGROUND, KEEP)
        assert flagged == expected.flagged == (index == 70)
        assert_allclose(prepared, expected.out, atol=1e-5)
        assert flagged or value_range == pytest.approx(expected.value_range, rel=1e-5)
        assert mean == pytest.approx(binned[KEEP].mean(), rel=1e-5)


def test_batches_keep_their_values_and_nothing_is_claimed(source: FileSource) -> None:
    preprocessor = Preprocessor(Preprocessing((4, 4)), (8, 8))
    batches = prepare_patterns(source, preprocessor, BACKGROUND, np.arange(COUNT))
    first = next(batches)
    before = first.patterns.copy()
    list(batches)
    assert_array_equal(first.patterns, before)
    claim = source.claim(COUNT)
    assert claim is not None
    assert len(claim) == COUNT
