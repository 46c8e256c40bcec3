"""What the training of any denoiser is (Ho et al., arXiv:2006.11239; Lin et al., arXiv:2305.08891)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from microrun.runtime.cores import count_cores
from microrun.runtime.errors import MicrorunError
from microrun.runtime.generation.recipe import Order
from microrun.runtime.spec import ModelSpec, Training
from microrun.training.diffusion.batches import Batches, Drawn, Noised, Samples, add_noise
from microrun.training.diffusion.bits import BitOdds
from microrun.training.diffusion.checkpoint import save_denoiser
from microrun.training.diffusion.config import DenoiserConfig
from microrun.training.diffusion.layers import show_known
from microrun.training.diffusion.masks import Masks
from microrun.training.diffusion.unet import UNet
from microrun.training.diffusion.unet_config import UnetConfig
from microrun.training.loop.distributed import Processes
from microrun.training.loop.trainer import Report, Trainer

TESTED = 64  # held-out samples that a report looks at
MOST_WORKERS = 16
ReportT = TypeVar("ReportT", bound=Report)


@dataclass(frozen=True, eq=False)
class Data:
    """What a denoiser is trained and tested on.

    Parameters
    ----------
    trained, tested
        Samples to train on, and held-out ones.
    identity
        Hash of both.
    source
        What the data is, for the spec.
    order
        Of blocks in volumes that are grown from such samples, for what a network with known inputs finds known.
    """

    trained: Samples
    tested: Samples
    identity: str
    source: Training
    order: Order = "isotropic"


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained network whose predictions count beside the data (Eq. 31 of Xie et al., 2026).

    Parameters
    ----------
    network
        In evaluation mode, on the device.
    weight
        Share of the loss that is the distance to its predictions, 0 to 1.
    """

    network: nn.Module
    weight: float


class DenoiserTrainer(Trainer[ReportT]):
    """Train a U-Net to tell the noise in samples.

    Parameters
    ----------
    config
        Settings; they must equal those of the run that is resumed.
    data
        Likewise.
    folder
        Of the run.
    processes
        That train together.
    network
        To go on from, with its frozen weights; None for a new one.
    teacher
        That is learned from, too.

    Raises
    ------
    MicrorunError
        If processes cannot share a batch.
    """

    def __init__(
        self,
        config: DenoiserConfig,
        data: Data,
        folder: Path,
        processes: Processes,
        network: UNet | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        if config.batch % processes.count:
            raise MicrorunError(f"a batch of {config.batch} cannot be shared by {processes.count} processes")
        self._config, self._data, self.steps, self._teacher = config, data, config.steps, teacher
        torch.manual_seed(config.seed)
        network = (network or UNet(config.unet)).train().to(processes.device)
        super().__init__(config, folder, processes, network, network)
        self.flops, self.tested = unet_flops(config.unet, config.sides), TESTED
        self._rows = processes.rows(config.batch)
        timesteps = config.schedule.training_steps
        masks = [
            Masks(samples.seed, data.order) if config.unet.known_inputs else None
            for samples in (data.trained, data.tested)
        ]
        self._batches = Batches(data.trained, timesteps, config.batch, self._rows, masks[0])
        self._tested = Batches(data.tested, timesteps, TESTED, masks=masks[1])[0]
        codes = data.trained.codes
        self._codes = None if codes is None else torch.from_numpy(codes).to(processes.device)
        self._odds = BitOdds(config.schedule).to(processes.device) if config.schedule.prediction == "bits" else None
        if processes.device.type == "cuda" and processes.count == 1:
            self._capture()

    @abstractmethod
    def describe(self, report: ReportT) -> ModelSpec:
        """Make the spec of the averaged weights."""

    def _capture(self) -> None:
        """Record the network's launches forward and backward: so small a one else waits for the host all the time."""
        config, device = self._config, self.processes.device
        x = torch.zeros(config.batch, config.unet.in_channels, *config.sides, device=device)
        timestep = torch.zeros(config.batch, device=device).long()
        with self.autocast():
            torch.cuda.make_graphed_callables(self.network, (x, timestep, *_condition(config.unet, x)))

    @property
    def identity(self) -> str:
        """Hash of the data."""
        return self._data.identity

    def terms(self) -> Tensor:
        """The loss, (1,) on the device."""
        noise = self._draw_noise((0, self.step), self._config.batch)[self._rows]
        return self._loss(self._parallel, next(self._loaded), noise, self._teacher)[None]

    @cached_property
    def _loaded(self) -> Iterator[Drawn]:
        # A card shall not wait for samples; more processes than these draw no faster than it trains.
        cores = count_cores() // self.processes.count - 1
        workers = max(1, min(MOST_WORKERS, cores)) if self.processes.device.type == "cuda" else 0
        return self._batches.load(range(self.step, self.steps), workers)

    def _draw_noise(self, numbers: tuple[int, int], count: int) -> Tensor:
        """Standard normals for samples of all processes: a function of the seed, numbers and the kind of device."""
        device = self.processes.device
        (seed,) = np.random.SeedSequence((self._config.seed, *numbers)).generate_state(1, np.uint64).tolist()
        generator = torch.Generator(device).manual_seed(seed)
        shape = (count, self._config.unet.out_channels, *self._config.sides)
        return torch.randn(shape, generator=generator, device=device)

    def _loss(self, network: nn.Module, drawn: Drawn, noise: Tensor, teacher: Teacher | None = None) -> Tensor:
        """How far off a network is of what it is not told: cross-entropy of bits, in nats, or mean squared error."""
        values, condition, timestep, known = drawn.to(self.processes.device)
        clean = self._values(values)
        noised, mask = add_noise(clean, noise, timestep, self._config.schedule), known[:, None]
        seen = show_known(noised.x, clean, mask) if self._config.unet.known_inputs else noised.x
        told = self._predict(network, seen, noised, condition)
        if self._odds is None:
            losses = functional.mse_loss(told, noised.target, reduction="none")
        else:
            losses = functional.softplus(-2 * noised.target * told)
        loss = _mean_unknown(losses, mask) if self._config.unet.known_inputs else losses.mean()
        if teacher is None:
            return loss
        with torch.no_grad():
            learned = self._predict(teacher.network, seen, noised, condition)
        return (1 - teacher.weight) * loss + teacher.weight * distance(told, learned, self._odds is not None)

    def _predict(self, network: nn.Module, seen: Tensor, noised: Noised, condition: Tensor) -> Tensor:
        """What a network says of what it sees: half the log-odds of bits, or what its schedule asks for."""
        with self.autocast():
            output = network(seen, noised.timestep, *([condition] if condition.shape[1] else []))
        return output.float() if self._odds is None else self._odds(output.float(), noised.x, noised.timestep)  # type: ignore[no-any-return]

    def _values(self, drawn: Tensor) -> Tensor:
        """What a network sees of samples, (n, channels, *sides)."""
        if self._codes is None:
            return drawn[:, None]
        return functional.embedding(drawn.int(), self._codes).movedim(-1, 1).contiguous()

    @property
    def weights(self) -> dict[str, Tensor]:
        """What is tested and saved: the averaged weights."""
        return self.average.weights

    @torch.inference_mode()
    def evaluate(self) -> float:
        """Loss of the averaged weights on held-out samples, of the data alone."""
        with torch.device("meta"):
            unet = UNet(self._config.unet)
        unet.load_state_dict(self.weights, assign=True)
        noise = self._draw_noise((1, 0), TESTED)
        total = torch.zeros((), device=self.processes.device)
        for first in range(0, TESTED, self._config.batch):
            part = slice(first, first + self._config.batch)
            drawn = Drawn(*(tensor[part] for tensor in self._tested))
            total += self._loss(unet.eval(), drawn, noise[part]) * len(drawn.timestep)
        return float(total) / TESTED

    def save(self, path: Path, report: ReportT) -> None:
        """Write the averaged weights with their spec."""
        save_denoiser(path, self.weights, self._config.unet, self.describe(report))


def distance(told: Tensor, learned: Tensor, is_bits: bool) -> Tensor:
    """How far predictions are from a teacher's.

    Parameters
    ----------
    told, learned
        Of student and teacher, of one shape.
    is_bits
        Whether they are half the log-odds of bits: then their cross-entropy in nats, which is least, not 0, where
        both agree; else the mean squared error.
    """
    if not is_bits:
        return functional.mse_loss(told, learned)
    likely = torch.sigmoid(2 * learned)
    return (likely * functional.softplus(-2 * told) + (1 - likely) * functional.softplus(2 * told)).mean()


def _condition(unet: UnetConfig, x: Tensor) -> list[Tensor]:
    """A condition for samples, if the network has one."""
    return [x.new_zeros(len(x), unet.condition_size)] if unet.condition_size else []


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
        UNet(config)(x, torch.zeros(1), *_condition(config, x)).sum().backward()
    return int(counter.get_total_flops())


def _mean_unknown(losses: Tensor, known: Tensor) -> Tensor:
    """Mean over samples of each one's mean over what is not known: the same however they are split into batches."""
    unknown = (~known).float().flatten(1).sum(1) * losses.shape[1]
    return ((losses * ~known).flatten(1).sum(1) / unknown).mean()
