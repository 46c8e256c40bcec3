"""Engines: what runs a model on some device, behind one small protocol."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, Protocol, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.closing import Closing
from microrun.runtime.errors import EngineError, SpecError
from microrun.runtime.spec import ModelSpec

Float32 = NDArray[np.float32]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "f32", "bf16", "f16", "int8"]
MODELS = Path(__file__).parent / "models"
DEFAULT_ENGINE = "vae32"
DECODER_STEM = ".decoder"
PLAN_SUFFIX = ".plan"
Opened = TypeVar("Opened")


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


@dataclass(frozen=True)
class Openers(Generic[Opened]):
    """What opens a model by each library.

    Parameters
    ----------
    plan
        A TensorRT plan, or a model that one is built of first.
    card
        By ONNX Runtime on a CUDA card.
    openvino, onnx
        On the CPU.
    """

    plan: Callable[[Path, EngineRequest], Opened]
    card: Callable[[Path, EngineRequest], Opened]
    openvino: Callable[[Path, EngineRequest], Opened]
    onnx: Callable[[Path, EngineRequest], Opened]


def open_engine(
    path: str | Path = DEFAULT_ENGINE, device: Device = "auto", request: EngineRequest = EngineRequest()
) -> Engine:
    """Open a model with the library and on the device that suit it and this machine.

    Parameters
    ----------
    path
        An .onnx file that carries a spec, the name of a built-in model, such as "vae32", or a .plan file with its
        sidecar, of TensorRT or TensorRT-RTX.
    device
        "auto" takes a CUDA card if a library can really use one, else the CPU.
    request
        Precision, lanes and batch; whether to build a plan first.

    Returns
    -------
    Engine
        ``engine.info`` says what was chosen.

    Raises
    ------
    EngineError
        If the file or what it needs is not there, or the device cannot do what was asked.
    SpecError
        If the file carries no spec, or one that does not fit its graph.
    """
    return open_with_best(path, device, request, Openers(_open_plan, _open_on_card, _open_by_openvino, _open_by_onnx))


def open_with_best(path: str | Path, device: Device, request: EngineRequest, openers: Openers[Opened]) -> Opened:
    """Find a model and open it by the library that suits it and this machine; arguments as for `open_engine`.

    Raises
    ------
    EngineError
        As `open_engine`.
    """
    if device not in get_args(Device):
        raise EngineError(f"device must be one of {', '.join(get_args(Device))}; got {device!r}")
    model = find_model(path)
    if model.suffix.lower() == PLAN_SUFFIX or request.build:
        if device == "cpu":
            raise EngineError(f"{model}: a plan runs on NVIDIA cards only; take the .onnx file on the CPU")
        return openers.plan(model, request)
    if device == "cuda" or (device == "auto" and _has("onnxruntime") and _offers_cuda()):
        try:
            if not _has("onnxruntime"):
                raise EngineError("a CUDA engine needs ONNX Runtime; pip install 'microrun[gpu]'")
            return openers.card(model, request)
        except SpecError:
            raise
        except EngineError as error:
            if device == "cuda":
                raise
            warnings.warn(f"no CUDA engine, taking the CPU: {error}", EngineWarning, stacklevel=3)
    if _has("openvino"):
        return openers.openvino(model, request)
    if _has("onnxruntime"):
        return openers.onnx(model, request)
    raise EngineError(f"{model.name}: nothing is installed that runs it; pip install 'microrun[cpu]'")


def open_reference(path: Path) -> Engine:
    """Open an .onnx file on the CPU in the most exact way there is here, to compare others with."""
    precision: Precision = "f32" if _has("openvino") else "auto"  # ONNX Runtime has the model's own only, never bf16
    return open_engine(path, "cpu", EngineRequest(precision, lanes=1))


def find_model(path: str | Path) -> Path:
    """Resolve a file, or the name of a built-in model.

    Raises
    ------
    EngineError
        If there is neither.
    """
    file = Path(path)
    if not file.is_file() and (MODELS / f"{path}.onnx").is_file():  # a folder may have its name
        return MODELS / f"{path}.onnx"
    if file.is_dir():
        raise EngineError(f"{file}: expected an .onnx or .plan file, got a directory")
    if not file.exists():
        names = ", ".join(sorted(model.stem for model in (*list_models(), *list_denoisers())))
        raise EngineError(f"{file}: no such file, and no built-in model ({names})")
    if file.suffix.lower() not in (".onnx", PLAN_SUFFIX):
        raise EngineError(f"{file}: this version opens .onnx and .plan files; got {file.suffix or 'no ending'!r}")
    return file


def list_models() -> list[Path]:
    """Built-in encoders, the smallest first; each has its decoder beside it."""
    return [path for path in _built_in() if _decoder_beside(path).is_file()]


def list_denoisers() -> list[Path]:
    """Built-in denoisers, the smallest first."""
    return [path for path in _built_in() if not _decoder_beside(path).is_file()]


def _built_in() -> list[Path]:
    models = [path for path in MODELS.glob("*.onnx") if not path.stem.endswith(DECODER_STEM)]
    return sorted(models, key=lambda path: path.stat().st_size)


def _decoder_beside(encoder: Path) -> Path:
    return encoder.with_name(encoder.stem + DECODER_STEM + encoder.suffix)


def find_decoder_of(path: str | Path) -> Path:
    """The decoder that was exported with an encoder: NAME.decoder.onnx beside NAME.onnx; a decoder stays itself.

    Raises
    ------
    EngineError
        If there is none.
    SpecError
        If the model is a denoiser.
    """
    encoder = find_model(path)
    if encoder.stem.endswith(DECODER_STEM):
        return encoder
    decoder = _decoder_beside(encoder)
    if not decoder.is_file():
        spec = read_model_spec(encoder)
        check_kind(encoder, spec)
        if spec.kind == "decoder":
            return encoder
        raise EngineError(f"{decoder}: no such file; export encoder and decoder together with `microrun export`")
    return decoder


def read_model_spec(path: Path) -> ModelSpec:
    """Read the spec inside an .onnx file, with whichever library is installed, or beside a .plan file.

    Raises
    ------
    EngineError
        If the file cannot be read.
    SpecError
        If it carries no spec.
    """
    if path.suffix.lower() == PLAN_SUFFIX:
        from microrun.runtime.plan import read_record

        return read_record(path).spec
    if _has("openvino"):
        from microrun.runtime import engine_openvino

        return engine_openvino.read_model(path)[1]
    if _has("onnxruntime"):
        from microrun.runtime import engine_onnx

        return engine_onnx.read_spec(path)
    raise EngineError(f"{path}: nothing is installed that reads it; pip install 'microrun[cpu]'")


def check_shapes(path: Path, spec: ModelSpec, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> None:
    """Compare a graph's shapes, without the batch, with its spec.

    Raises
    ------
    SpecError
        If they differ.
    """
    if (input_shape, output_shape) != (spec.input_shape, spec.output_shape):
        size = f", D = {spec.latent_size}" if spec.latent_size else ""
        raise SpecError(
            f"{path}: its spec ({spec.kind}{size}) means {spec.input_shape} → {spec.output_shape} "
            f"per sample; the graph is {input_shape} → {output_shape}. Export the model again"
        )


def check_kind(path: Path, spec: ModelSpec, generates: bool = False) -> None:
    """Raise SpecError if a denoiser is wanted (``generates``) and this is none, or the other way round."""
    if (spec.kind == "denoiser") == generates:
        return
    needed = "generation needs a denoiser" if generates else "this needs an encoder or a decoder"
    raise SpecError(f"{path}: is {'an' if spec.kind == 'encoder' else 'a'} {spec.kind}; {needed}")


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _offers_cuda() -> bool:
    from microrun.runtime.engine_onnx import offers_cuda

    return offers_cuda()


def _open_plan(model: Path, request: EngineRequest) -> Engine:
    from microrun.runtime.build_plan import build_cached
    from microrun.runtime.engine_tensorrt import TensorrtEngine

    if model.suffix.lower() == PLAN_SUFFIX:
        return TensorrtEngine(model, request)
    plan = build_cached(model, request.batch)
    try:
        return TensorrtEngine(plan, request)
    except EngineError:
        plan.unlink()  # of a cache: whatever is wrong with it, the next time it is built anew
        raise


def _open_on_card(path: Path, request: EngineRequest) -> Engine:
    from microrun.runtime.engine_onnx_cuda import OnnxCudaEngine

    return OnnxCudaEngine(path, request)


def _open_by_openvino(path: Path, request: EngineRequest) -> Engine:
    from microrun.runtime.engine_openvino import OpenvinoEngine

    return OpenvinoEngine(path, request)


def _open_by_onnx(path: Path, request: EngineRequest) -> Engine:
    from microrun.runtime.engine_onnx import OnnxEngine

    return OnnxEngine(path, request)
