"""Models whose weights lie elsewhere are not opened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from make_models import write_encoder

from microrun.runtime.engines.onnx_file import check_one_file
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
    check_one_file(path)
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
        check_one_file(path)
