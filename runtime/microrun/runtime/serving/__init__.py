"""The embedding beyond Python: a process with a warm engine that other programs push patterns to."""
