"""Starting from weights that were trained before."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from microrun.runtime.errors import MicrorunError
from microrun.runtime.spec import ModelSpec
from microrun.training.vae.checkpoint import load_checkpoint
from microrun.training.vae.config import VaeConfig
from microrun.training.vae.network import VAE
from microrun.training.vae.widen import widen

RATE_WARMUP = 100  # steps, until Adam knows the size of the gradients


def read_start(checkpoint: Path) -> tuple[VAE, ModelSpec, str]:
    """Read a checkpoint, and say what it is for the spec of what starts from it; SpecError if it is none."""
    model, spec = load_checkpoint(checkpoint)
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()[:12]
    return model, spec, f"{spec.name} (sha256 {digest}; trained on: {spec.training.data or 'not stated'})"


def fine_tune(config: VaeConfig, checkpoint: Path, latent_size: int | None = None) -> tuple[VaeConfig, VAE, ModelSpec]:
    """Read a checkpoint and adapt settings to going on from it.

    The latent size becomes the checkpoint's. The KL term gets its full weight at once: the checkpoint has left the
    plateau that a slow start is for, and with less weight its latents would drift apart from N(0, 1). The
    standardisation stays the checkpoint's, too, since its first layer was trained with it.

    Parameters
    ----------
    config
        Settings as for a new network.
    checkpoint
        A .safetensors file from `VaeTrainer`.
    latent_size
        Twice the checkpoint's, to widen its network; None for its own.

    Raises
    ------
    SpecError
        If it is no checkpoint.
    MicrorunError
        If it has another latent size, or cannot be widened.
    """
    model, spec, origin = read_start(checkpoint)
    if latent_size == 2 * spec.latent_size and spec.network == "published":
        model = widen(model, config.seed)
    elif latent_size not in (None, spec.latent_size):
        wider = f", or give {2 * spec.latent_size} to widen it" if spec.network == "published" else ""
        raise MicrorunError(f"{checkpoint}: has latent size {spec.latent_size}; leave out --latent{wider}")
    adapted = replace(
        config,
        latent_size=latent_size or spec.latent_size,
        network=spec.network,
        kl_warmup=0.0,
        rate_warmup=RATE_WARMUP,
        fine_tuned_from=origin,
    )
    return adapted, model, spec
