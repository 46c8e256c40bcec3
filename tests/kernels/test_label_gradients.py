"""Structure tensors of labels against gradients of each label's own picture."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import correlate

from microrun.kernels.label_gradients import label_tensors


def slow_tensors(
    labels: NDArray[np.int32], across: NDArray[np.float64], down: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The definition, label by label."""
    radius = len(across) // 2
    inner = (slice(radius, labels.shape[1] - radius), slice(radius, labels.shape[2] - radius))
    out = []
    for section in labels:
        total = np.zeros((*section[inner].shape, 3))
        for label in np.unique(section):
            picture = (section == label).astype(float)
            right, below = correlate(picture, across)[inner], correlate(picture, down)[inner]
            total += np.stack([right**2, below**2, right * below], axis=-1)
        out.append(total)
    return np.array(out)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 9), st.integers(1, 6))
def test_tensors_are_those_of_the_definition(seed: int, radius: int, more: int, kinds: int) -> None:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, kinds, (2, 2 * radius + more, 2 * radius + 4)).astype(np.int32)
    weights = generator.normal(size=(2, 2 * radius + 1, 2 * radius + 1))
    across, down = weights - weights.mean(axis=(1, 2), keepdims=True)
    out = np.empty((2, more, 4, 3))
    label_tensors(labels, across, down, out)
    np.testing.assert_allclose(out, slow_tensors(labels, across, down), atol=1e-12)
    renumbered = np.empty_like(out)
    label_tensors(generator.permutation(kinds).astype(np.int32)[labels] * 1000, across, down, renumbered)
    np.testing.assert_allclose(renumbered, out, atol=1e-12)
