from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from microrun.training.vae.epochs import Epochs

sizes = st.lists(st.integers(1, 40), min_size=1, max_size=5)


def scans_of(sizes: list[int]) -> list[NDArray[np.int64]]:
    edges = np.cumsum([0, *sizes])
    return [np.arange(first, stop) for first, stop in pairwise(edges)]


@given(sizes, st.integers(0, 5), st.integers(0, 20))
def test_every_scan_has_the_same_share_of_every_epoch(sizes: list[int], seed: int, epoch: int) -> None:
    scans = scans_of(sizes)
    epochs = Epochs(scans, seed)
    order = epochs.order(epoch)
    counts = [np.isin(order, scan).sum() for scan in scans]
    assert counts == [max(1, sum(sizes) // len(sizes))] * len(sizes)
    assert len(order) == len(epochs)


@given(sizes, st.integers(0, 5))
def test_no_pattern_is_drawn_again_before_all_others_of_its_scan(sizes: list[int], seed: int) -> None:
    scans = scans_of(sizes)
    epochs = Epochs(scans, seed)
    drawn = np.zeros(sum(sizes), int)
    for epoch in range(6):
        np.add.at(drawn, epochs.order(epoch), 1)
        for scan in scans:
            assert np.ptp(drawn[scan]) <= 1


def test_an_epoch_of_equal_scans_has_every_pattern_once_in_another_order() -> None:
    epochs = Epochs(scans_of([20, 20]), seed=1)
    orders = [epochs.order(epoch).copy() for epoch in range(3)]
    for order in orders:
        assert_array_equal(np.sort(order), np.arange(40))
    assert (orders[0] != orders[1]).any() and (orders[1] != orders[2]).any()
    assert 5 < (orders[0][:20] < 20).sum() < 15  # the scans are mixed


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    scans = scans_of([7, 30])
    forth = [Epochs(scans, seed=4).order(epoch) for epoch in range(5)]
    again = Epochs(scans, seed=4)
    for epoch in reversed(range(5)):
        assert_array_equal(again.order(epoch), forth[epoch])
    assert (Epochs(scans, seed=5).order(0) != forth[0]).any()
