"""Which networks `microrun bench generate` measures: the user's own or a random one, and GrainPaint's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Literal

from microrun.cli.bench.engines import Wanted
from microrun.cli.bench.generate import Contender, contend_peer
from microrun.cli.bench.grainpaint import BIG, SMALL
from microrun.runtime.cores import count_cores
from microrun.runtime.engines.catalogue import find_model
from microrun.runtime.engines.denoiser import Denoiser
from microrun.runtime.engines.engine import Precision
from microrun.runtime.engines.open import open_denoiser
from microrun.runtime.errors import EngineError, SpecError
from microrun.runtime.generation.effort import check_block
from microrun.runtime.generation.tiling import BLOCK
from microrun.runtime.spec import Diffusion, ModelSpec

PEERS = (SMALL, BIG)
SOURCES = {"torch": "'microrun[train]'", "diffusers": "diffusers"}  # of what the peers need
Opened = list[tuple[str, Denoiser]]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Model:
    """A denoiser that can be opened: its name, and what gives the file that computes in a precision."""

    name: str
    file: Callable[[Precision], Path]


def list_models(names: Sequence[str], folder: Path) -> list[Model]:
    """Find models by their names; without any, make one of random weights, which is as fast as a trained one.

    Raises
    ------
    EngineError
        If there is no such model.
    ModuleNotFoundError
        If torch or onnx is missing that make a random one.
    """
    if names:
        return [Model(name, partial(_given, find_model(name))) for name in names]
    for module in ("torch", "onnx"):
        if find_spec(module) is None:
            raise ModuleNotFoundError(name=module)
    return [Model("random weights", partial(_random, folder))]


def open_denoisers(models: Iterable[Model], wanted: Wanted, held: ExitStack, say: Say) -> tuple[Opened, list[str]]:
    """Open every model on every device in every precision.

    Parameters
    ----------
    models, wanted
        What to open, and how.
    held
        Closes the denoisers.
    say
        Called with what is being done.

    Returns
    -------
    opened : list of tuple
        Names and denoisers, at least one; what comes to the same is there once.
    refused : list of str
        What cannot be opened here, and why.

    Raises
    ------
    EngineError
        If nothing can be opened, or a denoiser draws no blocks.
    SpecError
        If a file is no denoiser.
    """
    opened: Opened = []
    refused: list[str] = []
    for model, device, request in product(models, wanted.devices, wanted.requests):
        say(f"{model.name}: opening in {request.precision} on {device}")
        try:
            denoiser = held.enter_context(open_denoiser(model.file(request.precision), device, request))
        except SpecError:
            raise
        except EngineError as error:
            refused.append(f"{model.name}, {request.precision} on {device}: {error}")
            continue
        check_block(denoiser.spec)
        if all(denoiser.info != other.info for _, other in opened):
            opened.append((model.name, denoiser))
    if not opened:
        raise EngineError("; ".join(refused))
    return opened, refused


def open_peers(devices: Iterable[str]) -> tuple[list[Contender], list[str]]:
    """Make GrainPaint's networks where torch runs, beside what is missing for them."""
    missing = [source for module, source in SOURCES.items() if find_spec(module) is None]
    if missing:
        return [], [f"GrainPaint's networks are left out; pip install {source}" for source in missing]
    import torch

    torch.set_num_threads(count_cores())
    able = [device for device in sorted(set(devices)) if device == "cpu" or torch.cuda.is_available()]
    unable = [f"GrainPaint's networks are left out on {device}: torch has none" for device in {*devices} - {*able}]
    return [contend_peer(peer, device) for device in able for peer in PEERS], unable


def _given(path: Path, _: Precision) -> Path:
    return path


def _random(folder: Path, precision: Precision) -> Path:
    """An .onnx file whose weights suit the precision, made when it is first asked for."""
    from microrun.export.graph import save_model
    from microrun.export.step_graph import trace_step
    from microrun.training.diffusion.config import GRAIN_SCHEDULE
    from microrun.training.diffusion.unet import GRAIN_UNET, UNet

    weights: Literal["f32", "f16"] = "f32" if precision == "f32" else "f16"
    path = folder / f"random-{weights}.onnx"
    if not path.exists():
        channels = GRAIN_UNET.in_channels
        diffusion = Diffusion((channels, BLOCK, BLOCK, BLOCK), GRAIN_SCHEDULE, n_colours=1 << channels)
        graph = trace_step(UNet(GRAIN_UNET), diffusion.sides, diffusion.schedule, weights)
        save_model(graph, ModelSpec("random", "denoiser", precision=weights, diffusion=diffusion), path)
    return path
