"""Features of latents, chosen and read piece by piece."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from convert_truth import SCANS, SIZE, Truth, convert, read_by, write_latents
from numpy.testing import assert_array_equal

from microrun.runtime.convert.chosen_features import ChosenFeatures
from microrun.runtime.errors import LatentsError
from microrun.runtime.latents.reader import open_latents


def test_what_arrives_while_rows_are_read_is_not_torn(tmp_path: Path) -> None:
    """The first array is read from an earlier state of the file than the others."""
    scan = SCANS["square"]
    before = write_latents(tmp_path / "before.h5", scan, count=8)
    write_latents(tmp_path / "after.h5", scan, count=15)
    with open_latents(tmp_path / "before.h5") as earlier, open_latents(tmp_path / "after.h5") as later:
        chosen = ChosenFeatures(later)
        states = itertools.chain([earlier], itertools.repeat(later))
        chosen.latents = read_by(later, lambda name, piece: next(states).read(name, piece))
        piece = chosen.read(slice(0, 6))
    assert_array_equal(piece.written, before.written)
    assert_array_equal(piece.values, before.values)
    assert_array_equal(piece.flags, before.flags)


@pytest.mark.parametrize("numbers", [[-1], [SIZE], [0, 99], []])
def test_features_that_do_not_exist(square: Truth, numbers: list[int]) -> None:
    with pytest.raises(LatentsError, match=r"scan\.latents\.h5: features are 0 to 4; got"):
        convert(square, "csv", numbers)
