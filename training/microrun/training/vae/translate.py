"""Translation to another crystal: it gets the latents of the crystal that a teacher knows, at the same orientation.

An autoencoder that is shown another crystal stays on a plateau for long: what it does not draw it need not encode, and
what it does not encode it cannot draw. Latents of the teacher's crystal are a map of all orientations already. So the
encoder learns to give a pattern of the other crystal the latents that the teacher gives its own crystal in the same
orientation, and the decoder learns to draw the other crystal from these latents. Neither waits for the other, and maps
of both crystals can be compared. At last the decoder draws from what the encoder gives, and both learn together.

That takes crystals of the same symmetry: of others, orientations that look alike for the one do not for the other. A
hexagonal crystal gets the sum of the latents of two cubic twins, which have its symmetry in common.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from microrun.runtime.encoding.familiarity import reached_bands
from microrun.runtime.known_latents import KnownLatents
from microrun.runtime.spec import ModelSpec, Training
from microrun.training.loop.distributed import Processes, alone
from microrun.training.loop.trainer import Report, Trainer
from microrun.training.vae.checkpoint import save_checkpoint
from microrun.training.vae.crystal_twins import CrystalTwins
from microrun.training.vae.data import NEW, check_simulations_fit
from microrun.training.vae.distil import LOG_VARIANCE_WEIGHT, DistilConfig
from microrun.training.vae.evaluate import decode, encode, reconstruction_r2
from microrun.training.vae.network import LOG_VARIANCE, VAE
from microrun.training.vae.trainer import training_flops

TESTED_BANDS = 128  # held-out patterns whose bands the spec tells of
TOGETHER = 0.6  # share of the steps after which the decoder draws from what the encoder gives
LEAST_SPREAD = 0.1  # of a latent against that of all: some latents of a teacher may say nothing
BLUR = 0.5  # of the teacher's own uncertainty, by which latents are moved before they are drawn


@dataclass(frozen=True)
class TranslateReport(Report):
    """Where a translation stands.

    Parameters
    ----------
    step, steps, loss
        As in `Report`.
    latent_error
        Root mean square difference of the held-out latents and the teacher's, as a share of their spread.
    held_out_r2
        Share of the variance of held-out bands that the averaged weights reconstruct.
    patterns_per_s
        Speed since the last report.
    peak_share
        The same, counted in operations, as a share of what the machine reaches multiplying matrices.
    """

    latent_error: float
    held_out_r2: float
    patterns_per_s: float
    peak_share: float


class TranslateTrainer(Trainer[TranslateReport]):
    """Translate a model to another crystal; a run that was killed goes on where its last state was saved.

    Parameters
    ----------
    config
        Settings; they must equal those of the run that is resumed.
    twins
        Patterns of both crystals; likewise.
    folder
        Gets ``config.json``, ``state.pt``, ``metrics.csv`` and ``checkpoint.safetensors``.
    teacher, spec
        Knows the one crystal; what learns the other starts from it.
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
        twins: CrystalTwins,
        folder: Path,
        teacher: VAE,
        spec: ModelSpec,
        processes: Processes | None = None,
    ) -> None:
        check_simulations_fit(spec.preprocessing, spec.name)
        processes = processes or alone()
        self.config, self.twins, self.spec = config, twins, spec
        model = copy.deepcopy(teacher).requires_grad_(True).train()
        for network in (teacher, model):
            network.to(processes.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.teacher = teacher.eval().requires_grad_(False)
        super().__init__(config, folder, processes, _Translated(model), model)
        self.steps, self.flops = config.steps, training_flops(spec.latent_size, teacher.network)
        self._views, self._bands, known = (part.to(processes.device) for part in twins.held_out())
        self.tested = len(self._views)
        self._wanted = _together([encode(self.teacher, part) for part in known])
        spread = self._wanted.std(dim=0)
        self._spread = spread.clamp_min(LEAST_SPREAD * float(spread.mean()))
        self._tested = copy.deepcopy(model).requires_grad_(False).eval()
        self._keep = torch.from_numpy(twins.pixel_keep).to(processes.device)
        self._known: KnownLatents | None = None
        self._reached: dict[str, float] = {}  # of the same weights

    @property
    def identity(self) -> str:
        """Hash of the patterns."""
        return self.twins.identity

    def terms(self) -> Tensor:
        """Loss, squared latent error and share of the bands that is missed, (3,) on the device."""
        rows = self.processes.rows(self.config.batch)
        views, bands, known = (
            part[..., rows, :, :, :].to(self.processes.device) for part in self.twins.batch(self.step)
        )
        together = self.step >= TOGETHER * self.steps
        with self.autocast():
            with torch.no_grad():
                taught = [self.teacher.encoder(part.to(memory_format=torch.channels_last)) for part in known]
            wanted, certainty = _together([mean for mean, _ in taught]), taught[0][1]
            given = None if together else wanted + BLUR * self._draw(certainty)
            drawn, latents, log_variance = self._parallel(views.to(memory_format=torch.channels_last), given)
        error = ((latents.float() - wanted.float()) / self._spread).square().mean()
        missed = _missed(drawn.float()[:, 0, self._keep], bands[:, 0, self._keep])
        sureness = (log_variance.float() - certainty.float()).square().mean()  # fine-tuning draws latents by it
        return torch.stack([error + missed + LOG_VARIANCE_WEIGHT * sureness, error, missed])

    def measure(self, means: list[float], rate: float) -> TranslateReport:
        """Make a report; the averaged weights are tested for it."""
        self._tested.load_state_dict(self.average.weights)
        with self.autocast():
            latents = encode(self._tested, self._views).float()
            drawn = decode(self._tested, latents).float()
        error = float(((latents - self._wanted) / self._spread).square().mean().sqrt())
        self._known = KnownLatents.of(latents.cpu().numpy())
        every = -(-len(drawn) // TESTED_BANDS)
        images = [part[::every, 0].cpu().numpy() for part in (self._views, drawn)]
        self._reached = reached_bands(images[0], images[1], self.twins.pixel_keep)
        r2 = reconstruction_r2(self._bands, drawn, self.twins.pixel_keep)
        return TranslateReport(self.step, self.steps, means[0], error, r2, rate, rate * self.flops / self.peak)

    def save(self, path: Path, report: TranslateReport) -> None:
        """Write the averaged weights with their spec."""
        save_checkpoint(path, self.average.weights, self._spec(report))

    def _draw(self, log_variance: Tensor) -> Tensor:
        """Noise as large as the teacher's uncertainty, the same for a step whenever it is taken."""
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.step)
        noise = torch.randn((self.config.batch, log_variance.shape[1]), generator=generator)
        rows = noise[self.processes.rows(self.config.batch)].to(log_variance.device)
        return rows * torch.exp(0.5 * log_variance.clamp(*LOG_VARIANCE))

    def _spec(self, report: TranslateReport) -> ModelSpec:
        training = Training(
            data=f"{self.twins.text}; taught by {self.config.teacher}",
            patterns=report.step * self.config.batch,
            steps=report.step,
            seed=self.config.seed,
            licence=self.spec.training.licence,
            metrics={
                "held_out_r2": round(report.held_out_r2, 4),
                "latent_error": round(report.latent_error, 4),
                **self._reached,
            },
        )
        return replace(
            self.spec,
            name=f"vae{self.spec.latent_size}-{self.twins.domain.phases[0].replace(' ', '-')}",
            preprocessing=NEW,
            training=training,
            domain=self.twins.domain,
            known=self._known,
            parity_error=None,
        )


class _Translated(torch.nn.Module):
    """Encoder and decoder, the latter of latents that are given or of its own."""

    def __init__(self, vae: VAE) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, views: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Bands that are drawn, and mean and log-variance of the views' latents."""
        latents, log_variance = self.vae.encoder(views)
        return self.vae.decoder(latents if given is None else given), latents, log_variance


def _together(latents: list[Tensor]) -> Tensor:
    """Latents of an orientation that several of the known crystal stand for, of the spread that each of them has."""
    return torch.stack(latents).sum(dim=0) / math.sqrt(len(latents))


def _missed(drawn: Tensor, bands: Tensor) -> Tensor:
    """Share of the bands' variance that is missed, mean over the patterns; (n, pixels) each."""
    spread = (bands - bands.mean(dim=1, keepdim=True)).square().sum(dim=1)
    return ((drawn - bands).square().sum(dim=1) / spread).mean()
