"""Latents as a signal of HyperSpy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hyperspy.api as hs
import numpy as np
import pytest
from convert_truth import SCANS, SIZE, SPEC, SQUARE, STEPS, Truth, convert, origin_of, write_latents
from files_in import names_in
from numpy.testing import assert_allclose, assert_array_equal

from microrun.runtime.errors import LatentsError


def load_signal(path: Path, lazy: bool = False) -> Any:
    return hs.load(path, lazy=lazy)


@pytest.mark.parametrize("name", SQUARE)
def test_hyperspy_reads_a_signal(tmp_path: Path, name: str) -> None:
    scan = SCANS[name]
    truth = write_latents(tmp_path / "scan.latents.h5", scan, count=max(1, scan.total - 4))
    signal = load_signal(convert(truth, "hspy"))
    assert type(signal) is hs.signals.Signal1D
    assert signal.data.dtype == np.float32
    assert_array_equal(signal.data, truth.informative(list(range(SIZE))))
    x, y = signal.axes_manager.navigation_axes
    known = bool(scan.step_um[0])
    for axis, axis_name, step, positions in ((x, "x", STEPS[0], truth.x[0]), (y, "y", STEPS[1], truth.y[:, 0])):
        assert axis.name == axis_name
        assert axis.scale == (step if known else 1)
        assert (axis.units == "µm") is known
        assert_allclose(axis.axis, positions)
    (axis,) = signal.axes_manager.signal_axes
    assert axis.name == "feature"
    assert_array_equal(axis.axis, np.arange(SIZE))


@pytest.mark.parametrize(("numbers", "uniform"), [([2], True), ([1, 2, 3], True), ([0, 4], False), ([0, 1, 4], False)])
def test_hyperspy_knows_the_numbers_of_features(square: Truth, numbers: list[int], uniform: bool) -> None:
    signal = load_signal(convert(square, "hspy", numbers))
    assert_array_equal(signal.data, square.informative(numbers))
    (axis,) = signal.axes_manager.signal_axes
    assert_array_equal(axis.axis, numbers)
    assert axis.is_uniform is uniform


def test_hyperspy_reads_lazily_and_knows_the_origin(square: Truth) -> None:
    signal = load_signal(convert(square, "hspy", [1, 3]), lazy=True)
    assert signal._lazy
    assert_array_equal(signal.data.compute(), square.informative([1, 3]))
    metadata = signal.metadata.as_dictionary()
    assert metadata["General"]["title"] == "scan.latents"
    assert metadata["General"]["original_filename"] == "scan.latents.h5"
    assert metadata["microrun"]["features"] == [1, 3]
    assert metadata["microrun"]["origin"] == json.loads(origin_of(square.scan).to_json())
    assert metadata["microrun"]["spec"] == json.loads(SPEC.to_json())


@pytest.mark.parametrize("name", ["hexagonal", "alternating"])
def test_hyperspy_has_no_hexagonal_grids(tmp_path: Path, name: str) -> None:
    truth = write_latents(tmp_path / "scan.latents.h5", SCANS[name])
    with pytest.raises(LatentsError, match="cannot hold its hexagonal grid; use csv, ang, xdmf or zarr") as error:
        convert(truth, "hspy")
    assert str(truth.path) in str(error.value)
    assert names_in(tmp_path) == ["scan.latents.h5"]
