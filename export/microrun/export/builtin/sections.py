"""Make the built-in denoiser of sections: simulate a campaign, train, export.

    python -m microrun.export.builtin.sections FOLDER

takes about two hours on two cores; it may be interrupted and started again, and leaves ``sections.onnx`` and
``sections.safetensors`` in FOLDER. docs/sections.md says how good the sections are that it draws.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from microrun.export.denoiser_to_onnx import export_denoiser
from microrun.runtime.progress import Progress
from microrun.runtime.sections.section_set import read_sections
from microrun.runtime.spec import Training
from microrun.training.diffusion.checkpoint import load_denoiser, save_denoiser
from microrun.training.diffusion.section_config import SectionConfig
from microrun.training.diffusion.section_trainer import SectionReport, SectionTrainer
from microrun.training.loop.checkpoint import find_checkpoint
from microrun.training.simulate.campaign.cases import Case, spread_cases
from microrun.training.simulate.campaign.run import Campaign, gather_sections, local_processes, run_campaign

NAME = "sections"
LICENCE = "BSD-3-Clause"
CAMPAIGN = Campaign()
CASES = 40
CONFIG = SectionConfig(batch=8, steps=6500, held_out=4)


def simulate(folder: Path, campaign: Campaign, cases: list[Case]) -> Path:
    """Simulate the campaign; cases that are there are kept."""
    path = folder / "sim.h5"
    with local_processes() as executor:
        job = run_campaign(campaign, cases, folder / "sim.cases", executor)
        while True:
            try:
                _print_cases(next(job))
            except StopIteration as end:
                gather_sections(end.value, path)
                return path


def train(folder: Path, sections: Path, config: SectionConfig) -> Path:
    """Train in FOLDER/run; goes on where it was interrupted. Returns the checkpoint."""
    run = folder / "run"
    run.mkdir(exist_ok=True)
    found = read_sections(sections)
    count = len(set(found.case.tolist()))
    source = Training(
        data=f"{len(found)} sections across the tracks of {count} cases of 316L by conduction and phase field "
        f"(microrun simulate sections --sobol {count})",
        licence=LICENCE,
    )
    trainer = SectionTrainer(config, found, run, source)
    trainer.resume()
    for report in trainer.run(trainer.report_every):
        _print_report(report)
    return find_checkpoint(run)


def ship(checkpoint: Path, folder: Path) -> Path:
    """Write what ships, in half precision.

    Parameters
    ----------
    checkpoint
        That training left.
    folder
        Gets sections.safetensors and sections.onnx.

    Returns
    -------
    Path
        The .onnx file.
    """
    unet, spec = load_denoiser(checkpoint)
    path = folder / f"{NAME}.safetensors"
    weights = {name: tensor.half() for name, tensor in unet.state_dict().items()}
    save_denoiser(path, weights, unet.config, replace(spec, name=NAME))
    exported = export_denoiser(path, path.with_suffix(".onnx"), "f16").path
    print(f"wrote {path} and {exported}", flush=True)
    return exported


def main(folder: Path) -> None:
    """Run all of it."""
    folder.mkdir(parents=True, exist_ok=True)
    ship(train(folder, simulate(folder, CAMPAIGN, spread_cases(CASES)), CONFIG), folder)


def _print_cases(now: Progress) -> None:
    print(f"{now.done} of {now.total} cases", flush=True)


def _print_report(report: SectionReport) -> None:
    print(
        f"step {report.step}/{report.steps}  loss {report.loss:.4f}  held out {report.held_out_loss:.4f}  "
        f"{report.sections_per_s:.1f} sections/s",
        flush=True,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
