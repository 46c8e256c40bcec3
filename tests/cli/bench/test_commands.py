"""`microrun bench`: what it counts and divides, and the commands on tiny settings."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import Microrun, check_refused, run_here
from fake_cuda_engine import FakeCudaEngine, clean_card
from fake_engine import FunctionEngine
from make_models import encoder_graph, save_model, tiny_spec, write_decoder, write_encoder

from microrun.cli.bench import encode as _bench_encode
from microrun.cli.bench import machine as _bench_machine
from microrun.cli.bench.ceilings import (
    Ceiling,
    Moved,
    Work,
    bound_rate,
    count_bytes,
    find_work,
    list_ceilings,
    name_bound,
)
from microrun.cli.bench.encode import EncodeResult, Timings, list_doubts, measure_encode, summarise, write_scan
from microrun.cli.bench.engines import GivenModel, RandomModel, Wanted, open_subjects
from microrun.cli.bench.latency import Percentiles, measure_latency, percentiles
from microrun.cli.bench.machine import Machine, encoder_operations, measure_link, product_peak
from microrun.cli.bench.subjects import Subject
from microrun.cli.bench.tables import amount, print_encode
from microrun.runtime.engines.known_answers import CHECKED
from microrun.runtime.engines.nvidia.plan import PlanRecord, Profile, write_record
from microrun.runtime.engines.open import read_model_spec
from microrun.runtime.errors import EngineError, SpecError
from microrun.runtime.files.hashes import hash_file
from microrun.runtime.spec import ModelSpec, Preprocessing
from microrun.training.loop.speed import autocast_type

PATTERN_BYTES = 480 * 480 * 2
SPEC = ModelSpec("vae32", "encoder", 32)
MACHINE = Machine("a CPU", 2, PATTERN_BYTES, copy_bytes_s=20e9, prepare_bytes_s=20_000 * PATTERN_BYTES)
SINGLE = Percentiles(1, 2, 3, 4)
WIDTH = 80  # columns of a terminal that tables fit into


@pytest.fixture
def microrun(capsys: pytest.CaptureFixture[str]) -> Microrun:
    return lambda *arguments: run_here(capsys, *arguments)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every measurement takes a moment."""
    monkeypatch.setattr(_bench_encode, "ENGINE_SECONDS", 0.02)
    monkeypatch.setattr(_bench_encode, "WARM_SECONDS", 0.01)
    monkeypatch.setattr(_bench_encode, "SINGLE_RUNS", 20)
    monkeypatch.setattr(_bench_machine, "LINK_BYTES", 1 << 12)
    monkeypatch.setattr(_bench_machine, "PEAK_SECONDS", 0.01)


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    return write_encoder(tmp_path / "tiny.onnx")


@pytest.fixture
def plan(tmp_path: Path, engine: Path) -> Path:
    """A file with a plan's sidecar; opened it never is, for these tests keep it off cards."""
    path = tmp_path / "tiny.plan"
    path.write_bytes(b"no plan at all")
    record = PlanRecord(
        tiny_spec(), hash_file(path), hash_file(engine), "tensorrt_rtx", "1.5", ("8.6",), Profile(1, 8, 8),
        version_compatible=False, build_s=1, check_outputs=(0.0,) * CHECKED,
    )  # fmt: skip
    write_record(path, record)
    return path


def subject_of(spec: ModelSpec, device: str = "cpu", precision: str = "f32") -> Subject:
    engine = FunctionEngine(spec, lambda patterns: patterns, lanes=3, batch=16)
    engine.info = dataclasses.replace(engine.info, device=device, precision=precision)
    return Subject("vae32", engine, lambda: engine)


# --- what is counted


def test_percentiles_are_times_that_were_measured() -> None:
    seconds = np.random.default_rng(0).permutation(np.arange(1, 1001)) / 1000
    assert percentiles(seconds) == Percentiles(500, 900, 990, 1000)
    assert percentiles(np.array([0.002, 0.001])) == Percentiles(1, 2, 2, 2)
    assert percentiles(np.array([0.25])) == Percentiles(250, 250, 250, 250)


def test_every_byte_of_a_pattern_is_counted() -> None:
    prepared, latents = 120 * 120 * 4, 32 * 4
    assert count_bytes(SPEC, PATTERN_BYTES, "cpu") == Moved(PATTERN_BYTES + 4 * prepared + latents, 0, 0)
    assert count_bytes(SPEC, 1000, "cuda") == Moved(1000 + 4 * prepared + latents, prepared, latents)


def test_operations_are_those_of_the_encoders_layers() -> None:
    # Outputs × terms of each, of convolutions of 9×9 but for the last, and of the matrix.
    d, k = 32, 81
    c = d // 4
    layers = [
        56**2 * c * k, 56**2 * c * c * k, 24**2 * 2 * c * c * k, 24**2 * 4 * c * c * k,
        8**2 * 8 * c * c * k, 8**2 * 16 * c * c * k, 2 * d * d * 64, 4 * d * d,
    ]  # fmt: skip
    assert encoder_operations(SPEC) == 2 * sum(layers)


def test_operations_of_other_networks_are_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert encoder_operations(tiny_spec()) is None
    assert encoder_operations(ModelSpec("small", "encoder", 32, Preprocessing((60, 60)))) is None
    monkeypatch.setattr(_bench_machine, "find_spec", lambda name: None)
    assert encoder_operations(SPEC) is None


def test_peaks_are_measured_where_they_mean_something() -> None:
    assert product_peak("cpu", "f16") is None
    native = autocast_type(torch.device("cpu"), "auto") == torch.bfloat16
    assert native or product_peak("cpu", "bf16") is None
    for precision in ("f32", "int8", *["bf16"] * native):
        peak = product_peak("cpu", precision)
        assert peak is not None and peak > 1e9


def test_without_torch_there_is_no_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bench_machine, "find_spec", lambda name: None)
    assert product_peak("cpu", "f32") is None


def test_the_link_is_measured_by_copies_that_were_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    delay_s = 0.002
    monkeypatch.setattr(_bench_machine, "LINK_BYTES", 1 << 12)
    monkeypatch.setattr(_bench_machine, "LINK_COPIES", 4)
    with clean_card(delay_s=delay_s) as card:
        rate = measure_link(card, 1)
        assert card.count("ended", "copy_in") == 3 * 4
    assert 0 < rate < (1 << 12) / delay_s


# --- what is divided


def test_shares_are_of_what_there_is() -> None:
    compute = Ceiling("matmul peak", "FLOP/s", 1.0, 4.0, 0.25)
    on_card = dataclasses.replace(MACHINE, card="a card", link_bytes_s=10e9)
    moved = Moved(memory_bytes=800_000, to_card_bytes=50_000, from_card_bytes=100)
    memory, link, preprocessing = list_ceilings(5000, moved, on_card, compute)[1:]
    assert memory == Ceiling("memory", "B/s", 4e9, 40e9, 0.1)  # a copy of 20 GB/s reads and writes as much
    assert link == Ceiling("PCIe", "B/s", 250e6, 10e9, 0.025)
    assert preprocessing == Ceiling("preprocessing", "patterns/s", 5000, 20_000, 0.25)


@pytest.mark.parametrize("to_card, link", [(0, 10e9), (50_000, None)])
def test_without_a_card_no_link_is_used(to_card: int, link: float | None) -> None:
    compute = Ceiling("matmul peak", "FLOP/s", 1.0, 4.0, 0.25)
    machine = dataclasses.replace(MACHINE, link_bytes_s=link)
    names = [ceiling.resource for ceiling in list_ceilings(1, Moved(1, to_card, 0), machine, compute)]
    assert names == ["matmul peak", "memory", "preprocessing"]


def test_the_largest_share_bounds() -> None:
    shares = {"matmul peak": 0.6, "memory": 0.1, "PCIe": 0.61, "preprocessing": 0.2}
    assert name_bound([Ceiling(name, "", share, 1, share) for name, share in shares.items()]) == "PCIe"


def test_on_the_cpu_engine_and_preprocessing_share_the_cores() -> None:
    assert bound_rate(1000, 4000, "cpu") == pytest.approx(800)
    assert bound_rate(1000, 4000, "cuda") == 1000
    assert bound_rate(9000, 4000, "cuda") == 4000


def test_a_summary_is_of_medians() -> None:
    timings = Timings(SINGLE, engine=[900, 1000, 5000], end_to_end=[500, 1, 700], first_s=[3, 1, 2], peer=[10, 20, 90])
    result = summarise(subject_of(SPEC), timings, Work(2e6, 4e9), MACHINE)
    assert (result.engine_patterns_s, result.end_to_end_patterns_s, result.first_s) == (1000, 500, 2)
    assert (result.peer_patterns_s, result.of_peer, result.of_engine) == (20, 25, 0.5)
    assert result.engine_of_peak == pytest.approx(0.5)
    assert result.bound_patterns_s == pytest.approx(1 / (1 / 1000 + 1 / 20_000))
    assert result.of_bound == pytest.approx(500 / result.bound_patterns_s)
    assert result.ceilings[0] == Ceiling("matmul peak", "FLOP/s", 1e9, 4e9, 0.25)
    assert result.bound_by == "matmul peak"
    assert (result.lanes, result.batch, result.single) == (3, 16, SINGLE)


def test_where_no_peak_is_known_the_engine_alone_stands_for_it() -> None:
    result = summarise(subject_of(SPEC), Timings(SINGLE, [1000], [800], [1]), None, MACHINE)
    assert result.ceilings[0] == Ceiling("engine", "patterns/s", 800, 1000, 0.8)
    assert result.bound_by == "engine"
    assert (result.work, result.engine_of_peak, result.peer_patterns_s, result.of_peer) == (None,) * 4


def test_the_best_product_is_the_peak() -> None:
    work = find_work(SPEC, [3e9, 5e9, 4e9])
    assert work is not None and work.peak_operations_s == 5e9
    assert work.pattern_operations == encoder_operations(SPEC)
    assert find_work(SPEC, []) is None
    assert find_work(tiny_spec(), [3e9]) is None


def test_products_of_8_bits_are_no_floating_point_operations() -> None:
    result = summarise(
        subject_of(SPEC, precision="int8"), Timings(SINGLE, [1000], [800], [1]), Work(1e6, 1e10), MACHINE
    )
    assert result.ceilings[0].unit == "OP/s"


@pytest.mark.parametrize(
    "value, unit, said",
    [
        (5462.4, "patterns/s", "5,462"), (0, "B/s", "0 B/s"), (999.4, "B/s", "999 B/s"), (999.6, "B/s", "1 kB/s"),
        (2.41e9, "B/s", "2.41 GB/s"), (953.2e9, "FLOP/s", "953 GFLOP/s"), (790e12, "FLOP/s", "790 TFLOP/s"),
        (1.5e15, "OP/s", "1,500 TOP/s"),
    ],
)  # fmt: skip
def test_amounts_have_three_digits_and_a_unit(value: float, unit: str, said: str) -> None:
    assert amount(value, unit) == said


# --- which engines


def open_all(models: list[Any], devices: list[str], precisions: list[str]) -> tuple[list[Subject], list[str]]:
    with ExitStack() as held:
        return open_subjects(models, Wanted.parse(devices, precisions, None, None), held, lambda what: None)


def test_every_combination_is_opened_once(engine: Path) -> None:
    other = write_encoder(engine.with_name("other.onnx"), seed=1)
    models = [GivenModel(str(path)) for path in (engine, other)]
    subjects, refused = open_all(models, ["cpu", "cpu"], ["f32"])
    assert [subject.engine.info.path for subject in subjects] == [engine, other]
    assert refused == []
    for subject in subjects:
        with subject.open_single() as single:
            info = subject.engine.info
            assert single.info == dataclasses.replace(info, lanes=1, batch=1)


def test_what_cannot_run_here_is_told_and_the_rest_is_opened(engine: Path, plan: Path) -> None:
    models = [GivenModel(str(path)) for path in (plan, engine)]
    subjects, refused = open_all(models, ["cpu"], ["f32"])
    assert [subject.engine.info.path for subject in subjects] == [engine]
    assert len(refused) == 1
    assert refused[0].startswith(f"{plan}, f32 on cpu: ")
    assert "a plan runs on NVIDIA cards only" in refused[0]


def test_where_nothing_can_run_all_reasons_are_given(plan: Path) -> None:
    with pytest.raises(EngineError, match=r", f32 on cpu: .*; .*, f16 on cpu: ") as error:
        open_all([GivenModel(str(plan))], ["cpu"], ["f32", "f16"])
    assert "\n" not in str(error.value)


def test_engines_that_prepare_patterns_differently_are_not_measured_together(engine: Path) -> None:
    spec = dataclasses.replace(tiny_spec(), preprocessing=Preprocessing((64, 64)))
    small = save_model(engine.with_name("small.onnx"), encoder_graph(side=64), spec)
    with pytest.raises(SpecError, match="another way"):
        open_all([GivenModel(str(engine)), GivenModel(str(small))], ["cpu"], ["f32"])


@pytest.mark.slow
def test_random_models_are_made_in_the_precision_asked_for(tmp_path: Path) -> None:
    model = RandomModel(16, tmp_path)
    assert model.file("auto") == model.file("bf16") == model.file("f32")
    for precision, weights in (("f32", "f32"), ("f16", "f16"), ("int8", "int8")):
        path = model.file(precision)  # type: ignore[arg-type]
        assert read_model_spec(path).precision == weights
        written = path.stat().st_mtime_ns
        assert model.file(precision) == path and path.stat().st_mtime_ns == written  # type: ignore[arg-type]


def test_a_scan_of_few_patterns_is_doubted(tmp_path: Path, engine: Path) -> None:
    source = write_scan(tmp_path, 128)
    (subject,), _ = open_all([GivenModel(str(engine))], ["cpu"], ["f32"])
    for lanes, doubted in ((2, False), (3, True)):
        subject.engine.info = dataclasses.replace(subject.engine.info, lanes=lanes, batch=16)
        doubts = list_doubts(source, [subject])
        assert len(doubts) == doubted
    assert f"128 patterns are few for 3 lanes of 16; measure with --patterns {3 * 16 * 4}" in doubts[0]


# --- a card


@pytest.mark.usefixtures("hasty")
def test_a_card_is_measured_with_its_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with clean_card() as card:
        monkeypatch.setattr(_bench_encode, "Cuda", lambda: card)
        with FakeCudaEngine(card) as engine:
            subject = Subject("fake", engine, lambda: FakeCudaEngine(card, lanes=1, batch=1))
            machine, (result,) = measure_encode(write_scan(tmp_path, 64), [subject], 1, lambda what: None)
    assert machine.card == "NVIDIA Fake"
    assert machine.link_bytes_s is not None and machine.link_bytes_s > 0
    assert result.moved == Moved(PATTERN_BYTES + 4 * 64 + 12, 64, 12)
    assert [ceiling.resource for ceiling in result.ceilings] == ["engine", "memory", "PCIe", "preprocessing"]
    check_result(json.loads(json.dumps(dataclasses.asdict(result))), dataclasses.asdict(machine))
    print_encode(machine, [result])
    said = capsys.readouterr().out
    for part in ("NVIDIA Fake", "page-locked", "PCIe", "of the slower: card, or ", "64 B to the card"):
        assert part in said
    check_width(said)


# --- the commands


def check_width(printed: str) -> None:
    lines = [line.rstrip() for line in printed.splitlines() if not line.startswith("wrote ")]  # a path is not wrapped
    assert max(map(len, lines)) <= WIDTH, printed


def check_result(row: dict[str, Any], machine: dict[str, Any]) -> None:
    """Every ratio is that of the numbers beside it."""
    assert set(row) == {field.name for field in dataclasses.fields(EncodeResult)}
    engine, end = row["engine_patterns_s"], row["end_to_end_patterns_s"]
    assert engine > 0 and end > 0 and row["first_s"] > 0
    single = row["single"]
    assert 0 < single["p50_ms"] <= single["p90_ms"] <= single["p99_ms"] <= single["worst_ms"]
    prepare = machine["prepare_bytes_s"] / machine["pattern_bytes"]
    bound = min(engine, prepare) if row["device"] == "cuda" else 1 / (1 / engine + 1 / prepare)
    assert row["bound_patterns_s"] == pytest.approx(bound)
    assert row["of_bound"] == pytest.approx(end / bound)
    assert row["of_engine"] == pytest.approx(end / engine)
    limits = {
        "memory": (end * row["moved"]["memory_bytes"], 2 * machine["copy_bytes_s"]),
        "preprocessing": (end, prepare),
        "engine": (end, engine),
        "PCIe": (end * row["moved"]["to_card_bytes"], machine["link_bytes_s"]),
    }
    if row["work"]:
        operations, peak = row["work"]["pattern_operations"], row["work"]["peak_operations_s"]
        limits["matmul peak"] = end * operations, peak
        assert row["engine_of_peak"] == pytest.approx(engine * operations / peak)
    for ceiling in row["ceilings"]:
        used, limit = limits[ceiling["resource"]]
        assert (ceiling["used"], ceiling["limit"]) == (pytest.approx(used), pytest.approx(limit))
        assert ceiling["share"] == pytest.approx(used / limit)
    largest = max(row["ceilings"], key=lambda ceiling: ceiling["share"])
    assert row["bound_by"] == largest["resource"]


@pytest.mark.usefixtures("hasty")
def test_given_engines_are_measured(
    microrun: Microrun, engine: Path, plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "bench.json"
    engines = ("--engine", engine.name, "--engine", plan.name, "--engine", "vae32")
    options = ("--device", "cpu", "--precision", "f32", "--lanes", "2", "--batch", "4", "--json", out.name)
    ran = microrun("bench", "encode", *engines, *options, "--patterns", "64", "--repeats", "2")
    assert ran.code == 0, ran.err
    assert "warning: " in ran.err and "a plan runs on NVIDIA cards only" in " ".join(ran.err.split())
    numbers = json.loads(out.read_text())
    assert [row["model"] for row in numbers["encode"]] == [engine.name, "vae32"]
    for row in numbers["encode"]:
        assert (row["device"], row["precision"], row["lanes"], row["batch"]) == ("cpu", "f32", 2, 4)
        assert row["peer_patterns_s"] is row["of_peer"] is None
        check_result(row, numbers["machine"])
    assert numbers["machine"]["card"] is numbers["machine"]["link_bytes_s"] is None
    assert [row["work"] is None for row in numbers["encode"]] == [True, False]  # a tiny model is no such network
    for part in ("memory copy", "vae32, f32 on cpu", "patterns/s", "bound by", "ms p99", "691 kB", "GFLOP/s"):
        assert part in ran.said
    check_width(ran.out)


@pytest.mark.slow
@pytest.mark.usefixtures("hasty")
def test_random_models_are_measured_beside_a_peer(microrun: Microrun, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    options = ("--precision", "auto", "--precision", "f32", "--precision", "int8", "--device", "cpu")
    ran = microrun("bench", "encode", "--latent", "16", *options, "--patterns", "192", "--repeats", "1", "--json", out)
    assert ran.code == 0, ran.err
    numbers = json.loads(out.read_text())
    precisions = [row["precision"] for row in numbers["encode"]]
    assert {"f32", "int8"} <= set(precisions) and len(precisions) == len(set(precisions))
    for row in numbers["encode"]:
        assert (row["model"], row["latent_size"]) == ("D = 16", 16)
        assert row["peer_patterns_s"] == numbers["encode"][0]["peer_patterns_s"] > 0
        assert row["of_peer"] == pytest.approx(row["end_to_end_patterns_s"] / row["peer_patterns_s"])
        assert row["work"] is not None
        check_result(row, numbers["machine"])
    for part in ("D = 16, int8 on cpu", "torch f32 + kikuchipy", "matmul peak"):
        assert part in ran.said
    check_width(ran.out)


def test_what_cannot_be_measured(microrun: Microrun, engine: Path, tmp_path: Path) -> None:
    encode = ("bench", "encode", "--device", "cpu")
    decoder = write_decoder(tmp_path / "tiny.decoder.onnx")
    check_refused(microrun(*encode, "--latent", "33"), "33")
    check_refused(microrun(*encode, "--latent", "32", "--engine", engine), "--latent", "--engine", "both")
    check_refused(microrun(*encode, "--engine", tmp_path / "none.onnx"), "none.onnx")
    check_refused(microrun(*encode, "--engine", engine, "--precision", "f8"), "precision", "'f8'")
    check_refused(microrun("bench", "encode", "--device", "tpu"), "device", "'tpu'")
    check_refused(microrun(*encode, "--engine", engine, "--lanes", "0"), "lanes")
    check_refused(microrun(*encode, "--engine", engine, "--repeats", "0"), "--repeats")
    check_refused(microrun(*encode, "--engine", engine, "--json", tmp_path / "none" / "b.json"), "none", code=1)
    check_refused(microrun("bench", "latency", "--engine", tmp_path / "none.onnx"), "none.onnx")
    check_refused(microrun("bench", "latency", "--runs", "0"), "--runs")
    check_refused(microrun("bench", "latency", "--rate", "0"), "--rate")
    check_refused(microrun("bench", "latency", "--json", tmp_path), tmp_path, code=1)
    for command in ("encode", "latency"):
        check_refused(microrun("bench", command, "--engine", decoder, "--device", "cpu"), decoder.name, "decoder")


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs OpenVINO")
def test_a_precision_that_this_cpu_does_not_compute_is_refused(microrun: Microrun, engine: Path) -> None:
    import openvino

    from microrun.runtime.engines.openvino_cpu import CAPABILITIES

    offered = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    missing = [name for name in ("f16", "bf16") if CAPABILITIES[name] not in offered]
    if not missing:
        pytest.skip("this CPU computes in all precisions")
    options = ("--engine", engine, "--device", "cpu", "--precision", missing[0])
    check_refused(microrun("bench", "encode", *options), f"does not compute in {missing[0]}")
    check_refused(microrun("bench", "latency", *options), f"does not compute in {missing[0]}")


# --- latency


def sleepy(seconds: float) -> FunctionEngine:
    def run(patterns: np.ndarray) -> np.ndarray:
        time.sleep(seconds)
        return patterns.reshape(len(patterns), -1)

    return FunctionEngine(ModelSpec("sleepy", "encoder", 16, Preprocessing((4, 4), 0)), run, lanes=1, batch=1)


def test_a_stream_takes_at_least_what_its_engine_takes() -> None:
    found = measure_latency(sleepy(0.01), 12, 20)
    for times in (found.engine, found.stream):
        assert 10 <= times.p50_ms <= times.p90_ms <= times.p99_ms <= times.worst_ms
    assert 0 < found.preprocessing.p50_ms < 10
    assert found.rate_patterns_s == 20
    assert found.delivered_patterns_s <= 20


def test_a_camera_that_is_too_fast_makes_patterns_wait() -> None:
    found = measure_latency(sleepy(0.02), 20, 1000)
    assert found.delivered_patterns_s <= 50
    assert found.stream.worst_ms > 5 * 20  # the last one waits for all others, of 20 ms each
    assert found.stream.p50_ms < found.stream.worst_ms


def test_latency_is_measured(microrun: Microrun, engine: Path, tmp_path: Path) -> None:
    out = tmp_path / "latency.json"
    options = ("--device", "cpu", "--precision", "f32", "--runs", "30", "--rate", "200", "--json", out)
    ran = microrun("bench", "latency", "--engine", engine, *options)
    assert ran.code == 0, ran.err
    numbers = json.loads(out.read_text())
    assert numbers["engine"]["name"] == str(engine)
    assert (numbers["engine"]["device"], numbers["engine"]["precision"]) == ("cpu", "f32")
    assert numbers["engine"]["sha256"] == hash_file(engine)
    assert numbers["machine"]["cores"] >= 1
    latency = numbers["latency"]
    assert latency["rate_patterns_s"] == 200
    for part in ("preprocessing", "engine", "stream"):
        times = latency[part]
        assert 0 < times["p50_ms"] <= times["p90_ms"] <= times["p99_ms"] <= times["worst_ms"]
    for said in ("preprocessing alone", "engine alone", "push to latents, 200/s", "p50", "p99", f"wrote {out}"):
        assert said in ran.said
    assert f"{latency['stream']['p99_ms']:.3f}" in ran.said


def test_a_stream_that_does_not_keep_up_is_told(microrun: Microrun, tmp_path: Path) -> None:
    options = ("--engine", "vae32", "--device", "cpu", "--runs", "40", "--rate", "1000000")
    ran = microrun("bench", "latency", *options)
    assert ran.code == 0, ran.err
    assert "less than 1e+06/s" in " ".join(ran.err.split())
