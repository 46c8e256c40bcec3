"""`microrun train vae`, and the group that it belongs to."""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from microrun.cli import console
from microrun.cli.region import RegionOption
from microrun.cli.scan_name import ScanNameOption
from microrun.cli.train.diffusion import diffusion
from microrun.cli.train.distil import distil as teach
from microrun.cli.train.matched import MatchedCentre, MatchedPhases, MatchedVoltages, complete, match, simulated
from microrun.cli.train.request import Request
from microrun.cli.train.runs import DRAW_S, Clock, check_run, joined, only_run
from microrun.cli.train.sections import sections
from microrun.cli.train.starts import read_autoencoder_start
from microrun.runtime.errors import MicrorunError
from microrun.runtime.scans.scan import parse_grid
from microrun.runtime.spec import EncoderNetwork, Preprocessing, Training

if TYPE_CHECKING:
    from microrun.training.loop.distributed import Processes
    from microrun.training.simulate.camera.stream import PatternStream
    from microrun.training.vae.config import VaeConfig
    from microrun.training.vae.data import Prepared
    from microrun.training.vae.network import VAE
    from microrun.training.vae.trainer import VaeReport, VaeTrainer

    Learned = tuple[Prepared, PatternStream | None, VaeConfig]

RESULTS = ("checkpoint.safetensors", "metrics.csv", "loss.png", "reconstructions.png")

Scans = Annotated[
    list[Path] | None,
    typer.Argument(help="Finished scans, all of one detector shape; with --phase or --distil none is needed."),
]
Folder = Annotated[Path, typer.Option(help="Folder of the run.")]
Latent = Annotated[
    int | None, typer.Option(help="Latent size: 16, 32, 64, 128 or 256.", show_default="32, or that of --from")
]
Batch = Annotated[int | None, typer.Option(help="Patterns per step, of all GPUs together.", show_default="256")]
Epochs = Annotated[
    float | None, typer.Option(help="Passes over the patterns.", show_default="250, or what fits into --hours")
]
Hours = Annotated[float, typer.Option(help="Stop after so many hours; --resume goes on.", show_default="no limit")]
LearningRate = Annotated[float | None, typer.Option(help="Of Adam.", show_default="0.001")]
Beta = Annotated[float | None, typer.Option(help="Weight of the KL term: more than 1 for a β-VAE.", show_default="1")]
IsContrastive = Annotated[
    bool, typer.Option("--contrastive", help="Also tell augmented views of different patterns apart.")
]
PatternsPerScan = Annotated[
    int | None, typer.Option(help="Random patterns from each scan, at most.", show_default="16000")
]
Grid = Annotated[str | None, typer.Option(help="ROWSxCOLS; by default as the scans state.")]
Seed = Annotated[int | None, typer.Option(help="Of weights, selection, order and noise.", show_default="0")]
Start = Annotated[Path | None, typer.Option("--from", help="Run, checkpoint or built-in model to fine-tune.")]
Teacher = Annotated[
    Path | None,
    typer.Option("--distil", help="Run, checkpoint or built-in model whose latents to learn, from noisy patterns."),
]
Student = Annotated[
    EncoderNetwork | None,
    typer.Option(help="With --distil: fast is of a fifth of the operations.", show_default="that of the teacher"),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in --folder, with its settings.")]

app = typer.Typer(no_args_is_help=True, help="Train models on scans, volumes or sections.")
app.command("diffusion")(diffusion)
app.command("sections")(sections)


@app.command()
def vae(
    scans: Scans = None,
    folder: Folder = Path("vae-run"),
    latent: Latent = None,
    batch: Batch = None,
    epochs: Epochs = None,
    hours: Hours = math.inf,
    learning_rate: LearningRate = None,
    beta: Beta = None,
    contrastive: IsContrastive = False,
    patterns_per_scan: PatternsPerScan = None,
    grid: Grid = None,
    scan_name: ScanNameOption = None,
    region: RegionOption = None,
    seed: Seed = None,
    start: Start = None,
    distil: Teacher = None,
    student: Student = None,
    phase: MatchedPhases = None,
    kv: MatchedVoltages = None,
    pc: MatchedCentre = None,
    resume: Resume = False,
) -> None:
    """Train the variational autoencoder of Calvat et al. on scans or simulations.

    Leaves checkpoint.safetensors, metrics.csv, loss.png and
    reconstructions.png in the run's folder. The state is saved with every
    report, and --resume goes on from there exactly.

    An epoch takes the same number of patterns from every scan, however many
    a scan has. With --hours and without --epochs, the speed is measured
    first, and as many epochs are taken as fit.

    With --phase, --kv or --pc scans are mixed with simulated patterns of
    them, so that --from does not forget orientations that the scans lack;
    without scans the simulations alone are learned from. --latent of twice
    the size that --from has widens its network.

    With --distil an encoder learns to give for noisy, unevenly lit patterns
    the latents that its teacher gives for clean ones; the decoder stays.

    Several GPUs: torchrun --nproc-per-node 2 -m microrun.cli.main train vae …
    """
    from microrun.training.vae.config import Contrastive

    asked = {
        "latent_size": latent,
        "batch": batch,
        "epochs": epochs,
        "learning_rate": learning_rate,
        "beta": beta,
        "contrastive": Contrastive() if contrastive else None,
        "patterns_per_scan": patterns_per_scan,
        "seed": seed,
        "matched": match(phase, kv, pc),
        "student": student,
    }
    settings = {name: value for name, value in asked.items() if value is not None}
    where = parse_grid(grid) if grid else None
    request = Request(scans or [], folder, settings, where, scan_name, region, start, hours)
    check_run(folder, hours, resume)
    with joined(folder) as processes:
        if distil is not None:
            teach(request, distil, processes)
        else:
            _run(request, processes)


def _run(request: Request, processes: Processes) -> None:
    if "student" in request.settings:
        raise MicrorunError("--student has no meaning without --distil")
    if not request.scans and "matched" not in request.settings and not request.state.exists():
        raise MicrorunError(
            "nothing to learn from: name scans, simulate patterns by --phase, or teach an encoder by --distil vae32"
        )
    config, model, preprocessing = _configure(request)
    if not request.scans and config.matched is None:
        raise MicrorunError(f"{request.folder}: was started on scans; name them again, in the same order")
    with contextlib.ExitStack() as stack:
        learn = _learn_from_scans if request.scans else _learn_from_simulations
        data, stream, config = learn(request, (config, preprocessing), processes, stack)
        make = partial(_make_trainer, request, data, processes, stream)
        _train(_start(request, config, model, make), request.hours)


def _learn_from_scans(
    request: Request, asked: tuple[VaeConfig, Preprocessing], processes: Processes, stack: contextlib.ExitStack
) -> Learned:
    """Prepare the scans, and simulations to mix them with if they are asked for."""
    from microrun.training.loop.state import load_state
    from microrun.training.vae.data import describe_data, identity_of, prepare_scans
    from microrun.training.vae.mixed import count_simulated

    folder, (config, preprocessing) = request.folder, asked
    sources = request.open_scans()
    record = describe_data(sources, preprocessing, config.selection)
    config = replace(config, matched=complete(config.matched, sources[0]))
    size = count_simulated(config.batch)
    stream = stack.enter_context(simulated(config.matched, size, config.seed, sources[0].scan.sig_shape))
    identity = identity_of(record) + (stream.simulator.identity if stream else "")
    load_state(folder, config, identity)  # refuses before anything is prepared
    _lock(folder, processes, stack)
    with processes.first_alone(), console.progress_bar("preparing") as bar:
        job = prepare_scans(sources, preprocessing, folder / "prepared.npy", config.selection)
        data = console.watch(job, bar)
    return data, stream, config


def _learn_from_simulations(
    request: Request, asked: tuple[VaeConfig, Preprocessing], processes: Processes, stack: contextlib.ExitStack
) -> Learned:
    """Simulate without end."""
    from microrun.training.loop.state import load_state
    from microrun.training.vae.data import check_simulations_fit
    from microrun.training.vae.mixed import hold_out

    config, preprocessing = asked
    check_simulations_fit(preprocessing, "the model to go on from")
    stream = stack.enter_context(simulated(config.matched, config.batch, config.seed))
    assert stream is not None
    console.out.print(f"simulates {stream.simulator}")
    load_state(request.folder, config, stream.simulator.identity)
    _lock(request.folder, processes, stack)
    return hold_out(stream.simulator), stream, config


def _lock(folder: Path, processes: Processes, stack: contextlib.ExitStack) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if processes.leads:
        stack.enter_context(only_run(folder))


def _configure(request: Request) -> tuple[VaeConfig, VAE | None, Preprocessing]:
    """Settings, those not given from the run that is resumed; and what the checkpoint to fine-tune brings."""
    from microrun.training.loop.checkpoint import CHECKPOINT, read_checkpoint_spec
    from microrun.training.vae.config import VaeConfig
    from microrun.training.vae.data import NEW
    from microrun.training.vae.fine_tune import fine_tune

    base = VaeConfig.load(request.folder / "config.json") if request.state.exists() else VaeConfig()
    try:
        config = replace(base, **request.settings)
    except ValueError as error:
        raise MicrorunError(str(error)) from None
    if request.start is None:
        begun = request.folder / CHECKPOINT
        resumed = request.state.exists() and begun.exists()
        return config, None, read_checkpoint_spec(begun).preprocessing if resumed else NEW
    size = config.latent_size if request.state.exists() else request.settings.get("latent_size")
    start = read_autoencoder_start(request.start)
    return *fine_tune(config, start, size), start.spec.preprocessing


def _make_trainer(
    request: Request,
    data: Prepared,
    processes: Processes,
    stream: PatternStream | None,
    config: VaeConfig,
    model: VAE | None,
) -> VaeTrainer:
    from microrun.training.vae.trainer import VaeTrainer

    parts = ["the scans"] * bool(request.scans) + ["the master patterns"] * bool(stream)
    licence = f"that of {' and '.join([*parts, *['the first weights'] * bool(config.fine_tuned_from)])}"
    source = Training(data=request.data, licence=licence)
    return VaeTrainer(config, data, request.folder, source, model, processes, stream)


def _start(
    request: Request, config: VaeConfig, model: VAE | None, make: Callable[[VaeConfig, VAE | None], VaeTrainer]
) -> VaeTrainer:
    """Trainer, where it was interrupted; with as many epochs as fit into the hours if only they are given."""
    from microrun.training.vae.trainer import fit_epochs

    if request.fills_hours:
        with console.step("measuring the speed"):
            epochs = fit_epochs(make(config, copy.deepcopy(model)), request.hours)
        config = replace(config, epochs=epochs)
        console.out.print(f"{epochs:.3g} epochs fit into {request.hours:g} h")
    trainer = make(config, model)
    trainer.resume()
    return trainer


def _train(trainer: VaeTrainer, hours: float) -> None:
    session = Session(trainer)
    with console.progress_bar("training", "steps") as bar:
        for now in trainer.run(trainer.report_every, hours):
            bar(now.step, now.steps, f"{now.patterns_per_s:,.0f} patterns/s")
            session.report(now)
    if trainer.processes.leads:
        session.finish()


class Session:
    """What is printed and drawn while a trainer runs.

    Parameters
    ----------
    trainer
        Reports of its leading process come here.
    """

    def __init__(self, trainer: VaeTrainer) -> None:
        self.trainer = trainer
        self._clock = Clock(trainer, trainer.config.batch)
        self._drawn_at = time.monotonic()

    def report(self, now: VaeReport) -> None:
        """Print a line, and renew the pictures once a minute."""
        self._clock.count(now.step, now.patterns_per_s)
        contrastive = f"  NT-Xent {now.contrastive:.3f}" if self.trainer.config.contrastive else ""
        console.out.print(
            f"step {now.step:>6,}  L2 {now.l2_per_pixel:.4f}  KL {now.kl:6.1f}{contrastive}  "
            f"held-out R² {now.held_out_r2:.3f}  {now.patterns_per_s:,.0f} patterns/s"
        )
        if time.monotonic() - self._drawn_at > DRAW_S:
            self._draw()

    def finish(self) -> None:
        """Draw, and say how fast it was, where the results are, and what to do next."""
        self._draw()
        self._clock.finish("pattern", RESULTS)

    def _draw(self) -> None:
        from microrun.training.loop.curves import draw_loss
        from microrun.training.vae.pictures import draw_reconstructions

        folder = self.trainer.folder
        draw_loss(folder / "metrics.csv", folder / "loss.png")
        patterns, reconstructed = (images[:, 0].cpu().numpy() for images in self.trainer.reconstruct_held_out())
        draw_reconstructions(patterns, reconstructed, self.trainer.data.pixel_keep, folder / "reconstructions.png")
        self._drawn_at = time.monotonic()
