"""Colours of blocks without specks, as slow twins find them."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy import ndimage

from microrun.kernels.decoding import LEAST, number_pieces, settle
from microrun.runtime.colour_codes import colour_values, nearest_colours
from microrun.runtime.generation.decode_block import CUT_VOXELS, GRAIN_VOXELS, decode_block

BITS, COLOURS = 3, 8
SEEDS = st.integers(0, 2**32 - 1)
NOTHING = np.zeros((12, 12, 12), bool)


def block_of_grains(seed: int, side: int = 12, grains: int = 6) -> np.ndarray:
    """Colours of the cells around random points."""
    rng = np.random.default_rng(seed)
    points, colours = rng.uniform(0, side, (grains, 3)), rng.permutation(COLOURS)[:grains]
    places = np.stack(np.indices((side,) * 3), axis=-1)
    return colours[np.square(places[..., None, :] - points).sum(axis=-1).argmin(axis=-1)].astype(np.int8)


def speckled(colours: np.ndarray, seed: int, share: float = 0.1) -> np.ndarray:
    """Values whose bits are wrong here and there, each by itself."""
    rng = np.random.default_rng(seed)
    values = colour_values(colours, COLOURS, BITS) * np.float32(0.9)
    wrong = rng.random(values.shape) < share
    return np.where(wrong, -values, values)


def small_pieces(colours: np.ndarray) -> np.ndarray:
    """True for voxels of pieces that are too small, found by SciPy colour by colour."""
    small = np.zeros(colours.shape, bool)
    for colour in np.unique(colours):
        pieces, count = ndimage.label(colours == colour)
        for number in range(1, count + 1):
            piece = pieces == number
            inner = piece.copy()
            inner[1:-1, 1:-1, 1:-1] = False
            small |= piece if piece.sum() < (CUT_VOXELS if inner.any() else GRAIN_VOXELS) else False
    return small


def settle_slowly(values: np.ndarray, colours: np.ndarray, is_settled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    after, settled = colours.copy(), is_settled.copy()
    for place in np.argwhere(~is_settled):
        scores = {}
        for offset in product((-1, 0, 1), repeat=3):
            other = tuple(place + offset)
            beside = sum(map(abs, offset)) == 1 and all(0 <= p < s for p, s in zip(other, colours.shape, strict=True))
            if beside and is_settled[other]:
                colour = int(colours[other])
                box = tuple(slice(max(p - 1, 0), p + 2) for p in place)
                around = int((is_settled[box] & (colours[box] == colour)).sum())
                shares = [(1 + v) / 2 if colour >> k & 1 else (1 - v) / 2 for k, v in enumerate(values[:, *place])]
                scores[colour] = math.log(around) + sum(math.log(max(share, LEAST)) for share in shares)
        if scores:
            after[tuple(place)] = min(scores, key=lambda colour: (-scores[colour], colour))
            settled[tuple(place)] = True
    return after, settled


@given(SEEDS)
def test_pieces_are_those_of_scipy(seed: int) -> None:
    colours = np.random.default_rng(seed).integers(0, 3, (4, 5, 6), np.int8)
    pieces = np.empty(colours.shape, np.int32)
    count = number_pieces(colours, pieces)
    expected = sum(ndimage.label(colours == colour)[1] for colour in range(3))
    assert count == expected == len(np.unique(pieces))
    for colour in range(3):
        theirs, number = ndimage.label(colours == colour)
        pairs = {(int(a), int(b)) for a, b in zip(pieces[theirs > 0], theirs[theirs > 0], strict=True)}
        assert len(pairs) == number


@settings(max_examples=20)
@given(SEEDS)
def test_a_round_is_that_of_the_slow_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, COLOURS, (5, 4, 6), np.int8)
    values = rng.uniform(-1, 1, (BITS, 5, 4, 6)).astype(np.float32)
    is_settled = rng.random(colours.shape) < 0.4
    expected = settle_slowly(values, colours, is_settled)
    found = settle(values, colours, is_settled)
    assert_array_equal(colours, expected[0])
    assert_array_equal(is_settled, expected[1])
    assert found >= 0


@settings(max_examples=10)
@given(SEEDS)
def test_a_decoded_block_has_no_specks_and_is_nearer_to_its_grains(seed: int) -> None:
    truth = block_of_grains(seed)
    values = speckled(truth, seed)
    decoded, nearest = decode_block(values, COLOURS, NOTHING), nearest_colours(values, COLOURS)
    assert not small_pieces(decoded).any()
    assert (decoded != truth).mean() < 0.5 * (nearest != truth).mean()
    kept = ~small_pieces(nearest)
    assert_array_equal(decoded[kept], nearest[kept])  # what is a grain stays


def test_known_voxels_stay_however_small_their_pieces() -> None:
    values = colour_values(np.zeros((12, 12, 12), np.int8), COLOURS, BITS)
    values[:, 6, 6, 6] = colour_values(np.array(5, np.int8), COLOURS, BITS)
    known = NOTHING.copy()
    assert decode_block(values, COLOURS, known)[6, 6, 6] == 0
    known[6, 6, 6] = True
    assert decode_block(values, COLOURS, known)[6, 6, 6] == 5


def test_a_block_without_any_grain_is_decoded_voxel_by_voxel() -> None:
    colours = np.indices((12, 12, 12)).sum(axis=0).astype(np.int8) % 2
    assert_array_equal(decode_block(colour_values(colours, COLOURS, BITS), COLOURS, NOTHING), colours)


def test_values_of_one_channel_are_rounded() -> None:
    values = np.random.default_rng(0).uniform(-1, 1, (1, 12, 12, 12)).astype(np.float32)
    assert_array_equal(decode_block(values, 128, NOTHING), nearest_colours(values, 128))
