"""What is counted, divided and measured of encoders."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack
from pathlib import Path

import pytest
from bench_output import check_width, make_table, read_tables
from command_line import Microrun
from fake_cuda_engine import FakeCudaEngine, clean_card
from make_models import write_pair

from microrun.cli.bench import encode
from microrun.cli.bench.encode import bound_rate, compare, count_bytes, list_doubts, measure_encode, write_scan
from microrun.cli.bench.measurement import Table, figure, print_tables, write_tables
from microrun.cli.bench.models import Subject, given_encoder, given_model, open_models, parse_asks
from microrun.cli.bench.operations import encoder_operations
from microrun.runtime.engines.open import open_engine
from microrun.runtime.progress import finish
from microrun.runtime.spec import ModelSpec

PATTERN_BYTES = 480 * 480 * 2
SPEC = ModelSpec("vae32", "encoder", 32)
MACHINE = make_table({"memory read and written": 40.0, "preprocessing alone": 20_000, "page-locked to card": 10.0})
MEASURED = {"engine alone": 1000.0, "end to end": 500.0}


def compared(device: str = "cpu", precision: str = "f32", **more: float) -> Table:
    table = make_table(MEASURED | more, device=device, precision=precision)
    compare(table, SPEC, MACHINE)
    return table


# --- what is counted and divided


def test_every_byte_of_a_pattern_is_counted() -> None:
    prepared, latents = 120 * 120 * 4, 32 * 4
    assert count_bytes(SPEC, "cpu") == (PATTERN_BYTES + 2 * prepared + latents, 0, 0)
    moved = PATTERN_BYTES + 2 * prepared + latents
    assert count_bytes(SPEC, "cuda") == (moved, prepared, latents)


def test_on_the_cpu_engine_and_preprocessing_share_the_cores() -> None:
    assert bound_rate(1000, 4000, "cpu") == pytest.approx(800)
    assert bound_rate(1000, 4000, "cuda") == 1000
    assert bound_rate(9000, 4000, "cuda") == 4000


def test_ratios_are_those_of_the_rows_beside() -> None:
    table = compared(**{"torch f32 + kikuchipy": 20.0})
    assert (table["of engine alone"], table["times the peer"]) == (0.5, 25)
    assert table["engine + preprocessing"] == pytest.approx(1 / (1 / 1000 + 1 / 20_000))
    assert table["of engine + preprocessing"] == pytest.approx(500 / table["engine + preprocessing"])
    assert "times the peer" not in compared().rows


def test_shares_are_of_what_there_is() -> None:
    table = compared(device="cuda")
    memory, to_card, back = count_bytes(SPEC, "cuda")
    assert table["share of memory"] == pytest.approx(500 * memory / 40e9)
    assert table["share of PCIe"] == pytest.approx(500 * to_card / 10e9)
    assert table["share of preprocessing"] == pytest.approx(500 / 20_000)
    assert table["the slower of both"] == 1000
    assert table["a pattern back"] == pytest.approx(back / 1e3)


def test_without_a_card_no_link_is_used() -> None:
    names = [name for name in compared().rows if name.startswith("share of ")]
    assert names == ["share of engine", "share of memory", "share of preprocessing"]


def test_the_largest_share_bounds() -> None:
    def bound_by(table: Table) -> list[str]:
        return [name for name, row in table.rows.items() if row.remark == "bound"]

    assert bound_by(compared()) == ["share of engine"]
    assert bound_by(compared(**{"matmul peak": 1e-3})) == ["share of matmul peak"]
    assert bound_by(compared(**{"engine alone": 1e9, "end to end": 18_000.0})) == ["share of preprocessing"]


def test_the_peak_of_products_is_what_the_engine_is_compared_with() -> None:
    operations = encoder_operations(SPEC)
    assert operations is not None
    table = compared(**{"matmul peak": 4e-6 * operations})
    assert (table["engine alone of peak"], table["share of matmul peak"]) == (pytest.approx(0.25), pytest.approx(0.125))
    assert table["a pattern takes"] == operations / 1e9
    assert table["end to end computes"] == pytest.approx(500 * operations / 1e9)
    assert table.rows["end to end computes"].unit == "GFLOP/s"
    assert "share of engine" not in table.rows


def test_products_of_8_bits_are_no_floating_point_operations() -> None:
    table = compared(precision="int8", **{"matmul peak": 10.0})
    assert (table.rows["a pattern takes"].unit, table.rows["end to end computes"].unit) == ("GOP", "GOP/s")


def test_where_no_peak_is_known_the_engine_alone_stands_for_it() -> None:
    table = compared()
    assert table["share of engine"] == 0.5
    assert "engine alone of peak" not in table.rows and "a pattern takes" not in table.rows


def test_a_scan_of_few_patterns_is_doubted(tmp_path: Path, engine: Path) -> None:
    source = write_scan(tmp_path, 128)
    with ExitStack() as held:
        asks = parse_asks(["cpu"], ["f32"], None, None)
        (subject,), _ = finish(open_models([given_encoder(str(engine))], asks, open_engine, held))
    for lanes, doubted in ((2, False), (3, True)):
        subject.engine.info = dataclasses.replace(subject.engine.info, lanes=lanes, batch=16)
        doubts = list_doubts(source, [subject])
        assert len(doubts) == doubted
    assert doubts[0].startswith(f"{engine}, f32 on cpu: ")
    assert f"128 patterns are few for 3 lanes of 16; measure with --patterns {3 * 16 * 4}" in doubts[0]


# --- what is measured


def check_table(table: Table, machine: Table, repeats: int) -> None:
    """Every ratio is that of the numbers beside it."""
    engine, end, prepare = table["engine alone"], table["end to end"], machine["preprocessing alone"]
    assert engine > 0 and end > 0 and table["first latents"] > 0
    for name in ("engine alone", "end to end", "first latents"):
        assert len(table.rows[name].samples) == repeats
    assert len(machine.rows["preprocessing alone"].samples) == 2 * repeats
    assert machine["of memory copy"] == pytest.approx(prepare / machine["memory copy of patterns"])
    assert machine["memory copy"] == pytest.approx(machine["memory copy of patterns"] * PATTERN_BYTES / 1e9)
    single = [table[f"one pattern, {name}"] for name in ("p50", "p90", "p99", "worst")]
    assert single[0] > 0 and single == sorted(single)
    on_card = table.facts["device"] == "cuda"
    bound = min(engine, prepare) if on_card else 1 / (1 / engine + 1 / prepare)
    assert table["of the slower of both" if on_card else "of engine + preprocessing"] == pytest.approx(end / bound)
    assert table["of engine alone"] == pytest.approx(end / engine)
    limits = {
        "share of memory": (end * table["a pattern in memory"] / 1e6, 2 * machine["memory copy"]),
        "share of preprocessing": (end, prepare),
    }
    if on_card:
        limits["share of PCIe"] = (end * table["a pattern to the card"] / 1e6, machine["page-locked to card"])
    if "matmul peak" in table.rows and "a pattern takes" in table.rows:
        limits["share of matmul peak"] = (end * table["a pattern takes"], table["matmul peak"])
        assert table["engine alone of peak"] == pytest.approx(engine * table["a pattern takes"] / table["matmul peak"])
    else:
        limits["share of engine"] = (end, engine)
    shares = {name: table[name] for name in table.rows if name.startswith("share of ")}
    assert shares == {name: pytest.approx(used / limit) for name, (used, limit) in limits.items()}
    assert table.rows[max(shares, key=shares.__getitem__)].remark == "bound"


@pytest.mark.usefixtures("hasty")
def test_a_card_is_measured_with_its_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with clean_card() as card:
        monkeypatch.setattr(encode, "Cuda", lambda: card)
        with FakeCudaEngine(card) as engine:
            subject = Subject(given_model("vae32"), engine, lambda: FakeCudaEngine(card, lanes=1, batch=1))
            machine, table = finish(measure_encode(write_scan(tmp_path, 64), [subject], 1))
    assert machine.facts["card"] == "NVIDIA Fake"
    assert machine["page-locked to card"] > 0
    moved = [table[name] * 1e3 for name in ("a pattern in memory", "a pattern to the card", "a pattern back")]
    assert moved == pytest.approx([PATTERN_BYTES + 2 * 64 + 12, 64, 12])
    shares = [name for name in table.rows if name.startswith("share of ")]
    assert shares == ["share of engine", "share of memory", "share of PCIe", "share of preprocessing"]
    write_tables(tmp_path / "bench.json", [machine, table])
    read_machine, read = read_tables(tmp_path / "bench.json")
    check_table(read, read_machine, 1)
    capsys.readouterr()
    print_tables([machine])
    print_tables([table])
    printed = capsys.readouterr().out
    said = " ".join(printed.split())
    for part in ("NVIDIA Fake", "page-locked", "PCIe", "of the slower of both", "a pattern to the card, kB 0.0640"):
        assert part in said
    check_width(printed)


@pytest.mark.usefixtures("hasty")
def test_given_engines_are_measured(
    microrun: Microrun, plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    engine = write_pair(tmp_path)
    out = tmp_path / "bench.json"
    engines = ("--engine", engine.name, "--engine", plan.name, "--engine", "vae32")
    options = ("--device", "cpu", "--precision", "f32", "--lanes", "2", "--batch", "4", "--out", out.name)
    ran = microrun("encode", *engines, *options, "--patterns", "64", "--repeats", "2")
    assert ran.code == 0, ran.err
    assert "warning: " in ran.err and "a plan runs on NVIDIA cards only" in " ".join(ran.err.split())
    machine, *tables = read_tables(out)
    assert [table.facts["model"] for table in tables] == [engine.name, "vae32"]
    for table in tables:
        assert [table.facts[name] for name in ("device", "precision", "lanes", "batch")] == ["cpu", "f32", 2, 4]
        assert "torch f32 + kikuchipy" not in table.rows and "times the peer" not in table.rows
        check_table(table, machine, 2)
    assert "card" not in machine.facts and "page-locked to card" not in machine.rows
    assert ["a pattern takes" in table.rows for table in tables] == [False, True]  # a tiny model is no such network
    for part in ("memory copy, GB/s", "vae32, f32 on cpu: ", "2 lanes of 4", "patterns/s", "bound", "p99, ms", "576"):
        assert part in ran.said
    assert f"end to end, patterns/s {figure(tables[0]['end to end'])} {figure(tables[1]['end to end'])}" in ran.said
    check_width(ran.out)


@pytest.mark.slow
@pytest.mark.usefixtures("hasty")
def test_random_models_are_measured_beside_a_peer(microrun: Microrun, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    options = ("--precision", "auto", "--precision", "f32", "--precision", "int8", "--device", "cpu")
    ran = microrun("encode", "--latent", "16", *options, "--patterns", "192", "--repeats", "1", "--out", out)
    assert ran.code == 0, ran.err
    machine, *tables = read_tables(out)
    precisions = [table.facts["precision"] for table in tables]
    assert {"f32", "int8"} <= set(precisions) and len(precisions) == len(set(precisions))
    for table in tables:
        assert table.facts["model"] == "D = 16"
        assert table["torch f32 + kikuchipy"] == tables[0]["torch f32 + kikuchipy"] > 0
        assert table["times the peer"] == pytest.approx(table["end to end"] / table["torch f32 + kikuchipy"])
        assert "a pattern takes" in table.rows
        check_table(table, machine, 1)
    for part in ("D = 16, int8 on cpu", "torch f32 + kikuchipy", "matmul peak"):
        assert part in ran.said
    check_width(ran.out)
