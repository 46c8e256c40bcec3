"""How far the building of a plan is, as TensorRT tells it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Tell = Callable[[str, int, int], None]  # a phase of the build, steps done and their number; TensorRT calls it


def make_monitor(trt: Any, tell: Tell) -> Any:
    """A progress monitor of TensorRT's for a builder; its ``error`` is what `tell` raised, if it did."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Reports the outermost phases; those inside them come and go too fast to read.

        An error of `tell` must not pass through the library that calls: it is kept, and ends the build.
        """

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}
            self.error: BaseException | None = None

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            if not parent:
                self.steps[phase] = steps
                self.report(phase, 0)

        def step_complete(self, phase: str, step: int) -> bool:
            if phase in self.steps:
                self.report(phase, step + 1)
            return self.error is None  # go on

        def phase_finish(self, phase: str) -> None:
            if phase in self.steps:
                self.report(phase, self.steps[phase])
                del self.steps[phase]

        def report(self, phase: str, done: int) -> None:
            if self.error:
                return
            try:
                tell(phase, done, self.steps[phase])
            except BaseException as error:
                self.error = error

    return Monitor()
