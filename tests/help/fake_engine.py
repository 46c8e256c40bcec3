"""An engine made of any NumPy function, and pairs of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from microrun.runtime.array_types import Float32
from microrun.runtime.engines.engine import Engine, EngineInfo
from microrun.runtime.spec import ModelSpec, Preprocessing
from microrun.runtime.testing import FunctionLane


class FunctionEngine(Engine):
    """An engine that applies a function to each batch."""

    def __init__(self, spec: ModelSpec, function: Callable[[Float32], Float32], lanes: int = 2, batch: int = 4) -> None:
        path = Path(f"{spec.name}.{spec.kind}.onnx" if spec.kind == "decoder" else f"{spec.name}.onnx")
        super().__init__(spec, EngineInfo(path, "0" * 64, "NumPy", "cpu", "f32", lanes, batch))
        self.function = function

    def lane(self) -> FunctionLane:
        return FunctionLane(self.function, (self.info.batch, *self.spec.input_shape))


def identity_pair(side: int, batch: int = 64) -> tuple[FunctionEngine, FunctionEngine]:
    """An encoder whose latents are the pixels, and its decoder."""
    prepared = Preprocessing((side, side), 0)
    encoder, decoder = (ModelSpec("identity", kind, side * side, prepared) for kind in ("encoder", "decoder"))
    return (
        FunctionEngine(encoder, lambda patterns: patterns.reshape(len(patterns), -1), batch=batch),
        FunctionEngine(decoder, lambda latents: latents.reshape(-1, 1, side, side), batch=batch),
    )


def linear_decoder(spec: ModelSpec, seed: int = 0, lanes: int = 2, batch: int = 4) -> FunctionEngine:
    """A decoder: tanh of one matrix, float32."""
    return FunctionEngine(spec, lambda latents: decode_linearly(latents, spec, seed).astype(np.float32), lanes, batch)


def decode_linearly(latents: np.ndarray, spec: ModelSpec, seed: int = 0) -> np.ndarray:
    """What `linear_decoder` computes, (n, 1, H, W) in float64."""
    shape = spec.preprocessing.input_shape
    matrix = np.random.default_rng(seed).standard_normal((spec.latent_size, shape[0] * shape[1]))
    return np.tanh(latents.astype(np.float64) @ matrix).reshape(-1, 1, *shape)
