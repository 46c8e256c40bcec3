"""Starting from weights that were trained before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from microrun.runtime.errors import MicrorunError
from microrun.runtime.files.hashes import hash_file
from microrun.runtime.spec import ModelSpec
from microrun.training.vae.checkpoint import load_checkpoint
from microrun.training.vae.config import VaeConfig
from microrun.training.vae.network import VAE
from microrun.training.vae.widen import widen

RATE_WARMUP = 100  # steps, until Adam knows the size of the gradients
HASH_DIGITS = 12


@dataclass(frozen=True, eq=False)
class Start:
    """An autoencoder to begin from.

    Parameters
    ----------
    path
        Its file.
    model, spec
        What is in it; the spec is the encoder's.
    """

    path: Path
    model: VAE
    spec: ModelSpec

    @property
    def origin(self) -> str:
        """What it is, for the spec of what starts from it."""
        digest = hash_file(self.path)[:HASH_DIGITS]
        return f"{self.spec.name} (sha256 {digest}; trained on: {self.spec.training.data or 'not stated'})"


def read_start(checkpoint: Path) -> Start:
    """Read a checkpoint to begin from; SpecError if it is none."""
    return Start(checkpoint, *load_checkpoint(checkpoint))


def fine_tune(config: VaeConfig, start: Start, latent_size: int | None = None) -> tuple[VaeConfig, VAE]:
    """Adapt settings, and where it is asked for the network, to going on from what was trained before.

    The latent size becomes that of the start. The KL term gets its full weight at once: the start has left the
    plateau that a slow beginning is for, and with less weight its latents would drift apart from N(0, 1). The
    standardisation stays that of the start, too, since its first layer was trained with it.

    Parameters
    ----------
    config
        Settings as for a new network.
    start
        What to go on from.
    latent_size
        Twice that of the start, to widen its network; None for its own.

    Raises
    ------
    MicrorunError
        If it has another latent size, or cannot be widened.
    """
    spec, model = start.spec, start.model
    if latent_size == 2 * spec.latent_size and spec.network == "published":
        model = widen(model, config.seed)
    elif latent_size not in (None, spec.latent_size):
        wider = f", or give {2 * spec.latent_size} to widen it" if spec.network == "published" else ""
        raise MicrorunError(f"{start.path}: has latent size {spec.latent_size}; leave out --latent{wider}")
    adapted = replace(
        config,
        latent_size=latent_size or spec.latent_size,
        network=spec.network,
        kl_warmup=0.0,
        rate_warmup=RATE_WARMUP,
        fine_tuned_from=start.origin,
    )
    return adapted, model
