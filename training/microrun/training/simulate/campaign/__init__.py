"""Campaigns: many cases of power and speed, from melt pools to the sections that models learn from."""
