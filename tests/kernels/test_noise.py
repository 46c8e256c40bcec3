"""Noise against Random123's published answers, whole numbers of Python, and the normal distribution."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import noise_oracles as oracles
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from microrun.kernels.noise import CHUNK, normal_noise, philox_rounds

Float32 = NDArray[np.float32]

# "philox4x32 10" of tests/kat_vectors in Random123 1.14: counter, key, answer.
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def make(seed: int, ids: list[int], evaluation: int | list[int], shape: tuple[int, ...]) -> Float32:
    out = np.full((len(ids), *shape), np.nan, np.float32)
    numbers = evaluation if isinstance(evaluation, int) else np.array(evaluation)
    normal_noise(seed, np.array(ids, np.uint64), numbers, out)
    return out


def words_of(text: str) -> tuple[int, ...]:
    return tuple(int(word, 16) for word in text.split())


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_philox_gives_the_published_answers(counter: str, key: str, answer: str) -> None:
    low, high = words_of(key)
    words = np.repeat(np.array(words_of(counter), np.uint32)[:, None], 37, axis=1)
    philox_rounds(np.uint64(high << 32 | low), words)
    assert_array_equal(words, np.repeat(np.array(words_of(answer), np.uint32)[:, None], 37, axis=1))
    assert oracles.philox(words_of(counter), (low, high)) == words_of(answer)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(1, 4 * CHUNK + 9))
def test_every_normal_is_the_one_of_its_counter(seed: int, sample: int, evaluation: int, voxels: int) -> None:
    values = make(seed, [sample], evaluation, (voxels,))[0]
    places = sorted({0, voxels // 3, voxels // 2, max(voxels - 2, 0), voxels - 1})
    expected = [oracles.normal(seed, sample, evaluation, voxel) for voxel in places]
    assert_allclose(values[places], expected, rtol=2e-5, atol=2e-6)


def test_a_whole_block_is_the_oracles() -> None:
    values = make(7, [3], 2, (1, 8, 8, 16))
    expected = [oracles.normal(7, 3, 2, voxel) for voxel in range(1024)]
    assert_allclose(values.ravel(), expected, rtol=2e-5, atol=2e-6)


def test_blocks_do_not_depend_on_their_batch_or_order() -> None:
    ids, evaluations = [5, 2**40, 0, 9], [1, 700, 3, 3]
    together = make(11, ids, evaluations, (8, 8, 8))
    for row, (sample, evaluation) in enumerate(zip(ids, evaluations, strict=True)):
        assert_array_equal(together[row], make(11, [sample], evaluation, (8, 8, 8))[0])
    assert_array_equal(together[::-1], make(11, ids[::-1], evaluations[::-1], (8, 8, 8)))


@pytest.mark.parametrize("voxels", [1, 2, 3, 5, 31, 511, 512, 513, 1500])
def test_a_voxel_does_not_depend_on_how_many_there_are(voxels: int) -> None:
    assert_array_equal(make(1, [4], 6, (voxels,)), make(1, [4], 6, (4096,))[:, :voxels])


def test_threads_make_the_same_noise() -> None:
    with ThreadPoolExecutor(8) as pool:
        blocks = list(pool.map(lambda sample: make(3, [sample], 1, (16, 16, 16))[0], range(32)))
    assert_array_equal(np.array(blocks), make(3, list(range(32)), 1, (16, 16, 16)))


def test_seed_id_and_evaluation_all_matter() -> None:
    base = make(1, [2], 3, (4096,))[0]
    others = [make(2, [2], 3, (4096,)), make(1 + 2**32, [2], 3, (4096,)), make(1, [3], 3, (4096,))]
    others += [make(1, [2 + 2**32], 3, (4096,)), make(1, [2], 4, (4096,))]
    for other in others:
        assert abs(np.corrcoef(base, other[0])[0, 1]) < 5 / 64


def test_the_noise_is_standard_normal() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = make(2024, list(range(64)), 0, (32, 32, 32)).ravel()
    n = values.size
    moments = values.astype(np.float64)
    assert abs(moments.mean()) < 4 / np.sqrt(n)
    assert abs(moments.var() - 1) < 4 * np.sqrt(2 / n)
    assert abs((moments**3).mean()) < 4 * np.sqrt(15 / n)
    assert abs((moments**4).mean() - 3) < 4 * np.sqrt(96 / n)
    assert stats.kstest(values, "norm").pvalue > 1e-3
    for limit in (3.0, 4.0, 4.5):
        expected = 2 * stats.norm.sf(limit) * n
        assert abs((abs(values) > limit).sum() - expected) < 4 * np.sqrt(expected)


def test_neighbours_in_voxel_evaluation_and_id_are_independent() -> None:
    values = make(5, list(range(4)) * 2, [0] * 4 + [1] * 4, (1 << 17,)).astype(np.float64)
    limit = 5 / np.sqrt(1 << 17)
    for powers in (1, 2):
        assert abs(np.corrcoef(values**powers) - np.eye(8)).max() < limit
    for lag in (1, 2, 3, 4, 32, 1024):
        for powers in (1, 2):
            assert abs(np.corrcoef(values[0, lag:] ** powers, values[0, :-lag] ** powers)[0, 1]) < limit


def test_an_array_of_another_kind_is_refused() -> None:
    for out in (np.empty((2, 8)), np.empty((3, 8), np.float32), np.empty((2, 8, 8), np.float32)[:, :, ::2]):
        with pytest.raises(ValueError, match="float32 in C order with 2 rows"):
            normal_noise(1, np.arange(2), 0, out)  # type: ignore[arg-type]
