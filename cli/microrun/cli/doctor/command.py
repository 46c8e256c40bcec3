"""`microrun doctor`."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from microrun.cli import console
from microrun.cli.doctor.engines import engine_problems, plan_rows, try_engines
from microrun.cli.doctor.machine import card_rows, find_problems, find_version, inspect_machine, package_rows
from microrun.runtime.cores import count_cores
from microrun.runtime.engines.catalogue import PLAN_SUFFIX, find_model
from microrun.runtime.errors import EngineError


def doctor(
    plans: Annotated[list[Path] | None, typer.Argument(help="TensorRT plans to look at, too.")] = None,
) -> None:
    """Say what is installed, which engines and plans run here and why others do not, and what clashes."""
    for plan in plans or []:
        _check_plan(plan)
    machine = inspect_machine()
    system = {
        "system": platform.platform(),
        "python": platform.python_version(),
        "microrun": find_version("microrun") or "not installed, runs from its source",
        "cores": count_cores(),
    }
    console.print_table("machine", system | card_rows(machine))
    console.print_table("\npackages by extra", package_rows(machine))
    with console.step("trying the engines"):
        engines = try_engines(machine)
    console.print_table("\nengines", engines)
    for plan in plans or []:
        console.print_table(f"\n{plan.name}", plan_rows(plan, machine))
    _print_problems(find_problems(machine) + engine_problems(engines, machine))


def _check_plan(path: Path) -> None:
    if find_model(path).suffix.lower() != PLAN_SUFFIX:
        raise EngineError(f"{path}: expected a .plan file; how .onnx files run, `microrun doctor` says by itself")


def _print_problems(problems: list[str]) -> None:
    console.out.print("" if problems else "\nnothing clashes")
    for problem in problems:
        console.err.print(Text.assemble(("problem:", "yellow"), f" {problem}"))
