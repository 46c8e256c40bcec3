"""Engines and plans as `microrun doctor` tries them: they really run, or say why they do not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from microrun.cli.doctor.machine import Machine, one_line
from microrun.cli.model_words import describe_deviation
from microrun.runtime.engines.catalogue import DEFAULT_ENGINE, find_model
from microrun.runtime.engines.engine import Engine, EngineRequest
from microrun.runtime.engines.nvidia.build_plan import BuildRequest, build_plan
from microrun.runtime.engines.nvidia.cuda import Card
from microrun.runtime.engines.nvidia.onnx_cuda import OnnxCudaEngine
from microrun.runtime.engines.nvidia.plan import Library, PlanRecord, read_record, sidecar_of
from microrun.runtime.engines.nvidia.tensorrt_denoiser import TensorrtDenoiser
from microrun.runtime.engines.nvidia.tensorrt_engine import TensorrtEngine
from microrun.runtime.engines.nvidia.tensorrt_library import RTX_CARDS, RTX_TURING, TITLES, covers, import_library
from microrun.runtime.engines.onnx_cpu import OnnxEngine
from microrun.runtime.engines.openvino_cpu import OpenvinoEngine
from microrun.runtime.files.extras import install_command
from microrun.runtime.spec import ModelSpec

ONNX_CUDA = "ONNX Runtime, cuda"


@dataclass(frozen=True)
class Outcome:
    """Whether something runs, and what to say of it."""

    runs: bool
    text: str

    def __str__(self) -> str:
        return self.text


def try_engines(machine: Machine) -> dict[str, Outcome]:
    """Encode an empty pattern with the built-in model by every engine."""
    name = DEFAULT_ENGINE
    checks: dict[str, Callable[[], Outcome]] = {
        "OpenVINO, cpu, f32": lambda: _run(OpenvinoEngine(find_model(name), EngineRequest("f32"))),
        "OpenVINO, cpu, bf16": lambda: _run(OpenvinoEngine(find_model(name), EngineRequest("bf16"))),
        "ONNX Runtime, cpu": lambda: _run(OnnxEngine(find_model(name))),
        ONNX_CUDA: lambda: _run(OnnxCudaEngine(find_model(name))),
        TITLES["tensorrt"]: lambda: _build("tensorrt", machine.card),
        TITLES["tensorrt_rtx"]: lambda: _build("tensorrt_rtx", machine.card),
    }
    return {title: _guard(check) for title, check in checks.items()}


def engine_problems(engines: dict[str, Outcome], machine: Machine) -> list[str]:
    """What should run and does not."""
    problems = []
    if not any(outcome.runs for outcome in engines.values()):
        problems.append(f"no engine runs here: {install_command('cpu')}")
    made_for_cards = {"onnxruntime", "onnxruntime-gpu"} & machine.installed.keys() == {"onnxruntime-gpu"}
    if made_for_cards and machine.cards and not engines[ONNX_CUDA].runs:
        problems.append(
            "onnxruntime-gpu is installed, but cannot use the card, see above; "
            f"{install_command('gpu')} brings CUDA's own libraries and cuDNN"
        )
    return problems


def plan_rows(path: Path, machine: Machine) -> dict[str, object]:
    """What a plan's sidecar says of it, and whether it runs here."""
    rows: dict[str, object] = {}
    with suppress(Exception):  # what is wrong with a sidecar, opening the plan says
        rows = _describe(path, read_record(path), machine.card)
    return rows | {"here": _guard(lambda: _run_plan(path))}


def _guard(check: Callable[[], Outcome]) -> Outcome:
    try:
        return check()
    except Exception as error:  # a broken installation fails in ways of its own, and this command is to tell
        return Outcome(False, f"does not run: {one_line(error)}")


def _run_plan(path: Path) -> Outcome:
    if read_record(path).spec.diffusion is None:
        return _run(TensorrtEngine(path))
    with TensorrtDenoiser(path) as denoiser:  # it has run steps to be compared
        info = denoiser.info
        return Outcome(True, f"runs ({info.library}, {info.lanes} lanes), error {denoiser.check_error:.1e}")


def _run(engine: Engine) -> Outcome:
    with engine:
        engine.lane().run(np.zeros((1, *engine.spec.input_shape), np.float32))
        text = f"runs ({engine.info.library}, {engine.info.lanes} lanes)"
        return Outcome(True, f"{text}, error {engine.check_error:.1e}" if isinstance(engine, TensorrtEngine) else text)


def _build(library: Library, card: Card | None) -> Outcome:
    """Build the built-in model, which TensorRT-RTX does without a card, too, and run it."""
    turing = library == "tensorrt_rtx" and card is not None and card.capability_text == RTX_TURING
    request = BuildRequest(library, batch=1, compute_capabilities=(RTX_TURING,) if turing else ())
    with TemporaryDirectory() as folder:
        plan = Path(folder) / "doctor.plan"
        record = build_plan(find_model(DEFAULT_ENGINE), plan, request)
        if card and (library == "tensorrt" or covers((RTX_TURING, *RTX_CARDS), card.compute_capability)):
            return _run(TensorrtEngine(plan))
    where = f"RTX cards, which {card.name} ({card.capability_text}) is not" if card else "machines with an RTX card"
    built = f"{TITLES[library]} {record.version}, {record.build_s:.1f} s"
    return Outcome(False, f"builds plans here ({built}); runs them on {where}")


def _describe(path: Path, record: PlanRecord, card: Card | None) -> dict[str, object]:
    spec, profile = record.spec, record.profile
    here = f"{card.capability_text}, {card.name}" if card else "none"
    return {
        "file": f"is the one that {sidecar_of(path).name} describes (SHA-256 {record.plan_sha256[:12]}…)",
        "model": f"{spec.name}, {spec.kind}, {_size_text(spec)}, {spec.precision}",
        "built by": f"{TITLES[record.library]} {record.version}; here is {_version_here(record.library)}",
        "cards": f"compute capability {', '.join(record.compute_capabilities)}; here is {here}",
        "batches": f"{profile.min} to {profile.max}, fastest at {profile.opt}",
        "compared": describe_deviation(record.parity_error, "the ONNX model") + ", on such a card",
    }


def _size_text(spec: ModelSpec) -> str:
    return f"samples of {'×'.join(map(str, spec.input_shape))}" if spec.diffusion else f"D = {spec.latent_size}"


def _version_here(library: Library) -> str:
    try:
        return str(import_library(library).__version__)
    except Exception:  # why, opening the plan says
        return "none"
