"""Training of a denoiser on blocks of simulated volumes (Ho et al., arXiv:2006.11239; Lin et al., arXiv:2305.08891)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from microrun.runtime.cores import count_cores
from microrun.runtime.errors import MicrorunError
from microrun.runtime.spec import Diffusion, ModelSpec, Training
from microrun.training.diffusion.batches import BlockBatches, Drawn, add_noise
from microrun.training.diffusion.bits import BitOdds
from microrun.training.diffusion.blocks import Blocks
from microrun.training.diffusion.checkpoint import save_denoiser
from microrun.training.diffusion.config import DiffusionConfig
from microrun.training.diffusion.unet import UNet
from microrun.training.diffusion.unet_config import UnetConfig
from microrun.training.loop.distributed import Processes, alone
from microrun.training.loop.trainer import REPORT_STEPS, Report, Trainer
from microrun.training.simulate.volumes import SimulatedVolume, identify

TESTED = 64  # held-out blocks that a report looks at
MOST_WORKERS = 16


@dataclass(frozen=True)
class DiffusionReport(Report):
    """Where the training of a denoiser stands.

    Parameters
    ----------
    step, steps, loss
        As in `Report`; the loss is the cross-entropy of bits, in nats, or the mean squared error.
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


class DiffusionTrainer(Trainer[DiffusionReport]):
    """Train a U-Net to tell the noise in blocks.

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
        volumes: Sequence[SimulatedVolume],
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
        timesteps = config.schedule.training_steps
        drawn, tested_on = Blocks(trained, config.blocks(config.seed)), Blocks(tested, config.blocks(config.seed + 1))
        self._batches = BlockBatches(drawn, timesteps, config.batch, self._rows)
        self._tested = BlockBatches(tested_on, timesteps, TESTED)[0]
        codes = drawn.codes
        self._codes = None if codes is None else torch.from_numpy(codes).to(processes.device)
        self._odds = BitOdds(config.schedule).to(processes.device) if config.schedule.prediction == "bits" else None
        if processes.device.type == "cuda" and processes.count == 1:
            self._capture()

    def _capture(self) -> None:
        """Record the network's launches forward and backward: so small a one else waits for the host all the time."""
        config, device = self.config, self.processes.device
        x = torch.zeros(config.batch, config.unet.in_channels, *config.sides, device=device)
        with self.autocast():
            torch.cuda.make_graphed_callables(self.network, (x, torch.zeros(config.batch, device=device).long()))

    @property
    def identity(self) -> str:
        """Hash of the volumes."""
        return self._identity

    @property
    def report_every(self) -> int:
        """Steps between reports: fifty in a run, more in a long one, but they take a twentieth of the time at most."""
        costs = 7 * TESTED  # as many blocks are trained on in twenty times the time of a test
        limit = REPORT_STEPS[self.processes.device.type]
        return max(1, min(limit, self.steps // 50), -(-costs // self.config.batch))

    def terms(self) -> Tensor:
        """The loss, (1,) on the device."""
        noise = self._draw_noise((0, self.step), self.config.batch)[self._rows]
        return self._loss(self._parallel, next(self._loaded), noise)[None]

    @cached_property
    def _loaded(self) -> Iterator[Drawn]:
        # A card shall not wait for blocks; more processes than these draw no faster than it trains.
        cores = count_cores() // self.processes.count - 1
        workers = max(1, min(MOST_WORKERS, cores)) if self.processes.device.type == "cuda" else 0
        return self._batches.load(range(self.step, self.steps), workers)

    def _draw_noise(self, numbers: tuple[int, int], count: int) -> Tensor:
        """Standard normals for samples of all processes: a function of the seed, numbers and the kind of device."""
        device = self.processes.device
        (seed,) = np.random.SeedSequence((self.config.seed, *numbers)).generate_state(1, np.uint64).tolist()
        generator = torch.Generator(device).manual_seed(seed)
        shape = (count, self.config.unet.in_channels, *self.config.sides)
        return torch.randn(shape, generator=generator, device=device)

    def _loss(self, network: nn.Module, drawn: Drawn, noise: Tensor) -> Tensor:
        """How far off a network is: cross-entropy of bits, in nats, or the mean squared error."""
        blocks, timestep = drawn.to(self.processes.device)
        noised = add_noise(self._values(blocks), noise, timestep, self.config.schedule)
        with self.autocast():
            output = network(noised.x, noised.timestep)
        if self._odds is None:
            return functional.mse_loss(output.float(), noised.target)
        odds = self._odds(output.float(), noised.x, noised.timestep)
        return functional.softplus(-2 * noised.target * odds).mean()

    def _values(self, blocks: Tensor) -> Tensor:
        """What a network sees of blocks, (n, channels, *sides)."""
        if self._codes is None:
            return blocks[:, None]
        return functional.embedding(blocks.int(), self._codes).movedim(-1, 1).contiguous()

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
        noise = self._draw_noise((1, 0), TESTED)
        total = torch.zeros((), device=self.processes.device)
        for first in range(0, TESTED, self.config.batch):
            part = slice(first, first + self.config.batch)
            drawn = Drawn(*(tensor[part] for tensor in self._tested))
            total += self._loss(unet.eval(), drawn, noise[part]) * len(drawn.timestep)
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
    """Operations of training on one sample, forward and backward, two per multiply and add; nothing is computed.

    Parameters
    ----------
    config
        Shape of the network.
    sides
        Of the sample.
    """
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        x = torch.zeros(1, config.in_channels, *sides)
        UNet(config)(x, torch.zeros(1)).sum().backward()
    return int(counter.get_total_flops())
