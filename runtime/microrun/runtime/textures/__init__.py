"""Textures: where the orientations of a volume's grains come from, and how neighbours get theirs."""
