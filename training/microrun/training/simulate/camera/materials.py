"""Phases that patterns are simulated of, each at the beam energies that a master pattern is at hand of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from microrun.runtime.array_types import Float32
from microrun.training.simulate.masters.crystal import Crystal
from microrun.training.simulate.masters.find import USUAL_KEV, Master, find_master


class Material(NamedTuple):
    """Master patterns of one phase.

    Parameters
    ----------
    crystal
        The phase.
    energies_kev
        Of the beam, of each master pattern.
    masters
        (energies, 2, m, m) float32: upper and lower hemisphere, each energy with mean 0 and standard deviation 1.
    """

    crystal: Crystal
    energies_kev: tuple[float, ...]
    masters: Float32

    @property
    def usual(self) -> int:
        """Number of the energy nearest to the usual one."""
        return int(np.argmin(np.abs(np.array(self.energies_kev) - USUAL_KEV)))


def load_material(phase: str, energies_kev: Sequence[float], folder: Path | None = None) -> Material:
    """Find the master patterns of a phase; arguments and errors as those of `find_master`, at every energy."""
    return make_material([find_master(phase, energy, folder) for energy in energies_kev])


def make_material(masters: Sequence[Master]) -> Material:
    """Bring master patterns of one phase to the same brightness and contrast."""
    scaled = []
    for master in masters:
        data = np.asarray(master.signal.data, np.float32)
        both = np.broadcast_to(data, (2, *data.shape[-2:]))  # one hemisphere stands for both
        scaled.append((both - both.mean()) / both.std())
    energies = tuple(master.energy_kev for master in masters)
    return Material(masters[0].crystal, energies, np.ascontiguousarray(np.stack(scaled), np.float32))
