"""Sections drawn by a denoiser for laser powers and speeds.

The noise of a section is a function of the seed and its number among those of one power and speed. So a section is
the same, to the last bit on the CPU, whatever the batch and the order, and whichever other powers and speeds are drawn
beside it; and sections of one number show, from power to power, what power does.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np

from microrun.runtime.array_types import Float32
from microrun.runtime.colour_codes import nearest_codes
from microrun.runtime.engines.denoiser import Denoiser
from microrun.runtime.errors import SectionsError, SpecError
from microrun.runtime.generation.crew import Crew, Drawing
from microrun.runtime.generation.sampling import Sampling, tabulate_steps
from microrun.runtime.progress import Job, Progress
from microrun.runtime.sections.orientations import TABLE_1
from microrun.runtime.sections.section_set import HATCH, SectionSet
from microrun.runtime.sections.smoothing import smooth_orientations
from microrun.runtime.spec import Diffusion

POLL_S = 0.2
MOST_PASSES = 100
SAMPLING = Sampling(50)
SMOOTHING = 3  # passes; chosen, as SAMPLING, on cases of the simulation that were held out
CONDITIONS = ("power_w", "speed_m_s")  # what a denoiser of sections is conditioned on


@dataclass(frozen=True)
class SampleRequest:
    """What to draw.

    Parameters
    ----------
    points
        Laser powers in W with scanning speeds in m/s.
    count
        Sections of each.
    seed
        The same seed gives the same sections.
    sampling
        How; the network is evaluated ``sampling.count`` times a section.
    smoothing
        Passes of `smooth_orientations` over what was drawn.
    extrapolate
        Whether powers and speeds may lie outside the window that the model was trained in.

    Raises
    ------
    SectionsError
        If nothing is asked for, or the seed makes no sense.
    """

    points: tuple[tuple[float, float], ...]
    count: int = 16
    seed: int = 0
    sampling: Sampling = SAMPLING
    extrapolate: bool = False
    smoothing: int = SMOOTHING

    def __post_init__(self) -> None:
        if not self.points or self.count < 1:
            raise SectionsError(f"at least one section of one power and speed must be drawn; got {self.count}")
        if not 0 <= self.smoothing <= MOST_PASSES:
            raise SectionsError(f"sections are smoothed 0 to {MOST_PASSES} times; got {self.smoothing}")
        if not 0 <= self.seed < 1 << 64:
            raise SectionsError(f"seed must be 0 to 2^64 - 1; got {self.seed}")


def check_model(denoiser: Denoiser) -> Diffusion:
    """What a model draws.

    Raises
    ------
    SpecError
        If it draws no sections for power and speed.
    """
    diffusion = denoiser.diffusion
    names = tuple(one.name for one in diffusion.conditions)
    if not diffusion.plane or names != CONDITIONS or diffusion.n_colours != len(TABLE_1):
        raise SpecError(f"{denoiser.info.path}: draws no sections for laser power and speed; take another --engine")
    return diffusion


def scale_points(diffusion: Diffusion, request: SampleRequest) -> Float32:
    """What the network sees of powers and speeds.

    Parameters
    ----------
    diffusion
        Of the model, with its windows.
    request
        With the points.

    Returns
    -------
    (points, 2) float32

    Raises
    ------
    SectionsError
        If one lies outside the window and may not, or is no positive number.
    """
    scaled = np.empty((len(request.points), len(CONDITIONS)), np.float32)
    for row, point in zip(scaled, request.points, strict=True):
        for place, (condition, value) in enumerate(zip(diffusion.conditions, point, strict=True)):
            if not 0 < value < np.inf:
                raise SectionsError(f"{condition.name} must be more than 0; got {value:g}")
            inside = condition.low <= value <= condition.high
            if not inside and (condition.low == condition.high or not request.extrapolate):
                cannot = condition.low == condition.high
                raise SectionsError(
                    f"{condition.name} {value:g} lies outside the window that the model was trained in, "
                    f"{condition.low:g} to {condition.high:g}; "
                    + ("it knows no other" if cannot else "stay within, or say --extrapolate")
                )
            row[place] = condition.scale(value)
    return scaled


def sample_sections(denoiser: Denoiser, request: SampleRequest) -> Job[SectionSet]:
    """Draw sections.

    Parameters
    ----------
    denoiser
        Of sections; it stays open.
    request
        What to draw.

    Yields
    ------
    Progress
        Evaluations of the network.

    Returns
    -------
    SectionSet
        ``count`` sections of the first point, then of the next; ``case`` is the number of the point. The share of
        cells whose values name no orientation at once, and got the nearest, is in ``details``, and that of the cells
        which smoothing has changed.

    Raises
    ------
    SpecError, SectionsError
        As `check_model` and `scale_points`.
    EngineError
        If the engine fails.
    """
    diffusion = check_model(denoiser)
    team = _Team(denoiser, request, scale_points(diffusion, request))
    yield from team.work()
    assert diffusion.plane != ""
    points = np.array(request.points, np.float64).repeat(request.count, axis=0)
    case = np.arange(len(request.points), dtype=np.int32).repeat(request.count)
    smooth = smooth_orientations(team.drawn, request.smoothing)
    noted = {
        **_details(denoiser, request, team.unclear / team.drawn.size),
        "smoothed_cells": f"{float((smooth != team.drawn).mean()):.5f}",
    }
    return SectionSet(
        smooth, None, points[:, 0].copy(), points[:, 1].copy(), case, TABLE_1.copy(), diffusion.plane,
        diffusion.step_um, "sample", noted,
    )  # fmt: skip


class _Team:
    """Threads that draw sections, one for each lane of a denoiser."""

    def __init__(self, denoiser: Denoiser, request: SampleRequest, conditions: Float32) -> None:
        diffusion = denoiser.diffusion
        self._denoiser, self._request, self._conditions = denoiser, request, conditions
        self._steps = tabulate_steps(diffusion.schedule, request.sampling)
        self._codes = diffusion.codes
        self._clear = pairwise_gap(self._codes) / 2
        total = len(request.points) * request.count
        self.drawn = np.empty((total, *diffusion.sides), np.int8)
        self._waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        for place in range(total):
            self._waiting.put(place)
        self._unclear, self._evaluations = np.zeros((2, min(denoiser.info.lanes, total)), np.int64)
        self._stopped = threading.Event()

    @property
    def unclear(self) -> int:
        """Cells whose values are far from every orientation's."""
        return int(self._unclear.sum())

    def work(self) -> Iterator[Progress]:
        """Draw all; tells evaluations of the network."""
        threads, total = len(self._evaluations), len(self.drawn) * len(self._steps.timesteps)
        with ThreadPoolExecutor(threads, "sections") as pool:
            running = {pool.submit(self._draw, number) for number in range(threads)}
            try:
                while running:
                    yield Progress(int(self._evaluations.sum()), total)
                    finished, running = wait(running, POLL_S, FIRST_COMPLETED)
                    for one in finished:
                        one.result()
            finally:
                self._stopped.set()
        yield Progress(total, total)

    def _draw(self, thread: int) -> None:
        diffusion, request = self._denoiser.diffusion, self._request
        nothing, busy = np.zeros(diffusion.sample_shape, np.float32), 0
        with Crew[int](self._denoiser.lane(), diffusion.sample_shape, request.seed) as crew:
            while not self._stopped.is_set():
                with contextlib.suppress(queue.Empty):
                    while crew.idle:
                        place = self._waiting.get_nowait()
                        point, number = divmod(place, request.count)
                        drawing = Drawing(place, number, self._steps)
                        crew.begin(drawing, nothing, nothing.astype(bool), self._conditions[point])
                        busy += 1
                if not busy:
                    return
                self._evaluations[thread] += busy
                for drawing, values in crew.step():
                    self.drawn[drawing.owner] = ids = nearest_codes(values, self._codes)
                    far = np.linalg.norm(values - np.moveaxis(self._codes[ids], -1, 0), axis=0) > self._clear
                    self._unclear[thread] += far.sum()
                    busy -= 1


def pairwise_gap(codes: Float32) -> float:
    """Smallest distance between two rows."""
    distances = np.linalg.norm(codes[:, None] - codes, axis=-1)
    return float(distances[np.triu_indices(len(codes), 1)].min())


def _details(denoiser: Denoiser, request: SampleRequest, unclear: float) -> dict[str, str]:
    sampling, info, hatch_um = request.sampling, denoiser.info, denoiser.diffusion.hatch_um
    details = {
        "model": denoiser.spec.name,
        "model_sha256": info.sha256,
        "trained_on": denoiser.spec.training.data,
        "computed_by": f"{info.library} on {info.device} in {info.precision}",
        "seed": str(request.seed),
        "steps": str(sampling.count),
        "eta": f"{sampling.eta:g}",
        "smoothing": str(request.smoothing),
        "extrapolated": "yes" if request.extrapolate else "no",
        "unclear_cells": f"{unclear:.5f}",
    }
    return details | ({HATCH: f"{hatch_um:g}"} if hatch_um else {})
