"""Simulated scans with known truth; needs kikuchipy, not torch."""

from microrun.training.simulate.patterns import Exposure, PatternSimulator
from microrun.training.simulate.sample import Recipe, Sample, grow_sample, map_sample, random_sample, scatter_sample
from microrun.training.simulate.scan import simulate_scan

__all__ = [
    "Exposure",
    "PatternSimulator",
    "Recipe",
    "Sample",
    "grow_sample",
    "map_sample",
    "random_sample",
    "scatter_sample",
    "simulate_scan",
]
