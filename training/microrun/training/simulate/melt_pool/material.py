"""What a metal is, for melt pools."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from microrun.kernels.conduction import HeatLaw
from microrun.runtime.errors import MicrorunError, first_line


@dataclass(frozen=True)
class Material:
    """Properties of a metal; conductivity and heat capacity are linear up to the liquidus and constant above.

    The values that stand here are those of stainless steel 316L: Table 2 of Xie et al., "Sim-to-real diffusion models
    for microstructure prediction in metal additive manufacturing" (2026).

    Parameters
    ----------
    name
        For people.
    density_kg_m3
        The same for solid and liquid.
    conductivity_w_mk, conductivity_slope_w_mk2
        At 0 K, and its growth with the temperature.
    heat_capacity_j_kgk, heat_capacity_slope_j_kgk2
        At 0 K, and its growth with the temperature.
    latent_heat_j_kg
        Taken up evenly between solidus and liquidus.
    solidus_k, liquidus_k, boiling_k
        Temperatures.
    viscosity_pa_s
        Of the liquid.
    surface_tension_slope_n_mk
        Change of the surface tension with the temperature; negative: the surface flows outwards.
    dendrite_spacing_um
        δ of the drag −180 µ/δ² (1 − f)²/f³ u in the mushy zone. The paper gives none; its code's constant is this.

    Raises
    ------
    MicrorunError
        If a value is not possible.
    """

    name: str = "316L"
    density_kg_m3: float = 8084.0
    conductivity_w_mk: float = 9.248
    conductivity_slope_w_mk2: float = 0.0157
    heat_capacity_j_kgk: float = 462.0
    heat_capacity_slope_j_kgk2: float = 0.134
    latent_heat_j_kg: float = 2.7e5
    solidus_k: float = 1650.0
    liquidus_k: float = 1723.0
    boiling_k: float = 3090.0
    viscosity_pa_s: float = 6e-3
    surface_tension_slope_n_mk: float = -4e-4
    dendrite_spacing_um: float = 3.655

    def __post_init__(self) -> None:
        slopes = ("conductivity_slope_w_mk2", "heat_capacity_slope_j_kgk2", "surface_tension_slope_n_mk")
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            if not math.isfinite(value) or (value <= 0 and field.name not in slopes):
                raise MicrorunError(f"material {self.name}: {field.name} is above 0; got {value:g}")
        if not self.solidus_k < self.liquidus_k < self.boiling_k:
            raise MicrorunError(
                f"material {self.name}: solidus, liquidus and boiling point rise in this order; got "
                f"{self.solidus_k:g}, {self.liquidus_k:g} and {self.boiling_k:g} K"
            )
        if self.heat_capacity_slope_j_kgk2 < 0 or self.conductivity(self.liquidus_k) <= 0:
            raise MicrorunError(
                f"material {self.name}: the heat capacity does not fall with the temperature, and the conductivity "
                "stays above 0 up to the liquidus"
            )

    def conductivity(self, kelvin: float) -> float:
        """Conductivity in W/(m K).

        Parameters
        ----------
        kelvin
            Temperature in K.
        """
        return self.conductivity_w_mk + self.conductivity_slope_w_mk2 * min(kelvin, self.liquidus_k)

    def heat_capacity(self, kelvin: float) -> float:
        """Heat capacity in J/(kg K), without the latent heat.

        Parameters
        ----------
        kelvin
            Temperature in K.
        """
        return self.heat_capacity_j_kgk + self.heat_capacity_slope_j_kgk2 * min(kelvin, self.liquidus_k)

    def diffusivity(self, kelvin: float) -> float:
        """Thermal diffusivity in m²/s, without the latent heat.

        Parameters
        ----------
        kelvin
            Temperature in K.
        """
        return self.conductivity(kelvin) / (self.density_kg_m3 * self.heat_capacity(kelvin))

    def heat_law(self, start_k: float) -> HeatLaw:
        """Give what the kernels need.

        Parameters
        ----------
        start_k
            Temperature in K, below the solidus, at which the enthalpy is 0.
        """
        slope, span = self.heat_capacity_slope_j_kgk2, self.liquidus_k - self.solidus_k
        solid = (self.solidus_k - start_k) * self.heat_capacity((self.solidus_k + start_k) / 2)
        mush = span * self.heat_capacity((self.solidus_k + self.liquidus_k) / 2) + self.latent_heat_j_kg
        values = (
            start_k, self.solidus_k, self.liquidus_k, self.conductivity_w_mk, self.conductivity_slope_w_mk2,
            self.heat_capacity(start_k), self.heat_capacity(self.solidus_k) + self.latent_heat_j_kg / span,
            self.heat_capacity(self.liquidus_k), slope, solid, solid + mush,
        )  # fmt: skip
        return HeatLaw(*map(np.float32, values))


STEEL_316L = Material()


def read_material(path: Path) -> Material:
    """Read a material from a TOML file that gives every property by its name in `Material`.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    MicrorunError
        If it cannot be read, a property is missing, unknown or no number, or a value is not possible.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # ValueError also of numbers that are too long
        raise MicrorunError(f"{path}: cannot be read as a TOML file of a material ({first_line(error)})") from None
    names = [field.name for field in fields(Material)]
    if missing := [name for name in names if name not in values]:
        raise MicrorunError(f"{path}: a material needs {', '.join(missing)}")
    if unknown := [name for name in values if name not in names]:
        raise MicrorunError(f"{path}: {', '.join(unknown)}: no property of a material; those are {', '.join(names)}")
    for name in names[1:]:
        if isinstance(values[name], bool) or not isinstance(values[name], int | float):
            raise MicrorunError(f"{path}: {name} is a number; got {values[name]!r}")
    try:
        return Material(str(values["name"]), **{name: float(values[name]) for name in names[1:]})
    except (MicrorunError, OverflowError) as error:
        raise MicrorunError(f"{path}: {error}") from None
