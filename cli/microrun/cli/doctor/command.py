"""`microrun doctor`."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from microrun.cli import console
from microrun.cli.doctor.engines import engine_problems, plan_rows, try_engines
from microrun.cli.doctor.machine import card_rows, find_problems, find_version, inspect_machine, package_rows
from microrun.cli.everywhere import JsonOption
from microrun.cli.told import to_data
from microrun.runtime.cores import count_cores
from microrun.runtime.engines.catalogue import PLAN_SUFFIX, find_model
from microrun.runtime.errors import EngineError

Tables = dict[str, Mapping[str, object]]


def doctor(
    plans: Annotated[list[Path] | None, typer.Argument(help="TensorRT plans to look at as well.")] = None,
    as_json: JsonOption = False,
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
    found: Tables = {
        "machine": system | card_rows(machine),
        "packages by extra": package_rows(machine),
    }
    _print(found)
    with console.step("trying the engines"):
        engines = try_engines(machine)
    tried: Tables = {"engines": engines, **{plan.name: plan_rows(plan, machine) for plan in plans or []}}
    _print(tried)
    problems = find_problems(machine) + engine_problems(engines, machine)
    if as_json:
        runs = {"runs": to_data({title: one.runs for title, one in engines.items()}), "problems": problems}
        console.print_json({name.replace(" ", "_"): to_data(rows) for name, rows in (found | tried).items()} | runs)
    else:
        _print_problems(problems)


def _print(tables: Tables) -> None:
    for name, rows in tables.items():
        console.print_table(name, rows)
        console.out.print()


def _check_plan(path: Path) -> None:
    if find_model(path).suffix.lower() != PLAN_SUFFIX:
        raise EngineError(f"{path}: expected a .plan file; how .onnx files run, `microrun doctor` says by itself")


def _print_problems(problems: list[str]) -> None:
    if not problems:
        console.out.print("nothing clashes")
    for problem in problems:
        console.warning_line(problem, "problem")
