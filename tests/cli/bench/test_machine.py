"""What the machine could do at most."""

from __future__ import annotations

import sys

import pytest
import torch
from fake_cuda_engine import clean_card

from microrun.cli.bench import machine
from microrun.cli.bench.machine import LINK, measure_link, operations_unit, product_peak
from microrun.cli.bench.measurement import Table
from microrun.training.loop.speed import autocast_type


def test_peaks_are_measured_where_they_mean_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "PEAK_SECONDS", 0.01)
    make = machine._make_product
    monkeypatch.setattr(machine, "_make_product", lambda processor, precision, _: make(processor, precision, 256))
    assert product_peak("cpu", "f16") is None
    native = autocast_type(torch.device("cpu"), "auto") == torch.bfloat16
    assert native or product_peak("cpu", "bf16") is None
    for precision in ("f32", "int8", *["bf16"] * native):
        peak = product_peak("cpu", precision)
        assert peak is not None and peak > 0


def test_without_torch_there_is_no_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert product_peak("cpu", "f32") is None


def test_products_of_8_bits_are_no_floating_point_operations() -> None:
    eight, sixteen = (Table("engine", facts={"precision": precision}) for precision in ("int8", "bf16"))
    assert (operations_unit(eight), operations_unit(sixteen)) == ("GOP", "GFLOP")


def test_the_link_is_measured_by_copies_that_were_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    delay_s = 0.002
    monkeypatch.setattr(machine, "LINK_BYTES", 1 << 12)
    monkeypatch.setattr(machine, "LINK_COPIES", 4)
    table = Table("machine")
    with clean_card(delay_s=delay_s) as card:
        measure_link(table, card, 1)
        assert card.count("ended", "copy_in") == 3 * 4
    assert len(table.rows[LINK].samples) == 2 and table.rows[LINK].unit == "GB/s"  # the first one does not count
    assert 0 < table[LINK] < (1 << 12) / delay_s / 1e9
