"""Union-find against sets that are joined one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from microrun.kernels.union_find import find_root, number_roots, unite, unite_pairs

MEMBERS = 12
PAIRS = st.lists(st.tuples(*[st.integers(0, MEMBERS - 1)] * 2), max_size=20)


def join_sets(pairs: list[tuple[int, int]]) -> list[set[int]]:
    """Who belongs together with each member."""
    sets = [{member} for member in range(MEMBERS)]
    for one, other in pairs:
        joined = sets[one] | sets[other]
        for member in joined:
            sets[member] = joined
    return sets


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@given(pairs=PAIRS)
def test_the_first_of_those_who_belong_together_is_the_root(dtype: type, pairs: list[tuple[int, int]]) -> None:
    parents = np.arange(MEMBERS, dtype=dtype)
    for one, other in pairs:
        unite(parents, one, other)
        assert (parents <= np.arange(MEMBERS)).all()
    firsts = [min(joined) for joined in join_sets(pairs)]
    assert [find_root(parents, member) for member in range(MEMBERS)] == firsts


@given(PAIRS, st.sets(st.integers(0, MEMBERS - 1)))
def test_roots_are_numbered_in_order_and_strangers_stay(pairs: list[tuple[int, int]], strangers: set[int]) -> None:
    pairs = [pair for pair in pairs if not strangers.intersection(pair)]
    parents = np.arange(MEMBERS)
    for one, other in pairs:
        unite(parents, one, other)
    parents[list(strangers)] = -1
    firsts = [-1 if member in strangers else min(joined) for member, joined in enumerate(join_sets(pairs))]
    roots = sorted(set(firsts) - {-1})
    assert number_roots(parents) == len(roots)
    assert_array_equal(parents, [-1 if first < 0 else roots.index(first) for first in firsts])


@given(PAIRS, st.sets(st.integers(0, MEMBERS - 1)))
def test_pairs_are_united_one_after_the_other(pairs: list[tuple[int, int]], strangers: set[int]) -> None:
    expected, parents = np.arange(3 + MEMBERS), np.arange(3 + MEMBERS)
    for wanted in (expected, parents):
        wanted[[3 + member for member in strangers]] = -1
    for one, other in pairs:
        if not strangers.intersection((one, other)):
            unite(expected, 3 + one, 3 + other)
    unite_pairs(parents, np.array(pairs, np.int64).reshape(-1, 2), 3)
    assert_array_equal(parents, expected)
