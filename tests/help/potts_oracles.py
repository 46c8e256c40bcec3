"""Slow, obvious twins of the Potts sweeps, of the numbering of grains and of their neighbourhood."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Grid = NDArray[Any]
Place = tuple[int, ...]

MASK = 2**64 - 1
AROUND = [offset for offset in product((-1, 0, 1), repeat=3) if any(offset)]
FACES = [offset for offset in AROUND if np.abs(offset).sum() == 1]


def draw(key: int, counter: int) -> int:
    """The output of SplitMix64 number `counter`, started from a key."""
    state = (key + (counter + 1) * 0x9E3779B97F4A7C15) & MASK
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB & MASK
    return state ^ (state >> 31)


def sweep_key(seed: int, sweep: int) -> int:
    return draw(draw(0, seed), sweep)


def places_around(place: Place, shape: Place, periodic: bool, offsets: list[Place] = AROUND) -> Iterator[Place]:
    for offset in offsets:
        other = tuple(p + d for p, d in zip(place, offset, strict=True))
        if periodic:
            other = tuple(p % size for p, size in zip(other, shape, strict=True))
        if all(0 <= p < size for p, size in zip(other, shape, strict=True)):
            yield other


def neighbours(spins: Grid, place: Place, periodic: bool) -> list[int]:
    return [int(spins[other]) for other in places_around(place, spins.shape, periodic)]


def energy(spins: Grid, periodic: bool) -> int:
    """Pairs of neighbours of different spin, each counted twice."""
    return sum(
        sum(spin != spins[place] for spin in neighbours(spins, place, periodic)) for place in np.ndindex(spins.shape)
    )


def try_flip(spins: Grid, place: Place, bits: int, mobile: float, periodic: bool, accept: list[int]) -> None:
    """One attempt; at rest it draws one of 26 chances, in a mobile zone one of the spins around."""
    around = neighbours(spins, place, periodic)
    own = int(spins[place])
    others = list(dict.fromkeys(spin for spin in around if spin != own))
    choice = (bits >> 32) * (26 if periodic else len(others)) >> 32
    if choice >= len(others):
        return
    cost = max(around.count(own) - around.count(others[choice]), 0)
    if bits % 2**32 < accept[cost] * mobile:
        spins[place] = others[choice]


def sub_lattices(shape: tuple[int, ...]) -> list[Place]:
    """Every second place along each axis; the last along an odd one is a third class of its own."""
    z, y, x = (range(2 + side % 2) for side in shape)
    return list(product(z, y, x))


def visit_potts(spins: Grid, sub_lattice: Place, key: int, accept: list[int]) -> None:
    """One attempt for each voxel of a sub-lattice."""
    for number, place in enumerate(np.ndindex(spins.shape)):
        classes = (2 if size % 2 and p == size - 1 else p % 2 for p, size in zip(place, spins.shape, strict=True))
        if tuple(classes) == sub_lattice:
            try_flip(spins, place, draw(key, number), 1, True, accept)


def grow_potts(spins: Grid, steps: int, seed: int, accept: list[int]) -> None:
    """In each of 26 sweeps, as many sub-lattices at random as there are."""
    classes = sub_lattices(spins.shape)
    for number in range(26 * steps * len(classes)):
        key = sweep_key(seed, number)
        visit_potts(spins, classes[(key >> 32) * len(classes) >> 32], key, accept)


def mobility_at(place: Place, centre: Place, pool: Any) -> float:
    """Chance of a try, −1 in the pool; from the definition, rounded to 2⁻¹⁶."""
    z, y, x = (p - c for p, c in zip(place, (centre[0] - 1, *centre[1:]), strict=True))
    if z > 0:
        return 0
    radius = np.sqrt((z / pool.depth) ** 2 + (y / (pool.width / 2)) ** 2 + (x / (pool.length / 2)) ** 2)
    if radius <= 1:
        return -1
    distance = np.sqrt(z**2 + y**2 + x**2) * (1 - 1 / radius)
    return float(np.rint(max(1 - distance / pool.mobile_zone, 0) * 2**16) / 2**16)


def sweep_build(spins: Grid, centre: Place, seed: int, number: int, build: Any, accept: list[int]) -> None:
    """Melt what is in the pool, then let the mobile voxels try; only the layers so far take part."""
    layers = spins[: centre[0]]
    mobile = {place: mobility_at(place, centre, build.pool) for place in np.ndindex(layers.shape)}
    melting, moving = sweep_key(seed, 2 * number), sweep_key(seed, 2 * number + 1)
    counters = {place: int(np.ravel_multi_index(place, layers.shape)) for place in mobile}
    for place, mobility in mobile.items():
        if mobility == -1:
            layers[place] = draw(melting, counters[place]) >> 33
    for colour in product((0, 1), repeat=3):
        for place, mobility in mobile.items():
            if mobility > 0 and tuple(p % 2 for p in place) == colour:
                try_flip(layers, place, draw(moving, counters[place]), mobility, False, accept)


def label_grains(spins: Grid, periodic: bool) -> Grid:
    """Flood every grain from its first voxel."""
    grain_ids = np.full(spins.shape, -1)
    count = 0
    for start in np.ndindex(spins.shape):
        if grain_ids[start] >= 0:
            continue
        todo = [start]
        grain_ids[start] = count
        while todo:
            place = todo.pop()
            for other in places_around(place, spins.shape, periodic, FACES):
                if grain_ids[other] < 0 and spins[other] == spins[place]:
                    grain_ids[other] = count
                    todo.append(other)
        count += 1
    return grain_ids


def pairs_that_touch(grain_ids: Grid) -> set[tuple[int, int]]:
    """Pairs of different grains with 26-neighbouring voxels, the smaller first."""
    pairs = set()
    for place in np.ndindex(grain_ids.shape):
        for other in neighbours(grain_ids, place, False):
            if grain_ids[place] < other:
                pairs.add((int(grain_ids[place]), other))
    return pairs
