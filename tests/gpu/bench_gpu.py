"""Benchmark of a card, run by tests/gpu/run.sh: what `microrun bench encode` measures, with PyTorch in the lanes, too.

PyTorch's kernels stand in for TensorRT's where that is not to be had: lanes, streams, pinned buffers and captured
graphs are those of the runtime.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from numpy.typing import NDArray
from torch_engine import TorchEngine

from microrun.cli import console
from microrun.cli.bench.encode import ENGINE_SECONDS, engine_rate, list_doubts, measure_encode, write_scan
from microrun.cli.bench.measurement import Table, print_tables, write_tables
from microrun.cli.bench.models import Model, Subject
from microrun.export.vae_to_onnx import MeanEncoder, export_checkpoint
from microrun.runtime.engines.engine import Engine, EngineRequest
from microrun.runtime.engines.libraries import offers_cuda
from microrun.runtime.engines.nvidia.build_plan import BuildRequest, build_plan
from microrun.runtime.engines.nvidia.cuda import Cuda, driver_version, find_cards
from microrun.runtime.engines.nvidia.tensorrt_library import choose_library
from microrun.runtime.engines.open import open_engine
from microrun.runtime.errors import MicrorunError
from microrun.runtime.spec import ModelSpec
from microrun.training.vae.checkpoint import save_checkpoint
from microrun.training.vae.network import VAE

LATENT_SIZES = (32, 128)
Open = Callable[..., Engine]  # of a batch and lanes; none for what suits the engine


class NoCopies(Cuda):
    """A card to which nothing is copied: what computation alone takes."""

    def copy_in(self, address: int, array: NDArray[Any], stream: int) -> None:
        """Leave it out."""

    def copy_out(self, array: NDArray[Any], address: int, stream: int) -> None:
        """Leave it out."""


def find_openers(latent_size: int, folder: Path) -> Iterator[tuple[str, Open]]:
    """Names of all engines in half that run here, and how to open them."""
    torch.manual_seed(0)
    model, spec = VAE(latent_size).eval(), ModelSpec(f"vae{latent_size}", "encoder", latent_size)
    yield "PyTorch", partial(TorchEngine, MeanEncoder(copy.deepcopy(model).encoder), spec, "f16")
    checkpoint = folder / f"vae{latent_size}.safetensors"
    save_checkpoint(checkpoint, model.state_dict(), spec)
    onnx = export_checkpoint(checkpoint, checkpoint.with_suffix(".onnx"), "f16")[0].path
    if offers_cuda():
        yield "ONNX Runtime", partial(_open, onnx)
    library = choose_library(find_cards()[0])
    if importlib.util.find_spec(library):
        plan = onnx.with_suffix(".plan")
        build_plan(onnx, plan, BuildRequest(library))
        yield library, partial(_open, plan)


def _open(path: Path, batch: int | None = None, lanes: int | None = None) -> Engine:
    return open_engine(path, "cuda", EngineRequest(batch=batch, lanes=lanes))


def hidden_shares(latent_size: int, repeats: int) -> list[float]:
    """Patterns per second with copies, as shares of those without: 1 where copies hide behind computation."""
    spec = ModelSpec("vae", "encoder", latent_size)
    with ExitStack() as held:
        copying, bare = (
            held.enter_context(TorchEngine(MeanEncoder(VAE(latent_size).encoder), spec, "f16", device=device))
            for device in (Cuda(), NoCopies())
        )
        return [engine_rate(copying, ENGINE_SECONDS) / engine_rate(bare, ENGINE_SECONDS) for _ in range(repeats)]


def main(out: Path, patterns: int, repeats: int) -> None:
    """Measure, print a table, and write the numbers."""
    card = find_cards()[0]
    print(f"{card.name}, compute capability {card.capability_text}, driver for CUDA {driver_version()}")
    with TemporaryDirectory(prefix="microrun-bench-") as name, ExitStack() as held:
        folder = Path(name)
        source = write_scan(folder, patterns)
        subjects = [
            Subject(
                Model(f"D = {size}, {library}", lambda precision: folder),  # opened already: nobody asks for the file
                held.enter_context(open_it()),
                partial(open_it, batch=1, lanes=1),
            )
            for size in LATENT_SIZES
            for library, open_it in find_openers(size, folder)
        ]
        for doubt in list_doubts(source, subjects):
            print(f"warning: {doubt}")
        tables = console.watch(measure_encode(source, subjects, repeats), lambda done, total, note="": print(note))
    tables[0].facts["card"] = dataclasses.asdict(card)
    hidden = Table("PyTorch, with copies")
    for size in LATENT_SIZES:
        hidden.note(f"D = {size}: of the rate without copies", "", *hidden_shares(size, repeats))
    for group in (tables[:1], tables[1:], [hidden]):
        print_tables(group)
    write_tables(out, [*tables, hidden])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("gpu.json"))
    parser.add_argument("--patterns", type=int, default=32768)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    try:
        main(given.json, given.patterns, given.repeats)
    except MicrorunError as error:
        sys.exit(f"error: {error}")
