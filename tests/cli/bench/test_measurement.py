"""Named measurements: medians, ratios, how they are printed and written."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench_output import check_width, read_tables

from microrun.cli.bench.measurement import Table, figure, print_tables, write_tables


def test_the_median_of_all_samples_counts() -> None:
    table = Table("engine")
    table.note("speed", "patterns/s", 900, 5000)
    table.note("speed", "patterns/s", 1000, remark="(≥ 40)")
    assert table["speed"] == 1000
    assert table.rows["speed"].samples == [900, 5000, 1000]


def test_the_best_sample_is_the_peak() -> None:
    table = Table("engine")
    for sample in (3.0, None, 5.0, 4.0):
        table.note_best("peak", "GFLOP/s", sample)
    assert table["peak"] == 5 and table.rows["peak"].unit == "GFLOP/s"
    other = Table("other")
    other.note_best("peak", "GFLOP/s", None)
    assert other.rows == {}


def test_ratios_are_of_medians_and_only_where_both_are_known() -> None:
    table, machine = Table("engine"), Table("machine")
    table.note("used", "GB/s", 1, 2, 30)
    table.note("limit", "GB/s", 8)
    machine.note("limit", "GB/s", 4, 4, 1)
    table.ratio("of own", "used", "limit", remark="(≥ 3)")
    table.ratio("of the machine's", "used", "limit", of=machine)
    table.ratio("of nothing", "used", "none")
    table.ratio("nothing of it", "none", "limit")
    assert (table["of own"], table["of the machine's"]) == (0.25, 0.5)
    assert (table.rows["of own"].unit, table.rows["of own"].remark) == ("", "(≥ 3)")
    assert set(table.rows) == {"used", "limit", "of own", "of the machine's"}


@pytest.mark.parametrize(
    "value, said",
    [
        (5462.4, "5,462"), (0.0, "0"), (116.0, "116"), (1e6, "1,000,000"), (99.94, "99.9"), (99.96, "100"),
        (2.414, "2.41"), (0.03162, "0.0316"), (0.3, "0.300"), (0.0041694, "0.00417"), (98765.4, "98,765"),
    ],
)  # fmt: skip
def test_figures_have_three_digits(value: float, said: str) -> None:
    assert figure(value) == said


def test_tables_stand_side_by_side_within_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    tables = [
        Table(f"model [{number}] of/a/long/folder.onnx, bf16 on cuda", "library [1], 2 lanes") for number in range(4)
    ]
    for number, table in enumerate(tables):
        table.note("torch f32 + kikuchipy", "patterns/s", 98765.4 + number)
    tables[1].note("of memory", "", 0.25, remark="(≥ 300)")
    print_tables([Table("machine", "a CPU"), *tables])
    printed = capsys.readouterr().out
    said = " ".join(printed.split())
    assert said.startswith(
        "machine: a CPU model [0] of/a/long/folder.onnx, bf16 on cuda: library [1], 2 lanes model [1]"
    )
    assert "torch f32 + kikuchipy, patterns/s 98,765 98,766 98,767 of memory 0.250 (≥ 300)" in said
    assert "torch f32 + kikuchipy, patterns/s 98,768" in said
    check_width("\n".join(line for line in printed.splitlines() if ": " not in line))


def test_what_is_written_is_flat_and_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine, engine = Table("machine", facts={"cores": 2}), Table("tiny", "unsaid", {"path": Path("tiny.onnx")})
    engine.note("speed", "patterns/s", 3, 1, 2, remark="bound")
    write_tables(tmp_path / "bench.json", [machine, engine])
    read_machine, read_engine = read_tables(tmp_path / "bench.json")
    assert (read_machine.title, read_machine.facts, read_machine.rows) == ("machine", {"cores": 2}, {})
    assert (read_engine.title, read_engine.facts) == ("tiny", {"path": "tiny.onnx"})
    assert read_engine.rows == engine.rows
    assert f"wrote {tmp_path / 'bench.json'} " in " ".join(capsys.readouterr().out.split())
