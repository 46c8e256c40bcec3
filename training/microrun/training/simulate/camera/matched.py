"""Simulations that match a user's scan: of the phases, voltages and pattern centre that are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from microrun.runtime.domain import Domain
from microrun.runtime.errors import MicrorunError
from microrun.runtime.patterns.pattern_centre import crop_centre
from microrun.training.simulate.camera.conditions import Conditions, Span
from microrun.training.simulate.camera.materials import load_material
from microrun.training.simulate.camera.patterns import CameraSimulator
from microrun.training.simulate.masters.find import USUAL_KEV

USUAL_PHASE = "nickel"
AROUND = 0.02  # pattern centres are simulated so far around the given one: it moves over a map, and is never exact


@dataclass(frozen=True)
class Matched:
    """What simulated patterns shall be of.

    Parameters
    ----------
    phases
        As `find_master` takes them; none for nickel.
    energies_kev
        Of the beam; none for 20 keV.
    pattern_centre
        (x*, y*, z*) in EDAX's convention, of the whole detector; None for all usual ones.
    """

    phases: tuple[str, ...] = ()
    energies_kev: tuple[float, ...] = ()
    pattern_centre: tuple[float, float, float] | None = None

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Matched:
        """Read what `dataclasses.asdict` and JSON made; TypeError or KeyError if it is something else."""
        centre = values["pattern_centre"]
        return cls(tuple(values["phases"]), tuple(values["energies_kev"]), tuple(centre) if centre else None)

    def conditions(self, sig_shape: tuple[int, int]) -> Conditions:
        """Those of all cameras; near the pattern centre, if one is given, of the square in a detector's middle."""
        usual = Conditions()
        if self.pattern_centre is None:
            return usual
        x, down, z = crop_centre(self.pattern_centre, sig_shape)
        return replace(usual, pattern_centre=(_around(x), _around(1 - down), _around(z)))

    def simulator(self, seed: int, sig_shape: tuple[int, int] = (1, 1)) -> CameraSimulator:
        """Find the master patterns, and simulate each phase equally often.

        Parameters
        ----------
        seed
            Of all that is random.
        sig_shape
            (rows, cols) of the detector that the pattern centre is of.

        Raises
        ------
        ScanError
            If there is no master pattern of a phase.
        """
        energies = self.energies_kev or (USUAL_KEV,)
        materials = [load_material(phase, energies) for phase in self.phases or (USUAL_PHASE,)]
        return CameraSimulator(materials, [1.0] * len(materials), self.conditions(sig_shape), seed)


def domain_of(simulator: CameraSimulator) -> Domain:
    """What whoever learns from a simulator knows."""
    energies = [energy for material in simulator.materials for energy in material.energies_kev]
    names = dict.fromkeys(material.crystal.name for material in simulator.materials)
    conditions = simulator.conditions
    span = (min(energies), max(energies))
    return Domain(tuple(names), span, conditions.pattern_centre, conditions.noise)


def check_voltages(energies_kev: Sequence[float]) -> None:
    """Refuse beam energies that no scanning electron microscope has; MicrorunError."""
    for energy in energies_kev:
        if not 1 <= energy <= 100:
            raise MicrorunError(f"--kv must be from 1 to 100; got {energy:g}")


def _around(value: float) -> Span:
    return round(value - AROUND, 6), round(value + AROUND, 6)
