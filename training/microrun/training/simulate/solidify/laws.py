"""Laws of solidification: mobility, energies, nucleation (Xie et al. 2026, Eq. 11–17; Yang et al. 2021)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from microrun.kernels.solidification import UNDERCOOLINGS
from microrun.runtime.array_types import Float64
from microrun.runtime.errors import MicrorunError

BOLTZMANN = 1.380649e-23  # J/K
PLANCK = 6.62607015e-34  # J·s
GAS = 8.314462618  # J/(mol·K)


@dataclass(frozen=True)
class Laws:
    """What an alloy's grains grow by; the defaults are the paper's 316L, its units mended.

    Parameters
    ----------
    mobility
        L_0, in m³/(J·s).
    activation
        Q of mobility and of nucleation, in J/mol.
    barrier
        m, in J/m³.
    gradient
        κ, in J/m.
    hottest_k
        Temperature above which the mobility grows no more.
    hot_k
        Temperature below which boundaries are taken to stand still.
    interface_energy
        σ of a nucleus, in J/m².
    latent_heat
        In J/m³.
    atoms
        N in the rate of nucleation, fitted, in 1/m³.
    wetting_deg
        Contact angle θ of nuclei.

    Raises
    ------
    MicrorunError
        If a value makes no sense.
    """

    mobility: float = 3.5e3
    activation: float = 1.4e5
    barrier: float = 1.2e6
    gradient: float = 2.77e-7
    hottest_k: float = 2000.0
    hot_k: float = 1200.0
    interface_energy: float = 0.385
    latent_heat: float = 2.1e9
    atoms: float = 2.1e10
    wetting_deg: float = 4.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (np.isfinite(value) and value > 0):
                raise MicrorunError(f"{name} of solidification must be a number above 0; got {value}")
        if self.hot_k >= self.hottest_k:
            raise MicrorunError(f"hot_k must be below hottest_k; got {self.hot_k:g} and {self.hottest_k:g} K")
        if self.wetting_deg > 180:
            raise MicrorunError(f"wetting_deg is an angle up to 180°; got {self.wetting_deg:g}")

    def check_liquidus(self, name: str, liquidus_k: float) -> None:
        """Refuse an alloy that solidifies where the laws do not hold.

        Parameters
        ----------
        name
            Of the alloy.
        liquidus_k
            Its liquidus.

        Raises
        ------
        MicrorunError
            If that is not between `hot_k` and `hottest_k`.
        """
        if not self.hot_k < liquidus_k < self.hottest_k:
            raise MicrorunError(
                f"{name} has its liquidus at {liquidus_k:g} K; the laws of solidification, which are those of 316L, "
                f"hold for one between {self.hot_k:g} and {self.hottest_k:g} K"
            )

    def mobility_at(self, temperature: Float64) -> Float64:
        """Mobility L (Eq. 12).

        Parameters
        ----------
        temperature
            float64, K.

        Returns
        -------
        float64, m³/(J·s)
        """
        return self.mobility * np.exp(-self.activation / (GAS * np.minimum(temperature, self.hottest_k)))

    def largest_step(self, cell_um: float) -> float:
        """Limit of the time step in s, beyond which explicit steps of Eq. 11 grow without bound.

        Parameters
        ----------
        cell_um
            Edge of a cell.
        """
        stiffness = 3 * self.barrier + 12 * self.gradient / (cell_um * 1e-6) ** 2
        return float(2 / (self.mobility_at(np.array(self.hottest_k)) * stiffness))

    def nucleation_rate(self, undercooling: Float64, liquidus_k: float) -> Float64:
        """Nuclei per volume and time (Eq. 16–17).

        Parameters
        ----------
        undercooling
            float64, K, above 0.
        liquidus_k
            Of the alloy.

        Returns
        -------
        float64, 1/(m³·s)
        """
        temperature = liquidus_k - undercooling
        wetting = np.deg2rad(self.wetting_deg)
        share = (2 + np.cos(wetting)) * (1 - np.cos(wetting)) ** 2 / 4
        driving = self.latent_heat * undercooling / liquidus_k
        barrier = 16 * np.pi * self.interface_energy**3 / (3 * driving**2) * share
        attempts = BOLTZMANN * temperature * self.atoms / PLANCK * np.exp(-self.activation / (GAS * temperature))
        # atoms is a number per m³ in name only: it was fitted so that the rate comes out per m³ and s.
        rate: Float64 = attempts * np.exp(-barrier / (BOLTZMANN * temperature))
        return rate

    def nucleation_chances(self, liquidus_k: float, cell_um: float, step_s: float) -> Float64:
        """Chances that a molten cell nucleates within a step, (`UNDERCOOLINGS`,) float64, at 0, 1, 2, … K.

        Parameters
        ----------
        liquidus_k
            Of the alloy.
        cell_um
            Edge of a cell.
        step_s
            In s.
        """
        undercooling = np.maximum(np.arange(UNDERCOOLINGS, dtype=np.float64), 1e-3)
        rate = self.nucleation_rate(undercooling, liquidus_k)
        chances: Float64 = -np.expm1(-rate * step_s * (cell_um * 1e-6) ** 3)
        return chances


STEEL_LAWS = Laws()
