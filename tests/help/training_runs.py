"""Small scans and short runs that the tests of training share."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from microrun.runtime.progress import finish
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.up2 import UpWriter
from microrun.runtime.scans.up_source import FileSource
from microrun.runtime.spec import Preprocessing, Training
from microrun.training.loop.distributed import Processes
from microrun.training.loop.trainer import Report
from microrun.training.vae.config import Contrastive, VaeConfig
from microrun.training.vae.data import Prepared, prepare_scans
from microrun.training.vae.trainer import VaeReport, VaeTrainer

CONFIG = VaeConfig(latent_size=16, batch=8, epochs=2, held_out=0.2, seed=3)
TOGETHER = replace(CONFIG, epochs=1, precision="f32", contrastive=Contrastive(temperature=0.2))
SOURCE = Training(data="bands", licence="CC0")
ReportT = TypeVar("ReportT", bound=Report)


def write_bands(path: Path, nav_shape: tuple[int, int], seed: int, sig_shape: tuple[int, int] = (120, 120)) -> Path:
    """Write a scan whose patterns have one band each, at a random angle, on a flat background with noise."""
    rng = np.random.default_rng(seed)
    y, x = (np.mgrid[: sig_shape[0], : sig_shape[1]].T / sig_shape[::-1] - 0.5).T
    scan = Scan(nav_shape, sig_shape, "uint16")
    with UpWriter(path, scan) as writer:
        for angle in rng.uniform(0, np.pi, scan.total):
            band = 2000 * np.exp(-((x * np.cos(angle) + y * np.sin(angle)) ** 2) * 200)
            writer.write((band + 5000 + rng.normal(0, 50, sig_shape)).astype(np.uint16)[None])
    return path


def prepare(scans: Sequence[FileSource], folder: Path, config: VaeConfig = CONFIG) -> Prepared:
    """Prepare scans as a run in a folder would."""
    return finish(prepare_scans(scans, Preprocessing(), folder / "prepared.npy", config.selection))


def train(
    data: Prepared,
    folder: Path,
    config: VaeConfig = CONFIG,
    stop_after: int | None = None,
    processes: Processes | None = None,
) -> list[VaeReport]:
    """Train, or go on, in a folder; with ``stop_after``, until it is given up after so many reports."""
    folder.mkdir(exist_ok=True)
    trainer = VaeTrainer(config, data, folder, SOURCE, processes=processes)
    trainer.resume()
    return take(trainer.run(2), stop_after)


def take(run: Iterator[ReportT], stop_after: int | None) -> list[ReportT]:
    """Reports of a run; it is given up after so many, which must come."""
    reports = list(itertools.islice(run, stop_after))
    assert stop_after in (None, len(reports))
    return reports


def torchrun(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Two processes on the CPU."""
    return run_script("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments)


def run_script(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own, on the CPU."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
