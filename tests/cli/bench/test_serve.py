"""What a service adds to pushing in the process."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from bench_output import check_width, read_tables
from command_line import Microrun, check_refused

from microrun.cli.bench import serve
from microrun.cli.bench.measurement import Table
from microrun.cli.bench.serve import compare, tell_queue
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.open import open_engine
from microrun.runtime.errors import MicrorunError
from microrun.runtime.serving.server import ServeRequest, Service

FEW = ("--device", "cpu", "--precision", "f32", "--patterns", "70", "--runs", "20", "--rate", "500")
ROWS = ("as fast as taken", "p50", "p99", "delivered")


@contextmanager
def service_in_a_thread(folder: Path, options: Sequence[str]) -> Iterator[Path]:
    engine = options[options.index("--engine") + 1]
    request = ServeRequest(folder, token_file=folder / "serve.token", background="none")
    with (
        open_engine(engine, "cpu", EngineRequest("f32")) as opened,
        Service(request, opened, lambda kind, text: None) as service,
    ):
        threading.Thread(target=service.run, daemon=True).start()
        yield service.token_file


def test_what_the_service_adds_is_the_difference() -> None:
    direct, served = Table("direct"), Table("served")
    for table, numbers in ((direct, (1000, 1.0, 3.0)), (served, (900, 1.25, 5.0))):
        for name, number in zip(ROWS, numbers, strict=False):
            table.note(name, "", number)
    compare(served, direct)
    assert (served["as fast as taken, of in process"], served["p50 added"], served["p99 added"]) == (0.9, 0.25, 2)


def test_times_of_a_queue_are_told_to_be_so() -> None:
    direct, served = Table("in process"), Table("served")
    direct.note("as fast as taken", "patterns/s", 150)
    served.note("as fast as taken", "patterns/s", 90)
    assert not tell_queue(80, direct, served)
    told = tell_queue(118, direct, served)
    assert "118 patterns/s are more than is taken (served 90)" in told and "--rate" in told


def test_the_command_prints_and_writes_what_it_measured(
    microrun: Microrun, engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "started_service", service_in_a_thread)
    out = tmp_path / "serve.json"
    ran = microrun("serve", "--engine", engine, *FEW, "--out", out)
    assert ran.code == 0, ran.err
    _, _, direct, served = read_tables(out)
    for table in (direct, served):
        assert min(table[name] for name in ROWS) > 0 and table["p50"] <= table["p99"]
        assert table.facts["rate_patterns_s"] == 500
    for said in ("at 500 patterns/s", "in process", "served", "p99, ms", "p50 added, ms", f"wrote {out}"):
        assert said in ran.said
    check_width("\n".join(line for line in ran.out.splitlines() if str(engine) not in line))


@pytest.mark.slow
def test_the_service_is_a_process_of_its_own(microrun: Microrun, engine: Path) -> None:
    ran = microrun("serve", "--engine", engine, *FEW, "--rate", "20", "--batch", "1")
    assert (ran.code, ran.err) == (0, "")
    with pytest.raises(MicrorunError, match="the service did not start"), serve.started_service(engine.parent, ["--x"]):
        pass


def test_what_cannot_be_measured(microrun: Microrun, tmp_path: Path) -> None:
    check_refused(microrun("serve", "--engine", tmp_path / "none.onnx"), "none.onnx")
    check_refused(microrun("serve", "--runs", "0"), "--runs")
    check_refused(microrun("serve", "--out", tmp_path / "a.csv"), ".json")
