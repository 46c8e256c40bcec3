"""How long one pattern takes."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from bench_output import check_width, read_tables
from command_line import Microrun
from fake_engine import FunctionEngine

from microrun.cli.bench.latency import PERCENTILES, measure_latency, note_percentiles
from microrun.cli.bench.measurement import Table
from microrun.runtime.files.hashes import hash_file
from microrun.runtime.spec import ModelSpec, Preprocessing


def read_percentiles(table: Table) -> list[float]:
    return [table[name] for name in PERCENTILES]


def percentiles(seconds: list[float]) -> list[float]:
    table = Table("times")
    note_percentiles(table, "", np.array(seconds))
    assert {row.unit for row in table.rows.values()} == {"ms"}
    return read_percentiles(table)


def sleepy(seconds: float) -> FunctionEngine:
    def run(patterns: np.ndarray) -> np.ndarray:
        time.sleep(seconds)
        return patterns.reshape(len(patterns), -1)

    return FunctionEngine(ModelSpec("sleepy", "encoder", 16, Preprocessing((4, 4), 0)), run, lanes=1, batch=1)


def test_percentiles_are_times_that_were_measured() -> None:
    seconds = np.random.default_rng(0).permutation(np.arange(1, 1001)) / 1000
    assert percentiles(list(seconds)) == [500, 900, 990, 1000]
    assert percentiles([0.002, 0.001]) == [1, 2, 2, 2]
    assert percentiles([0.25]) == [250, 250, 250, 250]


def test_a_stream_takes_at_least_what_its_engine_takes() -> None:
    preprocessing, engine, stream = measure_latency(sleepy(0.01), 12, 20)
    for table in (engine, stream):
        assert min(read_percentiles(table)) >= 10 and read_percentiles(table) == sorted(read_percentiles(table))
    assert preprocessing["p50"] > 0
    assert stream.title == "push to latents, 20/s" and stream.facts == {"rate_patterns_s": 20}
    assert stream["delivered"] <= 20


def test_a_camera_that_is_too_fast_makes_patterns_wait() -> None:
    *_, stream = measure_latency(sleepy(0.02), 20, 1000)
    assert stream["delivered"] <= 50
    assert stream["worst"] > 5 * 20  # the last one waits for all others, of 20 ms each
    assert stream["p50"] < stream["worst"]


def test_the_command_prints_and_writes_what_it_measured(microrun: Microrun, engine: Path, tmp_path: Path) -> None:
    out = tmp_path / "latency.json"
    options = ("--device", "cpu", "--precision", "f32", "--runs", "30", "--rate", "200", "--out", out)
    ran = microrun("latency", "--engine", engine, *options)
    assert ran.code == 0, ran.err
    machine, opened, *steps = read_tables(out)
    assert opened.facts["model"] == str(engine)
    assert (opened.facts["device"], opened.facts["precision"]) == ("cpu", "f32")
    assert opened.facts["sha256"] == hash_file(engine)
    assert machine.facts["cores"] >= 1
    assert [table.title for table in steps] == ["preprocessing alone", "engine alone", "push to latents, 200/s"]
    assert steps[-1].facts["rate_patterns_s"] == 200
    for table in steps:
        assert min(read_percentiles(table)) > 0 and read_percentiles(table) == sorted(read_percentiles(table))
    for said in ("preprocessing", "engine alone", "push to", "p50, ms", "p99, ms", "1 lane of 1", f"wrote {out}"):
        assert said in ran.said
    shown = " ".join(f"{table['p99']:#.3g}" for table in steps if table["p99"] < 99.5)
    assert shown in ran.said
    check_width("\n".join(line for line in ran.out.splitlines() if str(engine) not in line))


def test_a_stream_that_does_not_keep_up_is_told(microrun: Microrun) -> None:
    options = ("--engine", "vae32", "--device", "cpu", "--runs", "40", "--rate", "1000000")
    ran = microrun("latency", *options)
    assert ran.code == 0, ran.err
    assert "less than 1e+06/s" in " ".join(ran.err.split())
