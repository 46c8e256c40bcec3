"""Models whose weights lie elsewhere, and damaged ones, are not opened."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_models import write_encoder

from microrun.runtime.engines.onnx_cpu import OnnxEngine
from microrun.runtime.engines.onnx_file import check_model
from microrun.runtime.engines.open import open_engine, read_model_spec
from microrun.runtime.errors import EngineError

onnx = pytest.importorskip("onnx")


def move_weights(path: Path, location: str) -> None:
    """As onnx does it, for all weights."""
    from onnx.external_data_helper import convert_model_to_external_data

    model = onnx.load(path)
    convert_model_to_external_data(model, location=location, size_threshold=0)
    onnx.save(model, path)


def test_a_model_with_weights_beside_it_is_refused_since_its_hash_does_not_know_them(tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "apart.onnx")
    check_model(path)
    move_weights(path, "weights.bin")
    assert (tmp_path / "weights.bin").stat().st_size
    for use in (open_engine, read_model_spec):
        with pytest.raises(EngineError, match="has weights in a file beside it; save it as one") as error:
            use(path)
        assert "\n" not in str(error.value)


def test_one_weight_of_many_is_enough_and_its_file_is_not_opened(tmp_path: Path) -> None:
    from onnx.external_data_helper import set_external_data

    path = write_encoder(tmp_path / "apart.onnx")
    model = onnx.load(path)
    weight = model.graph.initializer[0]
    set_external_data(weight, location="../../../etc/hostname")
    weight.ClearField("raw_data")
    path.write_bytes(model.SerializeToString())
    with pytest.raises(EngineError, match="has weights in a file beside it"):
        open_engine(path)


def test_saving_it_as_one_as_the_message_says_helps(tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "apart.onnx")
    x = np.random.default_rng(0).uniform(-1, 1, (2, *read_model_spec(path).input_shape)).astype(np.float32)
    with open_engine(path, "cpu") as engine:
        expected = engine.lane().run(x)
    move_weights(path, "weights.bin")
    onnx.save(onnx.load(path), tmp_path / "one.onnx")
    with open_engine(tmp_path / "one.onnx", "cpu") as engine:
        np.testing.assert_array_equal(engine.lane().run(x), expected, strict=True)


def test_a_file_without_content(tmp_path: Path) -> None:
    path = tmp_path / "empty.onnx"
    path.touch()
    with pytest.raises(EngineError, match="cannot be read \\(it is empty\\)"):
        check_model(path)


def find_node(model: Any, operator: str) -> Any:
    return next(node for node in model.graph.node if node.op_type == operator)


def lose_inputs(model: Any) -> None:
    del find_node(model, "Conv").input[1:]


def lose_the_name_of_an_input(model: Any) -> None:
    find_node(model, "MatMul").input[1] = ""


def lose_outputs(model: Any) -> None:
    del find_node(model, "Relu").output[:]


def claim_much(model: Any) -> None:
    model.graph.initializer[0].dims[0] = 1 << 40


def lose_values(model: Any) -> None:
    max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data)).ClearField("raw_data")


def double_a_port(model: Any) -> None:
    model.graph.output.append(model.graph.output[0])


def lose_ports(model: Any) -> None:
    del model.graph.input[:]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lose_inputs, "a node 'Conv' lacks inputs"),
        (lose_the_name_of_an_input, "a node 'MatMul' lacks inputs"),
        (lose_outputs, "a node 'Relu' lacks inputs or outputs"),
        (claim_much, "a tensor of sides .* holds other values"),
        (lose_values, "a tensor of sides .* holds other values"),
        (lose_ports, "it has no inputs"),
        (double_a_port, "two of its inputs and outputs have one name"),
        (lambda model: model.ClearField("graph"), "it contains no graph"),
    ],
)
def test_a_model_that_crashes_libraries_is_refused_in_one_line(
    tmp_path: Path, damage: Callable[[Any], None], message: str
) -> None:
    path = write_encoder(tmp_path / "damaged.onnx")
    model = onnx.load(path)
    damage(model)
    path.write_bytes(model.SerializeToString())
    for use in (open_engine, read_model_spec):
        with pytest.raises(EngineError, match=message) as error:
            use(path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"\xff" * 64, b"a text, no model", bytes(8), b"\x3a\xff\xff\xff\xff\x07"])
def test_what_is_no_model_at_all(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    with pytest.raises(EngineError, match="is not an ONNX model, or it is damaged"):
        check_model(path)


def test_a_model_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "cut.onnx")
    whole = path.read_bytes()
    for length in range(1, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(EngineError):
            read_model_spec(path)


def test_a_size_whose_name_is_no_text_is_refused_in_one_line(tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "damaged.onnx")
    path.write_bytes(path.read_bytes().replace(b"batch", b"\xffatch"))
    with pytest.raises(EngineError, match=r"its texts cannot be read|cannot open it") as error:
        OnnxEngine(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("inputs", [["", "go", "x"], ["times", "", "x"]])
def test_a_loop_needs_no_count_and_no_condition(tmp_path: Path, inputs: list[str]) -> None:
    path = write_encoder(tmp_path / "looping.onnx")
    model = onnx.load(path)
    model.graph.node.append(onnx.helper.make_node("Loop", inputs, ["y"]))
    path.write_bytes(model.SerializeToString())
    check_model(path)


def test_a_model_is_read_under_a_profiler_that_holds_frames(tmp_path: Path) -> None:
    path, held = write_encoder(tmp_path / "tiny.onnx"), list[Any]()
    sys.setprofile(lambda frame, event, argument: held.append(frame))  # as that of Dask's workers does
    try:
        check_model(path)
    finally:
        sys.setprofile(None)
    assert any(frame.f_code.co_name == "_check_tensor" for frame in held)
