"""Melt pools: the temperature around a laser that moves over metal."""
