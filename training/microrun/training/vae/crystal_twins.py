"""Patterns of two crystals in the same orientations, as `microrun.training.vae.translate` learns from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor

import microrun.kernels.compiling  # noqa: F401 (before what orix compiles)
from microrun.runtime.domain import Domain
from microrun.runtime.spec import ModelSpec
from microrun.training.simulate.camera.conditions import Conditions
from microrun.training.simulate.camera.matched import domain_of
from microrun.training.simulate.camera.materials import load_material
from microrun.training.simulate.camera.patterns import KEEP, CameraSimulator, Patterns
from microrun.training.simulate.camera.stream import PatternStream
from microrun.training.simulate.masters.crystal import CRYSTALS, Crystal
from microrun.training.simulate.masters.find import USUAL_KEV
from microrun.training.vae import twins
from microrun.training.vae.twins import HELD_OUT, pair

# Of a pattern that only tells a teacher the orientation, no more than its bands is needed.
BANDS_ALONE = Conditions(
    energy_mixing=0.0, noise=(0.1, 0.1), brightness=(0.0, 0.0), blotches=0.0, high_passed=0.0, shadowed=0.0,
    bad_pixels=0.0, clipped=0.0, gamma=0.0, mixed=0.0,
)  # fmt: skip

CUBIC, HEXAGONAL = "m-3m", "6/mmm"
UNTURNED = (1.0, 0.0, 0.0, 0.0)


def _basal() -> tuple[tuple[float, ...], ...]:
    """From the axes of a hexagonal crystal, a along x and c along z, to those of two cubic twins."""
    axes = np.array([[1, -1, 0], [1, 1, -2], [1, 1, 1]]) / np.sqrt([[2], [6], [3]])
    lay = Rotation.from_matrix(axes.T)
    return tuple(tuple((lay * Rotation.from_euler("z", angle)).as_quat(scalar_first=True)) for angle in (0, np.pi / 3))


BASAL = _basal()


class CrystalTwins:
    """Patterns of a new crystal as cameras show them, and bands of both crystals in the same orientation.

    Parameters
    ----------
    new
        Makes patterns of the new crystal.
    known
        Make as many of the known one, by `known_simulators`.
    """

    def __init__(self, new: PatternStream, known: Sequence[PatternStream]) -> None:
        self._new, self._known = new, tuple(known)

    @property
    def identity(self) -> str:
        """Hash of all simulators."""
        all_of_them = "".join(stream.simulator.identity for stream in (self._new, *self._known))
        return hashlib.sha256(all_of_them.encode()).hexdigest()

    @property
    def text(self) -> str:
        """Phases, for a spec."""
        known = f"latents of {self._known[0].simulator} in the same orientation"
        return f"simulated patterns of {self._new.simulator}, {known}{' and its twin' if len(self._known) > 1 else ''}"

    @property
    def domain(self) -> Domain:
        """Phase and conditions of the new crystal."""
        return domain_of(self._new.simulator)

    @property
    def pixel_keep(self) -> NDArray[np.bool_]:
        """(120, 120) bool, True inside the mask."""
        return KEEP

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Patterns of a step.

        Returns
        -------
        views, bands : (n, 1, H, W) float32
            The new crystal as cameras show it, and its bands alone.
        known : (k, n, 1, H, W) float32
            Bands of the known crystal, in each of the k orientations that stand for the one of the new crystal.
        """
        return _arrange(stream.take(step) for stream in (self._new, *self._known))

    def held_out(self) -> tuple[Tensor, Tensor, Tensor]:
        """The same to test on, never trained on."""
        return _arrange(stream.simulator.make(HELD_OUT, twins.TESTED) for stream in (self._new, *self._known))


def _arrange(made: Iterable[Patterns]) -> tuple[Tensor, Tensor, Tensor]:
    (views, bands), *known = map(pair, made)
    return views, bands, torch.stack([of_known for _, of_known in known])


class Known(NamedTuple):
    """A crystal that a model knows, and how it stands for another.

    Parameters
    ----------
    crystal
        The known one.
    turns
        Unit quaternions, scalar first: its orientations are that of the other crystal, turned by each.
    """

    crystal: Crystal
    turns: tuple[tuple[float, ...], ...]


def find_known_crystal(new: Crystal, spec: ModelSpec) -> Known | None:
    """Crystal that a model knows, and whose orientations look alike exactly when those of a new one do.

    That is one of the same symmetry. A cubic one stands for a hexagonal one by two orientations at once, twins with
    their (111) along the basal plane: what leaves the pair as it is are the rotations of the hexagonal crystal.

    Parameters
    ----------
    new
        The crystal that is to be learned.
    spec
        Of the model.

    Returns
    -------
    Known
        None if the model knows the new one already, or none that can stand for it.
    """
    phases = spec.domain.phases if spec.domain else ()
    if new.name in phases:
        return None
    known = [crystal for name in phases for crystal in CRYSTALS if crystal.name == name]
    symmetries = {crystal: _symmetry(crystal) for crystal in known}
    for crystal, symmetry in symmetries.items():
        if symmetry == _symmetry(new):
            return Known(crystal, (UNTURNED,))
    if _symmetry(new) == HEXAGONAL:
        return next((Known(crystal, BASAL) for crystal, found in symmetries.items() if found == CUBIC), None)
    return None


def _symmetry(crystal: Crystal) -> str:
    from orix.quaternion.symmetry import get_point_group

    return str(get_point_group(crystal.space_group).laue.name)


def translated_conditions(usual: Conditions, spec: ModelSpec, given: bool) -> Conditions:
    """Conditions of the new crystal's patterns.

    Parameters
    ----------
    usual
        As asked for.
    spec
        Of the model to start from.
    given
        Whether a pattern centre was asked for; else those are taken that the model knows.
    """
    assert spec.domain is not None
    return replace(usual, mixed=0.0) if given else replace(usual, mixed=0.0, pattern_centre=spec.domain.pattern_centre)


def known_simulators(known: Known, new: CameraSimulator) -> list[CameraSimulator]:
    """Simulators that show the crystal that a model knows in the views of another simulator, one for each turn.

    Parameters
    ----------
    known
        What the model knows.
    new
        The other simulator.
    """
    views = new.conditions
    seen = replace(BANDS_ALONE, pattern_centre=views.pattern_centre, tilt_deg=views.tilt_deg)
    materials = [load_material(known.crystal.name, (USUAL_KEV,))]
    return [CameraSimulator(materials, [1.0], seen, new.seed, turn) for turn in known.turns]
