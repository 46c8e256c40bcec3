"""Slow, obvious twin of the noise kernel: whole numbers of Python, logarithm and sine of the C library."""

from __future__ import annotations

import math

WORD = 2**32


def philox(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    """Ten rounds of Philox 4x32 as Salmon et al. write them down."""
    c, k = list(counter), list(key)
    for _ in range(10):
        first, second = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [second // WORD ^ c[1] ^ k[0], second % WORD, first // WORD ^ c[3] ^ k[1], first % WORD]
        k = [(k[0] + 0x9E3779B9) % WORD, (k[1] + 0xBB67AE85) % WORD]
    return tuple(c)


def normal(seed: int, sample_id: int, evaluation: int, voxel: int) -> float:
    """The one normal of a voxel."""
    counter = (voxel // 4, evaluation, sample_id % WORD, sample_id // WORD)
    words = philox(counter, (seed % WORD, seed // WORD))
    radius_word, angle_word = words[voxel % 4 // 2 * 2 : voxel % 4 // 2 * 2 + 2]
    radius = math.sqrt(max(0.0, -2 * math.log((radius_word // 2 + 0.5) / 2**31)))
    # The lower 30 bits are a signed fraction of a quarter turn about the axis that the upper two name.
    fraction = (angle_word % 2**30) / 2**30
    angle = (angle_word // 2**30 + (fraction if fraction < 0.5 else fraction - 1)) * math.pi / 2
    return radius * (math.cos(angle) if voxel % 2 == 0 else math.sin(angle))
