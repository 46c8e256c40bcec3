"""Two processes that `torchrun` starts train as one would: both models by the same two, as starting takes seconds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from train_denoiser import train_in
from training_runs import TOGETHER, torchrun, train

from microrun.runtime.scans.up_source import FileSource
from microrun.training.loop.distributed import alone
from microrun.training.vae.data import Prepared

SCRIPT = Path(__file__).parents[1] / "help" / "train_together.py"


@pytest.fixture(scope="module")
def together(banded_scans: list[FileSource], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes trained an autoencoder and, in `denoiser`, a denoiser."""
    folder = tmp_path_factory.mktemp("torchrun")
    for scan in banded_scans:
        shutil.copy(scan.path, folder)
    ran = torchrun(SCRIPT, folder / "together")
    assert ran.returncode == 0 and "Grad strides" not in ran.stderr, ran.stderr
    return folder / "together"


def test_an_autoencoder(data: Prepared, together: Path, tmp_path: Path) -> None:
    reports = train(data, tmp_path / "alone", TOGETHER)
    for rank in (0, 1):
        seen = json.loads((together / f"rank{rank}.json").read_text())
        assert seen["joined"] == [0.0, 1.0] and seen["mean"] == 0.5 and seen["any"] == [True, False]
        assert seen["gradient"] == 2 * (3.0, 5.0)[rank]
        assert seen["reports"] == (len(reports) if rank == 0 else 0)
    expected, found = (torch.load(folder / "state.pt", weights_only=True) for folder in (tmp_path / "alone", together))
    assert found["data"] == expected["data"] and found["step"] == expected["step"] == 4
    for part in ("network", "average"):
        for name, weights in expected[part].items():
            torch.testing.assert_close(found[part][name], weights, rtol=0, atol=2e-6)  # rounding; 1e-7 was seen
    rows = [(folder / "metrics.csv").read_text().splitlines()[1:] for folder in (tmp_path / "alone", together)]
    for alone_row, together_row in zip(*rows, strict=True):
        terms = [[float(value) for value in row.split(",")[:6]] for row in (alone_row, together_row)]
        assert terms[1] == pytest.approx(terms[0], rel=1e-4)


def test_a_denoiser(together: Path, tmp_path: Path) -> None:
    train_in(tmp_path / "alone", alone())
    states = [
        torch.load(folder / "state.pt", weights_only=True) for folder in (tmp_path / "alone", together / "denoiser")
    ]
    assert [state["step"] for state in states] == [4, 4]
    for part in ("network", "average"):
        for name, weights in states[0][part].items():
            torch.testing.assert_close(states[1][part][name], weights, rtol=0, atol=2e-5)  # rounding
