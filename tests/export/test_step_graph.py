from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from make_denoisers import TINY, a_unet, traced
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

SCHEDULE = Schedule(1000)
TIMESTEPS = SCHEDULE.training_steps
IMAGES = UnetConfig(dims=2, channels=(8, 16), in_channels=3, out_channels=3, groups=4, blocks=1, condition_size=2)
KNOWN = (1.0, 0.0)  # a and b that pass known voxels on as they are
Arrays = dict[str, NDArray[Any]]


def some_inputs(config: UnetConfig, side: int, batch: int, known: tuple[float, float] = KNOWN) -> Arrays:
    rng = np.random.default_rng(batch)
    shape = (batch, config.in_channels, *[side] * config.dims)
    x, given, noise = rng.standard_normal((3, *shape)).astype(np.float32)
    coefficients = np.tile(np.float32([*known, 1.01, -0.06, 0.05]), (batch, 1))
    coefficients[:, 2:] *= rng.uniform(0.9, 1.1, (batch, 3)).astype(np.float32)
    inputs: Arrays = {
        "x": x,
        "known": given,
        "mask": rng.integers(0, 2, shape).astype(np.float32),
        "noise": noise,
        "timestep": rng.integers(0, TIMESTEPS, batch).astype(np.int32),
        "coefficients": coefficients,
    }
    if config.condition_size:
        inputs["condition"] = rng.uniform(0, 1, (batch, config.condition_size)).astype(np.float32)
    return inputs


def expected_step(unet: UNet, inputs: Arrays, schedule: Schedule = SCHEDULE) -> NDArray[np.float32]:
    """The formula, with the network in float32 by PyTorch."""
    condition = [torch.from_numpy(inputs["condition"])] if "condition" in inputs else []
    with torch.no_grad():
        eps = unet(torch.from_numpy(inputs["x"]), torch.from_numpy(inputs["timestep"]), *condition).numpy()
    if schedule.prediction == "bits":
        kept = schedule.alphas_cumprod[inputs["timestep"]].reshape(-1, *[1] * (eps.ndim - 1))
        eps = np.tanh(eps + np.sqrt(kept) / (1 - kept) * inputs["x"])
    m = inputs["mask"]
    a, b, c, d, e = inputs["coefficients"].T.reshape(5, -1, *[1] * (m.ndim - 1))
    stepped: NDArray[np.float32] = m * (a * inputs["known"] + b * inputs["noise"]) + (1 - m) * (
        c * inputs["x"] + d * eps + e * inputs["noise"]
    )
    return stepped


def save(unet: UNet, side: int, precision: Any, path: Path, schedule: Schedule = SCHEDULE) -> Path:
    graph = traced(unet, (side,) * unet.config.dims, schedule, precision)
    onnx.checker.check_model(graph, full_check=True)
    onnx.save_model(graph, path)
    return path


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


@pytest.fixture(scope="module")
def grains() -> UNet:
    return a_unet(GRAIN_UNET)


@pytest.fixture(scope="module", params=["f32", "f16"])
def graph(request: pytest.FixtureRequest, grains: UNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(grains, 32, request.param, tmp_path_factory.mktemp("graphs") / f"{request.param}.onnx")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(a_unet(TINY), 8, "f32", tmp_path_factory.mktemp("graphs") / "tiny.onnx")


# --- the numbers


@pytest.mark.parametrize("batch", [1, 3])
def test_both_runtimes_agree_with_torch(graph: Path, grains: UNet, batch: int) -> None:
    inputs = some_inputs(GRAIN_UNET, 32, batch, known=(0.7, 0.6))
    expected = expected_step(grains, inputs)
    tolerance = 1e-5 if graph.stem == "f32" else 3e-3
    assert error(run_onnx(graph, inputs), expected, inputs) < tolerance
    assert error(run_openvino(graph, inputs, "f32"), expected, inputs) < tolerance
    known = inputs["mask"] == 1
    np.testing.assert_allclose(run_onnx(graph, inputs)[known], expected[known], atol=1e-6)


def test_bf16_rounds_the_network_only(graph: Path, grains: UNet) -> None:
    inputs = some_inputs(GRAIN_UNET, 32, 2)
    expected = expected_step(grains, inputs)
    found = run_openvino(graph, inputs, "bf16")
    assert error(found, expected, inputs) < 4e-2
    assert np.abs(found - expected).max() < 0.02  # and not x, whose rounding would add up from step to step


def test_known_voxels_come_out_exactly(graph: Path) -> None:
    inputs = some_inputs(GRAIN_UNET, 32, 2)
    known = inputs["mask"] == 1
    for found in (run_onnx(graph, inputs), run_openvino(graph, inputs, "f32"), run_openvino(graph, inputs, "bf16")):
        np.testing.assert_array_equal(found[known], inputs["known"][known])
        assert np.isfinite(found).all() and not (found == inputs["known"])[~known].any()


def test_a_network_gone_wrong_does_not_reach_what_is_known(tiny: Path) -> None:
    inputs = some_inputs(TINY, 8, 1)
    inputs["x"][...] = np.inf
    found, known = run_onnx(tiny, inputs), inputs["mask"] == 1
    np.testing.assert_array_equal(found[known], inputs["known"][known])
    assert not np.isfinite(found[~known]).any()


def test_samples_do_not_depend_on_their_batch(graph: Path) -> None:
    inputs = some_inputs(GRAIN_UNET, 32, 4)
    together = run_onnx(graph, inputs)
    for size in (1, 2):
        pieces = [run_onnx(graph, {name: array[i : i + size] for name, array in inputs.items()})
                  for i in range(0, 4, size)]  # fmt: skip
        np.testing.assert_array_equal(np.concatenate(pieces), together)


def test_every_timestep_is_told_apart(tiny: Path) -> None:
    inputs = some_inputs(TINY, 8, 3)
    for first in (0, 500, TIMESTEPS - 3):
        inputs["timestep"] = np.arange(first, first + 3, dtype=np.int32)
        assert error(run_onnx(tiny, inputs), expected_step(a_unet(TINY), inputs), inputs) < 1e-5


def test_conditioned_images(tmp_path: Path) -> None:
    unet, inputs = a_unet(IMAGES), some_inputs(IMAGES, 16, 3)
    path = save(unet, 16, "f16", tmp_path / "step.onnx")
    expected = expected_step(unet, inputs)
    assert error(run_onnx(path, inputs), expected, inputs) < 5e-3
    assert error(run_openvino(path, inputs, "f32"), expected, inputs) < 5e-3
    inputs["condition"] = 1 - inputs["condition"]
    assert error(run_onnx(path, inputs), expected, inputs) > 5e-2


def test_a_network_that_predicts_v_needs_no_other_graph() -> None:
    """ε = √ᾱ·v + √(1 − ᾱ)·x folds into c and d."""
    inputs = some_inputs(TINY, 8, 2)
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


@pytest.mark.parametrize("precision", ["f32", "f16"])
def test_a_network_that_predicts_bits(precision: Any, tmp_path: Path) -> None:
    unet, schedule = a_unet(TINY), Schedule(1000, zero_terminal_snr=True, prediction="bits")
    path = save(unet, 8, precision, tmp_path / "step.onnx", schedule)
    inputs = some_inputs(TINY, 8, 4)
    inputs["coefficients"][:, 2:] = 0, 1, 0  # nothing but what is told
    for first in (0, 300, 600, TIMESTEPS - 4):
        inputs["timestep"] = np.arange(first, first + 4, dtype=np.int32)
        expected, allowed = expected_step(unet, inputs, schedule), 1e-5 if precision == "f32" else 5e-3
        assert abs(expected[inputs["mask"] == 0]).max() <= 1
        assert error(run_onnx(path, inputs), expected, inputs) < allowed
        assert error(run_openvino(path, inputs, "f32"), expected, inputs) < allowed


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


def test_the_graph_is_portable(graph: Path) -> None:
    raw = graph.read_bytes()
    for trace in (b".py", b"site-packages", str(Path(denoiser.__file__).parent).encode()):
        assert trace not in raw
    model = onnx.load(graph)
    assert [opset.version for opset in model.opset_import if not opset.domain] == [21]
    shapes = {
        port.name: [dim.dim_value or dim.dim_param for dim in port.type.tensor_type.shape.dim]
        for port in (*model.graph.input, *model.graph.output)
    }
    channels = GRAIN_UNET.in_channels
    samples = {name: ["batch", channels, 32, 32, 32] for name in ("x", "known", "mask", "noise", "x_next")}
    assert shapes == {**samples, "timestep": ["batch"], "coefficients": ["batch", 5]}


def test_convolutions_are_in_half_and_norms_and_softmax_are_not(graph: Path) -> None:
    model = onnx.shape_inference.infer_shapes(onnx.load(graph))
    types = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    types |= {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    found: dict[str, set[int]] = {}
    for node in model.graph.node:
        found.setdefault(node.op_type, set()).add(types.get(node.input[0], onnx.TensorProto.FLOAT))
    single = {onnx.TensorProto.FLOAT}
    half = {onnx.TensorProto.FLOAT16} if graph.stem == "f16" else single
    assert found["Conv"] == found["ConvTranspose"] == half
    assert found["Softmax"] == single
    assert found["InstanceNormalization"] == single
    assert not found.keys() & {"Sin", "Cos", "Exp"}  # sinusoids are looked up
    assert graph.stem == "f32" or graph.stat().st_size < 12e6


@pytest.mark.parametrize(("config", "side"), [(GRAIN_UNET, 32), (IMAGES, 16)], ids=["grains", "images"])
def test_every_node_has_a_kernel_on_cards(config: UnetConfig, side: int) -> None:
    """ONNX Runtime refuses to open a model there of whose nodes some run on the host, as all that handle shapes do."""
    unet = a_unet(config)
    counts = Counter(node.op_type for node in traced(unet, (side,) * config.dims, SCHEDULE).graph.node)
    norms = sum(isinstance(module, nn.GroupNorm) for module in unet.modules())
    assert counts["InstanceNormalization"] == norms
    assert not counts.keys() & {"GroupNormalization", "Shape", "Size", "ConstantOfShape", "Expand", "Range"}


def test_the_network_that_is_exported_stays_as_it_is() -> None:
    unet = a_unet(TINY)
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    Step(unet, SCHEDULE, "f16")
    after = unet.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) and after[name].dtype == torch.float32 for name in after)


def test_tensorrt_rtx_builds_it(graph: Path) -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    logger = make_logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    assert parser.parse_from_file(str(graph)), last_error(logger)
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    for number in range(network.num_inputs):
        port = network.get_input(number)
        shape = tuple(port.shape)[1:]
        profile.set_shape(port.name, (1, *shape), (8, *shape), (8, *shape))
    config.add_optimization_profile(profile)
    assert built_precision(trt, network) == graph.stem
    assert builder.build_serialized_network(network, config) is not None, last_error(logger)


def test_networks_that_make_no_step() -> None:
    with pytest.raises(ValueError, match="as many channels out as in; got 2, 1"):
        trace_step(UNet(UnetConfig(dims=2, channels=(8,), out_channels=2, groups=4)), (8, 8), SCHEDULE)
    with pytest.raises(ValueError, match="multiples of 2"):
        trace_step(UNet(TINY), (8, 8, 9), SCHEDULE)
