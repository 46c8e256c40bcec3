"""ONNX to a TensorRT plan with its sidecar, by TensorRT or TensorRT-RTX; the latter needs no card to build."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microrun.runtime.engines.cpu import known_answer, read_onnx_spec
from microrun.runtime.engines.known_answers import sample_outputs
from microrun.runtime.engines.nvidia.build_monitor import Tell, make_monitor
from microrun.runtime.engines.nvidia.cuda import Card, find_card
from microrun.runtime.engines.nvidia.plan import Library, PlanRecord, Profile, read_record, sidecar_of, write_record
from microrun.runtime.engines.nvidia.tensorrt_denoiser import TensorrtDenoiser
from microrun.runtime.engines.nvidia.tensorrt_engine import TensorrtEngine
from microrun.runtime.engines.nvidia.tensorrt_library import (
    RTX_CARDS,
    RTX_TURING,
    TITLES,
    choose_library,
    covers,
    import_library,
    last_error,
    make_logger,
)
from microrun.runtime.engines.ports import check_ports
from microrun.runtime.errors import EngineError, MicrorunError
from microrun.runtime.files.hashes import hash_file
from microrun.runtime.files.output import write_whole, written_beside
from microrun.runtime.spec import Kind

DEFAULT_BATCHES: dict[Kind, int] = {"encoder": 256, "decoder": 256, "denoiser": 16}


@dataclass(frozen=True)
class BuildRequest:
    """How a plan is built.

    Parameters
    ----------
    library
        "tensorrt" builds for the card in this machine; "tensorrt_rtx" for all RTX cards from Ampere on.
    batch
        The largest batch, which it is made fastest for; every smaller one runs, too. None for what suits the model.
    compute_capabilities
        TensorRT-RTX only: build for these instead, such as ("7.5",) for Turing.
    workspace_mb
        Most memory of the card that a layer may use as scratch; None leaves it to the library.
    timing_cache
        TensorRT only: a file that keeps timings from build to build; made if it is not there.
    version_compatible, hardware_compatible
        TensorRT only: a plan for newer versions, or for all cards from Ampere on; both may be slower.
    """

    library: Library
    batch: int | None = None
    compute_capabilities: tuple[str, ...] = ()
    workspace_mb: int | None = None
    timing_cache: Path | None = None
    version_compatible: bool = False
    hardware_compatible: bool = False

    def __post_init__(self) -> None:
        if self.batch is not None and not 1 <= self.batch <= 4096:
            raise EngineError(f"batch must be 1 to 4096; got {self.batch}")
        if self.workspace_mb is not None and self.workspace_mb < 1:
            raise EngineError(f"the workspace must be at least 1 MB; got {self.workspace_mb}")
        if self.library == "tensorrt" and self.compute_capabilities:
            raise EngineError("TensorRT builds for the card in the machine; compute capabilities are for TensorRT-RTX")
        if self.library == "tensorrt_rtx" and (self.version_compatible or self.hardware_compatible):
            raise EngineError(
                "version- and hardware-compatible plans are TensorRT's own; TensorRT-RTX's fit all RTX cards"
            )
        if self.library == "tensorrt_rtx" and self.timing_cache:
            raise EngineError("a timing cache is TensorRT's own; TensorRT-RTX times nothing when it builds")


def build_plan(
    onnx: Path, out: Path, request: BuildRequest, tell: Tell = lambda phase, done, total: None
) -> PlanRecord:
    """Build a plan, compare it with the ONNX model where a card can run it, and write both files.

    Parameters
    ----------
    onnx
        A file with a spec. Types are strong: a half model becomes an f16 plan, one with Q/DQ an int8 plan.
    out
        NAME.plan; NAME.plan.json comes beside it.
    request
        How.
    tell
        Called with a phase of the build, the steps done and their number.

    Returns
    -------
    PlanRecord
        As written.

    Raises
    ------
    EngineError
        If the library or a card that it needs is missing, it cannot build the model, or the plan does not compute
        what the model does; then nothing is written.
    SpecError
        If the file carries no spec, or one that does not fit its graph.
    OutputError
        If a file cannot be written.
    """
    spec = read_onnx_spec(onnx)
    size = request.batch or DEFAULT_BATCHES[spec.kind]
    request = dataclasses.replace(request, batch=size)
    trt = import_library(request.library)
    card = _find_card(request.library)
    started = time.perf_counter()
    plan, precision = _build(trt, onnx, request, tell)
    spec = dataclasses.replace(spec, precision=precision)
    expected = sample_outputs(known_answer(onnx))
    with written_beside(out) as beside:
        write_whole(beside, plan)
        record = PlanRecord(
            spec=spec,
            plan_sha256=hash_file(beside),
            onnx_sha256=hash_file(onnx),
            library=request.library,
            version=trt.__version__,
            compute_capabilities=_targets(request, card),
            profile=Profile(1, size, size),
            version_compatible=request.version_compatible,
            build_s=round(time.perf_counter() - started, 2),
            check_outputs=tuple(float(f"{value:.6g}") for value in expected),
        )
        if card and covers(record.compute_capabilities, card.compute_capability):
            record = dataclasses.replace(record, parity_error=_measure(beside, record))
    write_record(out, record)
    return record


def build_cached(onnx: Path, batch: int | None = None) -> Path:
    """The plan of a model for this machine's card and library, built if the cache does not have it.

    Raises
    ------
    EngineError
        As `build_plan`.
    """
    card = find_card()
    library = choose_library(card)
    version, size = import_library(library).__version__, batch or DEFAULT_BATCHES[read_onnx_spec(onnx).kind]
    folder, target = cache_folder(), f"{library}-{version}-sm{card.capability_text}"
    path = folder / f"{onnx.stem}-{hash_file(onnx)[:16]}-{target}-batch{size}.plan"
    if not _is_kept(path):
        folder.mkdir(parents=True, exist_ok=True)
        capabilities = (RTX_TURING,) if card.capability_text == RTX_TURING else ()
        timings = folder / f"{target}.timing" if library == "tensorrt" else None
        build_plan(onnx, path, BuildRequest(library, size, capabilities, timing_cache=timings))
    return path


def _is_kept(plan: Path) -> bool:
    try:
        read_record(plan)
    except (OSError, MicrorunError):
        return False
    return True


def cache_folder() -> Path:
    """Where plans are kept: MICRORUN_CACHE, or the user's folder for caches."""
    if own := os.environ.get("MICRORUN_CACHE"):
        return Path(own)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "microrun" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "microrun"


def _find_card(library: Library) -> Card | None:
    try:
        return find_card()
    except EngineError as error:
        if library == "tensorrt":
            raise EngineError(
                f"TensorRT times its kernels on the card that it builds for: {error}. "
                "Build on the machine with the card, or --to tensorrt_rtx for RTX cards"
            ) from None
        return None


def _targets(request: BuildRequest, card: Card | None) -> tuple[str, ...]:
    if request.library == "tensorrt_rtx":
        return request.compute_capabilities or RTX_CARDS
    assert card is not None
    return ("8.0+",) if request.hardware_compatible else (card.capability_text,)


def _build(trt: Any, onnx: Path, request: BuildRequest, tell: Tell) -> tuple[Any, Any]:
    logger = make_logger(trt)
    logger.errors.clear()
    title = TITLES[request.library]
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(onnx)) or not network.num_outputs:
        raise EngineError(f"{onnx}: {title} cannot read it ({_why(parser, logger)})")
    spec = read_onnx_spec(onnx)
    precision = built_precision(trt, network)
    if RTX_TURING in request.compute_capabilities and precision != "f16":
        raise EngineError(f"{onnx}: is in {precision}; Turing cards ({RTX_TURING}) want half: export it in f16")
    inputs = [network.get_input(number) for number in range(network.num_inputs)]
    outputs = [network.get_output(number) for number in range(network.num_outputs)]
    check_ports(onnx, spec, *({port.name: tuple(port.shape)[1:] for port in ports} for ports in (inputs, outputs)))
    config = _configure(trt, builder, network, request)
    config.progress_monitor = monitor = make_monitor(trt, tell)
    if request.timing_cache:
        _load_timings(config, request.timing_cache)
    plan = builder.build_serialized_network(network, config)
    if monitor.error:
        raise monitor.error
    if plan is None:
        raise EngineError(f"{onnx}: {title} cannot build it ({last_error(logger)})")
    if request.timing_cache:
        write_whole(request.timing_cache, memoryview(config.get_timing_cache().serialize()))
    return memoryview(plan), precision


def _why(parser: Any, logger: Any) -> str:
    if not parser.num_errors:
        return last_error(logger)
    error = parser.get_error(0)
    return " ".join(f"{error.node_operator()}: {error.desc()}".split())


def _configure(trt: Any, builder: Any, network: Any, request: BuildRequest) -> Any:
    config = builder.create_builder_config()
    if request.workspace_mb is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, request.workspace_mb << 20)
    if hasattr(trt.BuilderFlag, "REQUIRE_USER_ALLOCATION"):  # TensorRT-RTX, which else allocates while a lane captures
        config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
    if request.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if request.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if request.compute_capabilities:
        config.num_compute_capabilities = len(request.compute_capabilities)
        for index, text in enumerate(request.compute_capabilities):
            config.set_compute_capability(_capability(trt, text), index)
    profile = builder.create_optimization_profile()
    for number in range(network.num_inputs):
        port = network.get_input(number)
        shape = tuple(port.shape)[1:]
        profile.set_shape(port.name, (1, *shape), (request.batch, *shape), (request.batch, *shape))
    config.add_optimization_profile(profile)
    return config


def _capability(trt: Any, text: str) -> Any:
    known = {name[2:-1] + "." + name[-1]: value for name, value in trt.ComputeCapability.__members__.items()
             if name.startswith("SM")}  # fmt: skip
    if text not in known:
        raise EngineError(f"compute capability must be one of {', '.join(known)}; got {text!r}")
    return known[text]


def _load_timings(config: Any, path: Path) -> None:
    """Use kept timings if they are of this library and card; an empty cache collects new ones."""
    for kept in (path.read_bytes() if path.is_file() else b"", b""):
        cache = config.create_timing_cache(kept)
        if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
            return


def built_precision(trt: Any, network: Any) -> str:
    """What a network's convolutions and products really compute in: types are strong, so that the graph tells.

    Returns
    -------
    str
        "int8" with quantised convolutions, "f16" if all are in half, else "f32".
    """
    heavy = (trt.LayerType.CONVOLUTION, trt.LayerType.DECONVOLUTION, trt.LayerType.MATRIX_MULTIPLY)
    layers = [network.get_layer(number) for number in range(network.num_layers)]
    if any(layer.type == trt.LayerType.QUANTIZE for layer in layers):
        return "int8"
    types = {layer.get_input(0).dtype for layer in layers if layer.type in heavy}
    return "f16" if types == {trt.DataType.HALF} else "f32"


def _measure(plan: Path, record: PlanRecord) -> float:
    """Relative L2 error of a plan on this machine's card, opened as users open it: by its record beside it."""
    write_record(plan, record)
    try:
        with TensorrtDenoiser(plan) if record.spec.diffusion is not None else TensorrtEngine(plan) as opened:
            return float(f"{opened.check_error:.3g}")
    finally:
        sidecar_of(plan).unlink(missing_ok=True)
