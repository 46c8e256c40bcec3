"""TensorRT and TensorRT-RTX: two modules with one interface, both imported only when a plan is built or run."""

from __future__ import annotations

import functools
import importlib
from collections import deque
from typing import Any

from microrun.runtime.engines.nvidia.cuda import Card
from microrun.runtime.engines.nvidia.plan import Library
from microrun.runtime.errors import EngineError, first_line
from microrun.runtime.files.extras import install_command

TITLES: dict[Library, str] = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX"}
# Turing (7.5) must be asked for at the build, alone.
RTX_CARDS = ("8.0", "8.6", "8.9", "12.0+")
RTX_TURING = "7.5"
KEPT_ERRORS = 16


def import_library(library: Library) -> Any:
    """Import a library.

    Raises
    ------
    EngineError
        If it, or the shared library behind its bindings, is missing.
    """
    title, extra = TITLES[library], "rtx" if library == "tensorrt_rtx" else "tensorrt"
    try:
        return importlib.import_module(library)
    except ModuleNotFoundError as error:
        if error.name == library:
            raise EngineError(f"{title} is not installed; {install_command(extra)}") from None
        broken: Exception = error
    except (ImportError, OSError, RuntimeError) as error:
        broken = error
    raise EngineError(
        f"{title}'s Python bindings are installed, but not the library behind them ({first_line(broken)}); "
        f"{install_command(extra)} again, or see {title}'s installation guide"
    )


def choose_library(card: Card) -> Library:
    """TensorRT-RTX for the cards that it knows, TensorRT for the others, such as the H200."""
    return "tensorrt_rtx" if covers((RTX_TURING, *RTX_CARDS), card.compute_capability) else "tensorrt"


def covers(capabilities: tuple[str, ...], capability: tuple[int, int]) -> bool:
    """Whether a card's compute capability is one of those, of which "12.0+" means this one and all later ones."""
    for text in capabilities:
        major, minor = map(int, text.rstrip("+").split("."))
        if capability == (major, minor) or (text.endswith("+") and capability >= (major, minor)):
            return True
    return False


@functools.cache  # TensorRT takes the first one it is given for the whole process, and does not keep it alive
def make_logger(trt: Any) -> Any:
    """The logger, which prints nothing and keeps the latest errors; `last_error` gives the last of them."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: deque[str] = deque(maxlen=KEPT_ERRORS)

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                self.errors.append(message)

    return Logger()


def last_error(logger: Any) -> str:
    """The last line that a library complained with."""
    return first_line(logger.errors[-1]) if logger.errors else "it did not say why"
