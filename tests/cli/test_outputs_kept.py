"""What appears at the name of an output while a command works: whichever command it is, it is kept, and told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from command_line import Microrun
from make_denoisers import write_block_denoiser, write_section_denoiser
from make_models import write_pair
from scan_files import copy_with_truth
from section_sets import draw_cells, make_set
from small_pool import make_small_pool
from write_odf import voronoi

from microrun.cli.commands import COMMANDS, load_command
from microrun.runtime.files import destination
from microrun.runtime.files.asked import answers_hold, may_replace, remember
from microrun.runtime.sections.section_set import write_sections
from microrun.training.simulate.melt_pool.store import write_pool

CPU = "--device cpu --precision f32"
RUNS = {  # words of a command, with what `work` makes
    "encode": f"encode scan.up2 --engine models/tiny.onnx {CPU}",
    "physics": "physics scan.up2 --no-index",
    "replay": "replay scan.up2 growing.up2 --rate 0",
    "maps": "maps scan.latents.h5 --pca",
    "analyse": "analyse scan.latents.h5",
    "decode": f"decode scan.latents.h5 --engine models/tiny.decoder.onnx {CPU}",
    "convert": "convert scan.latents.h5 --to csv",
    "convert --to up2": "convert scan.up2 --to up2 --out copy.up2",
    "convert --to xdmf": "convert scan.latents.h5 --to xdmf",
    "convert --to vti": "convert labels.npy --to vti",
    "evaluate": "evaluate random.up2 --engine models/tiny.onnx --patterns 8 --precision f32 --folder .",
    "generate-patterns": "generate-patterns --engine models/tiny.onnx --count 2 --out patterns.png",
    "generate": f"generate --size 32 --engine blocks.onnx --timesteps 3 --resample 1 --out grown.h5 {CPU}",
    "voxelize": "voxelize box.stl --size 8 --out mask.npy",
    "orient": "orient labels.npy --texture uniform --out oriented.h5",
    "segment": "segment labels.npy --components 6 --out segmented.npy",
    "grains": "grains labels.npy",
    "render": "render labels.npy --slices --out volume.svg",
    "sample": f"sample --power 150 --speed 0.9 --count 1 --timesteps 2 --engine sections.onnx --out drawn.h5 {CPU}",
    "sections": "sections cut.h5",
    "simulate potts": "simulate potts volumes.h5 --size 8 --duration 1",
    "simulate am": "simulate am built.h5 --size 8 --pool 12x10x8 --hatch 4 --layer 2",
    "simulate meltpool": "simulate meltpool --power 80 --speed 1 --cell 8 --field eagar-tsai --out melt.h5",
    "simulate solidify": "simulate solidify pool.h5 --layers 1 --tracks 1 --length 24 --layer-um 12 --out part.h5",
    "simulate scan": "simulate scan simulated.up2 --grid 2x2 --grains 1 --detector 60",
    "bench segment": "bench segment --size 8 --part-size 8 --repeats 1 --out bench.json",
}
SLOW = ("evaluate", "generate", "grains", "sections", "bench segment")
ALIKE = {  # what is not run here, and why
    "serve": "copies files without any work before; a scan takes its name before its first pattern comes",
    "probe": "takes minutes; holds its names while it works, as evaluate",
    "export": "needs a training; the file and its decoder are checked and written as one of generate",
    "simulate sections": "simulates for minutes; checked and written as sample",
    **dict.fromkeys((f"bench {name}" for name in ("encode", "latency", "serve", "generate", "solidify")), "as segment"),
}


def commands_that_write() -> Iterator[str]:
    for name in COMMANDS:
        found = load_command(name)
        for inner, command in getattr(found, "commands", {"": found}).items():
            if any("--overwrite" in param.opts for param in command.params):
                yield f"{name} {inner}".strip()


@pytest.fixture
def work(tmp_path: Path, scan: Path, microrun: Microrun, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with whatever commands read."""
    (tmp_path / "models").mkdir()
    engine = write_pair(tmp_path / "models")
    assert microrun("encode", scan, "--engine", engine, *CPU.split()).code == 0
    write_block_denoiser(tmp_path / "blocks.onnx")
    write_section_denoiser(tmp_path / "sections.onnx")
    np.save(tmp_path / "labels.npy", voronoi((8, 9, 10), 6))
    trimesh.creation.box((4, 2, 1)).export(tmp_path / "box.stl")
    cells = draw_cells((4, 40, 40), 30, 0)
    write_sections(tmp_path / "cut.h5", [make_set(cells, power_w=np.repeat([100.0, 150.0], 2))])
    write_pool(tmp_path / "pool.h5", make_small_pool())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_each_command_that_writes_is_here() -> None:
    assert {name for name in RUNS if " --" not in name} | set(ALIKE) == set(commands_that_write())


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in RUNS])
def test_what_appears_while_a_command_works_is_kept(
    microrun: Microrun, work: Path, simulated_scan: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if name == "evaluate":
        copy_with_truth(simulated_scan, work)
    if name == "encode":
        (work / "scan.latents.h5").unlink()
    appeared: set[Path] = set()

    def remember_and_intrude(path: Path, replace: bool) -> None:
        remember(path, replace)
        if not replace and path not in appeared:
            path.write_text("mine")
            appeared.add(path)

    monkeypatch.setattr(destination, "remember", remember_and_intrude)
    ran = microrun(*RUNS[name].split())
    assert appeared, ran
    told = ran.err.splitlines()[-1]
    assert ran.code == 2 and told.startswith("error: ") and "write to another place" in told, ran
    assert any(told.startswith(f"error: {path}: ") for path in appeared)
    assert {path.read_text() for path in appeared} == {"mine"}
    assert not [path for path in work.iterdir() if path.name.startswith(".part-")]


def test_answers_hold_for_a_command_only(tmp_path: Path) -> None:
    path: Any = tmp_path / "out"
    with answers_hold():
        remember(path, replace=False)
        path.write_text("another's")
        assert not may_replace(path)
    assert may_replace(path)
