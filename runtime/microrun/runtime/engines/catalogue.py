"""Files of models: the built-in ones by their names, and the decoder beside an encoder."""

from __future__ import annotations

from pathlib import Path

from microrun.runtime.errors import EngineError
from microrun.runtime.files.kinds import check_kind

MODELS = Path(__file__).parent.parent / "models"
DEFAULT_ENGINE = "vae32"
DECODER_STEM = ".decoder"
PLAN_SUFFIX = ".plan"


def find_model(path: str | Path) -> Path:
    """Resolve a file, or the name of a built-in model.

    Raises
    ------
    EngineError
        If there is neither.
    """
    file = Path(path)
    if is_built_in(file):
        return MODELS / f"{path}.onnx"
    if file.is_dir():
        raise EngineError(f"{file}: expected an .onnx or .plan file, got a directory")
    if not file.exists():
        names = ", ".join(sorted(model.stem for model in (*list_models(), *list_denoisers())))
        raise EngineError(f"{file}: no such file, and no built-in model ({names})")
    if file.suffix.lower() not in (".onnx", PLAN_SUFFIX):
        check_kind(file, "model", EngineError)
        raise EngineError(f"{file}: this version opens .onnx and .plan files; got {file.suffix or 'no ending'!r}")
    return file


def is_built_in(path: Path) -> bool:
    """Whether this names a built-in model; a file of that name comes first, a folder may have it, too."""
    return path.name == str(path) and not path.is_file() and (MODELS / f"{path}.onnx").is_file()


def list_models() -> list[Path]:
    """Built-in encoders, the smallest first; each has its decoder beside it."""
    return [path for path in _built_in() if decoder_beside(path).is_file()]


def list_denoisers() -> list[Path]:
    """Built-in denoisers, the smallest first."""
    return [path for path in _built_in() if not decoder_beside(path).is_file()]


def _built_in() -> list[Path]:
    models = [path for path in MODELS.glob("*.onnx") if not path.stem.endswith(DECODER_STEM)]
    return sorted(models, key=lambda path: path.stat().st_size)


def decoder_beside(encoder: Path) -> Path:
    """NAME.decoder.onnx beside NAME.onnx."""
    return encoder.with_name(encoder.stem + DECODER_STEM + encoder.suffix)
