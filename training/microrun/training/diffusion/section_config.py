"""Settings of the training of a denoiser of sections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from microrun.runtime.conditions import Condition
from microrun.runtime.schedule import Schedule
from microrun.runtime.sections.orientations import N_ORIENTATIONS, TABLE_1, ipf_colours
from microrun.runtime.sections.section_set import Plane
from microrun.runtime.spec import Diffusion
from microrun.training.diffusion.config import DenoiserConfig
from microrun.training.diffusion.start import check_freedom
from microrun.training.diffusion.unet_config import SMALL_SECTION_UNET, UnetConfig
from microrun.training.loop.settings import Precision

Representation = Literal["codes", "rgb"]
CHANNELS = {"codes": (N_ORIENTATIONS - 1).bit_length(), "rgb": 3}
SCHEDULES = {
    "codes": Schedule(250, zero_terminal_snr=True, prediction="bits"),
    "rgb": Schedule(250, zero_terminal_snr=True, prediction="v"),
}
POWER, SPEED = "power_w", "speed_m_s"  # names of the conditions
Window = tuple[float, float]


@dataclass(frozen=True)
class SectionConfig(DenoiserConfig):
    """Settings of `SectionTrainer`.

    Parameters
    ----------
    batch
        Sections per step, of all processes together.
    learning_rate, rate_warmup, decay, precision
        As of `Settings`.
    seed
        Of the weights, the cases held out, the draws, their timesteps and their noise.
    steps
        Of the whole run, at most.
    unet
        Shape of the network.
    schedule
        Of the noise, and what the network predicts.
    sides, step_um, plane
        Of the sections: (rows, cols), edge of a cell in µm, "across" or "along".
    representation
        "codes" for orientations as bits, or "rgb" for their IPF-Z colours.
    power_w, speed_m_s
        Windows (low, high) that conditions are scaled to.
    held_out
        Cases that are never trained on, as a whole.
    patience
        Steps without a lower held-out loss after which training stops; 0 for never.
    fine_tuned_from
        What the first weights are of, for a reader; empty for new ones.
    free
        Which weights are trained, as `free_weights` says; all of a new network.
    distil
        Share of the loss that is the distance to the predictions of the first weights, 0 to below 1 (Eq. 31).

    Raises
    ------
    ValueError
        If they make no sense, alone or together.
    """

    batch: int = 16
    learning_rate: float = 1e-3
    rate_warmup: int = 300
    decay: float = 0.9
    precision: Precision = "auto"
    seed: int = 0
    steps: int = 20_000
    unet: UnetConfig = SMALL_SECTION_UNET
    schedule: Schedule = SCHEDULES["codes"]
    sides: tuple[int, int] = (100, 100)
    step_um: float = 2.0
    plane: Plane = "across"
    representation: Representation = "codes"
    power_w: Window = (100.0, 200.0)
    speed_m_s: Window = (0.5, 1.0)
    held_out: int = 1
    patience: int = 0
    fine_tuned_from: str = ""
    free: str = "all"
    distil: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.steps, self.held_out) < 1 or self.patience < 0:
            raise ValueError("steps and held-out cases must be positive, and patience not negative")
        if self.representation not in get_args(Representation):
            raise ValueError(f"representation must be codes or rgb; got {self.representation!r}")
        if (self.schedule.prediction == "bits") != (self.representation == "codes"):
            raise ValueError(
                f"{self.representation} and the prediction of {self.schedule.prediction} do not go together"
            )
        unet, channels = self.unet, CHANNELS[self.representation]
        if (unet.dims, unet.in_channels, unet.out_channels, unet.condition_size) != (2, channels, channels, 2):
            raise ValueError(f"{self.representation} need a network of 2 dimensions, {channels} channels, 2 conditions")
        unet.check_sides(self.sides)
        check_freedom(self.free, unet)
        if not 0 <= self.distil < 1:
            raise ValueError(f"distillation is a share of the loss from 0 to below 1; got {self.distil:g}")
        if not self.fine_tuned_from and (self.distil or self.free != "all"):
            raise ValueError("fine-tuning and distillation need a model to begin from")

    @property
    def conditions(self) -> tuple[Condition, Condition]:
        """Power and speed with their windows."""
        return Condition(POWER, *self.power_w), Condition(SPEED, *self.speed_m_s)

    @property
    def diffusion(self) -> Diffusion:
        """What the network draws, for its spec."""
        palette = 2 * ipf_colours(TABLE_1) - 1 if self.representation == "rgb" else np.empty((0, 3))
        return Diffusion(
            (self.unet.in_channels, *self.sides), self.schedule, N_ORIENTATIONS, self.conditions, self.plane,
            self.step_um, palette=tuple(tuple(row) for row in palette.round(6).tolist()),
        )  # fmt: skip

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SectionConfig:
        """Make the settings from values of JSON."""
        unet, schedule = UnetConfig.from_dict(values["unet"]), Schedule.from_dict(values["schedule"])
        pairs = {name: tuple(values[name]) for name in ("sides", POWER, SPEED)}
        return cls(**{**values, **pairs, "unet": unet, "schedule": schedule})
