"""Training of the autoencoder: resumable, with a held-out split, one folder a run."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from microrun.runtime.errors import MicrorunError
from microrun.runtime.spec import ModelSpec, Preprocessing, Training
from microrun.training.checkpoint import save_checkpoint
from microrun.training.config import VaeConfig
from microrun.training.data import Prepared
from microrun.training.ema import Average
from microrun.training.evaluate import reconstruct, reconstruction_r2
from microrun.training.losses import kl_divergence, masked_l2
from microrun.training.vae import VAE

WARMUP_STEPS = 300
CLIP_NORM = 1.0
CSV_FIELDS = ("step", "loss", "l2_per_pixel", "kl", "held_out_r2", "patterns_per_s")


@dataclass(frozen=True)
class Report:
    """Where a run stands.

    Parameters
    ----------
    step, steps
        Optimiser steps done, and of the whole run.
    loss, l2_per_pixel, kl
        Means since the last report.
    held_out_r2
        Share of the held-out patterns' variance that the averaged weights reconstruct.
    patterns_per_s
        Speed since the last report.
    """

    step: int
    steps: int
    loss: float
    l2_per_pixel: float
    kl: float
    held_out_r2: float
    patterns_per_s: float


class VaeTrainer:
    """Train a VAE in a run folder; a run that was killed goes on where its last state was saved.

    Parameters
    ----------
    config
        Settings; they must equal those of the run that is resumed.
    data
        Prepared patterns.
    folder
        Gets ``config.json``, ``state.pt``, ``metrics.csv`` and ``checkpoint.safetensors``.
    source
        What the data is, for the spec.
    """

    def __init__(self, config: VaeConfig, data: Prepared, folder: Path, source: Training) -> None:
        if len(data.training) < config.batch:
            raise MicrorunError(
                f"{len(data.training)} patterns to train on are fewer than a batch of {config.batch}; "
                f"give more scans or a smaller --batch"
            )
        self.config, self.data, self.folder, self.source = config, data, folder, source
        torch.manual_seed(config.seed)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model = VAE(config.latent_size, *data.moments())
        self.model = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = Average(self.model)
        self.optimizer = torch.optim.Adam(self.model.parameters(), config.learning_rate, betas=(0.9, 0.999))
        self.keep = torch.from_numpy(data.pixel_keep.astype(np.float32)).to(self.device)
        self.step = 0
        self.steps_per_epoch = len(data.training) // config.batch
        self.steps = self.steps_per_epoch * config.epochs

    def resume(self) -> None:
        """Load the last state of the folder, if there is one."""
        path = self.folder / "state.pt"
        if not path.exists():
            return
        if VaeConfig.load(self.folder / "config.json") != self.config:
            raise MicrorunError(f"{self.folder}: was started with other settings; see its config.json")
        state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.weights, self.average.steps = state["average"], state["average_steps"]
        self.step = state["step"]

    def run(self, report_every: int, report: Callable[[Report], None], hours: float = math.inf) -> None:
        """Train to the end, or for a number of hours.

        Parameters
        ----------
        report_every
            Steps between reports; the state is saved with each.
        report
            Called with each `Report`.
        hours
            Stop after about this long; `resume` goes on.
        """
        self.config.save(self.folder / "config.json")
        stop_at = time.monotonic() + hours * 3600
        sums, started, done = torch.zeros(3), time.monotonic(), 0
        last = self.step >= self.steps
        while not last:
            sums += self._train_step()
            done += 1
            last = self.step >= self.steps or time.monotonic() >= stop_at
            if self.step % report_every == 0 or last:
                elapsed = time.monotonic() - started
                loss, l2, kl = (sums / done).tolist()
                rate = done * self.config.batch / elapsed
                r2 = self.evaluate()
                self._record(Report(self.step, self.steps, loss, l2, kl, r2, rate), report)
                sums, started, done = torch.zeros(3), time.monotonic(), 0

    def evaluate(self) -> float:
        """Held-out R² of the averaged weights' reconstructions, inside the mask."""
        model = VAE(self.config.latent_size)
        model.load_state_dict(self.average.weights)
        model = model.to(self.device).eval()
        patterns = self._batch(self.data.held_out[:1024])
        return reconstruction_r2(patterns, reconstruct(model, patterns), self.data.pixel_keep)

    def _train_step(self) -> Tensor:
        config = self.config
        epoch, number = divmod(self.step, self.steps_per_epoch)
        order = np.random.default_rng((config.seed, epoch)).permutation(self.data.training)
        patterns = self._batch(order[number * config.batch : (number + 1) * config.batch])
        noise = torch.Generator().manual_seed(config.seed * 1_000_003 + self.step)
        eps = torch.randn(config.batch, config.latent_size, generator=noise).to(self.device)
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * self._rate()
        with torch.autocast(self.device.type, torch.bfloat16):
            reconstruction, mean, log_variance = self.model(patterns, eps)
        l2 = masked_l2(reconstruction.float(), patterns, self.keep)
        kl = kl_divergence(mean.float(), log_variance.float())
        pixels = self.keep.sum()
        ramp = min(1.0, self.step / max(1.0, config.kl_warmup * self.steps)) ** 2
        loss = (l2 + config.beta * ramp * kl) / pixels
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
        self.optimizer.step()
        self.average.update(self.model)
        self.step += 1
        return torch.stack([loss.detach(), l2.detach() / pixels, kl.detach()]).cpu()

    def _rate(self) -> float:
        """Share of the learning rate: linear warm-up, constant, cosine to 0 at the end."""
        warm = min(1.0, (self.step + 1) / WARMUP_STEPS)
        left = (self.steps - self.step) / self.steps
        if not self.config.decay or left >= self.config.decay:
            return warm
        return warm * 0.5 * (1 - math.cos(math.pi * left / self.config.decay))

    def _batch(self, indices: NDArray[np.int64]) -> Tensor:
        patterns = self.data.patterns[np.sort(indices)].astype(np.float32)[:, None]
        return torch.from_numpy(patterns).to(self.device, memory_format=torch.channels_last)

    def _record(self, report: Report, call: Callable[[Report], None]) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.weights,
            "average_steps": self.average.steps,
            "step": self.step,
        }
        beside = self.folder / "state.part"
        torch.save(state, beside)
        beside.replace(self.folder / "state.pt")
        save_checkpoint(self.folder / "checkpoint.safetensors", self.average.weights, self._spec(report))
        path = self.folder / "metrics.csv"
        fresh = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, CSV_FIELDS)
            if fresh:
                writer.writeheader()
            writer.writerow({name: f"{getattr(report, name):.6g}" for name in CSV_FIELDS})
        call(report)

    def _spec(self, report: Report) -> ModelSpec:
        training = Training(
            data=self.source.data,
            patterns=len(self.data.training),
            steps=report.step,
            seed=self.config.seed,
            licence=self.source.licence,
            metrics={"held_out_r2": round(report.held_out_r2, 4)},
        )
        name = f"vae{self.config.latent_size}"
        return ModelSpec(name, "encoder", self.config.latent_size, Preprocessing(), training=training)
