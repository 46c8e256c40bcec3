"""Settings of the training of an autoencoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from microrun.runtime.spec import EncoderNetwork
from microrun.training.loop.settings import Precision, Settings
from microrun.training.simulate.camera.matched import Matched
from microrun.training.vae.data import Selection
from microrun.training.vae.network import check_latent_size


@dataclass(frozen=True)
class Contrastive:
    """Settings of the contrastive variant: two augmented views of every pattern.

    Parameters
    ----------
    weight
        Of the NT-Xent term, which is measured in nats as the KL term is.
    temperature
        Of the NT-Xent term: the smaller, the more only the most alike patterns count.
    salt_and_pepper
        Largest share of a pattern's pixels that become its brightest or its darkest.
    noise
        Largest standard deviation of Gaussian noise; patterns reach from −1 to 1.
    gamma
        Largest exponent of the brightness; its inverse is the smallest.
    """

    weight: float = 10.0
    temperature: float = 0.5
    salt_and_pepper: float = 0.05
    noise: float = 0.2
    gamma: float = 2.0

    def __post_init__(self) -> None:
        if self.weight < 0 or self.temperature <= 0:
            raise ValueError("the contrastive weight must not be negative, and its temperature must be positive")
        if not 0 <= self.salt_and_pepper <= 1 or self.noise < 0 or self.gamma < 1:
            raise ValueError("salt_and_pepper is a share, noise must not be negative, gamma is at least 1")


@dataclass(frozen=True)
class VaeConfig(Settings):
    """Settings of `VaeTrainer`; the defaults are the paper's (Calvat et al.) where it states them.

    Parameters
    ----------
    latent_size
        D: 16, 32, 64, 128 or 256.
    batch
        Patterns per step, of all processes together.
    epochs
        Passes over the training patterns; may be a fraction.
    learning_rate
        Of Adam with betas (0.9, 0.999).
    patterns_per_scan
        Random patterns taken from each scan, at most.
    held_out
        Share of them that is never trained on.
    beta
        Weight of the KL term; the paper's β-VAEs have 15 and 50.
    rate_warmup
        Steps over which the learning rate grows from 0.
    kl_warmup
        Share of the steps over which the weight of the KL term grows from almost 0 as a square: the network
        first sits on a plateau, and with much weight on the KL term there, the latents collapse and never
        come back. 0 gives it its full weight at once, as is right for a network that has left the plateau.
    decay
        Share of the steps, the last ones, over which the learning rate falls to 0 as a cosine.
    contrastive
        Of the contrastive variant; None trains without it.
    precision
        "bf16", "f32", or "auto": bf16 where the device computes it natively. Weights are float32 in any case.
    seed
        Of the weights, the selection and order of patterns, the latent noise and the augmentations.
    fine_tuned_from
        What the first weights are, for the spec; empty where they are random.
    matched
        Simulations that the scans are mixed with; None for the scans alone.
    network
        Of the encoder.
    """

    latent_size: int = 32
    batch: int = 256
    epochs: float = 250
    learning_rate: float = 1e-3
    patterns_per_scan: int = 16_000
    held_out: float = 0.05
    beta: float = 1.0
    rate_warmup: int = 300
    kl_warmup: float = 0.5
    decay: float = 0.4
    contrastive: Contrastive | None = None
    precision: Precision = "auto"
    seed: int = 0
    fine_tuned_from: str = ""
    matched: Matched | None = None
    network: EncoderNetwork = "published"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_latent_size(self.latent_size)
        if self.patterns_per_scan < 1 or self.epochs <= 0:
            raise ValueError("epochs and patterns per scan must be positive")
        if self.beta < 0:
            raise ValueError("beta must not be negative")
        if not all(0 <= share < 1 for share in (self.held_out, self.kl_warmup)):
            raise ValueError("held_out and kl_warmup are shares from 0 to below 1")

    @property
    def selection(self) -> Selection:
        """Which patterns are taken from the scans."""
        return Selection(self.patterns_per_scan, self.held_out, self.seed)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> VaeConfig:
        """Make the settings from values of JSON."""
        contrastive, matched = values.get("contrastive"), values.get("matched")
        read = {
            "contrastive": Contrastive(**contrastive) if contrastive is not None else None,
            "matched": Matched.from_dict(matched) if matched is not None else None,
        }
        return cls(**{**values, **read})
