"""What the machine could do at most."""

from __future__ import annotations

import time
from functools import cache

import torch

from microrun.training.loop.settings import Precision

PEAK_S = 0.4  # time to look for the peak


def autocast_type(device: torch.device, precision: Precision) -> torch.dtype:
    """Type that convolutions compute in.

    Parameters
    ----------
    device
        What computes.
    precision
        With "auto", bfloat16 where the device has instructions for it.
    """
    if precision != "auto":
        return torch.bfloat16 if precision == "bf16" else torch.float32
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


@cache
def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of torch's product of two square matrices, the best of some tries; takes half a second.

    Parameters
    ----------
    device
        What multiplies.
    dtype
        Of the matrices.
    """
    size = 8192 if device.type == "cuda" else 2048
    a = torch.randn(size, size, device=device).to(dtype)
    best, tries, until = float("inf"), 0, time.perf_counter() + PEAK_S
    while tries < 2 or time.perf_counter() < until:
        started = time.perf_counter()
        torch.mm(a, a)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best, tries = min(best, time.perf_counter() - started), tries + 1
    return 2 * size**3 / best
