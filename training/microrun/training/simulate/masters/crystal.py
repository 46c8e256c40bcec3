"""Crystals: what they are called, and their kinematical master pattern where there is no better one."""

from __future__ import annotations

from dataclasses import dataclass

from microrun.runtime.scans.stated import STRUCTURES as BY_GROUP

Atom = tuple[str, tuple[float, float, float]]


@dataclass(frozen=True)
class Crystal:
    """A phase.

    Parameters
    ----------
    name
        Such as "alpha-iron".
    formula
        Such as "Fe".
    structure
        Strukturbericht symbol, such as "A2"; empty where it is not known.
    space_group
        Its number.
    lattice
        (a, b, c, α, β, γ) in Å and degrees.
    atoms
        Elements and places of the asymmetric unit; empty where they are not known.
    """

    name: str
    formula: str
    structure: str
    space_group: int
    lattice: tuple[float, float, float, float, float, float]
    atoms: tuple[Atom, ...] = ()

    @property
    def phase(self) -> str:
        """What indexing calls it: fcc, bcc, diamond, hcp with its c/a, or its name, of which it cannot be indexed."""
        if self.structure == "A3":
            return f"hcp:{self.lattice[2] / self.lattice[0]:.4g}"
        found = STRUCTURES.get(self.structure) if self.structure else BY_GROUP.get(self.space_group)
        return found or f"{self.name}, space group {self.space_group}"

    def is_called(self, asked: str) -> bool:
        """Whether the phase goes by this name or formula, in any case."""
        name = asked.strip().casefold()
        return not {name, SYNONYMS.get(name, name)}.isdisjoint((self.name.casefold(), self.formula.casefold()))


STRUCTURES = {"A1": "fcc", "A2": "bcc", "A4": "diamond"}


def _cubic(a: float) -> tuple[float, float, float, float, float, float]:
    return a, a, a, 90.0, 90.0, 90.0


def _hexagonal(a: float, c: float) -> tuple[float, float, float, float, float, float]:
    return a, a, c, 90.0, 90.0, 120.0


ORIGIN = (0.0, 0.0, 0.0)
CLOSE_PACKED = (1 / 3, 2 / 3, 1 / 4)
# Lattice parameters at room temperature: Wyckoff, Crystal Structures (2nd ed., 1963).
CRYSTALS = (
    Crystal("nickel", "Ni", "A1", 225, _cubic(3.524), (("Ni", ORIGIN),)),
    Crystal("aluminum", "Al", "A1", 225, _cubic(4.050), (("Al", ORIGIN),)),
    Crystal("copper", "Cu", "A1", 225, _cubic(3.615), (("Cu", ORIGIN),)),
    Crystal("gamma-iron", "Fe", "A1", 225, _cubic(3.591), (("Fe", ORIGIN),)),
    Crystal("alpha-iron", "Fe", "A2", 229, _cubic(2.866), (("Fe", ORIGIN),)),
    Crystal("tungsten", "W", "A2", 229, _cubic(3.165), (("W", ORIGIN),)),
    Crystal("silicon", "Si", "A4", 227, _cubic(5.431), (("Si", ORIGIN),)),
    Crystal("alpha-titanium", "Ti", "A3", 194, _hexagonal(2.950, 4.686), (("Ti", CLOSE_PACKED),)),
    Crystal("magnesium", "Mg", "A3", 194, _hexagonal(3.209, 5.210), (("Mg", CLOSE_PACKED),)),
    Crystal("alpha-zirconium", "Zr", "A3", 194, _hexagonal(3.232, 5.147), (("Zr", CLOSE_PACKED),)),
    Crystal("titanium carbide", "TiC", "B1", 225, _cubic(4.328), (("Ti", ORIGIN), ("C", (0.5, 0.5, 0.5)))),
)
# What metallurgists say, by what databases say.
SYNONYMS = {
    "ferrite": "alpha-iron", "austenite": "gamma-iron", "aluminium": "aluminum", "iron": "alpha-iron",
    "titanium": "alpha-titanium", "zirconium": "alpha-zirconium", "cobalt": "alpha-cobalt", "alumina": "corundum",
    "quartz": "alpha-quartz low", "tungsten carbide": "qusongite", "magnesia": "periclase", "sigma": "sigma phase",
}  # fmt: skip
