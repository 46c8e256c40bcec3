"""`microrun bench generate`: GrainPaint's networks, what is counted and measured, and the command on tiny networks."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import torch
from bench_output import check_width, read_tables
from command_line import Microrun, check_refused
from make_denoisers import a_unet, traced, write_denoiser
from make_models import write_encoder

from microrun.cli.bench import generate, grainpaint, machine
from microrun.cli.bench.generate import Contender, count_evaluations, measure_networks, open_peers
from microrun.cli.bench.grainpaint import BIG, SMALL, GrainPaint
from microrun.cli.bench.measurement import figure, print_tables
from microrun.cli.bench.models import engine_table
from microrun.cli.bench.operations import graph_operations
from microrun.export.graph import save_model
from microrun.runtime.engines.denoiser import Denoiser
from microrun.runtime.engines.engine import EngineInfo
from microrun.runtime.files.extras import say_missing
from microrun.runtime.generation.effort import GRAINPAINT_EVALUATIONS, measure_speed
from microrun.runtime.generation.recipe import PRESETS
from microrun.runtime.generation.sampling import Sampling
from microrun.runtime.generation.tiling import tile_isotropic
from microrun.runtime.progress import finish
from microrun.runtime.schedule import Schedule
from microrun.runtime.spec import Diffusion, ModelSpec
from microrun.training.diffusion.unet_config import UnetConfig

BLOCK_UNET = UnetConfig(dims=3, channels=(8, 8), blocks=1, head_size=4, groups=4, patch=4)
WAIT_S = 60


def block_spec(side: int) -> ModelSpec:
    return ModelSpec("tiny", "denoiser", diffusion=Diffusion((1, side, side, side), Schedule()))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny denoiser of real blocks."""
    path = tmp_path_factory.mktemp("models") / "tiny.onnx"
    save_model(traced(a_unet(BLOCK_UNET), (32, 32, 32), Schedule(), "f32"), block_spec(32), path)
    return path


@pytest.fixture
def small(hasty: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers take a moment, too."""
    monkeypatch.setattr(generate, "RUN_SECONDS", 0.02)
    monkeypatch.setattr(grainpaint, "SIDE", 8)


# --- GrainPaint's networks


@pytest.mark.parametrize(
    "network, parameters, operations, attention",
    [(BIG, 6_385_665, 370_297_839_616, 4_968_153_088), (SMALL, 1_098_769, 24_670_158_848, 740_294_656)],
)
def test_grainpaints_networks_are_those_published(
    network: GrainPaint, parameters: int, operations: int, attention: int
) -> None:
    with torch.device("meta"):
        built = network.build()
    assert sum(parameter.numel() for parameter in built.parameters()) == parameters
    assert not built.training
    assert network.count_operations() == operations + attention


def test_grainpaints_networks_evaluate_batches_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grainpaint, "SIDE", 8)
    for network in (SMALL, BIG):
        found = network.evaluation("cpu", 2)()
        assert found.shape == (2, 1, 8, 8, 8) and found.dtype == torch.float32
        assert not found.requires_grad


def test_a_block_takes_grainpaint_as_many_evaluations_as_published() -> None:
    assert GRAINPAINT_EVALUATIONS == 2489


# --- what is measured


class SleepyLane:
    """Allows steps of full slots only; from the second on, all lanes must be at it together."""

    def __init__(self, batch: int, together: Barrier) -> None:
        self.batch, self.steps, self._full, self._together = batch, 0, set[int](), together

    def load(self, slot: int, x: np.ndarray, known: np.ndarray, mask: np.ndarray, condition: None) -> None:
        assert condition is None and x.shape == known.shape == mask.shape == (1, 8, 8, 8) and mask.dtype == bool
        self._full.add(slot)

    def step(self, timesteps: np.ndarray, coefficients: np.ndarray, noise: np.ndarray) -> None:
        assert len(self._full) == self.batch
        assert (timesteps.dtype, coefficients.dtype, noise.dtype) == (np.int32, np.float32, np.float32)
        assert timesteps.shape == (self.batch,) and coefficients.shape == (self.batch, 5)
        assert noise.shape == (self.batch, 1, 8, 8, 8)
        self.steps += 1
        if self.steps == 2:
            self._together.wait(WAIT_S)
        time.sleep(0.01)

    def read(self, slot: int) -> np.ndarray:
        return np.zeros((1, 8, 8, 8), np.float32)

    def free(self, slot: int) -> None:
        self._full.discard(slot)


class SleepyDenoiser(Denoiser):
    """Lanes that work side by side."""

    def __init__(self, lanes: int, batch: int) -> None:
        super().__init__(block_spec(8), EngineInfo(Path("none"), "", "sleep", "cpu", "f32", lanes, batch))
        self.made: list[SleepyLane] = []
        self._together = Barrier(lanes)

    def lane(self) -> SleepyLane:
        self.made.append(SleepyLane(self.info.batch, self._together))
        return self.made[-1]


def test_all_slots_of_all_lanes_count() -> None:
    denoiser = SleepyDenoiser(lanes=4, batch=5)
    started = time.perf_counter()
    rate = measure_speed(denoiser, 0.2)
    took = time.perf_counter() - started
    timed = sum(lane.steps - 1 for lane in denoiser.made)  # of each the first is before the clock starts
    assert len(denoiser.made) == 4
    assert timed * 5 / took < rate <= timed * 5 / 0.2
    assert rate <= 4 * 5 / 0.01


def contender(name: str, device: str, rates: list[float], operations: float | None = 1e9) -> Contender:
    info = EngineInfo(Path(name), "", "a library", device, "f32", 1, 1)
    return Contender(engine_table(name, info), operations, lambda: rates.pop(0))


def test_medians_are_compared_with_the_peers_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = iter([4.0, None, 8.0, 8.0, 3.0, None, 8.0, 8.0, 2.0, None, 1.0, 8.0])
    monkeypatch.setattr(machine, "product_peak", lambda device, precision: next(peaks))
    ours = [contender("a", "cpu", [4, 40, 6]), contender("b", "cuda", [100, 50, 70])]
    peers = [contender("GrainPaint small", "cpu", [1, 2, 3]), contender("big", "cuda", [0.5, 0.25, 0.5], None)]
    a, b, small, big = finish(measure_networks(ours, peers, 3))
    assert [table["speed"] for table in (a, b, small, big)] == [6, 70, 2, 0.5]
    assert a.title == "a, f32 on cpu"
    assert (a["of matmul peak"], a["× GrainPaint small"], "× big" in a.rows) == (6 / 4, 3, False)
    assert a.rows["× GrainPaint small"].remark == "(≥ 20)"
    assert ("of matmul peak" in b.rows, b["× big"], "× GrainPaint small" in b.rows) == (False, 140, False)
    assert small["of matmul peak"] == 2 / 8 and not any(name.startswith("×") for name in small.rows)
    assert "of matmul peak" not in big.rows and "an evaluation" not in big.rows


# --- evaluations of volumes


def test_evaluations_of_volumes_are_counted() -> None:
    presets = {"tenth": Sampling(10, n_resample=3, plain_steps=2)}
    published, tenth = count_evaluations(128, presets, Schedule())
    assert (published.title, published["blocks"], published["evaluations"]) == ("128³, GrainPaint", 125, 125 * 2489)
    # 3 × 3 × 3 blocks of the first stage find nothing; of the others, levels 2 to 8 are denoised three times.
    assert (tenth.title, tenth["blocks"]) == ("128³, tenth", 125)
    assert tenth["evaluations"] == 27 * 10 + 98 * (10 + 7 * 2)
    assert tenth["evaluations per voxel"] == tenth["evaluations"] / 128**3
    assert tenth["of GrainPaint's"] == tenth["evaluations"] / published["evaluations"]


def test_presets_take_fewer_evaluations_than_aimed_at() -> None:
    _, default, fast = count_evaluations(128, PRESETS, Schedule())
    assert (default.title, default.rows["of GrainPaint's"].remark) == ("128³, default", "(≤ 0.60)")
    assert (fast.title, fast.rows["of GrainPaint's"].remark) == ("128³, fast", "(≤ 0.15)")
    assert default["of GrainPaint's"] <= 0.6
    assert fast["of GrainPaint's"] <= 0.15


# --- which peers


def test_what_peers_lack_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    peers, said = open_peers(["cpu"])
    assert peers == []
    assert said == [f"GrainPaint's networks are left out: {say_missing(name)}" for name in ("torch", "diffusers")]


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch has a card here")
@pytest.mark.usefixtures("small")
def test_peers_are_left_out_where_torch_has_no_card() -> None:
    peers, said = open_peers(["cuda", "cpu", "cuda"])
    assert [peer.table.title for peer in peers] == ["GrainPaint small, f32 on cpu", "GrainPaint big, f32 on cpu"]
    assert said == ["GrainPaint's networks are left out on cuda: torch has none"]


# --- the command


@pytest.mark.usefixtures("small")
def test_the_command_prints_and_writes_what_it_measured(microrun: Microrun, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    options = ("--device", "cpu", "--precision", "f32", "--lanes", 1, "--batch", 2, "--size", 80, "--repeats", 2)
    ran = microrun("generate", "--engine", model, *options, "--out", out)
    assert ran.code == 0, ran.err
    _, own, small, big, *volumes = read_tables(out)
    assert [table.title for table in (small, big)] == ["GrainPaint small, f32 on cpu", "GrainPaint big, f32 on cpu"]
    assert own.title == f"{model}, f32 on cpu" and own.facts["batch"] == 2
    for peer, aim in ((small, "(≥ 20)"), (big, "(≥ 100)")):
        name = f"× {peer.facts['model']}"
        assert own[name] == pytest.approx(own["speed"] / peer["speed"])
        assert f"{name} {figure(own[name])} {aim}" in ran.said
        assert not any(name.startswith("×") for name in peer.rows)
        assert str(peer.facts["library"]).startswith("torch ")
    operations = graph_operations(model)
    assert operations is not None and own["an evaluation"] == operations / 1e9 and own["of matmul peak"] > 0
    assert len(own.rows["speed"].samples) == 2
    assert [table["blocks"] for table in volumes] == [len(tile_isotropic((80, 80, 80)))] * 3
    evaluations = " ".join(figure(float(table["evaluations"])) for table in volumes)
    assert f"blocks 27 27 27 evaluations {evaluations}" in ran.said
    for table, aim in zip(volumes[1:], ("(≤ 0.60)", "(≤ 0.15)"), strict=True):
        share = figure(table["of GrainPaint's"])
        assert f"{share} {aim}" in ran.said
    for part in ("80³", "GrainPaint default fast", "speed, evaluations/s", "an evaluation, GFLOP", f"wrote {out}"):
        assert part in ran.said


def test_tables_fit_into_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    names, rates = ("random weights", "GrainPaint small", "GrainPaint big"), (5432.1, 14.98, 0.0789)
    info = EngineInfo(Path(), "", "a library", "cuda", "bf16", 1, 1)
    networks = [engine_table(name, info) for name in names]
    for table, rate in zip(networks, rates, strict=True):
        table.note("speed", "evaluations/s", rate)
    networks[0].note("× GrainPaint big", "", 98765.4, remark="(≥ 100)")
    print_tables(networks)
    print_tables(count_evaluations(1024, PRESETS, Schedule()))
    printed = capsys.readouterr().out
    said = " ".join(printed.split())
    assert "speed, evaluations/s 5,432 15.0 0.0789 × GrainPaint big 98,765 (≥ 100)" in said
    check_width(printed)


def test_what_cannot_be_measured(microrun: Microrun, model: Path, tmp_path: Path) -> None:
    engine = ("--engine", model, "--device", "cpu")
    encoder, small = write_encoder(tmp_path / "encoder.onnx"), write_denoiser(tmp_path / "small.onnx")
    check_refused(microrun("generate", "--engine", encoder, "--device", "cpu"), "encoder.onnx", "encoder")
    check_refused(microrun("generate", "--engine", small, "--device", "cpu"), "(1, 8, 8, 8)")
    check_refused(microrun("generate", "--engine", tmp_path / "none.onnx"), "none.onnx")
    check_refused(microrun("generate", *engine, "--size", 31), "31")
    check_refused(microrun("generate", *engine, "--precision", "f8"), "precision", "'f8'")
    check_refused(microrun("generate", "--device", "tpu"), "device", "'tpu'")
    check_refused(microrun("generate", *engine, "--repeats", 0), "--repeats")
    check_refused(microrun("generate", *engine, "--out", tmp_path), tmp_path)
