"""From a checkpoint or an ONNX file to what runs: ONNX in a precision, and TensorRT plans built from it.

Plans of .onnx files are built without torch and onnx, on the machine of a user who has neither.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from microrun.export.called_back import Tell, follow
from microrun.runtime.engines.catalogue import DECODER_STEM, PLAN_SUFFIX, find_model
from microrun.runtime.engines.nvidia.build_plan import BuildRequest, build_plan
from microrun.runtime.engines.nvidia.plan import PlanRecord
from microrun.runtime.engines.open import read_model_spec
from microrun.runtime.errors import EngineError
from microrun.runtime.files.destination import check_file
from microrun.runtime.files.output import written_beside
from microrun.runtime.progress import Job, Progress
from microrun.runtime.spec import ModelSpec, WeightPrecision

if TYPE_CHECKING:
    from microrun.export.calibration import QuantiseRequest

CHECKPOINT_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class ExportRequest:
    """What to export, and how.

    Parameters
    ----------
    source
        A checkpoint, an .onnx file, or the name of a built-in model.
    out
        NAME.onnx, or NAME.plan with `build`; the decoder becomes NAME.decoder.onnx or NAME.decoder.plan.
    precision
        Of the weights; None for an .onnx file's own and, of a checkpoint, f16 for plans and denoisers and f32 else.
    calibration
        What int8 is calibrated and judged on.
    build
        How to build plans; None makes ONNX.
    overwrite
        Whether the .onnx file that a plan is built from, and that is made on the way, may replace one that is there.
    """

    source: Path
    out: Path
    precision: WeightPrecision | None = None
    calibration: QuantiseRequest | None = None
    build: BuildRequest | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if (self.precision == "int8") != (self.calibration is not None):
            raise EngineError("int8 is calibrated on a scan: give --precision int8 and --calibrate SCAN together")
        suffix = PLAN_SUFFIX if self.build else ".onnx"
        if self.out.suffix != suffix:
            raise EngineError(f"{self.out}: expected a name that ends in {suffix}")
        if not self.out.parent.is_dir():
            raise EngineError(f"{self.out.parent}: no such folder")

    @property
    def onnx(self) -> Path:
        """The .onnx file that is made on the way."""
        return self.out.with_suffix(".onnx")


@dataclass(frozen=True)
class Made:
    """A file that was made.

    Parameters
    ----------
    path
        Where.
    spec
        As written into it or its sidecar.
    record
        Of a plan.
    """

    path: Path
    spec: ModelSpec
    record: PlanRecord | None = None


def export(request: ExportRequest) -> Job[list[Made]]:
    """Export encoder and decoder, or a denoiser; a file is compared with what it was made from before it gets its name.

    Records of progress say what is done in their phase; they have a total of 0 where nobody knows it.

    Parameters
    ----------
    request
        What and how. The .onnx files that plans are built from stay beside them.

    Returns
    -------
    list of Made

    Raises
    ------
    MicrorunError
        For a source that cannot be used, a library that is missing or cannot build, results that differ too much,
        or files that cannot be written.
    """
    if request.build and not _is_given(request):
        check_file(request.onnx, request.overwrite, advice="build the plan from it, ")
    if request.source.suffix == CHECKPOINT_SUFFIX:
        models = yield from _from_checkpoint(request)
    else:
        models = yield from _from_onnx(request)
    made = [] if _is_given(request) else [Made(path, read_model_spec(path)) for path in models]
    if request.build is not None:
        for onnx, plan in zip(models, (request.out, _decoder_beside(request.out)), strict=False):
            record = yield from follow(partial(_build, onnx, plan, request.build))
            made.append(Made(plan, record.spec, record))
    return made


def _is_given(request: ExportRequest) -> bool:
    """Whether plans are built from .onnx files as they are."""
    return request.source.suffix != CHECKPOINT_SUFFIX and request.calibration is None


def _from_checkpoint(request: ExportRequest) -> Job[list[Path]]:
    from microrun.export.vae_to_onnx import export_checkpoint
    from microrun.training.loop.checkpoint import read_checkpoint_spec

    yield Progress(0, 0, "exporting and comparing")
    if read_checkpoint_spec(request.source).kind == "denoiser":
        return [_denoiser(request)]
    if request.calibration is None:
        precision = request.precision or ("f16" if request.build else "f32")
        assert precision != "int8"
        return [exported.path for exported in export_checkpoint(request.source, request.onnx, precision)]
    with TemporaryDirectory(prefix="microrun-export-") as folder:
        encoder, _ = export_checkpoint(request.source, Path(folder) / request.onnx.name)
        return (yield from _quantise(encoder.path, request))


def _denoiser(request: ExportRequest) -> Path:
    from microrun.export.denoiser_to_onnx import export_denoiser

    if request.precision == "int8":
        raise EngineError(f"{request.source}: is a denoiser; only encoders are quantised. Leave out --precision int8")
    return export_denoiser(request.source, request.onnx, request.precision or "f16").path


def _from_onnx(request: ExportRequest) -> Job[list[Path]]:
    model = find_model(request.source)
    if model.suffix == PLAN_SUFFIX:
        raise EngineError(f"{model}: is a plan already; export the .onnx file that it was built from")
    if request.calibration is not None:
        return (yield from _quantise(model, request))
    if request.build is None:
        raise EngineError(f"{model}: is ONNX already; say --to tensorrt or tensorrt_rtx, or --precision int8")
    own = read_model_spec(model).precision
    if request.precision not in (None, own):
        raise EngineError(
            f"{model}: has weights in {own}, and a plan keeps them; for {request.precision} export its checkpoint"
        )
    return [path for path in (model, _decoder_beside(model)) if path.is_file()]


def _quantise(encoder: Path, request: ExportRequest) -> Job[list[Path]]:
    """Quantise an encoder; its decoder, which has no patterns to be calibrated on, comes along as it is."""
    from microrun.export.quantize import quantise

    assert request.calibration is not None
    if encoder.resolve() == request.onnx.resolve():
        raise EngineError(f"{request.onnx}: is the model to be quantised; choose another --out")
    yield from quantise(encoder, request.onnx, request.calibration)
    decoder, copy = _decoder_beside(encoder), _decoder_beside(request.onnx)
    if not decoder.is_file():
        return [request.onnx]
    with written_beside(copy) as beside:
        shutil.copyfile(decoder, beside)
    return [request.onnx, copy]


def _build(onnx: Path, plan: Path, request: BuildRequest, tell: Tell) -> PlanRecord:
    def progress(phase: str, done: int, total: int) -> None:
        tell(Progress(done, total, f"{plan.name}: {phase}"))

    return build_plan(onnx, plan, request, progress)


def _decoder_beside(path: Path) -> Path:
    return path.with_name(path.stem + DECODER_STEM + path.suffix)
