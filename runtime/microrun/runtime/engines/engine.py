"""What runs a model on some device, behind one small interface: models make lanes, and lanes run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar, get_args

from microrun.runtime.array_types import Float32
from microrun.runtime.engines.process import OwnProcess
from microrun.runtime.errors import EngineError
from microrun.runtime.files.closing import Closing
from microrun.runtime.spec import ModelSpec

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "f32", "bf16", "f16", "int8"]
LaneT = TypeVar("LaneT", covariant=True)


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
        workers = "1 worker" if self.lanes == 1 else f"{self.lanes} workers"
        each = f"{self.batch} {self.unit.removesuffix('s') if self.batch == 1 else self.unit}"
        computed = f"{self.path.name} with {self.library} on {self.device} in {self.precision}"
        return f"{computed}, {workers} with {each} at a time"


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

    Examples
    --------
    >>> from microrun.runtime import EngineRequest, open_engine
    >>> with open_engine("vae32", "cpu", EngineRequest("f32", lanes=1, batch=8)) as engine:
    ...     print(engine.info.precision, engine.info.lanes, engine.info.batch)
    f32 1 8
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


class Model(Closing, ABC, Generic[LaneT]):
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
        self.process = OwnProcess()

    @abstractmethod
    def lane(self) -> LaneT:
        """Make a worker with buffers of its own; EngineError in a process that was forked since it was opened."""


class Lane(ABC):
    """One worker of an engine, not to be shared between threads.

    Attributes
    ----------
    inputs : (batch, *input_shape) float32
        The buffer that the engine reads: whoever prepares inputs writes them here, without a copy between.
    """

    inputs: Float32

    @abstractmethod
    def compute(self, count: int) -> Float32:
        """Run the first rows of `inputs`.

        Parameters
        ----------
        count
            How many, 1 to the batch. Behind them may lie anything.

        Returns
        -------
        (count, *output_shape) float32
            Valid until the next run.

        Raises
        ------
        EngineError
            If the library or the device fails.
        """

    def run(self, inputs: Float32) -> Float32:
        """Copy (n, *input_shape) float32, n at most the batch, into the buffer and run it, as `compute` does."""
        self.inputs[: len(inputs)] = inputs
        return self.compute(len(inputs))


class Engine(Model[Lane]):
    """An encoder or a decoder that is ready to run, made by `open_engine`.

    Parameters
    ----------
    spec
        What the model is.
    info
        What runs it, and how.
    """
