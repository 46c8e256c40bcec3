"""The steps by which blocks are drawn, by what they find known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.generation.sampling import Sampling, Steps, tabulate_steps
from microrun.runtime.generation.tiling import Tiling
from microrun.runtime.spec import Diffusion

# How far known voxels are ahead where grains were known from the start, instead of a preset's lead, in blocks that find
# nothing else known and in those that find earlier blocks, too. A layer of one voxel is hidden by noise sooner than
# blocks that overlap by eight: its grains go on as far as in simulated volumes with 0.6, half as far with 0.16. In
# later blocks so much makes grains too large.
GIVEN_LEADS = (0.6, 0.3)


def tabulate_kinds(diffusion: Diffusion, sampling: Sampling) -> tuple[Steps, ...]:
    """Steps of blocks that find nothing known, earlier blocks, grains that were known from the start, and both.

    A denoiser that sees what is known finds that clean from the first step on, and draws all blocks alike.
    """
    schedule = diffusion.schedule
    if diffusion.known_inputs:
        return (tabulate_steps(schedule, replace(sampling, known_lead=1.0)),) * 4
    leads = (sampling.known_lead, *(max(lead, sampling.known_lead) for lead in GIVEN_LEADS))
    known = leads if sampling.known_lead else (0.0, 0.0, 0.0)
    with_known = (tabulate_steps(schedule, replace(sampling, known_lead=lead), True) for lead in known)
    return tabulate_steps(schedule, sampling, False), *with_known


def kinds_of_blocks(tiling: Tiling) -> NDArray[np.int64]:
    """Which of the steps each block takes, (n,)."""
    finds_earlier = (np.diff(tiling.starts) > 0).astype(np.int64)
    return finds_earlier if tiling.finds_known is None else finds_earlier + 2 * tiling.finds_known
