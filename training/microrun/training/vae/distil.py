"""Latent distillation: an encoder learns to see through what real cameras add, and its latents keep their meaning.

A frozen teacher encodes the bands alone; the student, a copy of it or another network, learns to give the same latents
for the same bands under noise, brightness and defects. A student of another network imitates instead: it sees what its
teacher sees, and what the teacher does with noise is to be learned, too, since maps of both shall differ by less than
another exposure would change them. The decoder stays as it is, and so does the latent space: maps of old and new
encoders can be compared. G. Hinton et al., "Distilling the Knowledge in a Neural Network" (2015), with latents in the
place of class scores.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from microrun.runtime.domain import Domain
from microrun.runtime.encoding.familiarity import reached_bands
from microrun.runtime.known_latents import KnownLatents
from microrun.runtime.spec import EncoderNetwork, ModelSpec, Training
from microrun.training.loop.distributed import Processes, alone
from microrun.training.loop.settings import Precision, Settings
from microrun.training.loop.trainer import Report, Trainer
from microrun.training.simulate.camera.matched import Matched
from microrun.training.vae.checkpoint import save_checkpoint
from microrun.training.vae.data import NEW, Selection, check_simulations_fit
from microrun.training.vae.fast_encoder import FastEncoder
from microrun.training.vae.network import VAE, Encoder
from microrun.training.vae.twins import Twins

TESTED_BANDS = 128  # held-out patterns whose bands a report looks at
SHARPEST = 0.02  # variance below which a latent is not asked to be more certain
LOG_VARIANCE_WEIGHT = 0.05  # of how sure the student is against what it says


@dataclass(frozen=True)
class DistilConfig(Settings):
    """Settings of `DistilTrainer`.

    Parameters
    ----------
    batch
        Pairs per step.
    steps
        Of the whole run.
    patterns_per_scan
        Random patterns taken from each scan, at most; without meaning for simulations.
    teacher
        Its name and hash, for the spec.
    matched
        Simulations to learn from; None for those of nickel, or for scans.
    student
        Its network; None for a copy of the teacher, weights and all.
    """

    batch: int = 64
    steps: int = 10_000
    learning_rate: float = 6e-4
    rate_warmup: int = 50
    decay: float = 0.5
    precision: Precision = "auto"
    seed: int = 0
    patterns_per_scan: int = 16_000
    teacher: str = ""
    matched: Matched | None = None
    student: EncoderNetwork | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 1:
            raise ValueError("steps must be positive")

    @property
    def selection(self) -> Selection:
        """Which patterns are taken from scans."""
        return Selection(self.patterns_per_scan, seed=self.seed)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DistilConfig:
        """Make the settings from values of JSON."""
        matched = values.get("matched")
        return cls(**{**values, "matched": Matched.from_dict(matched) if matched is not None else None})


@dataclass(frozen=True)
class DistilReport(Report):
    """Where a distillation stands.

    Parameters
    ----------
    step, steps, loss
        As in `Report`.
    latent_error
        Root mean square difference of student and teacher on the held-out pairs, as a share of the spread of the
        teacher's latents: 0 is perfect, 1 as good as their mean.
    before
        The same of the untaught student.
    patterns_per_s
        Speed since the last report.
    peak_share
        The same, counted in operations, as a share of what the machine reaches multiplying matrices.
    """

    latent_error: float
    before: float
    patterns_per_s: float
    peak_share: float


class DistilTrainer(Trainer[DistilReport]):
    """Teach an encoder in a run folder; a run that was killed goes on where its last state was saved.

    Parameters
    ----------
    config
        Settings; they must equal those of the run that is resumed.
    twins
        What is taught on; likewise.
    folder
        Gets ``config.json``, ``state.pt``, ``metrics.csv`` and ``checkpoint.safetensors``.
    teacher, spec
        Encodes the clean twins, or for a student of another network the views; its decoder becomes the student's.
    processes
        That train together; None for this one alone.

    Raises
    ------
    SpecError
        If the teacher takes other patterns.
    """

    def __init__(
        self,
        config: DistilConfig,
        twins: Twins,
        folder: Path,
        teacher: VAE,
        spec: ModelSpec,
        processes: Processes | None = None,
    ) -> None:
        check_simulations_fit(spec.preprocessing, spec.name)
        processes = processes or alone()
        self.config, self.twins, self.spec = config, twins, spec
        self.teacher = teacher.eval().requires_grad_(False)
        self.teacher.to(processes.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        student = _make_student(config, teacher).requires_grad_(True).train()
        student.to(processes.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        super().__init__(config, folder, processes, student, student)
        self.steps, self.flops = (
            config.steps,
            distil_flops(spec.latent_size, teacher.network, config.student or teacher.network),
        )
        self._imitates = config.student not in (None, teacher.network)
        self._views, clean = (part.to(processes.device) for part in twins.held_out())
        self.tested = len(self._views)
        self._wanted = self._teach(self._views, clean)[0]
        self._tested = copy.deepcopy(student).requires_grad_(False).eval()
        self._before = self._error(self._see(self._tested))
        self._known: KnownLatents | None = None  # of the same weights

    @property
    def identity(self) -> str:
        """Hash of the pairs and the teacher."""
        return self.twins.identity

    def terms(self) -> Tensor:
        """Loss and squared latent error, (2,) on the device."""
        rows = self.processes.rows(self.config.batch)
        views, clean = (part[rows].to(self.processes.device) for part in self.twins.batch(self.step))
        wanted, certainty = self._teach(views, clean)
        with self.autocast():
            mean, log_variance = self._parallel(views.to(memory_format=torch.channels_last))
        error = (mean.float() - wanted).square()
        weighted = (error / (certainty.exp() + SHARPEST)).mean()
        sureness = (log_variance.float() - certainty).square().mean()
        return torch.stack([weighted + LOG_VARIANCE_WEIGHT * sureness, error.mean()])

    def measure(self, means: list[float], rate: float) -> DistilReport:
        """Make a report; the averaged weights are tested for it."""
        self._tested.load_state_dict(self.average.weights)
        share = rate * self.flops / self.peak
        latents = self._see(self._tested)
        self._known = KnownLatents.of(latents.cpu().numpy())
        return DistilReport(self.step, self.steps, means[0], self._error(latents), self._before, rate, share)

    def save(self, path: Path, report: DistilReport) -> None:
        """Write the averaged encoder and the teacher's decoder with their spec."""
        decoder = {f"decoder.{name}": value for name, value in self.teacher.decoder.state_dict().items()}
        encoder = {f"encoder.{name}": value for name, value in self.average.weights.items()}
        save_checkpoint(path, encoder | decoder, self._spec(report))

    @torch.no_grad()
    def _teach(self, views: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
        """What the teacher says of the batch."""
        seen = views if self._imitates else clean
        with self.autocast():
            mean, log_variance = self.teacher.encoder(seen.to(memory_format=torch.channels_last))
        return mean.float(), log_variance.float()

    @torch.no_grad()
    def _see(self, encoder: torch.nn.Module) -> Tensor:
        """Latents of the held-out views, (n, D)."""
        with self.autocast():
            return torch.cat([encoder(part)[0] for part in torch.split(self._views, self.config.batch)]).float()

    def _error(self, found: Tensor) -> float:
        spread = (self._wanted - self._wanted.mean(dim=0)).square().sum()
        return float(((found - self._wanted).square().sum() / spread).sqrt())

    @torch.no_grad()
    def _known_bands(self) -> dict[str, float]:
        """What the averaged student gives back of the held-out bands."""
        views = self._views[:: -(-len(self._views) // TESTED_BANDS)]
        reconstructed = self.teacher.decoder(self._tested(views)[0])
        images = [part[:, 0].float().cpu().numpy() for part in (views, reconstructed)]
        return reached_bands(images[0], images[1], self.twins.pixel_keep)

    def _spec(self, report: DistilReport) -> ModelSpec:
        training = Training(
            data=f"{self.twins.text}; latents taught by {self.config.teacher}",
            patterns=report.step * self.config.batch,
            steps=report.step,
            seed=self.config.seed,
            licence=self.spec.training.licence,
            metrics={
                "latent_error": round(report.latent_error, 4),
                "latent_error_before": round(self._before, 4),
                **self._known_bands(),
            },
        )
        network = self.config.student or self.spec.network
        name = self.spec.name if network == self.spec.network else f"{self.spec.name}-{network}"
        return replace(
            self.spec,
            name=name,
            network=network,
            preprocessing=NEW,
            training=training,
            domain=self._domain(),
            known=self._known,
            parity_error=None,
        )

    def _domain(self) -> Domain | None:
        """What the student knows: no phases, and no pattern centres, but those that the teacher's decoder draws."""
        taught, known = self.twins.domain, self.spec.domain
        if taught is None or known is None:
            return taught or known
        phases = tuple(phase for phase in taught.phases if phase in known.phases)
        return replace(taught, phases=phases, pattern_centre=known.pattern_centre) if phases else None


def _make_student(config: DistilConfig, teacher: VAE) -> Encoder | FastEncoder:
    """A network to be taught: a copy of the teacher, or another from random weights."""
    if config.student in (None, teacher.network):
        return copy.deepcopy(teacher.encoder)
    torch.manual_seed(config.seed)
    size, standardise = teacher.encoder.head.out_features // 2, teacher.encoder.standardise
    return VAE(size, standardise.mean.item(), standardise.std.item(), config.student).encoder


@cache
def distil_flops(latent_size: int, teacher: EncoderNetwork = "published", student: EncoderNetwork = "published") -> int:
    """Operations of one pair: once through the teacher's encoder, and forward and backward through the student's.

    Parameters
    ----------
    latent_size
        D.
    teacher, student
        Their networks.
    """
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        teaching, taught = (VAE(latent_size, network=network).encoder for network in (teacher, student))
        with torch.no_grad():
            teaching(torch.zeros(1, 1, 120, 120))
        taught(torch.zeros(1, 1, 120, 120))[0].sum().backward()
    return int(counter.get_total_flops())
