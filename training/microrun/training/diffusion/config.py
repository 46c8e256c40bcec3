"""Settings of the training of a denoiser."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from microrun.runtime.conditions import GRAIN_VOXELS, Condition
from microrun.runtime.errors import MicrorunError
from microrun.runtime.generation.overlaps import BLOCK
from microrun.runtime.schedule import Schedule
from microrun.training.diffusion.blocks import BlockSettings, Labels
from microrun.training.diffusion.unet_config import GRAIN_UNET, UnetConfig, entering_channels
from microrun.training.loop.settings import Precision, Settings

# ε and v consist of the noise of every voxel, for which a network on patches has no channels to spare.
GRAIN_SCHEDULE = Schedule(250, zero_terminal_snr=True, prediction="bits")


@dataclass(frozen=True)
class DenoiserConfig(Settings):
    """Settings that the training of any denoiser has.

    Parameters
    ----------
    batch, learning_rate, rate_warmup, decay, precision, seed
        As of `Settings`.
    steps
        Of the whole run; every one sees new samples.
    unet
        Shape of the network.
    schedule
        Of the noise, and what the network predicts.
    """

    steps: int
    unet: UnetConfig
    schedule: Schedule

    @property
    @abstractmethod
    def sides(self) -> tuple[int, ...]:
        """Cells of a sample along each axis."""


@dataclass(frozen=True)
class DiffusionConfig(DenoiserConfig):
    """Settings of `DiffusionTrainer`.

    Parameters
    ----------
    batch
        Blocks per step, of all processes together.
    learning_rate, rate_warmup, decay, precision
        As of `Settings`.
    seed
        Of the weights, the blocks, their timesteps and their noise.
    steps
        Of the whole run; every one sees new blocks.
    side
        Voxels along each axis of a block.
    labels, n_colours
        How grains become values, as of `BlockSettings`.
    held_out
        Volumes, the last ones, that are never trained on.
    known_inputs
        Whether the network sees which voxels are known, and their values, as blocks find them while a volume grows.
    grain_voxels
        Window of the mean diameters, in voxels, of which a block is told that of its volume; None for a network that
        is not told how large its grains are.
    begun_from
        What the first weights are of, for a reader; empty for new ones.
    unet
        Shape of the network.
    schedule
        Of the noise, and what the network predicts.

    Raises
    ------
    ValueError
        If they make no sense, alone or together.
    """

    batch: int = 8
    learning_rate: float = 5e-4
    rate_warmup: int = 300
    decay: float = 0.5
    precision: Precision = "auto"
    seed: int = 0
    steps: int = 100_000
    side: int = 32
    labels: Labels = "bits"
    n_colours: int = 128
    held_out: int = 1
    known_inputs: bool = False
    grain_voxels: tuple[float, float] | None = None
    begun_from: str = ""
    unet: UnetConfig = GRAIN_UNET
    schedule: Schedule = GRAIN_SCHEDULE

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.steps, self.held_out) < 1:
            raise ValueError("steps and held-out volumes must be positive")
        try:
            channels = self.blocks(0).channels
        except MicrorunError as error:
            raise ValueError(str(error)) from None
        if self.schedule.prediction == "bits" and self.labels != "bits":
            raise ValueError(f"bits are predicted of labels that are bits, not {self.labels}; take another prediction")
        if self.known_inputs and self.side != BLOCK:
            raise ValueError(f"known inputs are those of blocks of {BLOCK} voxels a side, not {self.side}")
        unet, entering, told = self.unet, entering_channels(channels, self.known_inputs), len(self.conditions)
        if (unet.dims, unet.in_channels, unet.out_channels, unet.condition_size) != (3, entering, channels, told):
            known = f", {entering} of them in, as known inputs take" if self.known_inputs else ""
            sized = ", which is told the size of its grains" if told else ""
            raise ValueError(
                f"{self.n_colours} {self.labels} need a network of 3 dimensions and {channels} channels{known}{sized}"
            )
        unet.check_sides(self.sides)

    @property
    def sides(self) -> tuple[int, int, int]:
        """Voxels of a block along z, y, x."""
        return (self.side, self.side, self.side)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What a block is conditioned on."""
        return () if self.grain_voxels is None else (Condition(GRAIN_VOXELS, *self.grain_voxels),)

    def blocks(self, seed: int) -> BlockSettings:
        """What blocks to make.

        Parameters
        ----------
        seed
            Of the blocks.
        """
        return BlockSettings(self.side, self.labels, self.n_colours, seed)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DiffusionConfig:
        """Make the settings from values of JSON."""
        unet, schedule = UnetConfig.from_dict(values["unet"]), Schedule.from_dict(values["schedule"])
        window = values.get("grain_voxels")
        return cls(**{**values, "unet": unet, "schedule": schedule, "grain_voxels": window and tuple(window)})
