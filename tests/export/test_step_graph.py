from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import onnx
import pytest
import torch
from make_denoisers import SCHEDULE, SECTION_SCHEDULE, SECTION_SIDE, SIDE, TINY, TINY_SECTIONS, a_unet, traced
from numpy.typing import NDArray
from torch import nn

from microrun.export import step_graph as denoiser
from microrun.export.step_graph import FloatSoftmax, GroupedNorm, Step, trace_step
from microrun.runtime.engines.nvidia.build_plan import built_precision
from microrun.runtime.engines.nvidia.tensorrt_library import last_error, make_logger
from microrun.runtime.schedule import Schedule
from microrun.training.diffusion.layers import DotProduct
from microrun.training.diffusion.unet import UNet
from microrun.training.diffusion.unet_config import GRAIN_UNET, UnetConfig

KNOWN = (1.0, 0.0)  # a and b that pass known voxels on as they are
Arrays = dict[str, NDArray[Any]]


class Made(NamedTuple):
    """A network, what its graph was made for, and the file of the graph."""

    unet: UNet
    side: int
    schedule: Schedule
    precision: Literal["f32", "f16"]
    path: Path


def some_inputs(made: Made, batch: int, known: tuple[float, float] = KNOWN) -> Arrays:
    rng, config = np.random.default_rng(batch), made.unet.config
    shape = (batch, config.in_channels, *[made.side] * config.dims)
    x, given, noise = rng.standard_normal((3, *shape)).astype(np.float32)
    coefficients = np.tile(np.float32([*known, 1.01, -0.06, 0.05]), (batch, 1))
    coefficients[:, 2:] *= rng.uniform(0.9, 1.1, (batch, 3)).astype(np.float32)
    inputs: Arrays = {
        "x": x,
        "known": given,
        "mask": rng.integers(0, 2, shape).astype(np.float32),
        "noise": noise,
        "timestep": rng.integers(0, made.schedule.training_steps, batch).astype(np.int32),
        "coefficients": coefficients,
    }
    if config.condition_size:
        inputs["condition"] = rng.uniform(0, 1, (batch, config.condition_size)).astype(np.float32)
    return inputs


def expected_step(made: Made, inputs: Arrays) -> NDArray[np.float32]:
    """The formula, with the network in float32 by PyTorch."""
    schedule = made.schedule
    condition = [torch.from_numpy(inputs["condition"])] if "condition" in inputs else []
    with torch.no_grad():
        eps = made.unet(torch.from_numpy(inputs["x"]), torch.from_numpy(inputs["timestep"]), *condition).numpy()
    if schedule.prediction == "bits":
        kept = schedule.alphas_cumprod[inputs["timestep"]].reshape(-1, *[1] * (eps.ndim - 1))
        eps = np.tanh(eps + np.sqrt(kept) / (1 - kept) * inputs["x"])
    m = inputs["mask"]
    a, b, c, d, e = inputs["coefficients"].T.reshape(5, -1, *[1] * (m.ndim - 1))
    stepped: NDArray[np.float32] = m * (a * inputs["known"] + b * inputs["noise"]) + (1 - m) * (
        c * inputs["x"] + d * eps + e * inputs["noise"]
    )
    return stepped


def make(
    config: UnetConfig, side: int, schedule: Schedule, precision: Literal["f32", "f16"], factory: pytest.TempPathFactory
) -> Made:
    unet, path = a_unet(config), factory.mktemp("graphs") / f"{precision}.onnx"
    graph = traced(unet, (side,) * config.dims, schedule, precision)
    onnx.checker.check_model(graph, full_check=True)
    onnx.save_model(graph, path)
    return Made(unet, side, schedule, precision, path)


def run_onnx(path: Path, inputs: Arrays) -> NDArray[np.float32]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # with more it sums a single sample's small convolutions in another order
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    stepped: NDArray[np.float32] = session.run(["x_next"], inputs)[0]
    return stepped


def run_openvino(path: Path, inputs: Arrays, precision: str) -> NDArray[np.float32]:
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": precision}
    compiled: Any = openvino.Core().compile_model(path, "CPU", settings)
    stepped: NDArray[np.float32] = compiled(inputs)["x_next"]
    return stepped


def error(found: NDArray[np.float32], expected: NDArray[np.float32], inputs: Arrays) -> float:
    """Relative L2 of what the network changes: x' − c·x is small, and would hide in x'."""
    unknown = inputs["mask"] == 0
    change = inputs["coefficients"][:, 2].reshape(-1, *[1] * (found.ndim - 1)) * inputs["x"]
    change = change + inputs["coefficients"][:, 4].reshape(-1, *[1] * (found.ndim - 1)) * inputs["noise"]
    return float(np.linalg.norm((found - expected)[unknown]) / np.linalg.norm((expected - change)[unknown]))


# Tracing takes seconds: most of these graphs are those that other tests draw with.
@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(TINY, SIDE, SCHEDULE, "f32", tmp_path_factory)


@pytest.fixture(scope="module", params=["f32", "f16"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Attention in float32, and the network that ships in half."""
    if request.param == "f32":
        return request.getfixturevalue("tiny")  # type: ignore[no-any-return]
    return make(GRAIN_UNET, 32, Schedule(1000), "f16", tmp_path_factory)


@pytest.fixture(scope="module", params=["f32", "f16"])
def sections(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Two-dimensional, conditioned, and with a prediction of bits."""
    config = TINY_SECTIONS if request.param == "f32" else replace(TINY_SECTIONS, condition_embedding="fourier")
    return make(config, SECTION_SIDE, SECTION_SCHEDULE, request.param, tmp_path_factory)


# --- the numbers


@pytest.mark.parametrize("batch", [1, 3])
def test_both_runtimes_agree_with_torch(made: Made, batch: int) -> None:
    inputs = some_inputs(made, batch, known=(0.7, 0.6))
    expected = expected_step(made, inputs)
    tolerance = 1e-5 if made.precision == "f32" else 3e-3
    assert error(run_onnx(made.path, inputs), expected, inputs) < tolerance
    assert error(run_openvino(made.path, inputs, "f32"), expected, inputs) < tolerance
    known = inputs["mask"] == 1
    np.testing.assert_allclose(run_onnx(made.path, inputs)[known], expected[known], atol=1e-6)


def test_bf16_rounds_the_network_only(made: Made) -> None:
    inputs = some_inputs(made, 2)
    expected = expected_step(made, inputs)
    found = run_openvino(made.path, inputs, "bf16")
    assert error(found, expected, inputs) < 4e-2
    assert np.abs(found - expected).max() < 0.02  # and not x, whose rounding would add up from step to step


def test_known_voxels_come_out_exactly(made: Made) -> None:
    inputs, path = some_inputs(made, 2), made.path
    known = inputs["mask"] == 1
    for found in (run_onnx(path, inputs), run_openvino(path, inputs, "f32"), run_openvino(path, inputs, "bf16")):
        np.testing.assert_array_equal(found[known], inputs["known"][known])
        assert np.isfinite(found).all() and not (found == inputs["known"])[~known].any()


def test_a_network_gone_wrong_does_not_reach_what_is_known(tiny: Made) -> None:
    inputs = some_inputs(tiny, 1)
    inputs["x"][...] = np.inf
    found, known = run_onnx(tiny.path, inputs), inputs["mask"] == 1
    np.testing.assert_array_equal(found[known], inputs["known"][known])
    assert not np.isfinite(found[~known]).any()


def test_samples_do_not_depend_on_their_batch(made: Made) -> None:
    inputs = some_inputs(made, 4)
    together = run_onnx(made.path, inputs)
    for size in (1, 2):
        pieces = [run_onnx(made.path, {name: array[i : i + size] for name, array in inputs.items()})
                  for i in range(0, 4, size)]  # fmt: skip
        np.testing.assert_array_equal(np.concatenate(pieces), together)


def test_every_timestep_is_told_apart(tiny: Made) -> None:
    inputs, last = some_inputs(tiny, 3), SCHEDULE.training_steps - 3
    for first in (0, last // 2, last):
        inputs["timestep"] = np.arange(first, first + 3, dtype=np.int32)
        assert error(run_onnx(tiny.path, inputs), expected_step(tiny, inputs), inputs) < 1e-5


def test_a_condition_counts(sections: Made) -> None:
    inputs, tolerance = some_inputs(sections, 3), 1e-5 if sections.precision == "f32" else 5e-3
    expected = expected_step(sections, inputs)
    found = error(run_onnx(sections.path, inputs), expected, inputs)
    assert found < tolerance
    assert error(run_openvino(sections.path, inputs, "f32"), expected, inputs) < tolerance
    inputs["condition"] = -inputs["condition"]
    assert error(run_onnx(sections.path, inputs), expected, inputs) > 3 * found


def test_a_network_that_predicts_v_needs_no_other_graph(tiny: Made) -> None:
    """ε = √ᾱ·v + √(1 − ᾱ)·x folds into c and d."""
    inputs = some_inputs(tiny, 2)
    unet, root, rest = a_unet(TINY).double(), 0.8, 0.6
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    tensors |= {name: tensor.double() for name, tensor in tensors.items() if tensor.is_floating_point()}
    with torch.no_grad():
        v = unet(tensors["x"], tensors["timestep"])
        c, d, e = (tensors["coefficients"][:, i].reshape(2, 1, 1, 1, 1) for i in (2, 3, 4))
        expected = c * tensors["x"] + d * (root * v + rest * tensors["x"]) + e * tensors["noise"]
        tensors["coefficients"][:, 2] += tensors["coefficients"][:, 3] * rest
        tensors["coefficients"][:, 3] *= root
        step = Step(unet, SCHEDULE, "f32")
        step.dtype = torch.float64
        found = step(*tensors.values())
    unknown = tensors["mask"] == 0
    torch.testing.assert_close(found[unknown], expected[unknown], rtol=1e-6, atol=1e-6)


def test_a_network_that_predicts_bits(sections: Made) -> None:
    inputs, last = some_inputs(sections, 4), SECTION_SCHEDULE.training_steps - 4
    inputs["coefficients"][:, 2:] = 0, 1, 0  # nothing but what is told
    for first in (0, last // 3, 2 * last // 3, last):
        inputs["timestep"] = np.arange(first, first + 4, dtype=np.int32)
        expected, allowed = expected_step(sections, inputs), 1e-5 if sections.precision == "f32" else 5e-3
        assert abs(expected[inputs["mask"] == 0]).max() <= 1
        assert error(run_onnx(sections.path, inputs), expected, inputs) < allowed
        assert error(run_openvino(sections.path, inputs, "f32"), expected, inputs) < allowed


def test_the_softmax_is_exact_where_half_overflows() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 2, 16, 64) for _ in range(3))
    query, key = 60 * query, 60 * key  # products up to 200,000 before they are scaled
    expected = DotProduct()(query, key, value)
    found = FloatSoftmax()(query.half(), key.half(), value.half())
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.float(), expected, rtol=5e-2, atol=5e-2)


@pytest.mark.parametrize("shape", [(1, 12, 6, 10), (3, 12, 2, 4, 6)])
def test_norms_are_those_of_groups(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    norm = nn.GroupNorm(4, 12, eps=1e-3)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = torch.randn(shape) * torch.rand(12).reshape(-1, *[1] * (len(shape) - 2)) + 5
    torch.testing.assert_close(GroupedNorm(norm)(x), norm(x), rtol=1e-5, atol=1e-5)


# --- the graph


def test_the_graph_is_portable(made: Made) -> None:
    raw = made.path.read_bytes()
    for trace in (b".py", b"site-packages", str(Path(denoiser.__file__).parent).encode()):
        assert trace not in raw
    model = onnx.load(made.path)
    assert [opset.version for opset in model.opset_import if not opset.domain] == [21]
    shapes = {
        port.name: [dim.dim_value or dim.dim_param for dim in port.type.tensor_type.shape.dim]
        for port in (*model.graph.input, *model.graph.output)
    }
    sample = ["batch", made.unet.config.in_channels, *[made.side] * 3]
    samples = dict.fromkeys(("x", "known", "mask", "noise", "x_next"), sample)
    assert shapes == {**samples, "timestep": ["batch"], "coefficients": ["batch", 5]}


def test_convolutions_are_in_half_and_norms_and_softmax_are_not(made: Made) -> None:
    model = onnx.shape_inference.infer_shapes(onnx.load(made.path))
    types = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    types |= {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    found: dict[str, set[int]] = {}
    for node in model.graph.node:
        found.setdefault(node.op_type, set()).add(types.get(node.input[0], onnx.TensorProto.FLOAT))
    single = {onnx.TensorProto.FLOAT}
    half = {onnx.TensorProto.FLOAT16} if made.precision == "f16" else single
    assert found["Conv"] == found["ConvTranspose"] == half
    assert found["Softmax"] == single
    assert found["InstanceNormalization"] == single
    assert not found.keys() & {"Sin", "Cos", "Exp"}  # sinusoids are looked up
    assert made.precision == "f32" or made.path.stat().st_size < 12e6


def test_every_node_has_a_kernel_on_cards(made: Made, sections: Made) -> None:
    """ONNX Runtime refuses to open a model there of whose nodes some run on the host, as all that handle shapes do."""
    for one in (made, sections):
        counts = Counter(node.op_type for node in onnx.load(one.path).graph.node)
        norms = sum(isinstance(module, nn.GroupNorm) for module in one.unet.modules())
        assert counts["InstanceNormalization"] == norms
        assert not counts.keys() & {"GroupNormalization", "Shape", "Size", "ConstantOfShape", "Expand", "Range"}


def test_the_network_that_is_exported_stays_as_it_is() -> None:
    unet = a_unet(TINY)
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    Step(unet, SCHEDULE, "f16")
    after = unet.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) and after[name].dtype == torch.float32 for name in after)


def test_tensorrt_rtx_builds_it(made: Made) -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    logger = make_logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    assert parser.parse_from_file(str(made.path)), last_error(logger)
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    for number in range(network.num_inputs):
        port = network.get_input(number)
        shape = tuple(port.shape)[1:]
        profile.set_shape(port.name, (1, *shape), (8, *shape), (8, *shape))
    config.add_optimization_profile(profile)
    assert built_precision(trt, network) == made.precision
    assert builder.build_serialized_network(network, config) is not None, last_error(logger)


def test_networks_that_make_no_step() -> None:
    with pytest.raises(ValueError, match="as many channels out as in; got 2, 1"):
        trace_step(UNet(UnetConfig(dims=2, channels=(8,), out_channels=2, groups=4)), (8, 8), SCHEDULE)
    with pytest.raises(ValueError, match="multiples of 2"):
        trace_step(UNet(TINY), (8, 8, 9), SCHEDULE)
