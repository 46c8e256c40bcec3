"""Solidification behind a melt pool: a phase field on twenty orientations, track by track and layer by layer."""
