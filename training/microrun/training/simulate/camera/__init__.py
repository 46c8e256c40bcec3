"""Patterns of any phase as real cameras show them, each with its noise-free twin: what encoders learn from."""
