"""Indices of latents: the same elements as NumPy's, and no more rows from disk than needed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, basic_indices, integer_array_indices
from latents_runs import ORIGIN, SIZE, write_file
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from microrun.runtime.latents.reader import Latents, open_latents
from microrun.runtime.latents.selection import select

SHAPE = (6, 7, SIZE)


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Latents]:
    """A file of 20 patterns out of 42."""
    with open_latents(write_file(tmp_path_factory.mktemp("selection") / "scan.h5", ORIGIN, 20)) as opened:
        yield opened


def masks() -> st.SearchStrategy[Any]:
    """Masks of the first axes: of rows, of the map, of all."""
    return st.sampled_from([SHAPE[:1], SHAPE[:2], SHAPE]).flatmap(lambda shape: arrays(bool, shape))


def mixed() -> st.SearchStrategy[Any]:
    """Integers, slices, arrays that broadcast, and a mask of one axis, side by side."""

    def of_axis(size: int, shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
        numbers = st.integers(-size, size - 1)
        one_by_one = arrays(np.int64, shape, elements=numbers)
        return st.one_of(numbers, st.slices(size), one_by_one, one_by_one.map(np.ndarray.tolist))

    shapes = array_shapes(min_dims=0, max_dims=2, max_side=3)
    plain = shapes.flatmap(lambda shape: st.tuples(*(of_axis(size, shape) for size in SHAPE)))
    cut = st.tuples(plain, st.integers(1, 3)).map(lambda drawn: drawn[0][: drawn[1]])
    spaced = st.tuples(cut, st.sampled_from([None, ...]), st.integers(0, 3)).map(
        lambda drawn: (*drawn[0][: drawn[2]], drawn[1], *drawn[0][drawn[2] :])
    )
    after_mask = st.tuples(arrays(bool, SHAPE[:2]), of_axis(SIZE, ()))
    before_mask = st.tuples(st.slices(SHAPE[0]), arrays(bool, SHAPE[1:]))
    return st.one_of(cut, spaced, after_mask, before_mask)


INDICES = st.one_of(
    basic_indices(SHAPE, allow_newaxis=True), integer_array_indices(SHAPE), masks(), mixed(), st.just(())
)


@given(index=INDICES)
def test_elements_are_those_of_numpy(latents: Latents, index: Any) -> None:
    expected, found = np.asarray(latents)[index], latents[index]
    assert (found.shape, found.dtype, type(found)) == (expected.shape, expected.dtype, type(expected))
    assert_array_equal(found, expected)


@given(index=INDICES)
def test_no_row_is_read_in_vain(index: Any) -> None:
    numbers = np.arange(math.prod(SHAPE)).reshape(SHAPE)
    read: list[NDArray[Any]] = []

    def piece(at: tuple[slice, ...]) -> NDArray[Any]:
        read.append(numbers[at])
        return read[-1]

    needed = np.unique(select(index, SHAPE).take(piece))
    rows = np.unique(needed // math.prod(SHAPE[1:]))
    assert sum(len(array) for array in read if array.size) == len(rows)
    for array in read:
        assert not array.size or set(array[:, 0, 0] // math.prod(SHAPE[1:])) <= set(rows)


@pytest.mark.parametrize(
    ("index", "text"),
    [
        (6, "rows are 0 to 5, or from the end -1 to -6: index 6 is out of bounds"),
        ((-7, 0), "rows are 0 to 5, or from the end -1 to -6: index -7 is out of bounds"),
        ((0, 7), "cols are 0 to 6, or from the end -1 to -7: index 7 is out of bounds"),
        ((..., [4, 5]), "features are 0 to 4, or from the end -1 to -5: index 5 is out of bounds"),
        ((0, 0, 0, 0), "at most 3 parts, rows, cols, features; got 4"),
        ((np.ones((6, 7), bool), 0, 0), "at most 3 parts, rows, cols, features; got 4"),
        ((..., 0, ...), "one ... at most"),
        (np.ones((7, 6), bool), r"a mask has the shape of what it chooses from, \(6, 7\); got \(7, 6\)"),
        ((0, [True, False]), r"a mask has the shape of what it chooses from, \(7,\); got \(2,\)"),
        (True, r"a mask has the shape of what it chooses from, \(6, 7\); got \(\)"),
        (1.5, "rows are 0 to 5, .* only integers"),
        ("latents", "rows are 0 to 5, .* only integers"),
    ],
)
def test_what_is_not_there_is_refused(latents: Latents, index: Any, text: str) -> None:
    with pytest.raises(IndexError, match=text) as error:
        latents[index]
    assert str(error.value).startswith(f"{latents.path}: ")
    assert "\n" not in str(error.value)


def test_masks_of_the_map_choose_points(tmp_path: Path) -> None:
    with open_latents(write_file(tmp_path / "scan.h5", ORIGIN, 20)) as latents:
        assert latents[latents.written].shape == (20, SIZE)
        assert np.isfinite(latents[latents.written]).all()
        assert np.isnan(latents[~latents.written]).all()
