from __future__ import annotations

import pytest
import torch

from microrun.training.loop.speed import autocast_type, matmul_peak
from microrun.training.vae.trainer import training_flops

CPU = torch.device("cpu")


def test_precision_is_what_is_asked_or_what_the_processor_has(monkeypatch: pytest.MonkeyPatch) -> None:
    assert autocast_type(CPU, "bf16") == torch.bfloat16
    assert autocast_type(CPU, "f32") == torch.float32
    for avx, amx in ((False, False), (True, False), (False, True)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda has=avx: has)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda has=amx: has)
        assert autocast_type(CPU, "auto") == (torch.bfloat16 if avx or amx else torch.float32)


def test_the_operations_of_the_network_are_counted() -> None:
    # Multiplications and additions of every layer: outputs × terms of each, forward; a transposed convolution has
    # as many as the convolution that it mirrors.
    d, k = 32, 81
    c = d // 4
    encoder = [
        56**2 * c * k, 56**2 * c * c * k, 24**2 * 2 * c * c * k, 24**2 * 4 * c * c * k,
        8**2 * 8 * c * c * k, 8**2 * 16 * c * c * k, 2 * d * d * 64, 4 * d * d,
    ]  # fmt: skip
    decoder = [
        16 * d * d, 4**2 * d * d * k, 11**2 * d * d * k, 11**2 * d * d * k // 2, 27**2 * d * d * k // 4,
        27**2 * d * d * k // 8, 61**2 * d * d * k // 16, 61**2 * d * d * k // 32, 120**2 * d * d * k // 64,
        120**2 * d // 8,
    ]  # fmt: skip
    forward = 2 * (sum(encoder) + sum(decoder))
    first = 2 * encoder[0]  # has no gradient towards its input
    assert training_flops(d) == pytest.approx(3 * forward - first, rel=1e-6)


def test_the_peak_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    products: list[int] = []
    monkeypatch.setattr(torch, "mm", lambda a, b: products.append(len(a)))
    matmul_peak.cache_clear()
    assert matmul_peak(CPU, torch.float32) > 0
    count = len(products)
    assert count >= 2 and matmul_peak(CPU, torch.float32) > 0 and len(products) == count
    matmul_peak.cache_clear()
