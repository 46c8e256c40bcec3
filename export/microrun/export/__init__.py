"""Checkpoints to ONNX and engines."""
