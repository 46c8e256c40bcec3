"""Speed of melt pools: kernels against their slow twins, and seconds of the three fields.

    python tests/benchmarks/bench_melt_pool.py

prints medians: nanoseconds per cell and step, and how many times as fast as the slow twin in numpy (conduction) and in
plain Python (flow); then seconds, size and distance from steady of each field at four powers and speeds.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "help"))
import melt_pool_oracles as oracles
from timing import median_seconds

from microrun.kernels.conduction import conduct, find_potentials
from microrun.kernels.melt_flow import GHOSTS, FlowLaw, advect, push
from microrun.runtime.progress import finish
from microrun.training.simulate.melt_pool.field import FieldKind
from microrun.training.simulate.melt_pool.measure import measure_pool
from microrun.training.simulate.melt_pool.process import Process
from microrun.training.simulate.melt_pool.solve import compute_field

REPEATS = 5
SHAPE, SMALL = (44, 52, 208), (4, 6, 12)
FLOW_LAW = FlowLaw(*map(np.float32, (0.05, 0.01, -3e-4, 2e-7, 1e7, 1650.0, 73.0)))
PLACES = [(100.0, 0.5), (150.0, 0.9), (200.0, 0.7), (200.0, 1.0)]


def bench_conduction() -> tuple[float, float]:
    """Seconds per cell of the kernel and of numpy."""
    law, number = oracles.law_of(), np.float32(1e-5)
    enthalpy = np.random.default_rng(0).uniform(0, 2e6, SHAPE).astype(np.float32)
    potential, out, heating = np.empty_like(enthalpy), np.empty_like(enthalpy), np.zeros(SHAPE[1:], np.float32)
    window, shares = np.array([[0, side, 1] for side in SHAPE]), np.ones(SHAPE[0], np.float32)
    find_potentials(window, law, enthalpy, potential)
    fast = median_seconds(lambda: conduct(window, law, number, heating, shares, potential, enthalpy, out), REPEATS)

    def slow() -> None:
        kelvin = oracles.temperature_of(law, enthalpy.astype(np.float64))
        oracles.conducted(law, float(number), kelvin)

    return fast / enthalpy.size, median_seconds(slow, 1) / enthalpy.size


def bench_flow(kernel: Callable[..., None], slow: Callable[[list[np.ndarray]], object]) -> tuple[float, float]:
    """Seconds per cell of a kernel in a large box, and of its slow twin in a small one."""
    seconds = []
    for shape in ((16, 24, 96), SMALL):
        rng = np.random.default_rng(0)
        padded = [side + 2 * GHOSTS for side in shape]
        fields = [rng.uniform(-3, 3, padded).astype(np.float32) for _ in range(3)]
        fields += [rng.uniform(1600, 3000, padded).astype(np.float32), rng.normal(size=padded).astype(np.float32)]
        if shape == SMALL:
            seconds.append(median_seconds(lambda fields=fields: slow(fields), 1) / np.prod(shape))
            continue
        flat, out = [field.ravel() for field in fields], np.zeros(fields[0].size, np.float32)
        window = np.array([[GHOSTS + 1, GHOSTS + side, 1] for side in shape])
        strides = np.array(fields[0].strides) // 4
        shear = np.zeros(padded[0], np.float32)
        flows = tuple(flat[:3])
        if kernel is advect:
            rest: tuple[object, ...] = (np.float32(0.05), flows, flat[3], out)
        else:
            rest = (FLOW_LAW, flows, flat[3], flat[4], shear, out)
        work = lambda rest=rest, window=window, strides=strides: kernel(window, strides, *rest)  # noqa: E731
        seconds.append(median_seconds(work, REPEATS) / np.prod(shape))
    return seconds[0], seconds[1]


def bench_fields() -> None:
    print(f"\n{'field':<12}{'W, m/s':>12}{'seconds':>10}{'CPU s':>8}{'width':>8}{'depth':>8}{'K from steady':>15}")
    for kind in get_args(FieldKind):
        for power, speed in PLACES:
            started, cpu = time.perf_counter(), time.process_time()
            field = finish(compute_field(Process(power, speed), kind=kind))
            seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
            pool = measure_pool(field)
            drift = field.balance.drift_k if field.balance else 0.0
            place = f"{power:g}, {speed:g}"
            print(
                f"{kind:<12}{place:>12}{seconds:>10.2f}{cpu:>8.2f}{pool.width_um:>8.1f}{pool.depth_um:>8.1f}{drift:>15.2f}"
            )


def main() -> None:
    print(f"{'kernel, one thread':<28}{'ns per cell':>12}{'× slow twin':>13}")
    ghosts = GHOSTS
    rows = {
        "conduction": bench_conduction(),
        "advection of heat": bench_flow(advect, lambda it: oracles.advected(0.05, it[:3], it[3], ghosts)),
        "one velocity": bench_flow(push, lambda it: oracles.pushed(FLOW_LAW, it[:3], 2, it[3], it[4], ghosts)),
    }
    for name, (fast, slow) in rows.items():
        print(f"{name:<28}{fast * 1e9:>12.2f}{slow / fast:>13,.0f}")
    print(f"cores: {os.cpu_count()}")
    bench_fields()


if __name__ == "__main__":
    main()
