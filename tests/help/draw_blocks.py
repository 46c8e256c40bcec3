"""What the tests run in a process of its own: workers draw batches, and blocks that cannot be drawn."""

from __future__ import annotations

import numpy as np
import torch

from microrun.runtime.errors import MicrorunError
from microrun.training.diffusion.batches import Batches
from microrun.training.diffusion.blocks import Blocks, BlockSettings
from microrun.training.simulate.volumes import SimulatedVolume

STEPS = range(5, 12)


def draw(n_colours: int) -> None:
    """Say of every batch whether it is the one that is drawn without workers."""
    grain_ids = np.random.default_rng(0).integers(0, 9, (16, 16, 16)).astype(np.int32)
    settings = BlockSettings(side=8, seed=3, n_colours=n_colours)
    batches = Batches(Blocks([SimulatedVolume(grain_ids, "potts", True)], settings), 250, 4)
    for step, drawn in zip(STEPS, batches.load(STEPS, workers=2), strict=True):
        print(all(torch.equal(ours, theirs) for ours, theirs in zip(drawn, batches[step], strict=True)))


if __name__ == "__main__":
    draw(128)
    try:
        draw(2)
    except MicrorunError as error:
        print(str(error).split(" for a block")[0])
