"""What the machine could do at most, and how much work a pattern is."""

from __future__ import annotations

import time
from functools import cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from microrun.training.settings import Precision
from microrun.training.vae import VAE

_PEAK_S = 0.4  # time to look for the peak


def autocast_type(device: torch.device, precision: Precision) -> torch.dtype:
    """Type that convolutions compute in: with "auto", bfloat16 where the device has instructions for it."""
    if precision != "auto":
        return torch.bfloat16 if precision == "bf16" else torch.float32
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


@cache
def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of torch's product of two square matrices, the best of some tries; takes half a second."""
    size = 8192 if device.type == "cuda" else 2048
    a = torch.randn(size, size, device=device).to(dtype)
    best, tries, until = float("inf"), 0, time.perf_counter() + _PEAK_S
    while tries < 2 or time.perf_counter() < until:
        started = time.perf_counter()
        torch.mm(a, a)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best, tries = min(best, time.perf_counter() - started), tries + 1
    return 2 * size**3 / best


@cache
def training_flops(latent_size: int) -> int:
    """Operations of one pattern through the autoencoder, forward and backward, two per multiply and add.

    The layers are counted as the paper draws them, not as they are computed; nothing is computed here.
    """
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model = VAE(latent_size)
        mean, _ = model.encoder(torch.zeros(1, 1, 120, 120))
        decoder = model.decoder
        reconstruction = decoder.last.plain(decoder.features(decoder.head(mean)))
        reconstruction.sum().backward()  # type: ignore[no-untyped-call]
    return int(counter.get_total_flops())
