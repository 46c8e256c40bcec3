"""Latents in CSV, of any scan in any pieces."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from convert_truth import SCANS, SIZE, Truth, convert, write_latents
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from microrun.runtime.convert import chosen_features
from microrun.runtime.convert.chosen_features import ChosenFeatures
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.scans.scan import Scan


def read_csv(path: Path) -> tuple[list[str], NDArray[np.float64]]:
    with path.open(encoding="ascii") as file:
        names = file.readline().rstrip("\n").split(",")
    return names, np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)


def check_csv(path: Path, truth: Truth, numbers: list[int]) -> None:
    names, table = read_csv(path)
    units = ["um" if step else "steps" for step in truth.scan.step_um]
    assert names == ["row", "col", f"x_{units[0]}", f"y_{units[1]}", "flag", *(f"latent_{n}" for n in numbers)]
    rows, cols = np.nonzero(truth.written)
    assert_array_equal(table[:, 0], rows)
    assert_array_equal(table[:, 1], cols)
    assert_allclose(table[:, 2], truth.x[rows, cols], rtol=1e-11)
    assert_allclose(table[:, 3], truth.y[rows, cols], rtol=1e-11)
    assert_array_equal(table[:, 4], truth.flags[rows, cols])
    assert_array_equal(table[:, 5:].astype(np.float32), truth.values[rows, cols][:, numbers])


def test_csv_has_a_line_for_each_written_pattern(truth: Truth) -> None:
    check_csv(convert(truth, "csv", [4, 0]), truth, [0, 4])


@st.composite
def scans(draw: st.DrawFn) -> Scan:
    shape = draw(st.tuples(st.integers(1, 9), st.integers(2, 9)))
    hexagonal = draw(st.booleans())
    step = draw(st.sampled_from([0.0, 0.1, 1 / 3, 12345.678]))
    alternating = hexagonal and draw(st.booleans())
    return Scan(
        shape, (8, 8), grid="hexagonal" if hexagonal else "square", step_um=(step, 2 * step), alternating=alternating
    )


@settings(max_examples=40)
@given(scans(), st.data())
def test_any_scan_is_read_whole_in_any_pieces(
    tmp_path_factory: pytest.TempPathFactory, scan: Scan, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, scan.total))
    numbers = data.draw(st.lists(st.integers(0, SIZE - 1), min_size=1))
    path = tmp_path_factory.mktemp("any") / "scan.latents.h5"
    truth = write_latents(path, scan, data.draw(st.sampled_from(["float32", "float16"])), count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chosen_features, "PIECE_BYTES", data.draw(st.integers(1, 2000)))
        check_csv(convert(truth, "csv", numbers), truth, sorted(set(numbers)))
        with open_latents(path) as latents:
            pieces = list(ChosenFeatures(latents).pieces())
    for name in ("values", "written", "flags", "exists"):
        assert_array_equal(np.concatenate([getattr(piece, name) for piece in pieces]), getattr(truth, name))


def test_the_step_of_one_axis_alone_may_be_known(tmp_path: Path) -> None:
    truth = write_latents(tmp_path / "line.h5", dataclasses.replace(SCANS["one row"], step_um=(0.5, 0.0)))
    check_csv(convert(truth, "csv"), truth, list(range(SIZE)))
