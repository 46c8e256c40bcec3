"""Tilings of thousands of blocks, and noise against NumPy's generator, one core, in one run.

    python tests/benchmarks/bench_tiling.py

prints medians.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from timing import median_seconds

from microrun.kernels.noise import normal_noise
from microrun.runtime.generation.tiling import tile_anisotropic, tile_isotropic

REPEATS = 9
BATCH, BLOCK_SHAPE = 8, (32, 32, 32)


def bench_tiling() -> None:
    print(f"{'tiling':<24}{'blocks':>10}{'ms':>10}{'ms, with a part':>18}")
    for tile in (tile_isotropic, tile_anisotropic):
        for size in (128, 320, 512):
            shape = (size, size, size)
            part = np.zeros(shape, bool)
            part[size // 4 :, size // 5 :, : 3 * size // 4] = True
            whole, masked = (median_seconds(partial(tile, shape, mask), REPEATS) for mask in (None, part))
            name = f"{tile.__name__[5:]} {size}³"
            print(f"{name:<24}{len(tile(shape)):>10,}{whole * 1e3:>10.1f}{masked * 1e3:>18.1f}")


def bench_noise() -> None:
    out, ids = np.empty((BATCH, *BLOCK_SHAPE), np.float32), np.arange(BATCH)
    generators = {"PCG64": np.random.Generator(np.random.PCG64(0)), "Philox": np.random.Generator(np.random.Philox(0))}
    rows: dict[str, Callable[[], object]] = {"normal_noise": lambda: normal_noise(1, ids, 2, out)}
    for name, generator in generators.items():
        rows[f"NumPy {name}"] = lambda generator=generator: generator.standard_normal(dtype=np.float32, out=out)
    seconds = {name: median_seconds(work, REPEATS) for name, work in rows.items()}
    print(f"\n{'float32 normals':<24}{'ns each':>10}{'× slower':>10}")
    for name, took in seconds.items():
        print(f"{name:<24}{took / out.size * 1e9:>10.2f}{took / seconds['normal_noise']:>10.2f}")


if __name__ == "__main__":
    bench_tiling()
    bench_noise()
