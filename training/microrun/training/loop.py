"""Training of the autoencoder: resumable, with a held-out split, one folder a run."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from microrun.runtime.errors import MicrorunError
from microrun.runtime.output import write_whole
from microrun.runtime.spec import ModelSpec, Training
from microrun.training.batches import Batch, Batches
from microrun.training.checkpoint import save_checkpoint
from microrun.training.config import VaeConfig
from microrun.training.contrastive import Network, Projection, nt_xent
from microrun.training.data import Prepared
from microrun.training.distributed import Processes, alone
from microrun.training.ema import Average
from microrun.training.evaluate import reconstruct, reconstruction_r2
from microrun.training.losses import kl_divergence, masked_l2
from microrun.training.schedules import kl_share, rate_share
from microrun.training.speed import autocast_type, matmul_peak, training_flops
from microrun.training.state import load_state, save_state
from microrun.training.vae import VAE

CLIP_NORM = 1.0
TESTED = 1024  # held-out patterns that a report looks at, at most
REPORT_STEPS = {"cpu": 200, "cuda": 1000}  # between reports, at most


@dataclass(frozen=True)
class Report:
    """Where a run stands.

    Parameters
    ----------
    step, steps
        Optimiser steps done, and of the whole run.
    loss, l2_per_pixel, kl, contrastive
        Means since the last report; the last is the NT-Xent term in nats, 0 without it.
    held_out_r2
        Share of the held-out patterns' variance that the averaged weights reconstruct.
    patterns_per_s
        Speed since the last report, of all processes together.
    peak_share
        The same, counted in operations, as a share of what the machine reaches multiplying matrices.
    """

    step: int
    steps: int
    loss: float
    l2_per_pixel: float
    kl: float
    contrastive: float
    held_out_r2: float
    patterns_per_s: float
    peak_share: float


CSV_FIELDS = tuple(field.name for field in dataclasses.fields(Report) if field.name != "steps")


class VaeTrainer:
    """Train a VAE in a run folder; a run that was killed goes on where its last state was saved.

    Parameters
    ----------
    config
        Settings; they must equal those of the run that is resumed.
    data
        Prepared patterns; likewise.
    folder
        Gets ``config.json``, ``state.pt``, ``metrics.csv`` and ``checkpoint.safetensors``.
    source
        What the data is, for the spec.
    start
        Weights to start from, with their standardisation; None for random ones.
    processes
        That train together; None for this one alone.

    Raises
    ------
    MicrorunError
        If data, batch and processes do not fit.
    """

    def __init__(
        self,
        config: VaeConfig,
        data: Prepared,
        folder: Path,
        source: Training,
        start: VAE | None = None,
        processes: Processes | None = None,
    ) -> None:
        self.config, self.data, self.folder, self.source = config, data, folder, source
        self.processes = processes or alone()
        self.batches = Batches(config, data, self.processes)
        self.steps = max(1, round(len(self.batches) * config.epochs))
        self.step = 0
        torch.manual_seed(config.seed)
        vae = start or VAE(config.latent_size, *data.moments())
        network = Network(vae.train(), Projection(config.latent_size) if config.contrastive else None)
        self.network = network.to(self.processes.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = Average(self.network.vae)
        self.optimizer = torch.optim.Adam(self.network.parameters(), config.learning_rate, betas=(0.9, 0.999))
        self._dtype = autocast_type(self.processes.device, config.precision)
        self._parallel = self.processes.wrap(self.network)
        self._pixels = float(self.batches.keep.sum())
        self._tested = data.held_out[:: -(-len(data.held_out) // TESTED)]
        self._reconstructed: tuple[int, Tensor, Tensor] | None = None

    @property
    def report_every(self) -> int:
        """Steps between reports: fifty in a run, more in a long one, but they take a twentieth of the time at most."""
        costs = 7 * len(self._tested)  # as many patterns are trained on in twenty times the time of a test
        return max(1, min(REPORT_STEPS[self.processes.device.type], self.steps // 50), -(-costs // self.config.batch))

    @property
    def precision(self) -> str:
        """Type that convolutions compute in: "bf16" or "f32"."""
        return "bf16" if self._dtype == torch.bfloat16 else "f32"

    @property
    def flops(self) -> int:
        """Operations that training on one pattern takes."""
        return training_flops(self.config.latent_size) * (2 if self.config.contrastive else 1)

    @property
    def peak(self) -> float:
        """Operations per second that all processes together reach multiplying matrices."""
        return matmul_peak(self.processes.device, self._dtype) * self.processes.count

    def resume(self) -> None:
        """Load the last state of the folder, if there is one; errors as in `load_state`."""
        state = load_state(self.folder, self.config, self.data.identity)
        if state is None:
            return
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.load(state["average"], state["average_steps"])
        self.step = state["step"]

    def run(self, report_every: int, report: Callable[[Report], None], hours: float = math.inf) -> None:
        """Train to the end, or for a number of hours.

        Parameters
        ----------
        report_every
            Steps between reports; the state is saved with each.
        report
            Called with each `Report`, by the leading process.
        hours
            Stop after about this long; `resume` goes on.

        Raises
        ------
        MicrorunError
            If training diverges; the state of the last report stays.
        OutputError
            If the folder cannot be written; likewise.
        """
        if self.processes.leads:
            self.config.save(self.folder / "config.json")
        matmul_peak(self.processes.device, self._dtype)  # measured before the clock starts
        stop_at, stopped = time.monotonic() + hours * 3600, False
        sums, done, started = torch.zeros(4), 0, time.monotonic()
        while self.step < self.steps and not stopped:
            sums = sums.to(self.processes.device) + self.train_step()
            done += 1
            stopped = math.isfinite(hours) and self.processes.any(time.monotonic() >= stop_at)
            if self.step % report_every == 0 or self.step == self.steps or stopped:
                means = self.processes.mean(sums / done).tolist()
                rate = done * self.config.batch / (time.monotonic() - started)
                self._check_finite(means[0])
                if self.processes.leads:
                    self._record(means, rate, report)
                sums, done, started = torch.zeros(4), 0, time.monotonic()

    def train_step(self) -> Tensor:
        """Take one step; return loss, squared error per pixel, KL and NT-Xent terms, (4,) on the device."""
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * rate_share(config, self.step, self.steps)
        l2, kl, contrastive = self._terms(self.batches.batch(self.step))
        loss = l2 + config.beta * kl_share(config, self.step, self.steps) * kl
        if config.contrastive:
            loss = loss + config.contrastive.weight * contrastive
        loss = loss / self._pixels
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), CLIP_NORM)
        self.optimizer.step()
        self.average.update(self.network.vae)
        self.step += 1
        return torch.stack([loss, l2 / self._pixels, kl, contrastive]).detach()

    def reconstruct_held_out(self) -> tuple[Tensor, Tensor]:
        """Held-out patterns and what the averaged weights make of them, (n, 1, H, W) each; once for every step."""
        if self._reconstructed is None or self._reconstructed[0] != self.step:
            with torch.device("meta"):
                model = VAE(self.config.latent_size)
            model.load_state_dict(self.average.weights, assign=True)
            patterns = self.batches.take(self._tested)
            with self._autocast():
                self._reconstructed = (self.step, patterns, reconstruct(model.eval(), patterns).float())
        return self._reconstructed[1:]

    def evaluate(self) -> float:
        """Held-out R² of the averaged weights' reconstructions, inside the mask."""
        return reconstruction_r2(*self.reconstruct_held_out(), self.data.pixel_keep)

    def _terms(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Squared error, KL and NT-Xent terms, each a mean over the views."""
        with self._autocast():
            reconstruction, mean, log_variance, projected = self._parallel(batch.views, batch.eps)
        l2 = masked_l2(reconstruction.float(), batch.targets, self.batches.keep)
        kl = kl_divergence(mean.float(), log_variance.float())
        if projected is None or self.config.contrastive is None:
            return l2, kl, torch.zeros_like(l2)
        first, second = (self.processes.gather(view) for view in projected.float().chunk(2))
        return l2, kl, nt_xent(first, second, self.config.contrastive.temperature)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.processes.device.type, torch.bfloat16, enabled=self._dtype == torch.bfloat16)

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise MicrorunError(
                f"{self.folder}: training diverged before step {self.step} (the loss is {loss}); the state of the "
                f"last report is kept. Start again with another --out and a smaller --learning-rate"
            )

    def _record(self, means: list[float], rate: float, report: Callable[[Report], None]) -> None:
        loss, l2, kl, contrastive = means
        peak_share = rate * self.flops / self.peak
        now = Report(self.step, self.steps, loss, l2, kl, contrastive, self.evaluate(), rate, peak_share)
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.weights,
            "average_steps": self.average.steps,
            "step": self.step,
            "data": self.data.identity,
        }
        save_state(self.folder, state)
        save_checkpoint(self.folder / "checkpoint.safetensors", self.average.weights, self._spec(now))
        self._append_metrics(now)
        report(now)

    def _append_metrics(self, report: Report) -> None:
        path, text = self.folder / "metrics.csv", io.StringIO()
        rows = list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []
        writer = csv.DictWriter(text, CSV_FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for row in rows if int(row["step"]) < report.step)  # none of a run that was given up
        values = {name: f"{getattr(report, name):.6g}" for name in CSV_FIELDS}
        writer.writerow(values | {"step": report.step})
        write_whole(path, text.getvalue().encode())

    def _spec(self, report: Report) -> ModelSpec:
        started = self.config.fine_tuned_from
        training = Training(
            data=self.source.data + (f"; fine-tuned from {started}" if started else ""),
            patterns=self.data.count,
            steps=report.step,
            seed=self.config.seed,
            licence=self.source.licence,
            metrics={"held_out_r2": round(report.held_out_r2, 4)},
        )
        name = f"vae{self.config.latent_size}"
        return ModelSpec(
            name, "encoder", self.config.latent_size, preprocessing=self.data.preprocessing, training=training
        )


def plan_epochs(trainer: VaeTrainer, hours: float) -> float:
    """Epochs that fit into a number of hours, from the speed of a few steps; the trainer is used up.

    Planning them gives learning rate and KL weight their whole course in the time there is.

    Parameters
    ----------
    trainer
        Of the same settings, data and processes.
    hours
        Of the whole run; a tenth is left for reports.
    """
    trainer.train_step()
    started, taken, elapsed = time.monotonic(), 0, 0.0
    while not trainer.processes.any(taken == 20 or elapsed > 10):
        float(trainer.train_step()[0])  # waits for the device
        taken, elapsed = taken + 1, time.monotonic() - started
    step_s = float(trainer.processes.mean(torch.tensor(elapsed / taken, device=trainer.processes.device)))
    return max(1, int(0.9 * hours * 3600 / step_s)) / len(trainer.batches)
