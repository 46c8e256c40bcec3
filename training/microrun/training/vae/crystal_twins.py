"""Patterns of two crystals in the same orientations, as `microrun.training.vae.translate` learns from."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

import microrun.kernels.compiling  # noqa: F401 (before what orix compiles)
from microrun.runtime.domain import Domain, Span
from microrun.runtime.spec import ModelSpec
from microrun.training.simulate.camera.conditions import Conditions
from microrun.training.simulate.camera.matched import domain_of
from microrun.training.simulate.camera.materials import load_material
from microrun.training.simulate.camera.patterns import KEEP, CameraSimulator
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


class CrystalTwins:
    """Patterns of a new crystal as cameras show them, and bands of both crystals in the same orientation.

    Parameters
    ----------
    new
        Makes patterns of the new crystal.
    known
        Makes as many of the known one, of the same seed, by `known_simulator`.
    """

    def __init__(self, new: PatternStream, known: PatternStream) -> None:
        self._new, self._known = new, known

    @property
    def identity(self) -> str:
        """Hash of both simulators."""
        both = self._new.simulator.identity + self._known.simulator.identity
        return hashlib.sha256(both.encode()).hexdigest()

    @property
    def text(self) -> str:
        """Phases, for a spec."""
        return (
            f"simulated patterns of {self._new.simulator}, latents of {self._known.simulator} in the same orientation"
        )

    @property
    def domain(self) -> Domain:
        """Phase and conditions of the new crystal."""
        return domain_of(self._new.simulator)

    @property
    def pixel_keep(self) -> NDArray[np.bool_]:
        """(120, 120) bool, True inside the mask."""
        return KEEP

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Patterns of the new crystal, bands of the known one, and of the new one, (n, 1, H, W) float32 each."""
        (views, bands), (_, known) = pair(self._new.take(step)), pair(self._known.take(step))
        return views, known, bands

    def held_out(self) -> tuple[Tensor, Tensor, Tensor]:
        """The same to test on, never trained on."""
        (views, bands), (_, known) = (
            pair(one.simulator.make(HELD_OUT, twins.TESTED)) for one in (self._new, self._known)
        )
        return views, known, bands


def find_known_crystal(new: Crystal, spec: ModelSpec) -> Crystal | None:
    """Crystal that a model knows, and whose orientations look alike when those of a new one do.

    Parameters
    ----------
    new
        The crystal that is to be learned.
    spec
        Of the model.

    Returns
    -------
    Crystal
        None if the model knows the new one already, or none of the same symmetry.
    """
    from orix.quaternion.symmetry import get_point_group

    def symmetry(crystal: Crystal) -> str:
        return str(get_point_group(crystal.space_group).laue.name)

    phases = spec.domain.phases if spec.domain else ()
    if new.name in phases:
        return None
    known = [crystal for name in phases for crystal in CRYSTALS if crystal.name == name]
    return next((crystal for crystal in known if symmetry(crystal) == symmetry(new)), None)


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


def known_simulator(crystal: Crystal, new: CameraSimulator, spec: ModelSpec) -> CameraSimulator:
    """Simulator that shows the crystal that a model knows in the orientations of another simulator.

    Its pattern centres lie about the middle of those that the model knows as those of the other lie about theirs.

    Parameters
    ----------
    crystal
        That the model knows.
    new
        The other simulator.
    spec
        Of the model.
    """
    assert spec.domain is not None
    conditions = new.conditions
    x, y, z = (_moved(span, middle) for span, middle in zip(conditions.pattern_centre, spec.domain.centre, strict=True))
    seen = replace(BANDS_ALONE, pattern_centre=(x, y, z), tilt_deg=conditions.tilt_deg)
    return CameraSimulator([load_material(crystal.name, (USUAL_KEV,))], [1.0], seen, new.seed)


def _moved(span: Span, middle: float) -> Span:
    half = (span[1] - span[0]) / 2
    return middle - half, middle + half
