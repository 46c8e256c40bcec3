"""What every training is: resumable, with a held-out measure, an average of the weights, one folder a run."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from microrun.runtime.errors import MicrorunError
from microrun.runtime.files.output import write_text
from microrun.training.loop.checkpoint import CHECKPOINT
from microrun.training.loop.distributed import Processes
from microrun.training.loop.ema import Average
from microrun.training.loop.schedules import rate_share
from microrun.training.loop.settings import Settings
from microrun.training.loop.speed import autocast_type, matmul_peak
from microrun.training.loop.state import load_state, save_state

CLIP_NORM = 1.0
REPORT_STEPS = {"cpu": 200, "cuda": 1000}  # between reports, at most


@dataclass(frozen=True)
class Report:
    """Where a run stands; each kind of training adds what it measures.

    Parameters
    ----------
    step, steps
        Optimiser steps done, and of the whole run.
    loss
        Mean since the last report.
    """

    step: int
    steps: int
    loss: float


ReportT = TypeVar("ReportT", bound=Report)


class Trainer(ABC, Generic[ReportT]):
    """Train a network in a run folder; a run that was killed goes on where its last state was saved.

    Parameters
    ----------
    config
        Settings; they must equal those of the run that is resumed.
    folder
        Gets ``config.json``, ``state.pt``, ``metrics.csv`` and ``checkpoint.safetensors``.
    processes
        That train together.
    network
        What is trained.
    averaged
        The part of it that the checkpoint holds, as an average over the last steps.
    """

    steps: int
    flops: int  # operations that training on one sample takes
    tested: int = 0  # samples that a report tests the network on

    def __init__(
        self, config: Settings, folder: Path, processes: Processes, network: nn.Module, averaged: nn.Module
    ) -> None:
        self.folder, self.processes, self._settings = folder, processes, config
        self.network, self._averaged = network, averaged
        torch.backends.cudnn.benchmark = True  # batches are alike: their fastest kernels are looked for once
        self.average = Average(averaged)
        fused = processes.device.type == "cuda"
        self.optimizer = torch.optim.Adam(network.parameters(), config.learning_rate, betas=(0.9, 0.999), fused=fused)
        self._dtype = autocast_type(processes.device, config.precision)
        self._parallel = processes.wrap(network)
        self.step = 0

    @property
    @abstractmethod
    def identity(self) -> str:
        """Hash of the data: a run goes on with the same only."""

    @abstractmethod
    def terms(self) -> Tensor:
        """Terms of this process's loss at this step, (n,) on the device, the loss itself first."""

    @abstractmethod
    def measure(self, means: list[float], rate: float) -> ReportT:
        """Make a report.

        Parameters
        ----------
        means
            Of the terms, since the last report.
        rate
            Samples per second since then, of all processes together.
        """

    @abstractmethod
    def save(self, path: Path, report: ReportT) -> None:
        """Write the checkpoint.

        Parameters
        ----------
        path
            The .safetensors file to make or replace.
        report
            The latest, whose measures the spec keeps.
        """

    @property
    def enough(self) -> bool:
        """Whether further steps are not worth while, as what has been reported shows."""
        return False

    @property
    def report_every(self) -> int:
        """Steps between reports: fifty in a run, more in a long one, but they take a twentieth of the time at most."""
        costs = 7 * self.tested  # as many samples are trained on in twenty times the time of a test
        limit = REPORT_STEPS[self.processes.device.type]
        return max(1, min(limit, self.steps // 50), -(-costs // self._settings.batch))

    @property
    def precision(self) -> str:
        """Type that convolutions compute in: "bf16" or "f32"."""
        return "bf16" if self._dtype == torch.bfloat16 else "f32"

    @property
    def peak(self) -> float:
        """Operations per second that all processes together reach multiplying matrices."""
        return matmul_peak(self.processes.device, self._dtype) * self.processes.count

    def resume(self) -> None:
        """Load the last state of the folder, if there is one; errors as in `load_state`."""
        state = load_state(self.folder, self._settings, self.identity)
        if state is None:
            return
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.load(state["average"], state["average_steps"])
        self.step = state["step"]

    def run(self, report_every: int, hours: float = math.inf) -> Iterator[ReportT]:
        """Train to the end, or for a number of hours; nothing is done but for whoever asks for the next report.

        Parameters
        ----------
        report_every
            Steps between reports; the state is saved with each.
        hours
            Stop after about this long; `resume` goes on.

        Yields
        ------
        Report
            In the leading process only; what has been reported is saved.

        Raises
        ------
        MicrorunError
            If training diverges; the state of the last report stays.
        OutputError
            If the folder cannot be written; likewise.
        """
        if self.processes.leads:
            self._settings.save(self.folder / "config.json")
        matmul_peak(self.processes.device, self._dtype)  # measured before the clock starts
        stop_at, stopped = time.monotonic() + hours * 3600, self.processes.any(self.enough)
        sums, done, started = torch.zeros(()), 0, time.monotonic()
        while self.step < self.steps and not stopped:
            sums = sums.to(self.processes.device) + self.train_step()
            done += 1
            stopped = math.isfinite(hours) and self.processes.any(time.monotonic() >= stop_at)
            if self.step % report_every == 0 or self.step == self.steps or stopped:
                means = self.processes.mean(sums / done).tolist()
                rate = done * self._settings.batch / (time.monotonic() - started)
                self._check_finite(means[0])
                if self.processes.leads:
                    yield self._record(self.measure(means, rate))
                stopped = stopped or self.processes.any(self.enough)
                sums, done, started = torch.zeros(()), 0, time.monotonic()

    def train_step(self) -> Tensor:
        """Take one step; return its terms, (n,) on the device."""
        config = self._settings
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * rate_share(config, self.step, self.steps)
        terms = self.terms()
        self.optimizer.zero_grad(set_to_none=True)
        terms[0].backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), CLIP_NORM)
        self.optimizer.step()
        self.average.update(self._averaged)
        self.step += 1
        return terms.detach()

    def autocast(self) -> torch.autocast:
        """Compute in bf16 where the run does."""
        enabled = self._dtype == torch.bfloat16
        # Nothing is gained by keeping weights in bf16, used once a step, and graphs cannot be captured with it.
        return torch.autocast(self.processes.device.type, torch.bfloat16, enabled=enabled, cache_enabled=False)

    def _check_finite(self, loss: float) -> None:
        # The weights, too: a gradient that is not finite ruins them before a loss shows it.
        if not (math.isfinite(loss) and all(weights.isfinite().all() for weights in self.network.parameters())):
            raise MicrorunError(
                f"{self.folder}: training diverged before step {self.step} (the loss is {loss:.3g}, or weights are not "
                f"finite); the state of the last report is kept. Start again with another --folder and a smaller "
                f"--learning-rate"
            )

    def _record(self, report: ReportT) -> ReportT:
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.weights,
            "average_steps": self.average.steps,
            "step": self.step,
            "data": self.identity,
        }
        save_state(self.folder, state)
        self.save(self.folder / CHECKPOINT, report)
        append_metrics(self.folder / "metrics.csv", report)
        return report


def count_steps(trainer: Trainer[Any], hours: float) -> int:
    """Steps that fit into a number of hours, from the speed of a few; the trainer is used up.

    A run of so many gives the learning rate its whole course in the time there is.

    Parameters
    ----------
    trainer
        Of the same settings, data and processes.
    hours
        Of the whole run; a tenth is left for reports.
    """
    trainer.train_step()
    least_s = 5 if trainer.processes.device.type == "cuda" else 0  # its first batches may have been made ahead
    started, taken, elapsed = time.monotonic(), 0, 0.0
    while not trainer.processes.any((taken >= 20 and elapsed > least_s) or elapsed > 10):
        float(trainer.train_step()[0])  # waits for the device
        taken, elapsed = taken + 1, time.monotonic() - started
    step_s = float(trainer.processes.mean(torch.tensor(elapsed / taken, device=trainer.processes.device)))
    return max(1, int(0.9 * hours * 3600 / step_s))


def append_metrics(path: Path, report: Report) -> None:
    """Add a line to the run's table, and drop those of a run that was given up at a later step.

    Parameters
    ----------
    path
        The .csv file.
    report
        What the line holds.

    Raises
    ------
    OutputError
        If it cannot be written; what it held before stays.
    """
    names = [field.name for field in dataclasses.fields(report) if field.name != "steps"]
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines())) if path.exists() else []
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(row for row in rows if int(row["step"]) < report.step)
    writer.writerow({name: f"{getattr(report, name):.6g}" for name in names} | {"step": report.step})
    write_text(path, text.getvalue())
