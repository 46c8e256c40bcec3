"""Which engines `microrun bench encode` measures: the user's own, or random ones of some latent sizes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any, Protocol, cast, get_args

import numpy as np

from microrun.cli.bench.subjects import Subject
from microrun.runtime.cores import count_cores
from microrun.runtime.engines.catalogue import find_model
from microrun.runtime.engines.engine import Device, EngineRequest, Precision
from microrun.runtime.engines.open import open_engine, read_model_spec
from microrun.runtime.errors import EngineError, MicrorunError, SpecError
from microrun.runtime.maps.compared_models import check_alike
from microrun.runtime.spec import ModelSpec

CALIBRATION_PATTERNS = 32
Say = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """In which ways models are to be measured: on every device, with every request."""

    devices: Sequence[Device]
    requests: Sequence[EngineRequest]

    @classmethod
    def parse(cls, devices: Sequence[str], precisions: Sequence[str], lanes: int | None, batch: int | None) -> Wanted:
        """Check what was given on the command line; EngineError if it makes no sense."""
        for device in devices:
            if device not in get_args(Device):
                raise EngineError(f"device must be one of {', '.join(get_args(Device))}; got {device!r}")
        requests = [EngineRequest(cast(Precision, precision), lanes, batch) for precision in precisions]
        return cls([cast(Device, device) for device in devices], requests)


class Model(Protocol):
    """Something to open in several precisions; `network` is torch's, of the peer, or None."""

    name: str
    network: Any

    def file(self, precision: Precision) -> Path:
        """The file that computes in this precision."""


class GivenModel:
    """A file of the user's, or a built-in model."""

    network = None

    def __init__(self, name: str) -> None:
        self.name = name
        self._path = find_model(name)
        kind = read_model_spec(self._path).kind
        if kind != "encoder":
            raise SpecError(f"{self._path}: is a {kind}; encoding needs an encoder")

    def file(self, precision: Precision) -> Path:
        """The file itself, in any precision."""
        return self._path


class RandomModel:
    """An encoder with random weights, which is as fast as a trained one.

    Parameters
    ----------
    latent_size
        D.
    folder
        For its files.
    """

    def __init__(self, latent_size: int, folder: Path) -> None:
        import torch

        from microrun.training.vae.checkpoint import save_checkpoint
        from microrun.training.vae.network import VAE

        torch.manual_seed(0)
        torch.set_num_threads(count_cores())
        network = VAE(latent_size).eval()
        self.name, self.network = f"D = {latent_size}", network
        self._spec = ModelSpec(f"vae{latent_size}", "encoder", latent_size)
        self._checkpoint = folder / f"vae{latent_size}.safetensors"
        save_checkpoint(self._checkpoint, network.state_dict(), self._spec)

    def file(self, precision: Precision) -> Path:
        """An .onnx file whose weights suit the precision, made when it is first asked for."""
        from microrun.export.vae_to_onnx import export_checkpoint

        weights = precision if precision in ("f16", "int8") else "f32"
        path = self._checkpoint.with_name(f"{self._checkpoint.stem}-{weights}.onnx")
        if path.exists():
            return path
        if weights == "int8":
            self._quantise(self.file("f32"), path)
        else:
            export_checkpoint(self._checkpoint, path, weights)
        return path

    def _quantise(self, source: Path, path: Path) -> None:
        """Calibrate on noise, and compare with nothing: random weights have no maps to be judged by, only a speed."""
        import onnx

        from microrun.export.graph import save_model
        from microrun.export.quantize_model import quantise_model

        shape = (CALIBRATION_PATTERNS, *self._spec.input_shape)
        noise = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
        model = quantise_model(onnx.load(source), noise)
        save_model(model, dataclasses.replace(self._spec, precision="int8"), path)


def open_subjects(
    models: Sequence[Model], wanted: Wanted, held: ExitStack, say: Say
) -> tuple[list[Subject], list[str]]:
    """Open every model on every device in every precision.

    Parameters
    ----------
    models, wanted
        What to open, and how.
    held
        Closes the engines.
    say
        Called with what is being done.

    Returns
    -------
    subjects : list of Subject
        At least one; what comes to the same, such as "auto" and what it chose, is there once.
    refused : list of str
        What cannot be opened here, and why.

    Raises
    ------
    EngineError
        If nothing can be opened.
    SpecError
        If a file's spec does not fit it, or engines prepare patterns in different ways.
    """
    subjects: list[Subject] = []
    refused: list[EngineError] = []
    for model, device, request in product(models, wanted.devices, wanted.requests):
        say(f"{model.name}: opening in {request.precision} on {device}")
        try:
            path = model.file(request.precision)
            engine = held.enter_context(open_engine(path, device, request))
        except SpecError:
            raise
        except EngineError as error:
            refused.append(EngineError(f"{model.name}, {request.precision} on {device}: {error}"))
            continue
        if all(engine.info != other.engine.info for other in subjects):
            single = partial(open_engine, path, device, EngineRequest(request.precision, 1, 1))
            subjects.append(Subject(model.name, engine, single, model.network))
    if not subjects:
        raise EngineError("; ".join(map(str, refused)))
    check_alike([subject.engine for subject in subjects])
    return subjects, list(map(str, refused))


def check_latent_sizes(sizes: Sequence[int]) -> None:
    """Raise ModuleNotFoundError for what random models need, or MicrorunError for a size that they do not have."""
    for module in ("torch", "onnx", "kikuchipy"):
        if find_spec(module) is None:
            raise ModuleNotFoundError(name=module)
    from microrun.training.vae.network import check_latent_size

    for size in sizes:
        try:
            check_latent_size(size)
        except ValueError as error:
            raise MicrorunError(str(error)) from None
