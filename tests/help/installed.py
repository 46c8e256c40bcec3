"""Libraries that a test has or lacks, whatever is installed."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

LIBRARIES = ("openvino", "onnxruntime")


def leave_installed(monkeypatch: pytest.MonkeyPatch, *libraries: str) -> None:
    """Hide all libraries that run models but these."""
    find_spec = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> Any:
        return None if name in LIBRARIES and name not in libraries else find_spec(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)


def offer_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ONNX Runtime seem built for CUDA, as it may be where there is no card."""
    from microrun.runtime.engines import open as opening
    from microrun.runtime.engines.nvidia import onnx_cuda

    for module in (opening, onnx_cuda):
        monkeypatch.setattr(module, "offers_cuda", lambda: True)
