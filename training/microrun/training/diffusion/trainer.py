"""Training of a denoiser on blocks of simulated volumes."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch

from microrun.runtime.errors import MicrorunError
from microrun.runtime.generation.recipe import USUAL
from microrun.runtime.spec import Diffusion, ModelSpec, Process, Training
from microrun.training.diffusion.blocks import Blocks
from microrun.training.diffusion.config import DiffusionConfig
from microrun.training.diffusion.denoiser_trainer import Data, DenoiserTrainer
from microrun.training.diffusion.start import Start, widen
from microrun.training.diffusion.unet import UNet
from microrun.training.loop.distributed import Processes, alone
from microrun.training.loop.trainer import Report
from microrun.training.simulate.volumes import SimulatedVolume, identify, mean_grain_voxels


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


class DiffusionTrainer(DenoiserTrainer[DiffusionReport]):
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
    start
        To go on from; None for new weights.

    Raises
    ------
    MicrorunError
        If no volume is left to train on, one is too small for blocks, the model to begin from draws others, or
        processes cannot share a batch.
    """

    def __init__(
        self,
        config: DiffusionConfig,
        volumes: Sequence[SimulatedVolume],
        folder: Path,
        source: Training,
        processes: Processes | None = None,
        start: Start | None = None,
    ) -> None:
        processes = processes or alone()
        if len(volumes) <= config.held_out:
            raise MicrorunError(
                f"{len(volumes)} volumes are too few: {config.held_out} are held out, and more are needed to train on; "
                f"simulate more"
            )
        self.config, self.source, self.grain_voxels = config, source, _usual_size(config, volumes)
        grown = {(volume.kind, volume.hatch) for volume in volumes}
        self._process, self._hatch = cast("tuple[Process, int]", grown.pop() if len(grown) == 1 else ("", 0))
        trained, tested = volumes[: -config.held_out], volumes[-config.held_out :]
        (size,) = config.conditions or (None,)
        drawn, tested_on = (
            Blocks(part, config.blocks(config.seed + number), size) for number, part in enumerate((trained, tested))
        )
        data = Data(drawn, tested_on, identify(volumes), source, USUAL[self._process].order)
        network = None if start is None else self._begin(start)
        super().__init__(config, data, folder, processes, network)
        if processes.device.type == "cpu" and config.side <= 2 * config.unet.reduction:
            # PyTorch 2.13 on CPUs with bf16: gradients of convolutions over two voxels of depth are garbage, or nan.
            self._dtype = torch.float32

    def _begin(self, start: Start) -> UNet:
        """A network of the weights of another, of the same samples."""
        start.check(self._diffusion)
        mine, asked = start.diffusion.schedule, self.config.schedule
        if mine != asked:
            raise MicrorunError(
                f"{start.path}: its schedule has {mine.training_steps} timesteps, it predicts {mine.prediction}; "
                f"asked were {asked.training_steps} and {asked.prediction}; leave out --prediction, or begin elsewhere"
            )
        return widen(start.unet, self.config.unet)

    def measure(self, means: list[float], rate: float) -> DiffusionReport:
        """Make a report; the averaged weights are tested for it."""
        share = rate * self.flops / self.peak
        return DiffusionReport(self.step, self.steps, means[0], self.evaluate(), rate, share)

    def describe(self, report: DiffusionReport) -> ModelSpec:
        """Make the spec of the averaged weights."""
        config = self.config
        training = Training(
            data=self.source.data + (f"; begun from {config.begun_from}" if config.begun_from else ""),
            patterns=report.step * config.batch,
            steps=report.step,
            seed=config.seed,
            licence=self.source.licence,
            metrics={"held_out_loss": round(report.held_out_loss, 5)},
        )
        return ModelSpec("grains", "denoiser", training=training, diffusion=self._diffusion)

    @property
    def _diffusion(self) -> Diffusion:
        """What the network draws, for its spec."""
        config = self.config
        return Diffusion(
            (config.unet.out_channels, *config.sides),
            config.schedule,
            0 if config.labels == "ids" else config.n_colours,
            config.conditions,
            grain_voxels=self.grain_voxels,
            known_inputs=config.known_inputs,
            process=self._process,
            hatch_voxels=self._hatch,
        )


def _usual_size(config: DiffusionConfig, volumes: Sequence[SimulatedVolume]) -> float | None:
    """Mean diameter of the grains that a network draws where none is asked for, in voxels."""
    if all(volume.kind == "am" for volume in volumes):
        return None  # columns are cut by faces, and whole grains are the smallest ones: the hatch is what they scale by
    if config.grain_voxels is None:
        return mean_grain_voxels(volumes)
    found = [size for volume in volumes if (size := mean_grain_voxels([volume])) is not None]
    return round(statistics.median_low(found), 3)
