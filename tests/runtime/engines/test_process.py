"""Engines in processes that were forked after they were opened."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from make_denoisers import write_denoiser
from make_models import write_encoder

from microrun.runtime.engines.onnx_cpu import OnnxDenoiser, OnnxEngine
from microrun.runtime.engines.openvino_cpu import OpenvinoDenoiser, OpenvinoEngine
from microrun.runtime.errors import EngineError

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")
REFUSED = "was opened before this process was forked"


def refused_in_a_child(work: Callable[[], object]) -> bool:
    """Whether work raises the error in a child; nothing but system calls and the work happens there."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
        except EngineError as error:
            code = 0 if REFUSED in str(error) else 2
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("kind", [OpenvinoEngine, OnnxEngine])
def test_an_engine_is_refused_in_a_forked_child(tmp_path: Path, kind: type[OpenvinoEngine | OnnxEngine]) -> None:
    with kind(write_encoder(tmp_path / "encoder.onnx")) as engine:
        lane = engine.lane()
        x = np.zeros((1, *engine.spec.input_shape), np.float32)
        before = lane.run(x).copy()
        assert refused_in_a_child(engine.lane)
        assert refused_in_a_child(lambda: lane.run(x))
        np.testing.assert_array_equal(lane.run(x), before)  # here it goes on


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("kind", [OpenvinoDenoiser, OnnxDenoiser])
def test_a_denoiser_is_refused_in_a_forked_child(tmp_path: Path, kind: type[OpenvinoDenoiser | OnnxDenoiser]) -> None:
    with kind(write_denoiser(tmp_path / "denoiser.onnx")) as denoiser:
        lane, shape = denoiser.lane(), denoiser.diffusion.sample_shape
        x = np.zeros(shape, np.float32)
        lane.load(0, x, x, np.zeros(shape, bool))
        rows = (np.zeros(lane.batch, np.int32), np.zeros((lane.batch, 5), np.float32))
        noise = np.zeros((lane.batch, *shape), np.float32)
        assert refused_in_a_child(denoiser.lane)
        assert refused_in_a_child(lambda: lane.step(*rows, noise))
        lane.step(*rows, noise)
