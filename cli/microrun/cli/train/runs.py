"""What the commands that train share."""

from __future__ import annotations

import contextlib
import gc
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from microrun.cli import console
from microrun.cli.outputs import say_next, say_wrote
from microrun.runtime.errors import MicrorunError
from microrun.runtime.files.lock import FileLock

if TYPE_CHECKING:
    from microrun.training.diffusion.config import DenoiserConfig
    from microrun.training.diffusion.denoiser_trainer import DenoiserTrainer
    from microrun.training.loop.distributed import Processes
    from microrun.training.loop.trainer import Trainer

ConfigT = TypeVar("ConfigT", bound="DenoiserConfig")
DENOISER_RESULTS = ("checkpoint.safetensors", "metrics.csv", "loss.png")
DRAW_S = 60  # pictures are renewed with the first report after so long


def check_run(folder: Path, hours: float, resume: bool) -> None:
    """Check that a run can be started so.

    Parameters
    ----------
    folder
        Of the run.
    hours
        That it may take.
    resume
        Whether it shall go on.

    Raises
    ------
    MicrorunError
        If not.
    """
    if not hours > 0:
        raise MicrorunError(f"--hours must be positive; got {hours:g}")
    started = (folder / "state.pt").exists()
    if started and not resume:
        raise MicrorunError(f"{folder}: holds a run; go on with --resume, or choose another --folder")
    if resume and not started:
        raise MicrorunError(f"{folder}: contains no run to continue; leave out --resume, or name it as --folder")


@contextlib.contextmanager
def joined(folder: Path) -> Iterator[Processes]:
    """Join the processes that train together; the first speaks, and says what to do after an interruption."""
    with console.step("starting PyTorch"):
        from microrun.training.loop.distributed import join_processes

    try:
        with join_processes() as processes:
            if not processes.leads:
                console.be_silent()
            yield processes
    except KeyboardInterrupt:
        saved = (folder / "state.pt").exists()
        console.error_line("interrupted; " + ("go on with --resume" if saved else "nothing was saved yet"))
        raise typer.Exit(130) from None


@contextlib.contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Lock a run's folder; MicrorunError if another run is in it."""
    try:
        lock = FileLock(folder / "run")
    except BlockingIOError:
        raise MicrorunError(f"{folder}: another run is training in it; choose another --folder") from None
    with lock:
        yield


class Clock:
    """Counts what the reports say was done, and how fast.

    Parameters
    ----------
    trainer
        Whose reports are counted.
    batch
        Samples per step.
    """

    def __init__(self, trainer: Trainer[Any], batch: int) -> None:
        self._trainer, self._batch = trainer, batch
        self._step, self._samples, self._seconds = trainer.step, 0, 0.0

    def count(self, step: int, samples_per_s: float) -> None:
        """Take in a report."""
        samples = (step - self._step) * self._batch
        self._step = step
        self._samples += samples
        self._seconds += samples / samples_per_s

    def finish(self, unit: str, results: tuple[str, ...]) -> None:
        """Say how fast it was, where the results are, and what to do next."""
        trainer, folder = self._trainer, self._trainer.folder
        if self._seconds:
            rate, flops, peak = self._samples / self._seconds, trainer.flops, trainer.peak
            console.out.print(
                f"trained at {rate:,.0f} {unit}s/s, {rate * flops / peak:.2f} of the matmul peak "
                f"({peak / 1e9:,.0f} GFLOP/s in {trainer.precision}; {flops / 1e6:,.0f} MFLOP/{unit})"
            )
        say_wrote(*(folder / name for name in results if (folder / name).exists()))
        if not self._samples:
            console.out.print(f"nothing to do: all {trainer.steps:,} steps of this run are done")
        if trainer.enough:
            console.out.print(f"stopped at step {trainer.step:,}: the held-out loss has not become lower for long")
        elif trainer.step < trainer.steps:
            console.out.print(f"stopped at step {trainer.step:,} of {trainer.steps:,}; go on with --resume")
        say_next("export", folder / "checkpoint.safetensors", "--to", "onnx")


def start_denoiser(
    config: ConfigT, folder: Path, make: Callable[[ConfigT], DenoiserTrainer[Any]], hours: float, fill_hours: bool
) -> DenoiserTrainer[Any]:
    """Make a denoiser's trainer, where it was interrupted.

    Parameters
    ----------
    config
        Settings of the run.
    folder
        Of the run, locked.
    make
        Makes a trainer of settings.
    hours
        That the run may take.
    fill_hours
        Whether as many steps shall be taken as fit into the hours, if nothing is there to go on with.
    """
    from microrun.training.loop.trainer import count_steps

    if fill_hours and math.isfinite(hours) and not (folder / "state.pt").exists():
        with console.step("measuring the speed"):
            config = replace(config, steps=count_steps(make(config), hours))
        gc.collect()  # what was captured on a card holds itself
        console.out.print(f"{config.steps:,} steps fit into {hours:g} h")
    trainer = make(config)
    trainer.resume()
    return trainer


def train_denoiser(trainer: DenoiserTrainer[Any], batch: int, hours: float, unit: str) -> None:
    """Train, with a line for every report; then draw the losses, and say where the results are.

    Parameters
    ----------
    trainer
        At its first step, or at any other.
    batch
        Samples per step.
    hours
        Stop after about this long.
    unit
        What a sample is; reports tell so many of them per second.
    """
    clock, drawn_at = Clock(trainer, batch), time.monotonic()
    with console.progress_bar("training", "steps") as bar:
        for now in trainer.run(trainer.report_every, hours):
            rate: float = getattr(now, f"{unit}s_per_s")
            bar(now.step, now.steps, f"{rate:,.1f} {unit}s/s")
            clock.count(now.step, rate)
            console.out.print(
                f"step {now.step:>6,}  loss {now.loss:.4f}  held out {now.held_out_loss:.4f}  {rate:,.1f} {unit}s/s"
            )
            if time.monotonic() - drawn_at > DRAW_S:
                drawn_at = _draw(trainer.folder)
    if trainer.processes.leads:
        _draw(trainer.folder)
        clock.finish(unit, DENOISER_RESULTS)


def _draw(folder: Path) -> float:
    from microrun.training.loop.curves import DENOISER_PANELS, draw_loss

    draw_loss(folder / "metrics.csv", folder / "loss.png", DENOISER_PANELS)
    return time.monotonic()
