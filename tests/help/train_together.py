"""What `torchrun` runs in the tests: an autoencoder in a folder, on the scans beside it, and a denoiser."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from train_denoiser import train_in
from training_runs import TOGETHER, prepare, train

from microrun.runtime.scans.up_source import FileSource
from microrun.training.loop.distributed import join_processes


def main(folder: Path) -> None:
    """Train both; write what the processes saw of each other."""
    scans = [FileSource(path) for path in sorted(folder.parent.glob("*.up2"))]
    with join_processes() as processes:
        with processes.first_alone():
            data = prepare(scans, folder.parent)
        rank = torch.tensor([[float(processes.rank)]], requires_grad=True)
        joined = processes.gather(rank)
        (joined * torch.tensor([[3.0], [5.0]])).sum().backward()  # type: ignore[no-untyped-call]
        assert rank.grad is not None
        seen = {
            "joined": joined.flatten().tolist(),
            "gradient": rank.grad.item(),
            "mean": processes.mean(torch.tensor(float(processes.rank))).item(),
            "any": [processes.any(processes.rank == 1), processes.any(False)],
            "reports": len(train(data, folder, TOGETHER, processes=processes)),
        }
        (folder / f"rank{processes.rank}.json").write_text(json.dumps(seen))
        train_in(folder / "denoiser", processes)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
