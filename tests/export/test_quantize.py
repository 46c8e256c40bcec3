"""Encoders in int8: what they cost is measured as it says, and what costs too much is not written."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from make_models import encoder_graph, save_model, tiny_spec, write_decoder, write_encoder
from numpy.typing import NDArray
from onnx import AttributeProto, ModelProto, TensorProto, numpy_helper
from write_up2 import Header, make_patterns, write_up

from microrun.export import quantize
from microrun.export import vae_to_onnx as to_onnx
from microrun.export.graph import ParityError
from microrun.export.quantize import QuantiseRequest, Rows, check, quantise
from microrun.export.quantize_model import quantise_model, widen_floats
from microrun.runtime.engines.catalogue import MODELS
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.onnx_cpu import OnnxEngine
from microrun.runtime.engines.open import find_decoder_of, open_engine, read_model_spec
from microrun.runtime.errors import EngineError, MicrorunError, OutputError, ScanError, SpecError
from microrun.runtime.patterns.background import mean_background
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.open import open_scan
from microrun.runtime.scans.source import Claim
from microrun.runtime.scans.up_source import FileSource
from microrun.runtime.spec import ModelSpec, Preprocessing, Quantisation, Training
from microrun.training.vae.network import VAE

BUILT_IN = MODELS / "vae32.onnx"
NAV_SHAPE, HALF = (6, 10), 2  # of the simulated scan, whose first two of six rows are calibrated on
FOUR_ROWS = Header(sig_shape=(60, 60), nav_shape=(4, 3))
SIX_ROWS = replace(FOUR_ROWS, nav_shape=(6, 3))


@pytest.fixture(scope="module")
def asked(simulated_scan: Path) -> QuantiseRequest:
    return QuantiseRequest(FileSource(simulated_scan))


@pytest.fixture(scope="module")
def int8(asked: QuantiseRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in model, quantised."""
    out = tmp_path_factory.mktemp("int8") / "vae32.int8.onnx"
    quantise(BUILT_IN, out, asked)
    return out


@pytest.fixture(scope="module")
def other_scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve patterns of another sample, 3×4."""
    from microrun.training.simulate.patterns import Exposure, PatternSimulator
    from microrun.training.simulate.sample import Recipe, random_sample
    from microrun.training.simulate.scan import simulate_scan

    path = tmp_path_factory.mktemp("other") / "other.up2"
    sample = random_sample((3, 4), 7, Recipe(blur_px=(0.8, 0.8)))
    simulate_scan(path, sample, PatternSimulator((120, 120)), Exposure(electrons=9600, gain=3), seed=8, step_um=0.5)
    return path


def one_line(error: pytest.ExceptionInfo[MicrorunError], *parts: object) -> None:
    text = str(error.value)
    assert "\n" not in text
    for part in parts:
        assert str(part) in text


# --- what is written


def test_the_file_says_what_it_is_and_what_it_costs(int8: Path, asked: QuantiseRequest) -> None:
    before, spec = read_model_spec(BUILT_IN), read_model_spec(int8)
    with OnnxEngine(int8) as engine:
        assert engine.spec == spec
    assert replace(spec, precision="f16", parity_error=before.parity_error, quantisation=None) == before
    assert spec.precision == "int8"
    cost = spec.quantisation
    assert cost is not None
    assert (cost.calibrated_on, cost.held_out) == ("random.up2, rows 1 to 2", "random.up2, rows 3 to 6")
    assert (cost.calibration_patterns, cost.held_out_patterns) == (20, 40)
    assert list(int8.parent.iterdir()) == [int8]
    assert read_model_spec(find_decoder_of(BUILT_IN)).belongs_to(spec)


def test_the_built_in_model_stays_what_it_is(int8: Path) -> None:
    spec = read_model_spec(int8)
    assert spec.quantisation is not None and spec.parity_error is not None
    assert 0.001 < spec.parity_error < 0.06
    assert 0.001 < spec.quantisation.latent_error < 0.06
    assert 0.98 < spec.quantisation.rank_correlation <= 1
    assert spec.quantisation.top_kept >= 4


def test_the_costs_are_what_a_slow_look_finds(int8: Path, simulated_scan: Path) -> None:
    reference = encode_slowly(BUILT_IN, "f32", simulated_scan)[HALF:]
    found = encode_slowly(int8, "auto", simulated_scan)[HALF:]
    difference = sum(float(x) ** 2 for x in (found - reference).ravel()) ** 0.5
    size = sum(float(x) ** 2 for x in reference.ravel()) ** 0.5
    spread = sum(float(x) ** 2 for x in (reference - reference.reshape(-1, 32).mean(axis=0)).ravel()) ** 0.5
    places = [rank_slowly(latents) for latents in (reference, found)]
    squares = sum((places[0][feature] - places[1][feature]) ** 2 for feature in range(32))
    best = [{feature for feature in range(32) if place[feature] < 5} for place in places]

    spec = read_model_spec(int8)
    assert spec.quantisation is not None
    assert spec.parity_error == pytest.approx(difference / size, rel=6e-3)
    assert spec.quantisation.latent_error == pytest.approx(difference / spread, rel=6e-3)
    assert spec.quantisation.rank_correlation == pytest.approx(1 - 6 * squares / (32 * (32**2 - 1)), abs=6e-4)
    assert spec.quantisation.top_kept == len(best[0] & best[1])


def encode_slowly(model: Path, precision: Any, scan: Path) -> NDArray[np.float32]:
    """Latents of the simulated scan, one pattern after the other: (rows, cols, D)."""
    source = FileSource(scan)
    latents = []
    with open_engine(model, "cpu", EngineRequest(precision, 1, 1)) as engine:
        preprocessor = Preprocessor(engine.spec.preprocessing, source.scan.sig_shape)
        background = mean_background(source, preprocessor)
        lane = engine.lane()
        for number in range(source.scan.total):
            raw = np.empty((1, *source.scan.sig_shape), source.scan.dtype)
            source.read(Claim(np.array([number])), 0, raw)
            out, ranges, flags = np.empty((1, 120, 120), np.float32), np.empty((1, 2), np.float32), np.empty(1, bool)
            preprocessor.prepare(raw, background, out, ranges, flags)
            latents.append(lane.run(out[:, None])[0].copy())
    return np.array(latents).reshape(*NAV_SHAPE, -1)


def rank_slowly(latents: NDArray[np.float32]) -> list[int]:
    """Each feature's place by Geary's C, the smallest first."""
    rows, cols, size = latents.shape
    structures = []
    for feature in range(size):
        image = latents[..., feature].astype(float)
        across = [(image[y, x] - image[y, x + 1]) ** 2 for y in range(rows) for x in range(cols - 1)]
        down = [(image[y, x] - image[y + 1, x]) ** 2 for y in range(rows - 1) for x in range(cols)]
        structures.append(np.mean(across + down) / (2 * image.var()))
    return [sorted(structures).index(structure) for structure in structures]


# --- the graph


def test_the_graph_is_what_tensorrt_takes(int8: Path) -> None:
    model = onnx.load(int8)
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    made_by = {name: node for node in model.graph.node for name in node.output}
    used_by = {name: node for node in model.graph.node for name in node.input}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 7
    for node in convolutions:
        activations, kernel = (made_by[name] for name in node.input[:2])
        assert activations.op_type == kernel.op_type == "DequantizeLinear"
        assert made_by[activations.input[0]].op_type == "QuantizeLinear"
        assert weights[kernel.input[0]].dtype == np.int8
        assert weights[kernel.input[1]].shape == weights[kernel.input[0]].shape[:1]  # a scale for each channel
        assert node.input[2] in weights and weights[node.input[2]].dtype == np.float32  # the bias
        assert used_by[node.output[0]].op_type == "LeakyRelu"
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert node.domain == "" and len(node.input) == 3
            assert weights[node.input[2]].dtype == np.int8 and not weights[node.input[2]].any()
    assert sum(node.op_type == "QuantizeLinear" for node in model.graph.node) == len(convolutions)


def test_the_graph_is_portable(int8: Path) -> None:
    model = onnx.load(int8)
    assert [(opset.domain, opset.version) for opset in model.opset_import if not opset.domain] == [("", 21)]
    assert [entry.key for entry in model.metadata_props] == ["microrun_spec"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param  # the batch is dynamic
    types = {tensor.data_type for tensor in model.graph.initializer}
    assert types == {TensorProto.FLOAT, TensorProto.INT8, TensorProto.INT64}
    for trace in (b"/tmp", tempfile.gettempdir().encode(), str(Path.home()).encode()):
        assert trace not in int8.read_bytes()
    assert int8.stat().st_size < BUILT_IN.stat().st_size  # a byte each, where there were two


def test_tensorrt_rtx_builds_it(int8: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    from microrun.runtime.engines.nvidia.build_plan import BuildRequest, build_plan

    record = build_plan(int8, tmp_path / "vae32.plan", BuildRequest("tensorrt_rtx", batch=16))
    assert record.spec.precision == "int8"
    assert record.spec == read_model_spec(int8)


def test_a_half_model_is_widened_without_a_change_of_any_bit(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, spec = VAE(16, -0.4, 0.25).eval(), ModelSpec("vae16", "encoder", 16)
    half = to_onnx.HalfInside(to_onnx.MeanEncoder(model.encoder))
    widened = widen_floats(to_onnx.trace(half.eval(), spec))
    expected = to_onnx.trace(half.model.float().eval(), spec)
    assert TensorProto.FLOAT16 not in {int(n) for n in numbers_of_types(widened)}
    assert sorted(contents(widened)) == sorted(contents(expected))
    patterns = np.random.default_rng(0).uniform(-1, 1, (3, 1, 120, 120)).astype(np.float32)
    results = []
    for name, graph in (("widened", widened), ("expected", expected)):
        to_onnx.save_model(graph, spec, tmp_path / f"{name}.onnx")
        with OnnxEngine(tmp_path / f"{name}.onnx") as engine:
            results.append(engine.lane().run(patterns).copy())
    np.testing.assert_array_equal(results[0], results[1])
    assert np.ptp(results[0]) > 0.01


def numbers_of_types(model: ModelProto) -> list[int]:
    """All element types that a graph speaks of."""
    graph = model.graph
    values = [value.type.tensor_type.elem_type for value in (*graph.input, *graph.output, *graph.value_info)]
    casts = [attribute.i for node in graph.node for attribute in node.attribute if attribute.name == "to"]
    return [*values, *casts, *(tensor.data_type for tensor in graph.initializer)]


def contents(model: ModelProto) -> list[bytes]:
    return [numpy_helper.to_array(tensor).tobytes() for tensor in model.graph.initializer]


def test_constants_inside_nodes_are_widened_too() -> None:
    numbers = np.array([1.5, -6e-8, 65504], np.float16)
    value = onnx.helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(numbers, "c"))
    graph = onnx.helper.make_graph([value], "constant", [], [])
    tensor = widen_floats(onnx.helper.make_model(graph)).graph.node[0].attribute[0]
    assert tensor.type == AttributeProto.TENSOR
    found = numpy_helper.to_array(tensor.t)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, numbers.astype(np.float64))


def test_a_model_in_float32_is_quantised(asked: QuantiseRequest, tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "tiny.onnx")
    spec = quantise(encoder, tmp_path / "out.onnx", asked)
    assert (spec.name, spec.latent_size, spec.precision) == ("tiny", 8, "int8")
    assert read_model_spec(tmp_path / "out.onnx") == spec
    assert read_model_spec(encoder).precision == "f32"


def test_the_model_s_own_preprocessing_counts(asked: QuantiseRequest, simulated_scan: Path, tmp_path: Path) -> None:
    prepared, training = Preprocessing((120, 120), mask_radius=30), Training("scans", 7, licence="mine")
    spec = replace(tiny_spec(), preprocessing=prepared, training=training)
    path, out = save_model(tmp_path / "masked.onnx", encoder_graph(), spec), tmp_path / "out.onnx"
    found = quantise(path, out, asked)
    assert (found.preprocessing, found.training) == (prepared, training)
    reference, int8 = (encode_slowly(model, "f32", simulated_scan)[HALF:] for model in (path, out))
    assert found.parity_error == pytest.approx(np.linalg.norm(int8 - reference) / np.linalg.norm(reference), rel=6e-3)


# --- other scans


def test_another_scan_is_held_out(asked: QuantiseRequest, other_scan: Path, tmp_path: Path) -> None:
    spec = quantise(BUILT_IN, tmp_path / "out.onnx", replace(asked, held_out=FileSource(other_scan)))
    cost = spec.quantisation
    assert cost is not None
    assert (cost.calibrated_on, cost.held_out) == ("random.up2, rows 1 to 6", "other.up2, rows 1 to 3")
    assert (cost.calibration_patterns, cost.held_out_patterns) == (60, 12)


def test_many_patterns_are_thinned_out(asked: QuantiseRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize, "CALIBRATION_PATTERNS", 5)
    monkeypatch.setattr(quantize, "HELD_OUT_PATTERNS", 39)
    cost = quantise(write_encoder(tmp_path / "tiny.onnx"), tmp_path / "out.onnx", asked).quantisation
    assert cost is not None
    assert (cost.calibration_patterns, cost.held_out_patterns) == (5, 30)
    assert cost.held_out == "random.up2, rows 3 to 5"  # whole rows


@pytest.mark.parametrize("alternating", [False, True])
def test_rows_of_a_hexagonal_scan_stay_where_they_are(alternating: bool, tmp_path: Path) -> None:
    header = Header(nav_shape=(9, 4), hexagonal=1, extra=int(not alternating))
    total = 36 - 4 * alternating
    source = FileSource(write_up(tmp_path / "scan.up2", make_patterns(total), header))
    assert source.scan.alternating == alternating and source.scan.total == total
    calibrate, held_out = quantize._split(QuantiseRequest(source))
    assert (calibrate.first, calibrate.last, held_out.first, held_out.last) == (0, 4, 4, 9)
    numbers = held_out.start + np.arange(held_out.scan.total)
    assert numbers[0] == calibrate.scan.total and numbers[-1] == total - 1
    row, col = source.scan.locate(numbers)
    row_there, col_there = held_out.scan.locate(np.arange(held_out.scan.total))
    np.testing.assert_array_equal(row_there, row - 4)
    np.testing.assert_array_equal(col_there, col)
    np.testing.assert_array_equal(held_out.scan.positions_um()[0], source.scan.positions_um()[0][4:])


@pytest.mark.filterwarnings("ignore:.*holds 23 of the 36 patterns")
def test_of_an_unfinished_scan_whole_rows_are_used(tmp_path: Path) -> None:
    source = FileSource(write_up(tmp_path / "scan.up2", make_patterns(23), Header(nav_shape=(9, 4))))
    assert quantize._split(QuantiseRequest(source)) == (Rows(source, 0, 2), Rows(source, 2, 5))


def test_patterns_without_information_do_not_count(tmp_path: Path) -> None:
    patterns = make_patterns(30, (60, 60))
    patterns[[1, 11, 12]] = 700
    source = FileSource(write_up(tmp_path / "scan.up2", patterns, Header(sig_shape=(60, 60), nav_shape=(6, 5))))
    request = QuantiseRequest(source, background="none")
    calibration, held_out = quantize._load(request, Preprocessing())
    assert calibration.places.tolist() == [0, *range(2, 10)]
    assert held_out.places.tolist() == [0, *range(3, 20)]
    assert held_out.prepared.shape == (18, 1, 120, 120)
    spec = quantise(write_encoder(tmp_path / "tiny.onnx"), tmp_path / "out.onnx", request)
    assert spec.quantisation is not None and spec.quantisation.held_out_patterns == 18


def test_the_background_is_what_was_chosen(asked: QuantiseRequest) -> None:
    plain, subtracted = (
        quantize._load(replace(asked, background=background), Preprocessing())[0].prepared
        for background in ("none", "auto")
    )
    assert np.abs(plain - subtracted).mean() > 0.1
    with pytest.raises(ScanError, match=r"nowhere\.npy: no such file") as error:
        quantize._load(replace(asked, background="nowhere.npy"), Preprocessing())
    one_line(error)


# --- what is refused


def test_what_costs_too_much_is_not_written(
    asked: QuantiseRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.onnx"
    monkeypatch.setattr(quantize, "MOST_LATENT_ERROR", 1e-4)
    with pytest.raises(
        ParityError, match=r"latents are off by 0\.0\d+ of their spread \(0\.0001 is allowed\)"
    ) as error:
        quantise(BUILT_IN, out, asked)
    one_line(error, "vae32 in int8", "Nothing was written")
    assert list(tmp_path.iterdir()) == []
    out.write_bytes(b"what was there before")
    with pytest.raises(ParityError):
        quantise(BUILT_IN, out, asked)
    assert list(tmp_path.iterdir()) == [out]
    assert out.read_bytes() == b"what was there before"


def test_a_bad_calibration_is_seen(asked: QuantiseRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def calibrate_on_faint_patterns(model: ModelProto, patterns: NDArray[np.float32], progress: Any) -> ModelProto:
        return quantise_model(model, patterns * np.float32(0.02), progress)

    monkeypatch.setattr(quantize, "quantise_model", calibrate_on_faint_patterns)
    with pytest.raises(ParityError, match="latents are off by") as error:
        quantise(BUILT_IN, tmp_path / "out.onnx", asked)
    one_line(error)
    assert list(tmp_path.iterdir()) == []


GOOD = Quantisation("one", "other", 256, 4096, latent_error=0.1, rank_correlation=0.9, top_kept=4)
NAN = float("nan")


@pytest.mark.parametrize(
    ("latent_size", "costs"),
    [
        (32, GOOD),
        (9, GOOD),
        (8, replace(GOOD, rank_correlation=0.5)),  # too few to be ranked
        (5, replace(GOOD, top_kept=5, rank_correlation=-1.0)),
        (1, replace(GOOD, top_kept=1, rank_correlation=1.0)),
    ],
)
def test_what_is_accepted(latent_size: int, costs: Quantisation) -> None:
    check(ModelSpec("model", "encoder", latent_size), costs)


@pytest.mark.parametrize(
    ("latent_size", "costs", "told"),
    [
        (32, replace(GOOD, latent_error=0.101), ["off by 0.1"]),
        (1, replace(GOOD, latent_error=0.2, top_kept=1), ["off by 0.2"]),
        (32, replace(GOOD, latent_error=NAN), ["off by nan"]),
        (9, replace(GOOD, rank_correlation=0.89), ["by 0.89 (0.9 is needed)"]),
        (32, replace(GOOD, rank_correlation=NAN), ["by nan"]),
        (32, replace(GOOD, top_kept=3), ["3 of the 5 best features are kept (4 are needed)"]),
        (32, replace(GOOD, latent_error=0.3, rank_correlation=0.2, top_kept=0), ["off by 0.3", "by 0.2", "0 of the 5"]),
    ],
)
def test_what_is_not_accepted(latent_size: int, costs: Quantisation, told: list[str]) -> None:
    with pytest.raises(ParityError) as error:
        check(ModelSpec("model", "encoder", latent_size), costs)
    one_line(error, "model in int8", *told)
    assert str(error.value).count(";") == len(told)  # each once, and what to do


def test_decoders_and_quantised_models_are_refused(int8: Path, asked: QuantiseRequest, tmp_path: Path) -> None:
    decoder = write_decoder(tmp_path / "tiny.decoder.onnx")
    for path, said in ((decoder, "only encoders are quantised; got a decoder"), (int8, "is quantised already")):
        with pytest.raises(SpecError, match=said) as error:
            quantise(path, tmp_path / "out.onnx", asked)
        one_line(error, path)
    assert not (tmp_path / "out.onnx").exists()


def test_models_that_cannot_be_opened(asked: QuantiseRequest, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(BUILT_IN.read_bytes()[:1000])
    for path in (damaged, tmp_path / "none.onnx"):
        with pytest.raises(EngineError) as error:
            quantise(path, tmp_path / "out.onnx", asked)
        one_line(error, path)
    assert list(tmp_path.iterdir()) == [damaged]


SCANS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no scan": (lambda path: path.write_text("this is no scan\n" * 50), "scan.up2: "),
    "of four rows": (lambda path: write_up(path, make_patterns(12, (60, 60)), FOUR_ROWS), "4 whole rows are too few"),
    "of three rows": (
        lambda path: write_up(path, make_patterns(9, (60, 60)), replace(FOUR_ROWS, nav_shape=(3, 3))),
        "3 whole rows are too few",
    ),
    "of small patterns": (
        lambda path: write_up(path, make_patterns(60, (40, 40)), Header(sig_shape=(40, 40), nav_shape=(6, 10))),
        "patterns of 40×40 are too small",
    ),
    "of nothing": (
        lambda path: write_up(path, np.full((18, 60, 60), 5, np.uint16), SIX_ROWS),
        "all patterns are constant after the mask",
    ),
    "of one pattern": (
        lambda path: write_up(path, np.repeat(make_patterns(1, (60, 60)), 18, axis=0), SIX_ROWS),
        "all patterns are alike",
    ),
}


@pytest.mark.parametrize(("write", "said"), SCANS.values(), ids=SCANS.keys())
def test_bad_scans_are_refused(write: Callable[[Path], object], said: str, tmp_path: Path) -> None:
    scan = tmp_path / "scan.up2"
    write(scan)
    with pytest.raises(ScanError, match=said) as error:
        quantise(BUILT_IN, tmp_path / "out.onnx", QuantiseRequest(open_scan(scan), background="none"))
    one_line(error)
    assert list(tmp_path.iterdir()) == [scan]


def test_a_scan_that_is_too_small_may_calibrate_but_not_judge(
    asked: QuantiseRequest, other_scan: Path, simulated_scan: Path, tmp_path: Path
) -> None:
    small = FileSource(other_scan)
    with pytest.raises(ScanError, match="--held-out") as error:
        quantise(BUILT_IN, tmp_path / "out.onnx", QuantiseRequest(small))
    one_line(error, other_scan)
    quantise(BUILT_IN, tmp_path / "out.onnx", QuantiseRequest(small, asked.calibrate))
    two_rows = FileSource(write_up(tmp_path / "two.up2", make_patterns(8), Header(version=1)), (2, 4))
    with pytest.raises(ScanError, match="has 3 whole rows; got 2") as error:
        quantise(BUILT_IN, tmp_path / "out.onnx", replace(asked, held_out=two_rows))
    one_line(error, "two.up2")
    with pytest.raises(ScanError, match="is the scan that is calibrated on") as error:
        quantise(BUILT_IN, tmp_path / "out.onnx", replace(asked, held_out=FileSource(simulated_scan)))
    one_line(error, simulated_scan)


def test_a_scan_that_goes_away_is_told(other_scan: Path, tmp_path: Path) -> None:
    scan = tmp_path / "going.up2"
    scan.write_bytes(other_scan.read_bytes())
    source = FileSource(scan)
    scan.write_bytes(other_scan.read_bytes()[:30_000])
    with pytest.raises(ScanError, match="became shorter") as error:
        quantise(BUILT_IN, tmp_path / "out.onnx", QuantiseRequest(source, FileSource(other_scan)))
    one_line(error, scan)


def test_where_nothing_can_be_written(asked: QuantiseRequest, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written") as error:
        quantise(write_encoder(tmp_path / "tiny.onnx"), tmp_path / "none" / "out.onnx", asked)
    one_line(error, tmp_path / "none" / "out.onnx")


# --- manners


def test_nothing_is_said_and_nothing_left_behind(
    asked: QuantiseRequest, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", logging.INFO)
    quantise(write_encoder(tmp_path / "tiny.onnx"), tmp_path / "out.onnx", asked)
    assert capfd.readouterr() == ("", "")
    assert (root.handlers, root.level) == ([], logging.INFO)
    assert list(folder.iterdir()) == []


def test_progress_is_told(asked: QuantiseRequest, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    quantise(
        write_encoder(tmp_path / "tiny.onnx"),
        tmp_path / "out.onnx",
        asked,
        lambda what, done, total: told.append((what, done, total)),
    )
    assert list(dict.fromkeys(what for what, _, _ in told)) == ["encoding in f32", "calibrating", "encoding in int8"]
    assert [(done, total) for what, done, total in told if what == "calibrating"] == [(16, 20), (20, 20)]
    assert [(done, total) for what, done, total in told if what == "encoding in f32"] == [(16, 40), (32, 40), (40, 40)]
