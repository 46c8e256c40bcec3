"""`microrun bench generate`: GrainPaint's networks, what is counted and measured, and the command on tiny networks."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from command_line import Microrun, check_refused, run_here
from make_denoisers import write_denoiser
from make_models import write_encoder
from torch.utils.flop_counter import FlopCounterMode

from microrun.cli.bench import denoisers as _bench_denoisers
from microrun.cli.bench import generate as _bench_generate
from microrun.cli.bench import grainpaint as _bench_grainpaint
from microrun.cli.bench import machine as _bench_machine
from microrun.cli.bench import operations as _bench_operations
from microrun.cli.bench.denoisers import list_models, open_denoisers, open_peers
from microrun.cli.bench.engines import Wanted
from microrun.cli.bench.generate import Contender, Evaluated, list_plans, measure_networks
from microrun.cli.bench.grainpaint import BIG, SMALL, GrainPaint
from microrun.cli.bench.operations import graph_operations
from microrun.cli.bench.volume_tables import print_generate
from microrun.export.graph import save_model
from microrun.export.step_graph import trace_step
from microrun.runtime.engines.denoiser import Denoiser
from microrun.runtime.engines.engine import EngineInfo
from microrun.runtime.engines.open import read_model_spec
from microrun.runtime.generation.effort import GRAINPAINT_EVALUATIONS, measure_speed
from microrun.runtime.generation.request import PRESETS
from microrun.runtime.generation.sampling import Sampling
from microrun.runtime.generation.tiling import tile_isotropic
from microrun.runtime.schedule import Schedule
from microrun.runtime.spec import Diffusion, ModelSpec
from microrun.training.diffusion import unet
from microrun.training.diffusion.unet import UNet, UnetConfig

BLOCK_UNET = UnetConfig(dims=3, channels=(8, 8), blocks=1, head_size=4, groups=4, patch=4)
WIDTH = 80  # columns of a terminal that tables fit into


def block_spec(side: int) -> ModelSpec:
    return ModelSpec("tiny", "denoiser", diffusion=Diffusion((1, side, side, side), Schedule()))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny denoiser of real blocks."""
    path = tmp_path_factory.mktemp("models") / "tiny.onnx"
    save_model(trace_step(UNet(BLOCK_UNET), (32, 32, 32), Schedule(), "f32"), block_spec(32), path)
    return path


@pytest.fixture
def microrun(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Microrun:
    monkeypatch.setattr(_bench_generate, "RUN_SECONDS", 0.02)
    monkeypatch.setattr(_bench_machine, "PEAK_SECONDS", 0.01)
    monkeypatch.setattr(_bench_grainpaint, "SIDE", 8)
    return lambda *arguments: run_here(capsys, "bench", "generate", *arguments)


def say_nothing(_: str) -> None:
    pass


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
    monkeypatch.setattr(_bench_grainpaint, "SIDE", 8)
    for network in (SMALL, BIG):
        found = network.evaluation("cpu", 2)()
        assert found.shape == (2, 1, 8, 8, 8) and found.dtype == torch.float32
        assert not found.requires_grad


def test_a_block_takes_grainpaint_as_many_evaluations_as_published() -> None:
    assert GRAINPAINT_EVALUATIONS == 2489


# --- operations of a graph


def test_operations_of_a_graph_are_those_of_its_network(model: Path) -> None:
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        UNet(BLOCK_UNET)(torch.zeros(1, 1, 32, 32, 32), torch.zeros(1))
    assert graph_operations(model) == counter.get_total_flops()


def test_where_operations_cannot_be_known_none_are_told(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert graph_operations(tmp_path / "some.plan") is None
    graph = onnx.load(model)
    del graph.graph.value_info[:]
    onnx.save_model(graph, tmp_path / "bare.onnx")
    assert graph_operations(tmp_path / "bare.onnx") is None
    monkeypatch.setattr(_bench_operations, "find_spec", lambda name: None)
    assert graph_operations(model) is None


# --- what is measured


class SleepyLane:
    """Sleeps at every step, which only full slots allow."""

    def __init__(self, batch: int) -> None:
        self.batch, self.steps, self._full = batch, 0, set[int]()

    def load(self, slot: int, x: np.ndarray, known: np.ndarray, mask: np.ndarray) -> None:
        assert x.shape == known.shape == mask.shape == (1, 8, 8, 8) and mask.dtype == bool
        self._full.add(slot)

    def step(self, timesteps: np.ndarray, coefficients: np.ndarray, noise: np.ndarray) -> None:
        assert len(self._full) == self.batch
        assert (timesteps.dtype, coefficients.dtype, noise.dtype) == (np.int32, np.float32, np.float32)
        assert timesteps.shape == (self.batch,) and coefficients.shape == (self.batch, 5)
        assert noise.shape == (self.batch, 1, 8, 8, 8)
        self.steps += 1
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

    def lane(self) -> SleepyLane:
        self.made.append(SleepyLane(self.info.batch))
        return self.made[-1]


def test_all_slots_of_all_lanes_count() -> None:
    denoiser = SleepyDenoiser(lanes=4, batch=5)
    rate = measure_speed(denoiser, 0.2)
    timed = sum(lane.steps - 1 for lane in denoiser.made)  # of each the first is before the clock starts
    assert len(denoiser.made) == 4
    assert 0.2 * 4 * 5 / 0.01 < rate <= 4 * 5 / 0.01
    assert timed * 5 / 1 < rate <= timed * 5 / 0.2


def contender(name: str, device: str, rates: list[float], operations: float | None = 1e9) -> Contender:
    return Contender(name, "a library", device, "f32", operations, lambda: rates.pop(0))


def test_medians_are_compared_with_the_peers_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = iter([4e9, None, 8e9, 8e9] * 3)
    monkeypatch.setattr(_bench_generate, "product_peak", lambda device, precision: next(peaks))
    ours = [contender("a", "cpu", [4, 40, 6]), contender("b", "cuda", [100, 50, 70])]
    peers = [contender("small", "cpu", [1, 2, 3]), contender("big", "cuda", [0.5, 0.25, 0.5], None)]
    a, b, small, big = measure_networks(ours, peers, 3, say_nothing)
    assert [found.evaluations_s for found in (a, b, small, big)] == [6, 70, 2, 0.5]
    assert (a.title, a.of_peak, a.of_peers) == ("a, f32 on cpu", 6e9 / 4e9, {"small": 3})
    assert (b.of_peak, b.of_peers) == (None, {"big": 140})
    assert (small.of_peak, small.of_peers) == (2e9 / 8e9, {})
    assert big.of_peak is None


# --- plans


def test_evaluations_of_plans_are_counted() -> None:
    presets = {"tenth": Sampling(10, n_resample=3, plain_steps=2)}
    published, tenth = list_plans((128, 128, 128), presets, Schedule())
    assert (published.name, published.blocks, published.evaluations) == ("GrainPaint", 125, 125 * 2489)
    # 3 × 3 × 3 blocks of the first stage find nothing; of the others, levels 2 to 8 are denoised three times.
    assert (tenth.name, tenth.blocks, tenth.evaluations) == ("tenth", 125, 27 * 10 + 98 * (10 + 7 * 2))
    assert tenth.voxel_evaluations == tenth.evaluations / 128**3
    assert tenth.of_published == tenth.evaluations / published.evaluations


def test_presets_take_fewer_evaluations_than_aimed_at() -> None:
    _, *plans = list_plans((128, 128, 128), PRESETS, Schedule())
    shares = {plan.name: plan.of_published for plan in plans}
    assert shares["default"] <= 0.6
    assert shares["fast"] <= 0.15


# --- which networks


@pytest.mark.slow
def test_random_models_are_made_in_the_precision_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unet, "GRAIN_UNET", BLOCK_UNET)
    (model,) = list_models((), tmp_path)
    assert model.name == "random weights"
    assert model.file("auto") == model.file("bf16") == model.file("f16") != model.file("f32")
    for precision in ("f16", "f32"):
        path = model.file(precision)  # type: ignore[arg-type]
        assert read_model_spec(path).precision == precision
        written = path.stat().st_mtime_ns
        assert model.file(precision) == path and path.stat().st_mtime_ns == written  # type: ignore[arg-type]


def test_every_combination_is_opened_once(model: Path, tmp_path: Path) -> None:
    models = list_models([str(model)], tmp_path)
    with ExitStack() as held:
        wanted = Wanted.parse(["cpu", "auto"], ["f32", "f16"], 1, 2)
        opened, _ = open_denoisers(models, wanted, held, say_nothing)
        precisions = [denoiser.info.precision for _, denoiser in opened]
        assert "f32" in precisions and len(set(precisions)) == len(precisions)
        assert all(name == str(model) and denoiser.info.batch == 2 for name, denoiser in opened)


def test_what_peers_lack_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bench_denoisers, "find_spec", lambda name: None)
    peers, said = open_peers(["cpu"])
    assert peers == []
    assert said == [f"GrainPaint's networks are left out; pip install {x}" for x in ("'microrun[train]'", "diffusers")]
    with pytest.raises(ModuleNotFoundError) as error:
        list_models((), Path())
    assert error.value.name == "torch"


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch has a card here")
def test_peers_are_left_out_where_torch_has_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bench_grainpaint, "SIDE", 8)
    peers, said = open_peers(["cuda", "cpu", "cuda"])
    assert [(peer.name, peer.device) for peer in peers] == [("GrainPaint small", "cpu"), ("GrainPaint big", "cpu")]
    assert said == ["GrainPaint's networks are left out on cuda: torch has none"]


# --- the command


def test_the_command_prints_and_writes_what_it_measured(microrun: Microrun, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    options = ("--device", "cpu", "--precision", "f32", "--lanes", 1, "--batch", 2, "--size", 80, "--repeats", 2)
    ran = microrun("--engine", model, *options, "--json", out)
    assert ran.code == 0, ran.err
    numbers = json.loads(out.read_text())
    own, small, big = numbers["networks"]
    assert [row["title"] for row in (small, big)] == ["GrainPaint small, f32 on cpu", "GrainPaint big, f32 on cpu"]
    assert own["title"] == f"{model}, f32 on cpu"
    for peer in (small, big):
        assert own["of_peers"][peer["title"].split(",")[0]] == own["evaluations_s"] / peer["evaluations_s"]
        assert peer["of_peers"] == {} and peer["library"].startswith("torch ")
    assert own["operations"] == graph_operations(model) and own["of_peak"] > 0
    ratios = " ".join(f"{ratio:.1f}" for ratio in own["of_peers"].values())
    assert f"{own['operations'] / 1e9:.1f} {own['of_peak']:.2f} {ratios}" in ran.said
    assert [plan["blocks"] for plan in numbers["plans"]] == [len(tile_isotropic((80, 80, 80)))] * 3
    for plan, aim in zip(numbers["plans"], ("", "≤ 0.60", "≤ 0.15"), strict=True):
        assert f"{plan['name']} 27 {plan['evaluations']:,} {plan['voxel_evaluations']:.4f}" in ran.said
        assert f"{plan['of_published']:.2f} {aim}".strip() in ran.said
    for part in ("plan of 80³", "× small", "× big", "≥ 20", "≥ 100", f"wrote {out}"):
        assert part in ran.said


def test_tables_fit_into_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    ratios = {"GrainPaint small": 1234.56, "GrainPaint big": 98765.4}
    networks = [
        Evaluated("random weights, bf16 on cuda", "", "cuda", "bf16", 5.92e9, 5432.1, 0.876, ratios),
        Evaluated("GrainPaint small, f32 on cuda", "", "cuda", "f32", None, 14.98, None, {}),
        Evaluated("GrainPaint big, f32 on cuda", "", "cuda", "f32", 375e9, 0.0789, 0.5, {}),
    ]
    print_generate("a CPU, 2 cores", networks, 1024, list_plans((1024, 1024, 1024), PRESETS, Schedule()))
    printed = capsys.readouterr().out
    said = " ".join(printed.split())
    assert "bf16 on cuda 5,432 5.9 0.88 1234.6 98765.4 GrainPaint small, f32 on cuda 15.0 GrainPaint big" in said
    assert "0.0789 375.0 0.50 aim" in said
    assert max(len(line.rstrip()) for line in printed.splitlines()) <= WIDTH, printed


def test_what_cannot_be_measured(microrun: Microrun, model: Path, tmp_path: Path) -> None:
    engine = ("--engine", model, "--device", "cpu")
    encoder, small = write_encoder(tmp_path / "encoder.onnx"), write_denoiser(tmp_path / "small.onnx")
    check_refused(microrun("--engine", encoder, "--device", "cpu"), "encoder.onnx", "encoder")
    check_refused(microrun("--engine", small, "--device", "cpu"), "(1, 8, 8, 8)")
    check_refused(microrun("--engine", tmp_path / "none.onnx"), "none.onnx")
    check_refused(microrun(*engine, "--size", 31), "31")
    check_refused(microrun(*engine, "--precision", "f8"), "precision", "'f8'")
    check_refused(microrun("--device", "tpu"), "device", "'tpu'")
    check_refused(microrun(*engine, "--repeats", 0), "--repeats")
    check_refused(microrun(*engine, "--json", tmp_path), tmp_path, code=1)
