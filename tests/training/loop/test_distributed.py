from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from training_runs import CONFIG, TOGETHER, torchrun, train

from microrun.runtime.errors import MicrorunError
from microrun.runtime.scans.up_source import FileSource
from microrun.training.loop.distributed import Processes, alone, join_processes
from microrun.training.vae.batches import ScanBatches
from microrun.training.vae.data import Prepared

CPU = torch.device("cpu")
SCRIPT = Path(__file__).parents[2] / "help" / "train_together.py"


@pytest.mark.parametrize("config", [CONFIG, TOGETHER], ids=["plain", "contrastive"])
def test_the_processes_have_the_batch_that_one_would_have(data: Prepared, config: object) -> None:
    assert isinstance(config, type(CONFIG))
    one = ScanBatches(config, data, Processes(0, 1, CPU))
    four = [ScanBatches(config, data, Processes(rank, 4, CPU)) for rank in range(4)]
    views = 2 if config.contrastive else 1
    for step in (0, 5):
        whole, parts = one.batch(step), [batches.batch(step) for batches in four]
        for name in ("views", "targets", "eps"):
            pieces = [getattr(part, name).unflatten(0, (views, -1)) for part in parts]
            assert torch.equal(torch.cat(pieces, dim=1).flatten(0, 1), getattr(whole, name)), name
    assert not torch.equal(one.batch(0).eps, one.batch(5).eps)


def test_a_batch_that_cannot_be_shared(data: Prepared) -> None:
    with pytest.raises(MicrorunError, match="a batch of 8 cannot be shared by 3 processes"):
        ScanBatches(CONFIG, data, Processes(0, 3, CPU))


def test_alone_without_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join_processes() as processes:
        assert processes == alone() and processes.leads
        module, rows = torch.nn.Linear(1, 1), torch.ones(2, 1)
        assert processes.wrap(module) is module and processes.gather(rows) is rows
        assert processes.any(True) and not processes.any(False)
        assert processes.mean(rows).equal(rows)


def test_two_processes_train_as_one(banded_scans: list[FileSource], data: Prepared, tmp_path: Path) -> None:
    for scan in banded_scans:
        shutil.copy(scan.path, tmp_path)
    alone_in, together_in = tmp_path / "alone", tmp_path / "together"
    reports = train(data, alone_in, TOGETHER)
    ran = torchrun(SCRIPT, together_in)
    assert ran.returncode == 0 and "Grad strides" not in ran.stderr, ran.stderr
    for rank in (0, 1):
        seen = json.loads((together_in / f"rank{rank}.json").read_text())
        assert seen["joined"] == [0.0, 1.0] and seen["mean"] == 0.5 and seen["any"] == [True, False]
        assert seen["gradient"] == 2 * (3.0, 5.0)[rank]
        assert seen["reports"] == (len(reports) if rank == 0 else 0)
    expected, found = (torch.load(folder / "state.pt", weights_only=True) for folder in (alone_in, together_in))
    assert found["data"] == expected["data"] and found["step"] == expected["step"] == 4
    for part in ("network", "average"):
        for name, weights in expected[part].items():
            torch.testing.assert_close(found[part][name], weights, rtol=0, atol=2e-6)  # rounding; 1e-7 was seen
    rows = [(folder / "metrics.csv").read_text().splitlines()[1:] for folder in (alone_in, together_in)]
    for alone_row, together_row in zip(*rows, strict=True):
        terms = [[float(value) for value in row.split(",")[:6]] for row in (alone_row, together_row)]
        assert terms[1] == pytest.approx(terms[0], rel=1e-4)
