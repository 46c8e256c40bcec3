"""Sweeps of the Potts model: each voxel holds a spin and takes the spins of its 26 neighbours over.

Voxels of one sub-lattice, every second one along each axis, are no neighbours of each other: a sweep visits one
sub-lattice after the other, and within one all voxels may flip at the same time. The random numbers are a function
of key and voxel, so that spins depend on neither the number of threads nor their order.

The energy of a voxel is its number of neighbours of another spin. All arithmetic is of integers, which every
machine does alike: chances are whole numbers of 2⁻³², mobilities of 2⁻¹⁶.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from microrun.kernels.compiling import fast_kernel

NEIGHBOURS = 26
PERIODIC, BOUNDED = (True, True, True), (False, False, False)  # whether opposite faces touch, along z, y and x
CERTAIN = 1 << 32  # the chance of what always happens
FULL = 1 << 16  # mobility of voxels that always move
MOLTEN = -1  # mobility of voxels in the melt pool
UNKNOWN = 255  # number of events of a voxel in whose neighbourhood something changed


def every_second(side: int, wraps: bool) -> list[tuple[int, int, int]]:
    """Split the places of an axis into classes that hold no neighbours.

    Parameters
    ----------
    side
        Number of places.
    wraps
        Whether the last touches the first: of an odd number the last is then a class of its own.

    Returns
    -------
    list of (int, int, int)
        First, end and step of each class.
    """
    alone = side % 2 if wraps and side > 1 else 0
    stop = side - alone
    return [(0, stop, 2), *[(1, stop, 2)] * (side > 1), *[(stop, side, 1)] * alone]


@fast_kernel
def scramble(state: Any) -> Any:
    """Mix 64 bits as SplitMix64 does (Steele, Lea and Flood, 2014, doi:10.1145/2660193.2660195)."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


@fast_kernel
def draw(key: Any, counter: int) -> Any:
    """Give 64 random bits, a function of the key and a counter."""
    return scramble(np.uint64(key) + np.uint64(counter + 1) * np.uint64(0x9E3779B97F4A7C15))


@fast_kernel
def sweep_key(seed: int, sweep: int) -> Any:
    """Key of a sweep, 64 random bits, a function of seed and sweep alone.

    Parameters
    ----------
    seed
        Seed of the simulation.
    sweep
        Number of the sweep.

    Returns
    -------
    uint64
        The key.
    """
    return draw(draw(np.uint64(0), seed), sweep)


@fast_kernel
def below(bits: Any, count: int) -> int:
    """Turn the upper half of 64 random bits into a number below a count."""
    return int(((bits >> np.uint64(32)) * np.uint64(count)) >> np.uint64(32))


@fast_kernel
def neighbour(place: int, offset: int, size: int, periodic: bool) -> int:
    """Give the place beside another along one axis; −1 outside of the volume."""
    place += offset
    if periodic:
        return place + size if place < 0 else place - size if place >= size else place
    return place if place < size else -1


@fast_kernel
def gather(spins: Any, voxel: Any, wraps: Any, others: Any, counts: Any) -> Any:
    """Find the different spins around a voxel.

    Parameters
    ----------
    spins
        (Z, Y, X) int32.
    voxel
        Its z, y, x.
    wraps
        Three bool: whether opposite faces of the volume touch along z, y and x.
    others, counts
        (26,) int32: the neighbours' spins other than the voxel's own, in order of (z, y, x), and how many
        neighbours have each.

    Returns
    -------
    (int, int)
        Number of different spins, and of neighbours with the voxel's own.
    """
    z, y, x = voxel
    own, found, like = spins[z, y, x], 0, -1  # the voxel itself is counted, too
    for dz in range(-1, 2):
        nz = neighbour(z, dz, spins.shape[0], wraps[0])
        for dy in range(-1, 2):
            ny = neighbour(y, dy, spins.shape[1], wraps[1])
            if nz < 0 or ny < 0:
                continue
            for dx in range(-1, 2):
                nx = neighbour(x, dx, spins.shape[2], wraps[2])
                if nx < 0:
                    continue
                spin = spins[nz, ny, nx]
                if spin == own:
                    like += 1
                else:
                    found = count_spin(spin, found, others, counts)
    return found, like


@fast_kernel
def count_spin(spin: int, found: int, others: Any, counts: Any) -> int:
    """Count one more neighbour of a spin; gives the number of different spins."""
    for k in range(found - 1, -1, -1):  # most often the one found last
        if others[k] == spin:
            counts[k] += 1
            return found
    others[found], counts[found] = spin, 1
    return found + 1


@fast_kernel
def chance(accept: Any, like: int, count: int) -> Any:
    """Give the chance of a flip that has `count` like neighbours after it and `like` before."""
    return accept[max(like - count, 0)]


@fast_kernel
def count_events(found: int, like: int, counts: Any, accept: Any) -> int:
    """Give the number of different spins around a voxel, or 0 if it could take none of them over."""
    for k in range(found):
        if chance(accept, like, counts[k]) > 0:
            return found
    return 0


@fast_kernel
def disturb(events: Any, voxel: Any) -> None:
    """Mark that the neighbourhoods of a voxel and its neighbours have changed."""
    z, y, x = voxel
    for dz in range(-1, 2):
        nz = neighbour(z, dz, events.shape[0], True)
        for dy in range(-1, 2):
            ny = neighbour(y, dy, events.shape[1], True)
            for dx in range(-1, 2):
                events[nz, ny, neighbour(x, dx, events.shape[2], True)] = UNKNOWN


@fast_kernel
def sweep_potts(window: Any, key: Any, accept: Any, events: Any, spins: Any) -> None:
    """Let the voxels of a window try one flip each, in a periodic volume.

    A voxel draws one of 26 chances; as many of them as there are different spins around it stand for one of these
    each, the rest for nothing. Voxels that can change nothing are skipped without a random number.

    Parameters
    ----------
    window
        (3, 3) int64: first, end and step along z, y and x.
    key
        64 bits, `sweep_key`.
    accept
        (27,) uint64: chance of a flip by the energy it costs, in units of 2⁻³².
    events
        (Z, Y, X) uint8: number of different spins around each voxel, 0 if it cannot flip, or `UNKNOWN`.
    spins
        (Z, Y, X) int32, changed in place.
    """
    _, rows, cols = spins.shape
    others, counts = np.empty(NEIGHBOURS, np.int32), np.empty(NEIGHBOURS, np.int32)
    for z in range(window[0, 0], window[0, 1], window[0, 2]):
        for y in range(window[1, 0], window[1, 1], window[1, 2]):
            for x in range(window[2, 0], window[2, 1], window[2, 2]):
                if events[z, y, x] == 0:
                    continue
                bits = draw(key, (z * rows + y) * cols + x)
                choice = below(bits, NEIGHBOURS)
                if choice >= events[z, y, x]:
                    continue
                found, like = gather(spins, (z, y, x), PERIODIC, others, counts)
                events[z, y, x] = count_events(found, like, counts, accept)
                if choice >= events[z, y, x]:
                    continue
                if bits & np.uint64(CERTAIN - 1) < chance(accept, like, counts[choice]):
                    spins[z, y, x] = others[choice]
                    disturb(events, (z, y, x))


@fast_kernel
def sweep_mobile(window: Any, key: Any, accept: Any, mobility: Any, corner: Any, spins: Any) -> None:
    """Let the mobile voxels of a window try one flip each, in a volume that ends at its faces.

    Each tries one of the different spins around it; its mobility is a further chance.

    Parameters
    ----------
    window, key, accept
        As in `sweep_potts`.
    mobility
        (D, W, L) int32: 0 to `FULL`, or `MOLTEN` for voxels that do not take part.
    corner
        (3,) int64: where in the volume the first voxel of `mobility` lies.
    spins
        (Z, Y, X) int32, changed in place.
    """
    _, rows, cols = spins.shape
    others, counts = np.empty(NEIGHBOURS, np.int32), np.empty(NEIGHBOURS, np.int32)
    for z in range(window[0, 0], window[0, 1], window[0, 2]):
        for y in range(window[1, 0], window[1, 1], window[1, 2]):
            for x in range(window[2, 0], window[2, 1], window[2, 2]):
                mobile = mobility[z - corner[0], y - corner[1], x - corner[2]]
                if mobile <= 0:
                    continue
                bits = draw(key, (z * rows + y) * cols + x)
                hurdle = (bits & np.uint64(CERTAIN - 1)) * np.uint64(FULL)
                if hurdle >= np.uint64(CERTAIN) * np.uint64(mobile):
                    continue
                found, like = gather(spins, (z, y, x), BOUNDED, others, counts)
                if found == 0:
                    continue
                choice = below(bits, found)
                if hurdle < chance(accept, like, counts[choice]) * np.uint64(mobile):
                    spins[z, y, x] = others[choice]


@fast_kernel
def melt(window: Any, key: Any, mobility: Any, corner: Any, spins: Any) -> None:
    """Give every molten voxel of a window a random spin of 31 bits.

    Parameters
    ----------
    window, key, mobility, corner
        As in `sweep_mobile`.
    spins
        (Z, Y, X) int32, changed in place.
    """
    _, rows, cols = spins.shape
    for z in range(window[0, 0], window[0, 1], window[0, 2]):
        for y in range(window[1, 0], window[1, 1], window[1, 2]):
            for x in range(window[2, 0], window[2, 1], window[2, 2]):
                if mobility[z - corner[0], y - corner[1], x - corner[2]] == MOLTEN:
                    spins[z, y, x] = np.int64(draw(key, (z * rows + y) * cols + x) >> np.uint64(33))
