"""An engine without any library, for the tests of programs that embed microrun.

Its sibling is `microrun.runtime.MemorySource`, the in-memory scan.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from microrun.runtime.array_types import Float32
from microrun.runtime.engines.engine import Engine, EngineInfo, Lane
from microrun.runtime.spec import ModelSpec


class FunctionLane(Lane):
    """A lane that applies a function to its inputs.

    Parameters
    ----------
    function
        Of (n, *input_shape) float32 to (n, *output_shape) float32.
    input_shape
        (batch, *input_shape).
    """

    def __init__(self, function: Callable[[Float32], Float32], input_shape: tuple[int, ...]) -> None:
        self.inputs = np.zeros(input_shape, np.float32)
        self._function = function

    def compute(self, count: int) -> Float32:
        """Apply the function to the first rows of the inputs."""
        return self._function(self.inputs[:count])


class ProjectionEngine(Engine):
    """An encoder whose latents are fixed random projections of the prepared pattern.

    Parameters
    ----------
    spec
        Of an encoder.
    lanes, batch
        As any engine has.

    Attributes
    ----------
    weights : (pixels, D) float32
        What patterns are multiplied with.
    """

    def __init__(self, spec: ModelSpec, lanes: int = 2, batch: int = 16) -> None:
        pixels = int(np.prod(spec.input_shape))
        weights = np.random.default_rng(0).standard_normal((pixels, spec.latent_size), np.float32)
        self.weights: Float32 = weights / np.float32(np.sqrt(pixels))
        info = EngineInfo(Path(f"{spec.name}.test"), "0" * 64, "NumPy", "cpu", "f32", lanes, batch)
        super().__init__(spec, info)

    def lane(self) -> FunctionLane:
        """Make a worker."""
        return FunctionLane(self.project, (self.info.batch, *self.spec.input_shape))

    def project(self, inputs: Float32) -> Float32:
        """Project (n, 1, H, W) float32 to (n, D); one by one, so that results never depend on the batch."""
        return np.stack([pattern.ravel() @ self.weights for pattern in inputs])
