"""Latents files as their reader gives them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from latents_runs import (
    ORIGIN,
    SIZE,
    check_holds,
    leave_behind,
    one_line,
    write_file,
)

from microrun.runtime.errors import LatentsError
from microrun.runtime.latents.origin import LatentType
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.scans.scan import Scan


def test_positions_are_in_um(path: Path) -> None:
    with open_latents(write_file(path)) as latents:
        x, y = latents.positions_um
    np.testing.assert_array_equal(x, np.tile(np.arange(7) * 0.5, (6, 1)))
    np.testing.assert_array_equal(y, np.tile(np.arange(6)[:, None] * 0.25, (1, 7)))


@pytest.mark.parametrize("alternating", [False, True])
def test_hexagonal_grids_keep_their_true_positions(path: Path, alternating: bool) -> None:
    scan = Scan((4, 3), (8, 8), grid="hexagonal", step_um=(1.0, 0.866), alternating=alternating)
    write_file(path, dataclasses.replace(ORIGIN, scan=scan))
    with open_latents(path) as latents:
        check_holds(latents, list(range(10 if alternating else 12)))
        x, y = latents.positions_um
        assert latents.written[1].tolist() == [True, True, not alternating]
    np.testing.assert_allclose(x, np.array([[0, 1, 2], [0.5, 1.5, 2.5]] * 2))
    np.testing.assert_allclose(y, np.repeat([0, 0.866, 1.732, 2.598], 3).reshape(4, 3))


def test_a_file_left_behind_can_be_read(path: Path) -> None:
    with open_latents(leave_behind(path)) as latents:
        check_holds(latents, list(range(20)))


# --- an array


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_latents_are_an_array_for_numpy(path: Path, dtype: LatentType) -> None:
    write_file(path, dataclasses.replace(ORIGIN, dtype=dtype), count=20)
    with open_latents(path) as latents:
        assert (latents.shape, latents.ndim, latents.dtype, len(latents)) == ((6, 7, SIZE), 3, np.dtype(dtype), 6)
        for array in (np.asarray(latents), np.array(latents), np.array(latents, copy=True), latents[...]):
            assert array.dtype == latents.dtype
            np.testing.assert_array_equal(array, latents.latents)
        double = np.asarray(latents, np.float64)
        assert double.dtype == np.float64
        np.testing.assert_array_equal(double, latents.latents.astype(np.float64))
        np.testing.assert_array_equal(np.stack(list(latents)), latents.latents)


def test_an_array_without_a_copy_is_refused(path: Path) -> None:
    with open_latents(write_file(path)) as latents, pytest.raises(ValueError, match="always a copy") as error:
        np.asarray(latents, copy=False)
    one_line(error, path)


def test_a_feature_is_a_map(path: Path) -> None:
    with open_latents(write_file(path)) as latents:
        for number in range(SIZE):
            np.testing.assert_array_equal(latents.feature(number), latents.latents[:, :, number])
        for number in (-1, SIZE):
            with pytest.raises(LatentsError, match=f"features are 0 to 4; got {number}") as error:
                latents.feature(number)
            one_line(error, path)


def test_closed_latents_say_so(path: Path) -> None:
    with open_latents(write_file(path)) as latents:
        pass
    reads: list[Callable[[], object]] = [
        lambda: latents[0], lambda: np.asarray(latents), lambda: latents.written, latents.to_xarray,
    ]  # fmt: skip
    for read in reads:
        with pytest.raises(LatentsError, match="is closed; open it again") as error:
            read()
        one_line(error, path)
    assert (latents.shape, len(latents)) == ((6, 7, SIZE), 6)
    latents.close()
