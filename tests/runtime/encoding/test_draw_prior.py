"""Patterns from the prior: a function of seed and number, written and drawn as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from disk import full_disk
from fake_engine import FunctionEngine, decode_linearly, linear_decoder
from make_latents import DECODER_SPEC
from numpy.testing import assert_allclose, assert_array_equal
from oracles import circular_keep

from microrun.runtime.encoding.draw_prior import generate_patterns, write_patterns
from microrun.runtime.errors import OutputError
from microrun.runtime.pictures.pattern_grid import draw_patterns
from microrun.runtime.scans.source import Claim
from microrun.runtime.scans.up_source import FileSource

PATTERNS = np.random.default_rng(0).uniform(-1, 1, (5, 4, 6)).astype(np.float32)


def test_patterns_are_decoded_normal_numbers() -> None:
    seen: list[np.ndarray] = []

    def decode(latents: np.ndarray) -> np.ndarray:
        seen.append(latents.copy())
        return decode_linearly(latents, DECODER_SPEC).astype(np.float32)

    found = generate_patterns(FunctionEngine(DECODER_SPEC, decode, lanes=1), 400, seed=1)
    latents = np.concatenate(seen)
    assert latents.shape == (400, 5)
    assert np.abs(latents.mean(axis=0)).max() < 0.2
    assert np.abs(latents.std(axis=0) - 1).max() < 0.15
    assert np.abs(np.corrcoef(latents.T) - np.eye(5)).max() < 0.2
    assert_allclose(found, decode_linearly(latents, DECODER_SPEC)[:, 0], rtol=1e-6)


@pytest.mark.parametrize(("lanes", "batch", "count"), [(1, 1, 10), (3, 4, 10), (2, 64, 30)])
def test_a_pattern_is_a_function_of_seed_and_number(lanes: int, batch: int, count: int) -> None:
    expected = generate_patterns(linear_decoder(DECODER_SPEC), 10, seed=7)
    found = generate_patterns(linear_decoder(DECODER_SPEC, lanes=lanes, batch=batch), count, seed=7)
    assert_allclose(found[:10], expected, atol=1e-6)
    assert len(np.unique(expected, axis=0)) == 10


def test_another_seed_gives_other_patterns() -> None:
    one, other = (generate_patterns(linear_decoder(DECODER_SPEC), 10, seed) for seed in (0, 1))
    assert (one != other).all()


# --- files


def test_patterns_become_one_row_of_a_scan(tmp_path: Path) -> None:
    path = tmp_path / "generated.up2"
    patterns = PATTERNS.copy()
    patterns[0, 0, :4] = (-1, 1, -1.5, 1.5)
    write_patterns(patterns, path)
    source = FileSource(path)
    assert (source.scan.nav_shape, source.scan.sig_shape, source.scan.dtype) == ((1, 5), (4, 6), "uint16")
    stored = np.empty((5, 4, 6), np.uint16)
    source.read(Claim(np.arange(5)), 0, stored)
    assert stored[0, 0, :4].tolist() == [0, 65535, 0, 65535]
    assert_allclose(stored / 65535 * 2 - 1, np.clip(patterns, -1, 1), atol=1.01 / 65535)
    assert [file.name for file in tmp_path.iterdir()] == ["generated.up2"]


@pytest.mark.parametrize("place", ["missing/a.up2", "file/a.up2", "folder.up2"])
def test_a_place_where_nothing_can_be_written(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "folder.up2").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        write_patterns(PATTERNS, tmp_path / place)
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["file", "folder.up2"]


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    with full_disk(100), pytest.raises(OutputError, match="cannot be written"):
        write_patterns(PATTERNS, tmp_path / "generated.up2")
    assert list(tmp_path.iterdir()) == []


# --- pictures


@pytest.mark.parametrize(("count", "columns", "panels"), [(5, 3, 6), (1, 1, 1), (4, 4, 4)])
def test_patterns_are_drawn_in_rows(count: int, columns: int, panels: int) -> None:
    figure = draw_patterns(PATTERNS[:count], np.ones((4, 6), bool), columns)
    assert len(figure.axes) == panels
    images = [axis.images[0] for axis in figure.axes if axis.images]
    assert len(images) == count
    for image, pattern in zip(images, PATTERNS, strict=False):
        assert_array_equal(image.get_array(), pattern)
        assert_allclose(image.get_clim(), np.percentile(pattern, (1, 99)))


def test_outside_the_mask_nothing_is_drawn() -> None:
    keep = circular_keep((4, 6), 0)
    shown = draw_patterns(PATTERNS, keep, 3).axes[0].images[0].get_array()
    assert_array_equal(np.ma.getmaskarray(shown), ~keep)
