"""Which models are measured: the user's own or random ones, opened on every device in every precision."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, cast, get_args

import numpy as np

from microrun.cli.bench.measurement import Table
from microrun.runtime.cores import count_cores
from microrun.runtime.engines.catalogue import find_model
from microrun.runtime.engines.denoiser import Denoiser
from microrun.runtime.engines.engine import Device, Engine, EngineInfo, EngineRequest, Precision
from microrun.runtime.engines.open import read_model_spec
from microrun.runtime.errors import EngineError, MicrorunError, SpecError
from microrun.runtime.generation.overlaps import BLOCK
from microrun.runtime.progress import Job, Progress, finish
from microrun.runtime.spec import Diffusion, ModelSpec

CALIBRATION_PATTERNS = 32
Ask = tuple[Device, EngineRequest]
Runner = TypeVar("Runner", Engine, Denoiser)


@dataclass(frozen=True)
class Model:
    """A model's name, what gives the file that computes in a precision, and torch's network for a peer or None."""

    name: str
    file: Callable[[Precision], Path]
    network: Any = field(default=None, repr=False)


@dataclass(frozen=True)
class Subject(Generic[Runner]):
    """A model, open, and what opens it again with one lane and a batch of one."""

    model: Model
    engine: Runner
    open_single: Callable[[], Runner]

    def table(self) -> Table:
        """A table without measurements yet."""
        return engine_table(self.model.name, self.engine.info)


def engine_table(name: str, info: EngineInfo) -> Table:
    """A table of what an engine will be measured to do."""
    workers = f"{info.lanes} lane{'s' * (info.lanes > 1)} of {info.batch}"
    facts = {"model": name, **dataclasses.asdict(info)}
    return Table(f"{name}, {info.precision} on {info.device}", f"{info.library}, {workers}", facts)


def parse_asks(devices: Sequence[str], precisions: Sequence[str], lanes: int | None, batch: int | None) -> list[Ask]:
    """Every device with every precision; EngineError for what makes no sense."""
    for device in devices:
        if device not in get_args(Device):
            raise EngineError(f"device must be one of {', '.join(get_args(Device))}; got {device!r}")
    requests = [EngineRequest(cast(Precision, precision), lanes, batch) for precision in precisions]
    return list(product(cast(Sequence[Device], devices), requests))


def open_models(
    models: Sequence[Model],
    asks: Sequence[Ask],
    open_model: Callable[[Path, Device, EngineRequest], Runner],
    held: ExitStack,
) -> Job[tuple[list[Subject[Runner]], list[str]]]:
    """Open every model on every device in every precision; ``held`` closes what was opened.

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
        If a file's spec does not fit it.
    """
    subjects: list[Subject[Runner]] = []
    refused: list[str] = []
    for number, (model, (device, request)) in enumerate(product(models, asks)):
        how = f"{request.precision} on {device}"
        yield Progress(number, len(models) * len(asks), f"{model.name}: opening in {how}")
        try:
            path = model.file(request.precision)
            engine = held.enter_context(open_model(path, device, request))
        except SpecError:
            raise
        except EngineError as error:
            refused.append(f"{model.name}, {how}: {error}")
            continue
        if all(engine.info != other.engine.info for other in subjects):
            single = partial(open_model, path, device, EngineRequest(request.precision, 1, 1))
            subjects.append(Subject(model, engine, single))
    if not subjects:
        raise EngineError("; ".join(refused))
    return subjects, refused


def given_model(name: str) -> Model:
    """A file of the user's, or a built-in model; EngineError if there is none."""
    path = find_model(name)
    return Model(name, lambda precision: path)


def given_encoder(name: str) -> Model:
    """A given model; SpecError if it encodes nothing."""
    model = given_model(name)
    path = model.file("auto")
    read_model_spec(path).require("encoder", source=path, task="encoding")
    return model


def random_encoder(latent_size: int, folder: Path) -> Model:
    """An encoder of random weights, which is as fast as a trained one; its files are made when they are asked for."""
    import torch

    from microrun.training.vae.checkpoint import save_checkpoint
    from microrun.training.vae.network import VAE

    torch.manual_seed(0)
    torch.set_num_threads(count_cores())
    network = VAE(latent_size).eval()
    checkpoint = folder / f"vae{latent_size}.safetensors"
    save_checkpoint(checkpoint, network.state_dict(), ModelSpec(f"vae{latent_size}", "encoder", latent_size))
    return Model(f"D = {latent_size}", partial(_encoder_file, checkpoint), network)


def random_denoiser(folder: Path) -> Model:
    """A denoiser of random weights, likewise."""
    need_modules("torch", "onnx")
    return Model("random weights", partial(_denoiser_file, folder))


def check_latent_sizes(sizes: Sequence[int]) -> None:
    """Raise ModuleNotFoundError for what random encoders need, or MicrorunError for a size that they do not have."""
    need_modules("torch", "onnx", "kikuchipy")
    from microrun.training.vae.network import check_latent_size

    for size in sizes:
        try:
            check_latent_size(size)
        except ValueError as error:
            raise MicrorunError(str(error)) from None


def need_modules(*names: str) -> None:
    """Raise ModuleNotFoundError for the first one that is not installed."""
    for name in names:
        if find_spec(name) is None:
            raise ModuleNotFoundError(name=name)


def _encoder_file(checkpoint: Path, precision: Precision) -> Path:
    from microrun.export.vae_to_onnx import export_checkpoint

    weights = precision if precision in ("f16", "int8") else "f32"
    path = checkpoint.with_name(f"{checkpoint.stem}-{weights}.onnx")
    if path.exists():
        return path
    if weights == "int8":
        _quantise(_encoder_file(checkpoint, "f32"), path)
    else:
        export_checkpoint(checkpoint, path, weights)
    return path


def _quantise(source: Path, path: Path) -> None:
    """Calibrate on noise, and compare with nothing: random weights have no maps to be judged by, only a speed."""
    import onnx

    from microrun.export.graph import save_model
    from microrun.export.quantize_model import quantise_model

    spec = read_model_spec(source)
    noise = np.random.default_rng(0).uniform(-1, 1, (CALIBRATION_PATTERNS, *spec.input_shape)).astype(np.float32)
    save_model(finish(quantise_model(onnx.load(source), noise)), dataclasses.replace(spec, precision="int8"), path)


def _denoiser_file(folder: Path, precision: Precision) -> Path:
    from microrun.export.graph import save_model
    from microrun.export.step_graph import trace_step
    from microrun.training.diffusion.config import GRAIN_SCHEDULE
    from microrun.training.diffusion.unet import UNet
    from microrun.training.diffusion.unet_config import GRAIN_UNET

    weights: Literal["f32", "f16"] = "f32" if precision == "f32" else "f16"
    path = folder / f"random-{weights}.onnx"
    if not path.exists():
        channels = GRAIN_UNET.in_channels
        diffusion = Diffusion((channels, BLOCK, BLOCK, BLOCK), GRAIN_SCHEDULE, n_colours=1 << channels)
        graph = trace_step(UNet(GRAIN_UNET), diffusion.sides, diffusion.schedule, weights)
        save_model(graph, ModelSpec("random", "denoiser", precision=weights, diffusion=diffusion), path)
    return path
