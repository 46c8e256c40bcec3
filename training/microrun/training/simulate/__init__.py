"""Scans and volumes with known truth."""
