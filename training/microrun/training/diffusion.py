"""Training of a denoiser on blocks of simulated volumes (Ho et al., arXiv:2006.11239; Lin et al., arXiv:2305.08891)."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from microrun.kernels.noise import normal_noise
from microrun.runtime.errors import MicrorunError
from microrun.runtime.schedule import Schedule
from microrun.runtime.spec import Diffusion, ModelSpec, Training
from microrun.training.bits import BitOdds
from microrun.training.blocks import Blocks
from microrun.training.checkpoint import save_denoiser
from microrun.training.diffusion_config import DiffusionConfig
from microrun.training.distributed import Processes, alone
from microrun.training.simulate.volumes import Volume, identify
from microrun.training.trainer import REPORT_STEPS, Progress, Trainer
from microrun.training.unet import UNet, UnetConfig

TESTED = 64  # held-out blocks that a report looks at
AHEAD = 4  # batches that are made while others are trained on
Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class DiffusionReport(Progress):
    """Where a run stands.

    Parameters
    ----------
    step, steps, loss
        As of `Progress`; the loss is the cross-entropy of bits, in nats, or the mean squared error.
    held_out_loss
        That of the averaged weights on held-out blocks, over all timesteps; always the same blocks and noise.
    blocks_per_s
        Speed since the last report, of all processes together.
    peak_share
        The same, counted in operations, as a share of what the machine reaches multiplying matrices.
    """

    held_out_loss: float
    blocks_per_s: float
    peak_share: float


@dataclass(frozen=True)
class Noised:
    """Noised samples, and what the network shall say of them.

    Parameters
    ----------
    x, target
        (n, channels, *sides) float32.
    timestep
        (n,) int64.
    """

    x: Tensor
    target: Tensor
    timestep: Tensor

    def to(self, device: torch.device) -> Noised:
        """Move to a device."""
        return Noised(self.x.to(device), self.target.to(device), self.timestep.to(device))


class NoisedBlocks:
    """The batch of every step.

    Blocks, timesteps and noise are a function of the seed, the step and the place in the batch that all processes
    have together: not of the processes, and not of where a run was interrupted. The timesteps of a batch are spread
    evenly over all, which makes its loss less noisy than independent ones do.

    Parameters
    ----------
    blocks
        To noise.
    schedule
        Of the noise.
    batch
        Blocks per step.
    """

    def __init__(self, blocks: Blocks, schedule: Schedule, batch: int) -> None:
        self._blocks, self._schedule, self._batch = blocks, schedule, batch

    def make(self, step: int, rows: slice) -> Noised:
        """Make these rows of the batch of a step."""
        indices = np.arange(step * self._batch, (step + 1) * self._batch)
        rng = np.random.default_rng((self._blocks.settings.seed, step))
        spread = (rng.permutation(self._batch) + rng.random(self._batch)) / self._batch
        timestep = (spread * self._schedule.training_steps).astype(np.int64)[rows]
        clean = self._blocks.batch(indices[rows])
        noise = np.empty_like(clean)
        normal_noise(self._blocks.settings.seed, indices[rows], 0, noise)
        return add_noise(clean, noise, timestep, self._schedule)


def add_noise(clean: Float32, noise: Float32, timestep: NDArray[np.int64], schedule: Schedule) -> Noised:
    """Noise samples, each to its timestep; see `Schedule` for the formulas."""
    kept = schedule.alphas_cumprod[timestep].reshape(-1, *(1 for _ in clean.shape[1:]))
    signal, spread = np.sqrt(kept).astype(np.float32), np.sqrt(1 - kept).astype(np.float32)
    x = signal * clean + spread * noise
    if schedule.prediction == "v":
        target = signal * noise - spread * clean
    else:
        target = noise if schedule.prediction == "eps" else clean
    return Noised(torch.from_numpy(x), torch.from_numpy(target), torch.from_numpy(timestep))


class DiffusionTrainer(Trainer[DiffusionReport]):
    """Train a U-Net to tell the noise in blocks; a context, since threads make blocks ahead.

    Parameters
    ----------
    config
        Settings; they must equal those of the run that is resumed.
    volumes
        To cut blocks out of; likewise.
    folder
        Of the run.
    source
        What the data is, for the spec.
    processes
        That train together; None for this one alone.

    Raises
    ------
    MicrorunError
        If no volume is left to train on, one is too small for blocks, or processes cannot share a batch.
    """

    def __init__(
        self,
        config: DiffusionConfig,
        volumes: Sequence[Volume],
        folder: Path,
        source: Training,
        processes: Processes | None = None,
    ) -> None:
        processes = processes or alone()
        if len(volumes) <= config.held_out:
            raise MicrorunError(
                f"{len(volumes)} volumes are too few: {config.held_out} are held out, and more are needed to train on; "
                f"simulate more"
            )
        if config.batch % processes.count:
            raise MicrorunError(f"a batch of {config.batch} cannot be shared by {processes.count} processes")
        self.config, self.source, self.steps = config, source, config.steps
        trained, tested = volumes[: -config.held_out], volumes[-config.held_out :]
        self._identity = identify(volumes)
        torch.manual_seed(config.seed)
        network = UNet(config.unet).train().to(processes.device)
        super().__init__(config, folder, processes, network, network)
        if processes.device.type == "cpu" and config.side <= 2 * config.unet.reduction:
            # PyTorch 2.13 on CPUs with bf16: gradients of convolutions over two voxels of depth are garbage, or nan.
            self._dtype = torch.float32
        self.flops = unet_flops(config.unet, config.sides)
        self._rows = processes.rows(config.batch)
        self._batches = NoisedBlocks(Blocks(trained, config.blocks(config.seed)), config.schedule, config.batch)
        held_out = NoisedBlocks(Blocks(tested, config.blocks(config.seed + 1)), config.schedule, TESTED)
        self._tested = held_out.make(0, slice(None))
        self._odds = BitOdds(config.schedule).to(processes.device) if config.schedule.prediction == "bits" else None
        self._pool = ThreadPoolExecutor(AHEAD)
        self._ahead: dict[int, Future[Noised]] = {}

    def __enter__(self) -> DiffusionTrainer:
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    @property
    def identity(self) -> str:
        """Of the volumes."""
        return self._identity

    @property
    def report_every(self) -> int:
        """Steps between reports: fifty in a run, more in a long one, but they take a twentieth of the time at most."""
        costs = 7 * TESTED  # as many blocks are trained on in twenty times the time of a test
        limit = REPORT_STEPS[self.processes.device.type]
        return max(1, min(limit, self.steps // 50), -(-costs // self.config.batch))

    def terms(self) -> Tensor:
        """The loss, (1,) on the device."""
        for step in range(self.step, min(self.step + AHEAD, self.steps)):
            if step not in self._ahead:
                self._ahead[step] = self._pool.submit(self._batches.make, step, self._rows)
        noised = self._ahead.pop(self.step).result().to(self.processes.device)
        return self._loss(self._parallel, noised)[None]

    def _loss(self, network: nn.Module, noised: Noised) -> Tensor:
        """How far off a network is: cross-entropy of bits, in nats, or the mean squared error."""
        with self.autocast():
            output = network(noised.x, noised.timestep)
        if self._odds is None:
            return functional.mse_loss(output.float(), noised.target)
        odds = self._odds(output.float(), noised.x, noised.timestep)
        return functional.softplus(-2 * noised.target * odds).mean()

    def measure(self, means: list[float], rate: float) -> DiffusionReport:
        """Make a report; the averaged weights are tested for it."""
        share = rate * self.flops / self.peak
        return DiffusionReport(self.step, self.steps, means[0], self.evaluate(), rate, share)

    @torch.inference_mode()
    def evaluate(self) -> float:
        """Loss of the averaged weights on held-out blocks."""
        with torch.device("meta"):
            unet = UNet(self.config.unet)
        unet.load_state_dict(self.average.weights, assign=True)
        total = torch.zeros((), device=self.processes.device)
        for first in range(0, TESTED, self.config.batch):
            part = slice(first, first + self.config.batch)
            noised = Noised(self._tested.x[part], self._tested.target[part], self._tested.timestep[part])
            total += self._loss(unet.eval(), noised.to(self.processes.device)) * len(noised.x)
        return float(total) / TESTED

    def save(self, path: Path, report: DiffusionReport) -> None:
        """Write the averaged weights with their spec."""
        config = self.config
        training = Training(
            data=self.source.data,
            patterns=report.step * config.batch,
            steps=report.step,
            seed=config.seed,
            licence=self.source.licence,
            metrics={"held_out_loss": round(report.held_out_loss, 5)},
        )
        colours = 0 if config.labels == "ids" else config.n_colours
        diffusion = Diffusion((config.unet.in_channels, *config.sides), config.schedule, colours)
        spec = ModelSpec("grains", "denoiser", training=training, diffusion=diffusion)
        save_denoiser(path, self.average.weights, config.unet, spec)


@cache
def unet_flops(config: UnetConfig, sides: tuple[int, ...]) -> int:
    """Operations of training on one sample, forward and backward, two per multiply and add; nothing is computed."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        x = torch.zeros(1, config.in_channels, *sides)
        UNet(config)(x, torch.zeros(1)).sum().backward()
    return int(counter.get_total_flops())
