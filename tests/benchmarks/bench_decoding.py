"""What it costs to decode a block without specks, and to relax boundaries, in one run.

    python tests/benchmarks/bench_decoding.py

prints medians: milliseconds a block of 32³ takes beside NumPy's nearest colours (which leave specks), and voxels tried
per second by the sweeps beside the slow twin in plain Python.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from timing import median_seconds

sys.path.insert(0, str(Path(__file__).parents[1] / "help"))
import potts_oracles as oracles

from microrun.runtime.colour_codes import colour_values, nearest_colours
from microrun.runtime.generation.decode_block import decode_block
from microrun.runtime.progress import finish
from microrun.runtime.volumes.relax import relax
from microrun.training.simulate.potts import Growth, grow_potts

COLOURS, BITS, SIDE, SWEEPS, REPEATS = 128, 7, 32, 26, 7
WRONG = 0.015  # of the bits: a tenth of the voxels, as the built-in model says them


def slow_rate(labels: np.ndarray) -> float:
    accept = [1 << 32] + [0] * 26
    started = time.perf_counter()
    for number, place in enumerate(np.ndindex(labels.shape)):
        oracles.try_flip(labels, place, oracles.draw(1, number), 1, True, accept)
    return labels.size / (time.perf_counter() - started)


def main() -> None:
    *_, spins = grow_potts(Growth((64, 64, 64), 20), 0)
    rng = np.random.default_rng(0)
    values = colour_values(spins[:SIDE, :SIDE, :SIDE] % COLOURS, COLOURS, BITS)
    values = np.where(rng.random(values.shape) < WRONG, -values, values)
    known = np.zeros((SIDE, SIDE, SIDE), bool)
    ours = median_seconds(lambda: decode_block(values, COLOURS, known), REPEATS)
    nearest = median_seconds(lambda: nearest_colours(values, COLOURS), REPEATS)
    print(f"a block of {SIDE}³     {1e3 * ours:6.1f} ms, {1e3 * nearest:.1f} ms by nearest colours")
    seconds = median_seconds(lambda: finish(relax(spins.copy(), SWEEPS)), REPEATS)
    rate, slow = SWEEPS * spins.size / seconds, slow_rate(spins[:12, :12, :12].copy())
    said = f"{rate / 1e6:.1f} million voxels/s, {rate / slow:,.0f} times the slow twin"
    print(f"{SWEEPS} sweeps of 64³  {1e3 * seconds:6.1f} ms, {said}")


if __name__ == "__main__":
    main()
