"""What an import brings in, asked of fresh processes."""

from __future__ import annotations

import ast
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import microrun.runtime
from microrun.cli.commands import COMMANDS, load_command

TORCH_SIDE = {"torch", "onnx", "microrun.training", "microrun.export"}
HEAVY = TORCH_SIDE | {"matplotlib", "typer", "rich", "kikuchipy", "openvino", "onnxruntime"}
SLOW = {"numba", "h5py", "numpy"} | HEAVY - {"typer", "rich"}  # these two are what a command line is made of
BRING_ORIX = {"orix", "kikuchipy", "diffsims"}
ROOT = Path(__file__).parents[1]
SUBMODULES = sorted(module.name for module in pkgutil.walk_packages(microrun.runtime.__path__, "microrun.runtime."))


def imported_by(statement: str) -> set[str]:
    script = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    return set(done.stdout.split())


def named(tree: ast.AST) -> set[str]:
    """Modules that a source file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_the_runtime_is_light() -> None:
    assert not imported_by("import microrun.runtime") & SLOW | {"typer", "rich"} & imported_by(
        "import microrun.runtime"
    )


def test_all_public_names_are_light() -> None:
    assert not imported_by("from microrun.runtime import *") & HEAVY


def test_the_command_line_imports_what_is_called() -> None:
    assert not imported_by("import microrun.cli.app") & SLOW


def test_no_command_needs_torch_to_be_found() -> None:
    script = "from microrun.cli.commands import COMMANDS, load_command\nlist(map(load_command, COMMANDS))"
    assert not imported_by(script) & TORCH_SIDE


def test_a_plan_is_built_without_torch() -> None:
    assert not imported_by("import microrun.export.export") & {"torch", "onnx"}


def test_every_submodule_is_light() -> None:
    assert "microrun.runtime.engines.openvino_cpu" in SUBMODULES
    assert not imported_by("import " + ", ".join(SUBMODULES)) & HEAVY


def test_what_libraries_compile_is_linked_anew() -> None:
    """Whoever imports orix, or what imports it, has said before how numba shall link what orix compiles."""
    rooms = [ROOT / room for room in ("runtime", "training", "export", "cli")]
    sources = [path for room in rooms for path in room.rglob("*.py")]
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sources}
    bring_orix = [path for path, tree in trees.items() if BRING_ORIX & {name.split(".")[0] for name in named(tree)}]
    assert len(bring_orix) > 5
    assert not [path for path in bring_orix if "microrun.kernels.compiling" not in named(trees[path])]


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_are_listed_with_the_first_line_of_their_help(name: str) -> None:
    command = load_command(name)
    assert command.name == name
    assert COMMANDS[name].line == " ".join(command.help.partition("\n\n")[0].split())


def test_all_commands_are_listed() -> None:
    """Every module of a command, and every group, is in the table."""
    import microrun.cli

    places = {entry.place.partition(":")[0].partition(".")[0] for entry in COMMANDS.values()}
    helpers = {
        "alarms", "app", "commands", "console", "everywhere", "feature_numbers", "interrupts", "log_file", "main",
        "memory", "model_words", "outputs", "pattern_centre", "plain_progress", "region", "scan_name", "streams",
        "told",
    }  # fmt: skip
    assert places | helpers == {module.name for module in pkgutil.iter_modules(microrun.cli.__path__)}


@pytest.mark.parametrize("package", ["kernels", "runtime", "training", "export", "cli"])
def test_microrun_stays_a_namespace(package: str) -> None:
    script = f"import microrun, microrun.{package}; assert microrun.__file__ is None"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
