"""Volumes that cannot be tiled."""

from __future__ import annotations

import numpy as np
import pytest

from microrun.runtime.array_types import Mask
from microrun.runtime.errors import VolumeError
from microrun.runtime.generation.recipe import Order, VolumeRecipe
from microrun.runtime.volumes.volume import LARGEST, Shape

ORDERS = pytest.mark.parametrize("order", ["isotropic", "anisotropic"])


def one_line(error: pytest.ExceptionInfo[Exception], *parts: object) -> None:
    text = str(error.value)
    assert "\n" not in text
    for part in parts:
        assert str(part) in text


@ORDERS
@pytest.mark.parametrize(
    ("shape", "part", "said"),
    [
        ((31, 64, 64), None, "32 voxels or more"),
        ((0, 64, 64), None, "32 voxels or more"),
        ((2048, 2048, 2049), None, f"at most {LARGEST:,} voxels"),
        ((10**9, 10**9, 10**9), None, "at most"),
        ((40, 40, 40), np.zeros((40, 40, 40), bool), "the mask is empty"),
        ((20, 40, 40), np.zeros((20, 40, 40), bool), "the mask is empty"),
        ((40, 40, 40), np.ones((40, 40, 41), bool), "of the volume's shape (40, 40, 40)"),
        ((20, 40, 40), np.ones((20, 40, 40), np.uint8), "must be bool"),
    ],
)  # fmt: skip
def test_volumes_that_cannot_be_are_one_line(order: Order, shape: Shape, part: Mask | None, said: str) -> None:
    with pytest.raises(VolumeError) as error:
        VolumeRecipe(shape, order=order).tile(part)
    one_line(error, said)
