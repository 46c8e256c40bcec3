"""The libraries that run models, without what they tell others: nothing here looks up a host, or leaves an ID.

ONNX Runtime and OpenVINO report their use over the network from the moment that they are imported. An instrument's PC
must not, so all of microrun takes them from here.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any, cast


def has_library(module: str) -> bool:
    """Whether a library is installed; it is not imported."""
    return importlib.util.find_spec(module) is not None


def load_openvino() -> Any:
    """OpenVINO; ModuleNotFoundError if it is not installed."""
    # What cannot be imported is not used. A program that has it already keeps it.
    cast(dict[str, Any], sys.modules).setdefault("openvino_telemetry", None)
    import openvino

    return openvino


def load_onnxruntime() -> Any:
    """ONNX Runtime; ModuleNotFoundError if it is not installed."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read once, when its library is loaded
    import onnxruntime

    return onnxruntime


def offers_cuda() -> bool:
    """Whether the installed ONNX Runtime was built for CUDA; a card may still be missing."""
    found = importlib.util.find_spec("onnxruntime")
    if found is None or found.origin is None:
        return False
    return any((Path(found.origin).parent / "capi").glob("*onnxruntime_providers_cuda.*"))
