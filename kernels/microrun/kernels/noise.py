"""Standard normals as a pure function of (seed, id, evaluation, voxel), whatever the batch, order or threads.

Philox 4x32-10 turns a counter into four random words (Salmon et al., SC11, doi:10.1145/2063384.2063405), the
transform of Box and Muller two words into two normals. Voxel v of a sample takes word v mod 4 of the counter
(v div 4, evaluation, id), low word first; the seed is the key. The normals are made of +, −, ×, ÷ and √ alone,
without fast-math, so that they are the same on every machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.kernels.compiling import exact_kernel

CHUNK = 128  # counters worked on at a time, few enough for the cache and enough for long vectors

ROUNDS = 10
MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL = np.uint32(0x9E3779B9), np.uint32(0xBB67AE85)
LOW, HIGH = np.uint64(0xFFFFFFFF), np.uint64(32)

# All of one type: with a literal in between numba would go on in float64.
ONE, TWO, HALF = np.float32(1), np.float32(2), np.float32(0.5)
ARTANH = tuple(np.float32(1 / k) for k in (3, 5, 7, 9))
SINE = tuple(np.float32(1 / k) for k in (6, 20, 42, 72))
COSINE = tuple(np.float32(1 / k) for k in (2, 12, 30, 56))
LOG_2 = np.float32(np.log(2))
QUARTER_TURN = np.float32(np.pi / 2 / 2**32)
PER_31_BITS = np.float32(2**-31)
ROOT_HALF_BITS = np.int32(0x3F3504F3)  # √½ as float32


@exact_kernel
def philox_rounds(key: Any, words: Any) -> None:
    """Encrypt counters in place.

    Parameters
    ----------
    key
        uint64, low word first.
    words
        (4, n) uint32: n counters, then n times four random words.
    """
    low_key, high_key = np.uint32(key & LOW), np.uint32(key >> HIGH)
    for _ in range(ROUNDS):
        for i in range(words.shape[1]):
            first = np.uint64(words[0, i]) * MULTIPLIERS[0]
            second = np.uint64(words[2, i]) * MULTIPLIERS[1]
            words[0, i] = np.uint32(second >> HIGH) ^ words[1, i] ^ low_key
            words[1, i] = np.uint32(second & LOW)
            words[2, i] = np.uint32(first >> HIGH) ^ words[3, i] ^ high_key
            words[3, i] = np.uint32(first & LOW)
        low_key, high_key = np.uint32(low_key + WEYL[0]), np.uint32(high_key + WEYL[1])


@exact_kernel
def pair_of_normals(radius_words: Any, angle_words: Any, uniform: Any, bits: Any, cosines: Any, sines: Any) -> None:
    """Turn words into normals by Box and Muller, with series that are good to float32's last bits.

    Parameters
    ----------
    radius_words, angle_words
        (n,) uint32.
    uniform
        (n,) float32, overwritten.
    bits
        The same memory as int32.
    cosines, sines
        (n,) float32, the normals.
    """
    for i in range(len(uniform)):
        uniform[i] = (np.float32(np.int32(radius_words[i] >> np.uint32(1))) + HALF) * PER_31_BITS
    for i in range(len(uniform)):
        # uniform = 2^exponent · mantissa with the mantissa within [√½, √2); log mantissa = 2 artanh s.
        exponent = np.int32(bits[i] - ROOT_HALF_BITS) >> np.int32(23)
        bits[i] -= exponent << np.int32(23)
        s = (uniform[i] - ONE) / (uniform[i] + ONE)
        ss = s * s
        artanh = s * (ONE + ss * (ARTANH[0] + ss * (ARTANH[1] + ss * (ARTANH[2] + ss * ARTANH[3]))))
        uniform[i] = np.sqrt(-TWO * (np.float32(exponent) * LOG_2 + TWO * artanh))
    for i in range(len(uniform)):
        # Two bits choose the quarter of the circle, the others the angle within ±45° of its axis.
        quarter = angle_words[i] >> np.uint32(30)
        t = np.float32(np.int32(angle_words[i] << np.uint32(2))) * QUARTER_TURN
        tt = t * t
        sine = t * (ONE - tt * SINE[0] * (ONE - tt * SINE[1] * (ONE - tt * SINE[2] * (ONE - tt * SINE[3]))))
        cosine = ONE - tt * COSINE[0] * (ONE - tt * COSINE[1] * (ONE - tt * COSINE[2] * (ONE - tt * COSINE[3])))
        odd = quarter & np.uint32(1)
        cosine, sine = (-sine, cosine) if odd else (cosine, sine)
        radius = -uniform[i] if quarter >= 2 else uniform[i]
        cosines[i] = radius * cosine
        sines[i] = radius * sine


@exact_kernel
def fill_normals(seed: Any, ids: Any, evaluations: Any, out: Any) -> None:
    """Fill a batch; see `normal_noise`.

    Parameters
    ----------
    seed
        uint64.
    ids
        (n,) uint64.
    evaluations
        (n,) uint32.
    out
        (n, voxels) float32.
    """
    words = np.empty((4, CHUNK), np.uint32)
    normals = np.empty((4, CHUNK), np.float32)
    uniform = np.empty(CHUNK, np.float32)
    bits = uniform.view(np.int32)
    voxels = out.shape[1]
    for n in range(len(ids)):
        for start in range(0, voxels, 4 * CHUNK):
            for i in range(CHUNK):
                words[0, i] = np.uint32(start // 4 + i)
            words[1] = evaluations[n]
            words[2] = np.uint32(ids[n] & LOW)
            words[3] = np.uint32(ids[n] >> HIGH)
            philox_rounds(seed, words)
            pair_of_normals(words[0], words[1], uniform, bits, normals[0], normals[1])
            pair_of_normals(words[2], words[3], uniform, bits, normals[2], normals[3])
            for v in range(min(4 * CHUNK, voxels - start)):
                out[n, start + v] = normals[v % 4, v // 4]


def normal_noise(
    seed: int, ids: NDArray[np.integer], evaluation: int | NDArray[np.integer], out: NDArray[np.float32]
) -> None:
    """Fill a batch with standard normals that depend on nothing but the four numbers of each voxel.

    Parameters
    ----------
    seed
        The whole run's, 0 to 2⁶⁴ − 1.
    ids
        (n,) integers: the sample or block that each row of the batch is.
    evaluation
        Which noise of the sample, 0 to 2³² − 1; one number, or (n,) where rows are at different evaluations.
    out
        (n, …) float32 in C order, at most 2³⁴ voxels per row.

    Raises
    ------
    ValueError
        If ``out`` is not float32 in C order or has another number of rows.
    """
    if out.dtype != np.float32 or not out.flags.c_contiguous or len(out) != len(ids):
        raise ValueError(f"out must be float32 in C order with {len(ids)} rows; got {out.dtype} {out.shape}")
    evaluations = np.broadcast_to(np.asarray(evaluation, np.uint32), ids.shape)
    fill_normals(np.uint64(seed), ids.astype(np.uint64), evaluations.copy(), out.reshape(len(ids), -1))
