"""What `microrun generate` says before, while and after a volume grows."""

from __future__ import annotations

import time
from contextlib import closing

import numpy as np
import typer

from microrun.cli import console
from microrun.cli.outputs import say_wrote
from microrun.cli.plain_progress import duration_text
from microrun.runtime.engines.engine import EngineInfo
from microrun.runtime.files.quoting import quoted
from microrun.runtime.generation.effort import GRAINPAINT_EVALUATIONS, check_block, count_work, evaluations_per_block
from microrun.runtime.generation.generate import Growing
from microrun.runtime.generation.grow import Grown
from microrun.runtime.generation.overlaps import BLOCK
from microrun.runtime.generation.recipe import fit_sampling
from microrun.runtime.generation.request import GenerateRequest
from microrun.runtime.progress import finish
from microrun.runtime.spec import Diffusion, ModelSpec
from microrun.runtime.volumes.axes import list_axes
from microrun.runtime.volumes.segment import Summary

LABEL_BYTES = 4
GRAINS_BYTES = 14  # per voxel: 10, measured where most grains are tiny and are absorbed, and a copy that is relaxed


class Pace:
    """Turns evaluations of this run, which may go on with another's blocks, into voxels per second.

    Parameters
    ----------
    request
        For the volume.
    spec
        Of the denoiser.
    """

    def __init__(self, request: GenerateRequest, spec: ModelSpec) -> None:
        work = count_work(request.tiling, check_block(spec).schedule, fit_sampling(request.sampling, spec))
        self.blocks = work.blocks
        voxels = int(np.prod(request.shape)) if request.part is None else int(request.part.sum())
        self._voxels_per_evaluation = voxels / work.evaluations
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return max(time.monotonic() - self._started, 1e-3)

    def voxels_s(self, now: Grown) -> float:
        """Voxels per second on average."""
        return now.done * self._voxels_per_evaluation / self.seconds


def show_growth(growing: Growing, request: GenerateRequest, spec: ModelSpec) -> None:
    """Run a volume's growth to its end: a progress bar, then how fast it was and what was made."""
    with closing(growing):
        grown, pace = next(growing), Pace(request, spec)
        if grown.blocks:
            console.out.print(f"going on {grown.blocks:,} of {pace.blocks:,} blocks are in {request.folder}")
        try:
            with console.progress_bar("growing", "evaluations") as bar:
                while not grown.phase:
                    speed = f"{pace.voxels_s(grown):,.0f} voxels/s"
                    bar(grown.done, grown.total, f"{grown.blocks:,} of {pace.blocks:,} blocks, {speed}")
                    grown = next(growing)
        except KeyboardInterrupt:
            kept = f"{grown.blocks:,} of {pace.blocks:,} blocks are kept"
            console.error_line(f"interrupted; {kept}: run the same again to go on")
            raise typer.Exit(130) from None
        _print_pace(pace, grown)
        with console.step(grown.phase):
            summary = finish(growing)
    _print_summary(request, summary, check_block(spec))


def print_estimate(request: GenerateRequest, spec: ModelSpec, info: EngineInfo, rate: float) -> None:
    """Print what a volume takes: blocks, evaluations, room and time."""
    tiling, diffusion, sampling = request.tiling, check_block(spec), fit_sampling(request.sampling, spec)
    work = count_work(tiling, diffusion.schedule, sampling)
    bare, known = evaluations_per_block(diffusion.schedule, sampling)
    voxels = int(np.prod(request.shape))
    voxel_bytes = 1 if diffusion.n_colours else 4
    block_bytes = work.blocks * BLOCK**3 * voxel_bytes + voxels * voxel_bytes  # apart, and put together
    samples = info.lanes * info.batch * int(np.prod(diffusion.sample_shape)) * 4
    tiles = sum(array.nbytes for array in (tiling.corners, tiling.stages, tiling.starts, tiling.earlier))
    mask = 0 if request.part is None else request.part.nbytes
    depth, rows, cols = request.shape
    first = f"{work.first_blocks:,} from nothing ({bare} evaluations each), the others from known voxels too ({known})"
    console.print_table(
        f"{request.out}",
        {
            "volume": f"{depth} × {rows} × {cols} voxels (z, y, x)" + _part_text(request) + _asked_text(request),
            "blocks": f"{work.blocks:,} in {request.order} order; {first}",
            "evaluations": f"{work.evaluations:,}, {work.evaluations / voxels:.3g} per voxel: "
            f"{work.evaluations / (work.blocks * GRAINPAINT_EVALUATIONS):.2f} of GrainPaint's for these blocks",
            "disk": f"{console.size_text(block_bytes)} for blocks, "
            f"{console.size_text(voxels * LABEL_BYTES)} for grains",
            "memory": f"{console.size_text(tiles + mask + 6 * samples)} beside the engine's own; then up to "
            f"{console.size_text(voxels * GRAINS_BYTES)} to tell grains apart",
            "engine": str(info),
            "time": f"{duration_text(work.evaluations / rate)} at {rate:,.1f} evaluations/s, measured now",
        },
    )


def _print_pace(pace: Pace, grown: Grown) -> None:
    """Print how fast the blocks were made."""
    if grown.done:
        console.out.print(
            f"grown    {grown.blocks:,} blocks in {duration_text(pace.seconds)}: "
            f"{grown.done / pace.seconds:,.1f} evaluations/s, {pace.voxels_s(grown):,.0f} voxels/s"
        )


def _print_summary(request: GenerateRequest, summary: Summary, diffusion: Diffusion) -> None:
    """Print what was made."""
    joined = f", joined across the faces along {list_axes(request.periodic)}" if request.periodic else ""
    console.out.print(f"grains   {summary.grains:,} in {summary.voxels - summary.outside:,} voxels{joined}")
    if request.given is not None:
        console.out.print(f"known    {_known_text(request, summary)}")
    if request.relax and diffusion.n_colours:
        console.out.print(f"relaxed  {request.relax} sweeps of grain growth; --relax 0 leaves boundaries as drawn")
    say_wrote(request.out)
    scale = _print_voxel(request)
    volume, picture = map(quoted, (request.out, request.out.with_suffix(".png")))
    console.out.print(f"next     microrun render {volume}{scale} --out {picture}; microrun grains {volume}{scale}")


def _print_voxel(request: GenerateRequest) -> str:
    """Print how large a voxel is; returns the option that says so where the file cannot."""
    if request.voxel_um is None:
        return ""
    lost = request.out.suffix.lower() == ".npy"
    option = f" --voxel-um {request.voxel_um:.6g}" if lost else ""
    said = f"; a .npy cannot state it: give{option} to other commands, or write .h5" if lost else ", as the file states"
    console.out.print(f"voxel    {request.voxel_um:.4g} µm{said}")
    return option


def _known_text(request: GenerateRequest, summary: Summary) -> str:
    assert request.given is not None
    given = request.given
    said = f"{given.count:,} grains of {np.count_nonzero(given.mask):,} voxels are kept and go on"
    if not summary.met:
        return said
    return f"{said}; {summary.met:,} pairs of one colour met, and were divided where each is nearer"


def _part_text(request: GenerateRequest) -> str:
    if request.part is None:
        return ""
    return f", {int(request.part.sum()):,} of them in the part"


def _asked_text(request: GenerateRequest) -> str:
    known = "" if request.given is None else f", {np.count_nonzero(request.given.mask):,} of them known"
    periodic = f", periodic along {list_axes(request.periodic)}" if request.periodic else ""
    return known + periodic + ("" if request.voxel_um is None else f", each {request.voxel_um:.4g} µm")
