"""Features by a user's network: the right ones for any batch and size, and one line for what is no such network."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from feature_networks import write_feature_network
from numpy.typing import NDArray

from microrun.runtime.engines.features import compute_features
from microrun.runtime.errors import EngineError


@pytest.fixture
def pictures() -> NDArray[np.float32]:
    return np.random.default_rng(0).random((21, 10, 12, 3)).astype(np.float32)


@pytest.mark.parametrize("shape", [("n", 3, "h", "w"), (4, 3, "h", "w"), ("n", 3, 20, 24)])
def test_features_are_those_of_the_network(
    tmp_path: Path, pictures: NDArray[np.float32], shape: tuple[int | str, ...]
) -> None:
    path = write_feature_network(tmp_path / "mean.onnx", shape)
    found = compute_features(path, pictures)
    np.testing.assert_allclose(found.features, pictures.mean(axis=(1, 2)), rtol=1e-5)
    assert (found.path, found.sha256) == (path, hashlib.sha256(path.read_bytes()).hexdigest())


def test_networks_that_do_not_fit(tmp_path: Path, pictures: NDArray[np.float32]) -> None:
    with pytest.raises(EngineError, match="no such file; none is downloaded"):
        compute_features(tmp_path / "none.onnx", pictures)
    with pytest.raises(EngineError, match="expected one input"):
        compute_features(write_feature_network(tmp_path / "grey.onnx", ("n", 1, "h", "w")), pictures)
    (tmp_path / "text.onnx").write_text("weights")
    with pytest.raises(EngineError, match="is not an ONNX model, or it is damaged"):
        compute_features(tmp_path / "text.onnx", pictures)
    with pytest.raises(EngineError, match="not all finite"):
        compute_features(write_feature_network(tmp_path / "log.onnx", operation="Log"), -pictures)
