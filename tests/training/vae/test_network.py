from __future__ import annotations

import pytest
import torch

from microrun.training.vae.losses import kl_divergence, masked_l2
from microrun.training.vae.network import LATENT_SIZES, VAE, Decoder, Encoder, count_parameters

# Calvat et al., table 2; for D = 16 it swaps encoder and decoder.
ENCODER_PARAMETERS = {16: 74_412, 32: 296_760, 64: 1_185_264, 128: 4_737_504, 256: 18_942_912}
DECODER_PARAMETERS = {16: 66_299, 32: 264_557, 64: 1_056_953, 128: 4_225_265, 256: 16_895_969}


@pytest.mark.parametrize("latent_size", LATENT_SIZES)
def test_parameter_counts_are_the_papers(latent_size: int) -> None:
    assert count_parameters(Encoder(latent_size)) == ENCODER_PARAMETERS[latent_size]
    assert count_parameters(Decoder(latent_size)) == DECODER_PARAMETERS[latent_size]


@pytest.mark.parametrize("latent_size", [16, 32])
def test_shapes(latent_size: int) -> None:
    model = VAE(latent_size)
    reconstruction, mean, log_variance = model(torch.zeros(3, 1, 120, 120), torch.zeros(3, latent_size))
    assert reconstruction.shape == (3, 1, 120, 120)
    assert mean.shape == log_variance.shape == (3, latent_size)


@pytest.mark.parametrize("latent_size", [0, 8, 48])
def test_unknown_latent_size(latent_size: int) -> None:
    with pytest.raises(ValueError, match="latent size must be one of 16, 32, 64, 128, 256"):
        VAE(latent_size)


def test_feature_maps_have_the_papers_sizes() -> None:
    sizes = []
    encoder = Encoder(16)
    x = torch.zeros(1, 1, 120, 120)
    for layer in encoder.features:
        x = layer(x)
        if isinstance(layer, torch.nn.Conv2d):
            sizes.append(x.shape[-1])
    assert sizes == [56, 24, 8, 1]


@pytest.mark.parametrize("latent_size", [16, 32, 64])
def test_a_new_model_can_learn(latent_size: int) -> None:
    torch.manual_seed(0)
    model = VAE(latent_size, mean=-0.5, std=0.2)
    patterns = -0.5 + 0.2 * torch.randn(8, 1, 120, 120).clamp(-2, 2)
    with torch.no_grad():
        reconstruction, _, log_variance = model(patterns, torch.zeros(8, latent_size))
    assert float((1 - reconstruction.square()).mean()) > 0.2  # the slope of the tanh: it is not saturated
    assert float(log_variance.mean()) == pytest.approx(-4, abs=1)  # the latent noise starts small


def test_activations_keep_their_scale() -> None:
    torch.manual_seed(0)
    model = VAE(32)
    with torch.no_grad():
        features = model.encoder.features(torch.randn(16, 1, 120, 120))
        grown = model.decoder.features(model.decoder.head(torch.randn(16, 32)))
    assert 0.2 < float(features.std()) < 20
    assert 0.2 < float(grown.std()) < 20


def test_kl_divergence_equals_torchs() -> None:
    mean, log_variance = torch.randn(5, 7), torch.randn(5, 7)
    normal = torch.distributions.Normal(mean, torch.exp(0.5 * log_variance))
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum(dim=1).mean()
    assert torch.allclose(kl_divergence(mean, log_variance), expected, rtol=1e-5)


def test_masked_l2_ignores_what_is_outside() -> None:
    patterns, keep = torch.zeros(2, 1, 4, 4), torch.zeros(4, 4)
    keep[1, 1] = 1
    reconstruction = torch.full_like(patterns, 9.0)
    reconstruction[:, :, 1, 1] = 2.0
    assert float(masked_l2(reconstruction, patterns, keep)) == 4.0
