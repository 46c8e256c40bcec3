"""`microrun doctor`."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from microrun.cli import _console
from microrun.runtime.engine import DEFAULT_ENGINE, MODELS, Engine, EngineRequest, count_cores, find_model

PACKAGES = {
    "numpy": "base", "numba": "base", "h5py": "base", "openvino": "cpu", "onnxruntime": "cpu", "onnxruntime-gpu": "gpu",
    "cuda-bindings": "gpu", "matplotlib": "plots", "kikuchipy": "demo", "scikit-learn": "analyse",
    "pyebsdindex": "judge", "rosettasciio": "convert", "tifffile": "convert", "zarr": "convert", "torch": "train",
    "onnx": "train", "onnxscript": "train", "safetensors": "train",
}  # fmt: skip


def doctor() -> None:
    """Say what is installed, which engines run here, and what clashes."""
    _console.print_table(
        "machine",
        {
            "system": platform.platform(),
            "python": platform.python_version(),
            "cores": count_cores(),
            "microrun": _version("microrun"),
        },
    )
    installed = {name: _version(name) for name in PACKAGES}
    rows = {name: found or f"not installed (extra: {PACKAGES[name]})" for name, found in installed.items()}
    _console.print_table("\npackages", rows)
    _console.print_table("\nengines", {name: _try(run) for name, run in _engines().items()})
    problems = _clashes(installed)
    for problem in problems:
        _console.err.print(f"[yellow]problem:[/] {problem}")
    if not problems:
        _console.out.print("\nnothing clashes")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _clashes(installed: dict[str, str | None]) -> list[str]:
    problems = []
    if installed["onnxruntime"] and installed["onnxruntime-gpu"]:
        problems.append(
            "onnxruntime and onnxruntime-gpu overwrite each other: "
            "pip uninstall onnxruntime onnxruntime-gpu, then install one of them"
        )
    if not (installed["openvino"] or installed["onnxruntime"] or installed["onnxruntime-gpu"]):
        problems.append("no engine is installed: pip install 'microrun[cpu]'")
    if not (MODELS / f"{DEFAULT_ENGINE}.onnx").is_file():
        problems.append(f"the built-in model {DEFAULT_ENGINE} is missing from the installation")
    return problems


def _engines() -> dict[str, Callable[[], Engine]]:
    from microrun.runtime.engine_onnx import OnnxEngine
    from microrun.runtime.engine_openvino import OpenvinoEngine

    name = DEFAULT_ENGINE
    return {
        "OpenVINO, cpu, f32": lambda: OpenvinoEngine(find_model(name), EngineRequest("f32")),
        "OpenVINO, cpu, bf16": lambda: OpenvinoEngine(find_model(name), EngineRequest("bf16")),
        "ONNX Runtime, cpu": lambda: OnnxEngine(find_model(name), "cpu"),
        "ONNX Runtime, cuda": lambda: OnnxEngine(find_model(name), "cuda"),
    }


def _try(run: Callable[[], Engine]) -> str:
    """Open the built-in model and encode an empty pattern with it."""
    try:
        with run() as engine:
            engine.lane().run(np.zeros((1, *engine.spec.input_shape), np.float32))
            return f"runs ({engine.info.library}, {engine.info.lanes} lanes)"
    except ModuleNotFoundError as error:
        return f"not here: {error.name} is not installed"
    except Exception as error:  # a broken installation fails in ways of its own, and this command is to tell
        return f"not here: {error}"
