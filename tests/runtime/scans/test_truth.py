"""The truth beside a simulated scan: laid out on the map, and refused when it is damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from microrun.runtime.errors import ScanError
from microrun.runtime.scans.truth import load_truth

ROTATIONS = np.eye(4)
CELLS: dict[str, Any] = {
    # Cells 0 and 1 are of grain 5, cell 2 of grain 6; cell 3 lies under no point of the map.
    "cell": np.array([[0, 0, 1], [0, 2, 2]]),
    "grain": np.array([[5, 5, 5], [5, 6, 6]]),
    "neighbour": np.array([[0, 1, 0], [2, 0, 3]]),
    "mixture": np.array([[0, 0.3, 0.2], [0.4, 0.1, 0.5]], np.float32),
    "rotations": ROTATIONS,
    "blur_px": np.array([0.8, 1.5, 2.0, 9.0]),
    "phase": np.array([0, 0, 1, 1]),
    "pattern_centre": (0.4, 0.8, 0.5),
    "sample_tilt": 65.0,
}


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    np.savez_compressed(tmp_path / "scan.truth.npz", **CELLS)
    return tmp_path / "scan.up2"


def test_cells_are_laid_out_on_the_map(scan: Path) -> None:
    truth = load_truth(scan)
    assert truth is not None
    for row in range(2):
        for col in range(3):
            cell = CELLS["cell"][row, col]
            assert_array_equal(truth.rotations[row, col], ROTATIONS[cell])
            assert truth.blur_px[row, col] == CELLS["blur_px"][cell]
            assert truth.phase[row, col] == CELLS["phase"][cell]
    assert_array_equal(truth.grain, CELLS["grain"])
    assert_array_equal(truth.mixture, CELLS["mixture"].astype(float))
    assert (truth.pattern_centre, truth.sample_tilt) == ((0.4, 0.8, 0.5), 65.0)


def test_boundaries_are_where_another_grain_mixes_in(scan: Path) -> None:
    truth = load_truth(scan)
    assert truth is not None
    assert_array_equal(truth.boundary, [[False, False, False], [True, True, True]])


def test_most_scans_have_no_truth(tmp_path: Path) -> None:
    assert load_truth(tmp_path / "scan.up2") is None


def rewrite(**changes: Any) -> Callable[[Path], None]:
    """Write other arrays; None leaves one out."""

    def damage(path: Path) -> None:
        arrays = CELLS | changes
        np.savez_compressed(path, **{name: value for name, value in arrays.items() if value is not None})

    return damage


def cut(share: float) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        whole = path.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])

    return damage


def spoil(path: Path) -> None:
    """Change bytes inside the compressed arrays."""
    data = bytearray(path.read_bytes())
    data[60:120] = b"\xff" * 60
    path.write_bytes(bytes(data))


def write_one_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no truth"),
    "one array": write_one_array,
    "cut": cut(0.5),
    "cut at its end": cut(0.97),
    "spoilt": spoil,
    **{f"no {name}": rewrite(**{name: None}) for name in CELLS},
    "cells of another map": rewrite(cell=np.zeros((4, 4), int)),
    "cells that are none": rewrite(cell=np.full((2, 3), 7)),
    "cells that are words": rewrite(cell=np.full((2, 3), "a")),
    "a centre of two numbers": rewrite(pattern_centre=(0.5, 0.5)),
    "a map of nothing": rewrite(cell=np.empty((0, 0), int)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_truth_is_refused_in_one_line(scan: Path, damage: Callable[[Path], object]) -> None:
    path = scan.with_suffix(".truth.npz")
    damage(path)
    with pytest.raises(ScanError, match="is not the truth of a simulated scan") as error:
        load_truth(scan)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_a_folder_is_no_truth(tmp_path: Path) -> None:
    (tmp_path / "scan.truth.npz").mkdir()
    with pytest.raises(ScanError, match="is not the truth of a simulated scan"):
        load_truth(tmp_path / "scan.up2")
