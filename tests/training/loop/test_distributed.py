from __future__ import annotations

import pytest
import torch
from training_runs import CONFIG, TOGETHER

from microrun.runtime.errors import MicrorunError
from microrun.training.loop.distributed import Processes, alone, join_processes
from microrun.training.vae.batches import ScanBatches
from microrun.training.vae.data import Prepared

CPU = torch.device("cpu")


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
