"""Kinematical master patterns: what can be computed of a crystal where nobody has simulated a dynamical one."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np

from microrun.kernels.compiling import one_thread  # and before what orix compiles
from microrun.training.simulate.masters.crystal import Crystal

LEAST_SPACING = 0.5  # Å, of the planes that make bands
LEAST_FACTOR = 0.08  # of the strongest structure factor: what is weaker is not seen
HALF_SIDE = 200


def compute_kinematical(crystal: Crystal, energy_kev: float) -> Any:
    """Master pattern of a crystal: bands by structure factors and Bragg angles alone.

    Parameters
    ----------
    crystal
        With its atoms.
    energy_kev
        Of the beam.

    Returns
    -------
    EBSDMasterPattern
        Of kikuchipy, 401×401, both hemispheres, in Lambert projection.
    """
    from diffpy.structure import Atom, Lattice, Structure
    from diffsims.crystallography import ReciprocalLatticeVector
    from kikuchipy.simulations import KikuchiPatternSimulator
    from orix.crystal_map import Phase

    structure = Structure([Atom(element, place) for element, place in crystal.atoms], Lattice(*crystal.lattice))
    phase = Phase(crystal.name, space_group=crystal.space_group, structure=structure)
    planes = ReciprocalLatticeVector.from_min_dspacing(phase, LEAST_SPACING).unique()  # extinct ones have no factor
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        planes.sanitise_phase()
        planes.calculate_structure_factor()
        planes.calculate_theta(energy_kev * 1e3)
        factor = np.abs(planes.structure_factor)
        visible = planes[factor > LEAST_FACTOR * factor.max()]
        with one_thread():
            master = KikuchiPatternSimulator(visible).calculate_master_pattern(half_size=HALF_SIDE, hemisphere="both")
        return master.as_lambert()
