"""What an import brings in, asked of fresh processes."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import microrun.runtime

TORCH_SIDE = {"torch", "onnx", "microrun.training", "microrun.export"}
HEAVY = TORCH_SIDE | {"matplotlib", "typer", "rich", "kikuchipy", "openvino", "onnxruntime"}
SUBMODULES = sorted(module.name for module in pkgutil.walk_packages(microrun.runtime.__path__, "microrun.runtime."))


def imported_by(statement: str) -> set[str]:
    script = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    return set(done.stdout.split())


def test_the_runtime_is_light() -> None:
    assert not imported_by("import microrun.runtime") & HEAVY


def test_the_command_line_does_without_torch() -> None:
    assert not imported_by("import microrun.cli.app") & TORCH_SIDE


def test_a_plan_is_built_without_torch() -> None:
    assert not imported_by("import microrun.export.export") & {"torch", "onnx"}


def test_every_submodule_is_light() -> None:
    assert "microrun.runtime.engines.openvino_cpu" in SUBMODULES
    assert not imported_by("import " + ", ".join(SUBMODULES)) & HEAVY


def test_the_public_names_are_few_and_there() -> None:
    assert len(microrun.runtime.__all__) <= 10
    assert all(hasattr(microrun.runtime, name) for name in microrun.runtime.__all__)


@pytest.mark.parametrize("package", ["kernels", "runtime", "training", "export", "cli"])
def test_microrun_stays_a_namespace(package: str) -> None:
    script = f"import microrun, microrun.{package}; assert microrun.__file__ is None"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
