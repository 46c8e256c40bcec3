"""Unlike neighbours against voxels looked at one by one."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from microrun.kernels.unlike import DISTANCES, count_crossings, count_unstable

Labels = NDArray[np.int32]
OFFSETS = [offset for offset in itertools.product((-1, 0, 1), repeat=3) if any(offset)]
VOLUMES = st.tuples(*[st.integers(1, 5)] * 3).flatmap(
    lambda shape: arrays(np.int32, shape, elements=st.integers(-2, 3))
)


def around(labels: Labels, place: tuple[int, ...]) -> list[tuple[int, int | None]]:
    """Squared distance and label of the 26 neighbours; None outside the volume."""
    found: list[tuple[int, int | None]] = []
    for offset in OFFSETS:
        other = tuple(np.add(place, offset))
        within = all(0 <= step < side for step, side in zip(other, labels.shape, strict=True))
        found.append((sum(map(abs, offset)), int(labels[other]) if within else None))
    return found


def slow_crossings(labels: Labels) -> NDArray[np.int64]:
    crossings = np.zeros((labels.max() + 1, DISTANCES), np.int64)
    for place in np.argwhere(labels >= 0):
        own = labels[tuple(place)]
        for squared, label in around(labels, tuple(place)):
            crossings[own, squared - 1] += label != own
    return crossings


def slow_unstable(labels: Labels) -> tuple[int, int]:
    unstable = counted = 0
    for place in np.argwhere(labels >= 0):
        beside = [label for _, label in around(labels, tuple(place))]
        if any(label is None or label < 0 for label in beside):
            continue
        energies = {label: sum(other != label for other in beside) for label in beside}
        counted += 1
        unstable += min(energies.values()) < sum(other != labels[tuple(place)] for other in beside)
    return unstable, counted


@given(VOLUMES, st.data())
def test_crossings_are_those_of_the_voxels(labels: Labels, data: st.DataObject) -> None:
    if labels.max() < 0:
        return
    cut = data.draw(st.integers(0, len(labels)))
    crossings = np.zeros((labels.max() + 1, DISTANCES), np.int64)
    for planes in ((0, cut), (cut, len(labels))):
        count_crossings(labels, planes, crossings)
    assert_array_equal(crossings, slow_crossings(labels))


@given(VOLUMES, st.data())
def test_unstable_voxels_are_those_that_a_flip_improves(labels: Labels, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(labels)))
    parts = [count_unstable(labels, planes) for planes in ((0, cut), (cut, len(labels)))]
    assert tuple(map(sum, zip(*parts, strict=True))) == slow_unstable(labels)


def test_many_grains_in_a_few_voxels_are_counted() -> None:
    labels = np.random.default_rng(3).integers(-1, 4, (9, 8, 7)).astype(np.int32)
    labels[2:7, 2:6, 2:5] = np.abs(labels[2:7, 2:6, 2:5])
    assert count_unstable(labels, (0, 9)) == slow_unstable(labels)
    assert slow_unstable(labels)[0] > 0


def test_a_speck_is_unstable_and_a_flat_face_is_not() -> None:
    labels = np.zeros((7, 7, 7), np.int32)
    labels[:, :, 4:] = 1
    assert count_unstable(labels, (0, 7)) == (0, 125)
    labels[3, 3, 2] = 2
    assert count_unstable(labels, (0, 7)) == (1, 125)
