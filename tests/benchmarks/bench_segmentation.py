"""Segmentation against scikit-learn's DBSCAN, in one run.

    python tests/benchmarks/bench_segmentation.py [--threads 2] [--large]

prints medians: voxels per second, and how many times scikit-learn's speed with the same label array; ``--large`` adds
128³ to the comparison, where scikit-learn takes half a minute. 256³ is timed without a peer.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))
from segmentation_oracles import random_grains, sklearn_dbscan

from microrun.runtime.segment import SegmentOptions, Volume, segment

REPEATS = 9
VOXELS_PER_GRAIN = 1728
SCALE = 100.0
COMPARED = 128  # largest side


def time_ours(values: NDArray[np.float32], threads: int) -> tuple[float, NDArray[np.int32]]:
    """Median seconds, and the labels."""
    labels = np.empty(values.shape, np.int32)
    volume, options = Volume(values, "benchmark"), SegmentOptions(SCALE)
    segment(volume, options, labels, threads)
    return statistics.median(segment(volume, options, labels, threads).seconds for _ in range(REPEATS)), labels


def time_sklearn(values: NDArray[np.float32], labels: NDArray[np.int32]) -> float:
    """Seconds of one run, whose labels must be ours."""
    started = time.perf_counter()
    theirs = sklearn_dbscan(values, 1.9, 15, SCALE)
    elapsed = time.perf_counter() - started
    assert (theirs == labels).all()
    return elapsed


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--large", action="store_true")
    options = parser.parse_args()
    print(f"{'volume':<8}{'grains':>8}{'noise':>8}{'ms':>9}{'Mvoxel/s':>10}{'× scikit-learn':>16}")
    for side in (32, 64, 128, 256):
        values = random_grains((side, side, side), max(2, side**3 // VOXELS_PER_GRAIN))
        seconds, labels = time_ours(values, options.threads)
        compared = side < COMPARED or (side == COMPARED and options.large)
        ratio = f"{time_sklearn(values, labels) / seconds:.0f}" if compared else "-"
        noise = f"{np.mean(labels < 0):.1%}"
        print(
            f"{side}³".ljust(8) + f"{labels.max() + 1:>8,}{noise:>8}{seconds * 1e3:>9.1f}"
            f"{values.size / seconds / 1e6:>10.1f}{ratio:>16}"
        )


if __name__ == "__main__":
    main()
