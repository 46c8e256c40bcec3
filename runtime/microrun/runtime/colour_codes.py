"""Colours of grains as numbers that a network sees.

A colour is either one value, evenly spaced from −1 to 1, or a row of bits, each −1 or 1 in a channel of its own
(Chen et al., Analog Bits, arXiv:2208.04202). Bits of neighbours are 2 apart in some channel however many colours
there are, so that noise hides them later. Fewer colours than bits could tell take the first rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32
from microrun.runtime.errors import SpecError


def colour_codes(n_colours: int, channels: int) -> Float32:
    """The numbers of every colour, (n_colours, channels) float32.

    Raises
    ------
    SpecError
        If so many colours have no code in so many channels, or fewer channels would do.
    """
    if channels == 1 and n_colours > 1:
        return np.linspace(-1, 1, n_colours, dtype=np.float32)[:, None]
    if channels < 1 or not 1 << channels - 1 < n_colours <= 1 << channels or n_colours < 2:
        raise SpecError(f"{channels} channels of bits hold {1 << channels} colours; got {n_colours}")
    bits = np.arange(n_colours)[:, None] >> np.arange(channels) & 1
    codes: Float32 = (2 * bits - 1).astype(np.float32)
    return codes


def colour_values(colours: NDArray[np.integer[Any]], n_colours: int, channels: int) -> Float32:
    """Turn (…) colours from 0 into (channels, …) values."""
    return np.ascontiguousarray(np.moveaxis(colour_codes(n_colours, channels)[colours], -1, 0))


def nearest_colours(values: Float32, n_colours: int) -> NDArray[np.int8]:
    """Turn (channels, …) values into the nearest colours, (…) int8."""
    if len(values) == 1:
        steps = np.rint((values[0] + 1) * ((n_colours - 1) / 2))
        return np.asarray(np.clip(steps, 0, n_colours - 1), np.int8)
    if n_colours < 1 << len(values):
        return nearest_codes(values, colour_codes(n_colours, len(values)))
    weights = 1 << np.arange(len(values))
    return np.asarray(np.tensordot(weights, values > 0, 1), np.int8)


def nearest_codes(values: Float32, codes: Float32) -> NDArray[np.int8]:
    """Turn (channels, …) values into the nearest of (n, channels) codes, (…) int8; the first of several as near."""
    gain = np.tensordot(codes, values, 1) - (np.square(codes).sum(axis=1) / 2).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(gain.argmax(axis=0), np.int8)
