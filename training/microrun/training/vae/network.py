"""The variational autoencoder of Calvat et al. for Kikuchi patterns of 120×120 pixels.

The encoder has large (9×9), strided, unpadded convolutions, each followed by a LeakyReLU of slope 0.2, and
shortcuts around the convolutions that keep the size; the decoder mirrors it. There is no normalisation layer.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from microrun.runtime.spec import EncoderNetwork
from microrun.training.vae.fast_encoder import FastEncoder
from microrun.training.vae.layers import SLOPE, Shortcut, Standardise
from microrun.training.vae.phases import grow_kernel, grow_padding, pointwise_kernel, same_kernel

LATENT_SIZES = (16, 32, 64, 128, 256)
PATTERN_SHAPE = (120, 120)
LOG_VARIANCE = (-12.0, 6.0)  # beyond, its exponential can end a run in NaN


class Encoder(nn.Module):
    """Patterns to the mean and log-variance of their latents.

    Parameters
    ----------
    latent_size
        D, one of 16, 32, 64, 128, 256. The convolutions have D/4, D/2 and D channels.
    mean, std
        Mean and standard deviation of the pixels inside the mask.
    """

    def __init__(self, latent_size: int, mean: float = 0.0, std: float = 1.0) -> None:
        super().__init__()
        check_latent_size(latent_size)
        channels = latent_size // 4
        self.standardise = Standardise(mean, std)
        self.features = nn.Sequential(
            nn.Conv2d(1, channels, 9, stride=2),  # 120 → 56
            nn.LeakyReLU(SLOPE),
            Shortcut(channels),
            nn.Conv2d(channels, 2 * channels, 9, stride=2),  # 56 → 24
            nn.LeakyReLU(SLOPE),
            Shortcut(2 * channels),
            nn.Conv2d(2 * channels, 4 * channels, 9, stride=2),  # 24 → 8
            nn.LeakyReLU(SLOPE),
            Shortcut(4 * channels),
            nn.Conv2d(4 * channels, 2 * latent_size, 8),  # 8 → 1
            nn.LeakyReLU(SLOPE),
            nn.Flatten(),
        )
        self.head = nn.Linear(2 * latent_size, 2 * latent_size)

    def forward(self, patterns: Tensor) -> tuple[Tensor, Tensor]:
        """Map (batch, 1, 120, 120) in [−1, 1] to mean and log-variance, (batch, D) each."""
        mean, log_variance = self.head(self.features(self.standardise(patterns))).chunk(2, dim=1)
        return mean, log_variance


class Decoder(nn.Module):
    """Latents to patterns in [−1, 1].

    Parameters
    ----------
    latent_size
        D, one of 16, 32, 64, 128, 256.
    """

    def __init__(self, latent_size: int) -> None:
        super().__init__()
        check_latent_size(latent_size)
        d = latent_size
        self.head = nn.Linear(d, 16 * d)
        self.features = nn.Sequential(
            nn.Unflatten(1, (d, 4, 4)),
            *_grow(d, d, padding=2),  # 4 → 11
            *_grow(d, d // 2, padding=1),  # 11 → 27
            *_grow(d // 2, d // 4, padding=0),  # 27 → 61
        )
        self.last = LastStage(d // 4)  # 61 → 120

    def forward(self, latents: Tensor) -> Tensor:
        """Map (batch, D) to (batch, 1, 120, 120)."""
        patterns: Tensor = self.last(self.features(self.head(latents)))
        return patterns


class LastStage(nn.Module):
    """Transposed convolution, shortcut, convolution of one pixel, tanh: features to patterns.

    It has the fewest channels and the most pixels, and would take most of a step's time: it is computed on
    phases.

    Parameters
    ----------
    channels
        Of the features; half of them are left after the first layer.
    """

    PADDING = 5

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.grow = nn.ConvTranspose2d(channels, channels // 2, 9, stride=2, padding=self.PADDING, output_padding=1)
        self.shortcut = Shortcut(channels // 2)
        self.project = nn.Conv2d(channels // 2, 1, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map (batch, channels, 61, 61) to (batch, 1, 120, 120)."""
        same, project = self.shortcut.conv, self.project
        x = functional.pad(features, grow_padding(self.PADDING))
        x = functional.conv2d(x, grow_kernel(self.grow.weight, self.PADDING), _phase_bias(self.grow))
        x = functional.leaky_relu(x, SLOPE)
        added = functional.conv2d(x, same_kernel(same.weight), _phase_bias(same), padding=2)
        x = x + functional.leaky_relu(added, SLOPE)
        x = functional.conv2d(x, pointwise_kernel(project.weight), _phase_bias(project))
        return functional.pixel_shuffle(torch.tanh(x), 2)

    def plain(self, features: Tensor) -> Tensor:
        """Do the same layer by layer: what `forward` must equal, and whose operations count as its work."""
        x = self.shortcut(functional.leaky_relu(self.grow(features), SLOPE))
        return torch.tanh(self.project(x))


class VAE(nn.Module):
    """Encoder and decoder together, initialised so that training leaves the plateau of its first steps.

    Parameters
    ----------
    latent_size
        D, one of 16, 32, 64, 128, 256.
    mean, std
        Mean and standard deviation of the training pixels inside the mask.
    network
        Of the encoder: "published", or "fast", of few operations.

    Notes
    -----
    PyTorch's default initialisation saturates the tanh or lets the KL term collapse. Here the convolutions
    are Kaiming-initialised for the slope of the LeakyReLU, the decoder's output starts from the mean pixel
    value with small weights, and the latent noise starts small (log-variance −4).
    """

    def __init__(
        self, latent_size: int, mean: float = 0.0, std: float = 1.0, network: EncoderNetwork = "published"
    ) -> None:
        super().__init__()
        self.encoder = FastEncoder(latent_size, mean, std) if network == "fast" else Encoder(latent_size, mean, std)
        self.decoder = Decoder(latent_size)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                nn.init.normal_(module.weight, std=_kaiming_std(module))
                nn.init.zeros_(_bias(module))
        with torch.no_grad():
            self.decoder.last.project.weight.mul_(0.1)
            _bias(self.decoder.last.project).fill_(math.atanh(max(-0.99, min(0.99, mean))))
            self.encoder.head.weight[latent_size:].mul_(0.1)
            _bias(self.encoder.head)[latent_size:] = -4.0

    @property
    def network(self) -> EncoderNetwork:
        """That of the encoder: "published" or "fast"."""
        return "fast" if isinstance(self.encoder, FastEncoder) else "published"

    def forward(self, patterns: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode, sample with the given normal noise, decode.

        Parameters
        ----------
        patterns
            (batch, 1, 120, 120) in [−1, 1].
        eps
            (batch, D) normal numbers; zeros give the reconstruction from the mean.

        Returns
        -------
        reconstruction, mean, log_variance
            (batch, 1, 120, 120), (batch, D), (batch, D).
        """
        mean, log_variance = self.encoder(patterns)
        log_variance = log_variance.clamp(*LOG_VARIANCE)
        reconstruction = self.decoder(mean + eps * torch.exp(0.5 * log_variance))
        return reconstruction, mean, log_variance


def check_latent_size(latent_size: int) -> None:
    """Raise ValueError for a latent size that the network is not defined for."""
    if latent_size not in LATENT_SIZES:
        raise ValueError(f"latent size must be one of {', '.join(map(str, LATENT_SIZES))}; got {latent_size}")


def count_parameters(module: nn.Module) -> int:
    """Count the trainable numbers of a module."""
    return sum(parameter.numel() for parameter in module.parameters())


def _grow(channels: int, out_channels: int, padding: int) -> list[nn.Module]:
    return [
        nn.ConvTranspose2d(channels, out_channels, 9, stride=2, padding=padding),
        nn.LeakyReLU(SLOPE),
        Shortcut(out_channels),
    ]


def _kaiming_std(module: nn.Conv2d | nn.ConvTranspose2d | nn.Linear) -> float:
    terms = float(module.weight[0].numel())  # that each output sums
    if isinstance(module, nn.ConvTranspose2d):  # weights are (in, out, …), of which it sees one in stride²
        terms = module.weight[:, 0].numel() / math.prod(module.stride)
    return math.sqrt(2 / (1 + SLOPE**2) / terms)


def _bias(module: nn.Module) -> Tensor:
    bias = module.bias
    assert isinstance(bias, Tensor)
    return bias


def _phase_bias(module: nn.Module) -> Tensor:
    return _bias(module).repeat_interleave(4)
