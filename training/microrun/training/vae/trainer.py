"""Training of the autoencoder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from microrun.runtime.encoding.familiarity import reached_bands
from microrun.runtime.known_latents import KnownLatents
from microrun.runtime.spec import EncoderNetwork, ModelSpec, Training
from microrun.training.loop.distributed import Processes, alone
from microrun.training.loop.trainer import Report, Trainer, count_steps
from microrun.training.simulate.camera.matched import Matched, domain_of
from microrun.training.simulate.camera.stream import PatternStream
from microrun.training.vae.batches import Batch, Batches, ScanBatches
from microrun.training.vae.checkpoint import save_checkpoint
from microrun.training.vae.config import VaeConfig
from microrun.training.vae.contrastive import Network, Projection, nt_xent
from microrun.training.vae.data import Prepared, check_simulations_fit
from microrun.training.vae.evaluate import decode, encode, reconstruction_r2
from microrun.training.vae.losses import kl_divergence, kl_share, masked_l2
from microrun.training.vae.mixed import MixedBatches, SimulatedBatches
from microrun.training.vae.network import VAE

TESTED_BANDS = 128  # of them, whose bands it looks at
TESTED = 1024  # held-out patterns that a report looks at, at most


@dataclass(frozen=True)
class VaeReport(Report):
    """Where the training of an autoencoder stands.

    Parameters
    ----------
    step, steps, loss
        As in `Report`.
    l2_per_pixel, kl, contrastive
        Means since the last report; the last is the NT-Xent term in nats, 0 without it.
    held_out_r2
        Share of the variance that the averaged weights reconstruct of held-out patterns, of simulated ones of their
        bands.
    patterns_per_s
        Speed since the last report, of all processes together.
    peak_share
        The same, counted in operations, as a share of what the machine reaches multiplying matrices.
    """

    l2_per_pixel: float
    kl: float
    contrastive: float
    held_out_r2: float
    patterns_per_s: float
    peak_share: float


class VaeTrainer(Trainer[VaeReport]):
    """Train a VAE in a run folder; a run that was killed goes on where its last state was saved.

    Parameters
    ----------
    config
        Settings; they must equal those of the run that is resumed.
    data
        Prepared patterns; likewise.
    folder
        Gets ``config.json``, ``state.pt``, ``metrics.csv`` and ``checkpoint.safetensors``.
    source
        What the data is, for the spec.
    start
        Weights to start from, with their standardisation; None for random ones.
    processes
        That train together; None for this one alone.
    stream
        Simulations to mix the scans with, as `MixedBatches` takes them, or `SimulatedBatches` where the data is that of
        `hold_out`; None for the scans alone.

    Raises
    ------
    MicrorunError
        If data, batch and processes do not fit.
    """

    def __init__(
        self,
        config: VaeConfig,
        data: Prepared,
        folder: Path,
        source: Training,
        start: VAE | None = None,
        processes: Processes | None = None,
        stream: PatternStream | None = None,
    ) -> None:
        self.config, self.data, self.source, self._stream = config, data, source, stream
        processes = processes or alone()
        if stream:
            check_simulations_fit(data.preprocessing, "the model to go on from")
        self.batches = _make_batches(config, data, processes, stream)
        torch.manual_seed(config.seed)
        vae = start or VAE(config.latent_size, *data.moments(), config.network)
        network = Network(vae.train(), Projection(config.latent_size) if config.contrastive else None)
        network.to(processes.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        super().__init__(config, folder, processes, network, network.vae)
        self.steps = max(1, round(len(self.batches) * config.epochs))
        self.flops = training_flops(config.latent_size, vae.network) * (2 if config.contrastive else 1)
        self._encoder: EncoderNetwork = vae.network
        self._pixels = float(self.batches.keep.sum())
        self._tested = data.held_out[:: -(-len(data.held_out) // TESTED)]
        self.tested = len(self._tested)
        self._reconstructed: tuple[int, Tensor, Tensor] | None = None
        self._known: KnownLatents | None = None  # of the same weights

    @property
    def identity(self) -> str:
        """Hash of the prepared patterns, and of the simulations that they are mixed with."""
        return self.data.identity + (self._stream.simulator.identity if self._stream else "")

    def terms(self) -> Tensor:
        """Loss, squared error per pixel, KL and NT-Xent terms, (4,) on the device."""
        config = self.config
        l2, kl, contrastive = self._terms(self.batches.batch(self.step))
        loss = l2 + config.beta * kl_share(config, self.step, self.steps) * kl
        if config.contrastive:
            loss = loss + config.contrastive.weight * contrastive
        return torch.stack([loss / self._pixels, l2 / self._pixels, kl, contrastive])

    def measure(self, means: list[float], rate: float) -> VaeReport:
        """Make a report; the averaged weights are tested for it."""
        loss, l2, kl, contrastive = means
        share = rate * self.flops / self.peak
        return VaeReport(self.step, self.steps, loss, l2, kl, contrastive, self.evaluate(), rate, share)

    def save(self, path: Path, report: VaeReport) -> None:
        """Write the averaged weights with their spec."""
        save_checkpoint(path, self.average.weights, self._spec(report))

    def reconstruct_held_out(self) -> tuple[Tensor, Tensor]:
        """Held-out patterns and what the averaged weights make of them, (n, 1, H, W) each; once for every step."""
        if self._reconstructed is None or self._reconstructed[0] != self.step:
            with torch.device("meta"):
                model = VAE(self.config.latent_size, network=self._encoder)
            model.load_state_dict(self.average.weights, assign=True)
            patterns = self.batches.take(self._tested)
            with self.autocast():
                latents = encode(model.eval(), patterns)
                self._reconstructed = (self.step, patterns, decode(model, latents).float())
            self._known = KnownLatents.of(latents.float().cpu().numpy())
        return self._reconstructed[1:]

    def evaluate(self) -> float:
        """Held-out R² of the averaged weights' reconstructions, inside the mask."""
        _, reconstructed = self.reconstruct_held_out()
        return reconstruction_r2(self.batches.wanted(self._tested), reconstructed, self.data.pixel_keep)

    def _known_bands(self) -> dict[str, float]:
        """What the averaged weights give back of the held-out bands."""
        every = -(-len(self._tested) // TESTED_BANDS)
        images = [part[::every, 0].cpu().numpy() for part in self.reconstruct_held_out()]
        return reached_bands(images[0], images[1], self.data.pixel_keep)

    def _terms(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Squared error, KL and NT-Xent terms, each a mean over the views."""
        with self.autocast():
            reconstruction, mean, log_variance, projected = self._parallel(batch.views, batch.eps)
        l2 = masked_l2(reconstruction.float(), batch.targets, self.batches.keep)
        kl = kl_divergence(mean.float(), log_variance.float())
        if projected is None or self.config.contrastive is None:
            return l2, kl, torch.zeros_like(l2)
        first, second = (self.processes.gather(view) for view in projected.float().chunk(2))
        return l2, kl, nt_xent(first, second, self.config.contrastive.temperature)

    def _spec(self, report: VaeReport) -> ModelSpec:
        started, simulator = self.config.fine_tuned_from, self._stream and self._stream.simulator
        matched = self.config.matched or Matched()
        simulated = f"simulated patterns of {simulator}" if simulator else ""
        data = ", mixed with ".join(filter(None, (self.source.data, simulated)))
        training = Training(
            data=data + (f"; fine-tuned from {started}" if started else ""),
            patterns=self.data.count or self.step * self.config.batch,
            steps=report.step,
            seed=self.config.seed,
            licence=self.source.licence,
            metrics={"held_out_r2": round(report.held_out_r2, 4), **self._known_bands()},
        )
        name = f"vae{self.config.latent_size}"
        return ModelSpec(
            name,
            "encoder",
            self.config.latent_size,
            preprocessing=self.data.preprocessing,
            training=training,
            domain=domain_of(simulator) if simulator and (matched.pattern_centre or not self.data.count) else None,
            network=self._encoder,
            known=self._known,
        )


def _make_batches(config: VaeConfig, data: Prepared, processes: Processes, stream: PatternStream | None) -> Batches:
    if stream is None:
        return ScanBatches(config, data, processes)
    return (MixedBatches if data.count else SimulatedBatches)(config, data, processes, stream)


def fit_epochs(trainer: VaeTrainer, hours: float) -> float:
    """Epochs that fit into a number of hours; the trainer is used up.

    Parameters
    ----------
    trainer, hours
        As `count_steps` takes them.
    """
    return count_steps(trainer, hours) / len(trainer.batches)


@cache
def training_flops(latent_size: int, network: EncoderNetwork = "published") -> int:
    """Operations of one pattern through the autoencoder, forward and backward, two per multiply and add.

    The layers are counted as the paper draws them, not as they are computed; nothing is computed here.

    Parameters
    ----------
    latent_size
        D.
    network
        Of the encoder.
    """
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model = VAE(latent_size, network=network)
        mean, _ = model.encoder(torch.zeros(1, 1, 120, 120))
        decoder = model.decoder
        reconstruction = decoder.last.plain(decoder.features(decoder.head(mean)))
        reconstruction.sum().backward()  # type: ignore[no-untyped-call]
    return int(counter.get_total_flops())
