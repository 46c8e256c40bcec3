"""Engines: what runs a model on some device, behind one small protocol."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, get_args

from microrun.runtime.array_types import Float32
from microrun.runtime.errors import EngineError
from microrun.runtime.files.closing import Closing
from microrun.runtime.spec import ModelSpec

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "f32", "bf16", "f16", "int8"]


class EngineWarning(UserWarning):
    """A choice that the user should know of."""


@dataclass(frozen=True)
class EngineInfo:
    """What was opened.

    Parameters
    ----------
    path, sha256
        The model file and its hash.
    library
        Name and version of what runs it.
    device
        "cpu" or "cuda".
    precision
        That it computes in: "f32", "bf16", "f16" or "int8".
    lanes
        Workers that it runs well with.
    batch
        Patterns per run; a shorter batch is padded, so that results never depend on its size.
    unit
        What a batch holds, for people: a denoiser's are "samples".
    """

    path: Path
    sha256: str
    library: str
    device: str
    precision: str
    lanes: int
    batch: int
    unit: str = "patterns"

    def __str__(self) -> str:
        return (
            f"{self.path.name} with {self.library} on {self.device} in {self.precision}, "
            f"{self.lanes} lanes of {self.batch} {self.unit}"
        )


@dataclass(frozen=True)
class EngineRequest:
    """What is asked of an engine.

    Parameters
    ----------
    precision
        "auto" takes the fastest that the device computes natively.
    lanes, batch
        None for what the device does well.
    build
        Build a TensorRT plan for this machine's card first, unless it is in the cache already.
    """

    precision: Precision = "auto"
    lanes: int | None = None
    batch: int | None = None
    build: bool = False

    def __post_init__(self) -> None:
        if self.precision not in get_args(Precision):
            raise EngineError(f"precision must be one of {', '.join(get_args(Precision))}; got {self.precision!r}")
        for name, value in (("lanes", self.lanes), ("batch", self.batch)):
            if value is not None and not 1 <= value <= 4096:
                raise EngineError(f"{name} must be 1 to 4096; got {value}")


class Lane(Protocol):
    """One worker of an engine with its own buffers; not to be shared between threads."""

    def run(self, inputs: Float32) -> Float32:
        """Run (n, *input_shape) float32, n at most the batch; the result is valid until the next run."""


class Engine(Closing, ABC):
    """A model that is ready to run.

    Parameters
    ----------
    spec
        What the model is.
    info
        What runs it, and how.
    """

    def __init__(self, spec: ModelSpec, info: EngineInfo) -> None:
        self.spec, self.info = spec, info

    @abstractmethod
    def lane(self) -> Lane:
        """Make a worker with buffers of its own."""
