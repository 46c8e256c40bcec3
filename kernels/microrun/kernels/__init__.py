"""Compiled kernels on NumPy arrays: the only room that knows numba."""
