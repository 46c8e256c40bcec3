from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from microrun.runtime.sections.smoothing import smooth_orientations


def vote(section: np.ndarray) -> np.ndarray:
    """What most of the 3×3 cells have, edge cells repeated, one cell at a time."""
    padded, out = np.pad(section, 1, mode="edge"), section.copy()
    for row, col in np.ndindex(section.shape):
        counts = Counter(padded[row : row + 3, col : col + 3].ravel().tolist())
        counts[int(section[row, col])] += 0.5
        best = max(counts.values())
        out[row, col] = min(one for one, votes in counts.items() if votes == best)
    return out


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(0, 3))
def test_cells_take_what_most_around_them_have(seed: int, rows: int, cols: int, ids: int, passes: int) -> None:
    sections = np.random.default_rng(seed).integers(0, ids, (2, rows, cols)).astype(np.int8)
    expected = sections
    for _ in range(passes):
        expected = np.stack([vote(section) for section in expected])
    assert np.array_equal(smooth_orientations(sections, passes), expected)


def test_noise_goes_and_straight_borders_stay() -> None:
    section = np.zeros((1, 12, 12), np.int8)
    section[..., 6:] = 1
    noisy = section.copy()
    noisy[0, 3, 3], noisy[0, 8, 9] = 7, 4
    assert np.array_equal(smooth_orientations(noisy, 1), section)
    assert np.array_equal(smooth_orientations(section, 5), section)


def test_sections_do_not_touch_each_other() -> None:
    sections = np.random.default_rng(1).integers(0, 20, (3, 10, 10)).astype(np.int8)
    together = smooth_orientations(sections, 2)
    assert all(
        np.array_equal(smooth_orientations(one[None], 2)[0], two) for one, two in zip(sections, together, strict=True)
    )
