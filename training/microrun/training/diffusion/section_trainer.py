"""Training of a denoiser on sections, conditioned on laser power and speed (Xie et al., 2026)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from microrun.runtime.errors import MicrorunError
from microrun.runtime.sections.section_set import SectionSet, find_hatch
from microrun.runtime.spec import ModelSpec, Training
from microrun.training.diffusion.denoiser_trainer import Data, DenoiserTrainer, Teacher
from microrun.training.diffusion.section_config import SectionConfig
from microrun.training.diffusion.sections import SectionDraws, identify_sections, split_cases
from microrun.training.diffusion.start import Start, free_weights
from microrun.training.diffusion.unet import UNet
from microrun.training.loop.distributed import Processes, alone
from microrun.training.loop.patience import Patience
from microrun.training.loop.trainer import Report

NAME = "sections"


@dataclass(frozen=True)
class SectionReport(Report):
    """Where the training of a denoiser of sections stands.

    Parameters
    ----------
    step, steps, loss
        As in `Report`; the loss is the cross-entropy of bits, in nats, or the mean squared error; with a teacher, in
        shares with the distance to its predictions.
    held_out_loss
        Of the averaged weights on sections of the held-out cases, over all timesteps, without a teacher; always the
        same sections and noise.
    sections_per_s
        Speed since the last report, of all processes together.
    peak_share
        The same, counted in operations, as a share of what the machine reaches multiplying matrices.
    """

    held_out_loss: float
    sections_per_s: float
    peak_share: float


class SectionTrainer(DenoiserTrainer[SectionReport]):
    """Train a U-Net to tell the noise in sections; the checkpoint holds the best averaged weights.

    Parameters
    ----------
    config
        Settings; they must equal those of the run that is resumed.
    sections
        To train on; likewise. Whole cases are held out.
    folder
        Of the run.
    source
        What the data is, for the spec.
    processes
        That train together; None for this one alone.
    start
        To fine-tune, or to distil.

    Raises
    ------
    MicrorunError
        If no case is left to train on, sections or model do not fit the settings, or processes cannot share a batch.
    """

    def __init__(
        self,
        config: SectionConfig,
        sections: SectionSet,
        folder: Path,
        source: Training,
        processes: Processes | None = None,
        start: Start | None = None,
    ) -> None:
        processes = processes or alone()
        check_fit(config, sections, start)
        self.config, self.source, self._hatch_um = config, source, find_hatch(sections) or 0.0
        trained, held = split_cases(sections, config.held_out, config.seed)
        codes = config.diffusion.codes
        data = Data(
            SectionDraws(trained, config.conditions, codes, config.seed),
            SectionDraws(held, config.conditions, codes, config.seed + 1),
            identify_sections(sections),
            source,
        )
        network = _begin(config, start)
        free_weights(network, config.free)  # also without a model: what is resumed has its weights in its state
        teacher = Teacher(start.unet.to(processes.device), config.distil) if start and config.distil else None
        super().__init__(config, data, folder, processes, network, teacher)
        self._patience = Patience(config.patience)

    @property
    def enough(self) -> bool:
        """Whether the held-out loss has not become lower for long."""
        return self._patience.spent

    def resume(self) -> None:
        """Load the last state of the folder, if there is one, and what was best until then."""
        super().resume()
        self._patience.recall(self.folder / "metrics.csv", "held_out_loss", self.step)

    def measure(self, means: list[float], rate: float) -> SectionReport:
        """Make a report; the averaged weights are tested for it."""
        share = rate * self.flops / self.peak
        report = SectionReport(self.step, self.steps, means[0], self.evaluate(), rate, share)
        self._patience.take(report.step, report.held_out_loss)
        return report

    def save(self, path: Path, report: SectionReport) -> None:
        """Write the averaged weights with their spec, if none were better before."""
        if self._patience.best_step == report.step:
            super().save(path, report)

    def describe(self, report: SectionReport) -> ModelSpec:
        """Make the spec of the averaged weights."""
        config = self.config
        training = Training(
            data=self.source.data + (f"; fine-tuned from {config.fine_tuned_from}" if config.fine_tuned_from else ""),
            patterns=report.step * config.batch,
            steps=report.step,
            seed=config.seed,
            licence=self.source.licence,
            metrics={"held_out_loss": round(report.held_out_loss, 5)},
        )
        return ModelSpec(
            NAME, "denoiser", training=training, diffusion=replace(config.diffusion, hatch_um=self._hatch_um)
        )


def _begin(config: SectionConfig, start: Start | None) -> UNet:
    """A network of its own: a copy of what is begun from, or a new one."""
    if start is not None:
        return copy.deepcopy(start.unet)
    torch.manual_seed(config.seed)
    return UNet(config.unet)


def check_fit(config: SectionConfig, sections: SectionSet, start: Start | None = None) -> None:
    """Refuse sections, or a model to begin from, that are not of the settings.

    Raises
    ------
    MicrorunError
        That says what differs.
    """
    sides, orientations = sections.orientation.shape[1:], len(config.diffusion.codes)
    if len(sections.euler) != orientations:
        raise MicrorunError(f"sections must have {orientations} orientations; got {len(sections.euler)}")
    if (sections.plane, sections.step_um, sides) != (config.plane, config.step_um, config.sides):
        raise MicrorunError(
            f"sections {config.plane} the tracks of {config.sides} cells of {config.step_um:g} µm were expected; "
            f"got sections {sections.plane} them of {sides} cells of {sections.step_um:g} µm"
        )
    for condition, values in zip(config.conditions, (sections.power_w, sections.speed_m_s), strict=True):
        if values.min() < condition.low or values.max() > condition.high:
            raise MicrorunError(
                f"{condition.name} of the sections is {values.min():g} to {values.max():g}, outside the window of "
                f"training, {condition.low:g} to {condition.high:g}; widen it, or begin from another model"
            )
    split_cases(sections, config.held_out, config.seed)
    if start is not None:
        start.check(config.diffusion)
