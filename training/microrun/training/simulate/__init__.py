"""Simulated scans with known truth; needs kikuchipy, not torch."""

from microrun.training.simulate.patterns import Exposure, PatternSimulator
from microrun.training.simulate.sample import Sample, grow_sample, random_sample
from microrun.training.simulate.scan import simulate_scan

__all__ = ["Exposure", "PatternSimulator", "Sample", "grow_sample", "random_sample", "simulate_scan"]
