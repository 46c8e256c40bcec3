"""`microrun train vae --distil`: other cameras of the crystals that a model knows, or another crystal."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from microrun.cli import console
from microrun.cli.train.matched import simulated
from microrun.cli.train.request import Request
from microrun.cli.train.runs import DRAW_S, Clock, only_run
from microrun.cli.train.starts import read_autoencoder_start
from microrun.runtime.errors import MicrorunError

if TYPE_CHECKING:
    from microrun.runtime.spec import ModelSpec
    from microrun.training.loop.distributed import Processes
    from microrun.training.simulate.camera.patterns import CameraSimulator
    from microrun.training.simulate.camera.stream import PatternStream
    from microrun.training.vae.crystal_twins import CrystalTwins
    from microrun.training.vae.distil import DistilConfig, DistilReport, DistilTrainer
    from microrun.training.vae.network import VAE
    from microrun.training.vae.translate import TranslateReport, TranslateTrainer
    from microrun.training.vae.twins import Twins

RESULTS = ("checkpoint.safetensors", "metrics.csv", "loss.png")
WITHOUT_MEANING = {
    "latent_size": "--latent", "beta": "--beta", "contrastive": "--contrastive", "epochs": "--epochs",
    "start": "--from",
}  # fmt: skip


def distil(request: Request, teacher: Path, processes: Processes) -> None:
    """Teach an encoder to see through noise and brightness, on simulations or on scans.

    Simulations of a crystal that the teacher cannot draw, but of the symmetry of one that it can, teach encoder and
    decoder: the crystal gets the latents of the one that the teacher knows.

    Parameters
    ----------
    request
        What the run is asked for.
    teacher
        Its run, its checkpoint, or the name of a built-in model.
    processes
        That train together.

    Raises
    ------
    MicrorunError
        If an option has no meaning here, or the run, the data or the teacher do not fit.
    """
    given = request.settings | ({"start": request.start} if request.start else {})
    for name, option in WITHOUT_MEANING.items():
        if name in given:
            raise MicrorunError(f"{option} has no meaning with --distil, which keeps the latents of {teacher}")
    model, spec, config = _configure(request, teacher)
    request.folder.mkdir(parents=True, exist_ok=True)
    with (
        only_run(request.folder) if processes.leads else contextlib.nullcontext(),
        _twins(request, config, spec, processes) as twins,
    ):
        trainer = _start(request, config, (twins, model, spec), processes)
        _train(trainer, request.hours)


def _configure(request: Request, teacher: Path) -> tuple[VAE, ModelSpec, DistilConfig]:
    """Teacher and settings, those not given from the run that is resumed."""
    from microrun.training.vae.distil import DistilConfig

    start = read_autoencoder_start(teacher)
    base = DistilConfig.load(request.folder / "config.json") if request.state.exists() else DistilConfig()
    try:
        return start.model, start.spec, replace(base, **request.settings, teacher=start.origin)
    except ValueError as error:
        raise MicrorunError(str(error)) from None


@contextlib.contextmanager
def _twins(
    request: Request, config: DistilConfig, spec: ModelSpec, processes: Processes
) -> Iterator[Twins | CrystalTwins]:
    """What is taught on: the scans, or simulations."""
    from microrun.training.simulate.camera.matched import Matched
    from microrun.training.vae.data import NEW, prepare_scans
    from microrun.training.vae.twins import ScanTwins, SimulatedTwins

    if not request.scans:
        with simulated(config.matched or Matched(), config.batch, config.seed) as stream:
            assert stream is not None
            console.out.print(f"simulates {stream.simulator}")
            with _translated(config, spec, stream) as twins:
                if twins is None:
                    _warn_of_phases(stream.simulator, spec)
                yield twins or SimulatedTwins(stream)
        return
    if config.matched is not None:
        raise MicrorunError("--distil learns from scans or from simulations: leave out one of them")
    sources = request.open_scans()
    with processes.first_alone(), console.progress_bar("preparing") as bar:
        job = prepare_scans(sources, NEW, request.folder / "prepared.npy", config.selection)
        data = console.watch(job, bar)
    yield ScanTwins(data, config.batch, config.seed, request.data)


@contextlib.contextmanager
def _translated(config: DistilConfig, spec: ModelSpec, asked: PatternStream) -> Iterator[CrystalTwins | None]:
    """Patterns of a crystal that is new to the teacher, and of one that it knows; None where none can stand for it."""
    from microrun.training.simulate.camera.patterns import CameraSimulator
    from microrun.training.simulate.camera.stream import PatternStream
    from microrun.training.vae.crystal_twins import (
        CrystalTwins,
        find_known_crystal,
        known_simulators,
        translated_conditions,
    )

    materials = asked.simulator.materials
    known = find_known_crystal(materials[0].crystal, spec) if len(materials) == 1 else None
    if known is None:
        yield None
        return
    name = materials[0].crystal.name
    if config.student is not None:
        raise MicrorunError(f"{spec.name} does not know {name}: teach it without --student first, then the student")
    given = config.matched is not None and config.matched.pattern_centre is not None
    conditions = translated_conditions(asked.simulator.conditions, spec, given)
    new = CameraSimulator(materials, [1.0], conditions, config.seed)
    console.out.print(f"learns    to draw {name}, with the latents that {spec.name} gives {known.crystal.name}")
    with contextlib.ExitStack() as stack:
        streams = [PatternStream(one, config.batch) for one in (new, *known_simulators(known, new))]
        patterns, *guides = map(stack.enter_context, streams)
        yield CrystalTwins(patterns, guides)


def _warn_of_phases(simulator: CameraSimulator, spec: ModelSpec) -> None:
    names = {material.crystal.name for material in simulator.materials}
    if spec.domain is not None and not names <= set(spec.domain.phases):
        other = ", ".join(sorted(names - set(spec.domain.phases)))
        console.warning_line(
            f"{spec.name} knows {', '.join(spec.domain.phases)}: the decoder that stays cannot draw {other}; "
            f"fine-tune on a scan by --from {spec.name} --phase instead"
        )


def _start(
    request: Request, config: DistilConfig, taught: tuple[Twins | CrystalTwins, VAE, ModelSpec], processes: Processes
) -> DistilTrainer | TranslateTrainer:
    """Trainer, where it was interrupted; with as many steps as fit into the hours if they are given."""
    from microrun.training.loop.state import load_state
    from microrun.training.loop.trainer import count_steps
    from microrun.training.vae.crystal_twins import CrystalTwins
    from microrun.training.vae.distil import DistilTrainer
    from microrun.training.vae.translate import TranslateTrainer

    twins, teacher, spec = taught

    def make(chosen: DistilConfig) -> DistilTrainer | TranslateTrainer:
        if isinstance(twins, CrystalTwins):
            return TranslateTrainer(chosen, twins, request.folder, teacher, spec, processes)
        return DistilTrainer(chosen, twins, request.folder, teacher, spec, processes)

    load_state(request.folder, config, twins.identity)  # refuses before anything is measured
    if request.fills_hours:
        with console.step("measuring the speed"):
            config = replace(config, steps=count_steps(make(config), request.hours))
        gc.collect()
        console.out.print(f"{config.steps:,} steps fit into {request.hours:g} h")
    trainer = make(config)
    trainer.resume()
    return trainer


def _train(trainer: DistilTrainer | TranslateTrainer, hours: float) -> None:
    from microrun.training.loop.curves import DISTIL_PANELS, TRANSLATE_PANELS, draw_loss
    from microrun.training.vae.distil import DistilTrainer

    clock, drawn_at = Clock(trainer, trainer.config.batch), time.monotonic()
    panels = DISTIL_PANELS if isinstance(trainer, DistilTrainer) else TRANSLATE_PANELS
    curves = (trainer.folder / "metrics.csv", trainer.folder / "loss.png", panels)
    with console.progress_bar("teaching", "steps") as bar:
        for now in trainer.run(trainer.report_every, hours):
            bar(now.step, now.steps, f"{now.patterns_per_s:,.0f} patterns/s")
            clock.count(now.step, now.patterns_per_s)
            console.out.print(_line(now))
            if time.monotonic() - drawn_at > DRAW_S:
                draw_loss(*curves)
                drawn_at = time.monotonic()
    if trainer.processes.leads:
        draw_loss(*curves)
        clock.finish("pattern", RESULTS)


def _line(now: DistilReport | TranslateReport) -> str:
    from microrun.training.vae.distil import DistilReport

    reached = f"untaught {now.before:.3f}" if isinstance(now, DistilReport) else f"bands' R² {now.held_out_r2:.3f}"
    return (
        f"step {now.step:>6,}  loss {now.loss:.3f}  latents differ by {now.latent_error:.3f} of their spread "
        f"({reached})  {now.patterns_per_s:,.0f} patterns/s"
    )
