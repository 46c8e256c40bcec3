"""Indexing: pattern centres against kikuchipy's detectors, orientations against the truth of simulated patterns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobs import watch
from numpy.testing import assert_allclose, assert_array_equal
from oracles import circular_keep, crop_square
from scipy.spatial.transform import Rotation

from microrun.runtime.errors import ScanError
from microrun.runtime.maps import indexing
from microrun.runtime.maps.indexing import (
    Geometry,
    Indexer,
    crop_centre,
    fit_pattern_centre,
    index_all,
    uncrop_centre,
)
from microrun.runtime.maps.orientations import misorientation_angles
from microrun.runtime.maps.structures import PHASES
from microrun.runtime.progress import Progress
from microrun.runtime.scans.up2 import ScanWarning
from microrun.training.simulate.camera.conditions import Conditions
from microrun.training.simulate.camera.materials import load_material
from microrun.training.simulate.camera.patterns import CameraSimulator
from microrun.training.simulate.patterns import PatternSimulator

if TYPE_CHECKING:
    from conftest import Indexed

CENTRE = (0.42, 0.79, 0.5)
WIDE = (0.45, 0.7, 0.6)


def random_rotations(count: int, seed: int = 0) -> np.ndarray:
    return np.asarray(Rotation.random(count, np.random.default_rng(seed)).as_quat(scalar_first=True))


def prepare(patterns: np.ndarray) -> np.ndarray:
    """Crop, subtract the mean pattern, mask, and stretch; without binning."""
    square = crop_square(patterns)
    corrected = square - square.mean(axis=0)
    keep = circular_keep(square.shape[1:], 0)
    low, high = (edge(corrected[:, keep], axis=1)[:, None, None] for edge in (np.min, np.max))
    return np.where(keep, 2 * (corrected - low) / (high - low) - 1, 0).astype(np.float32)


# --- pattern centres


def test_a_square_detector_needs_no_crop() -> None:
    kikuchipy = pytest.importorskip("kikuchipy")
    detector = kikuchipy.detectors.EBSDDetector((480, 480), pc=CENTRE, convention="edax")
    assert_allclose(crop_centre(CENTRE, (480, 480)), detector.pc.ravel())


@pytest.mark.parametrize("shape", [(90, 130), (130, 90), (90, 131), (131, 90)])
def test_the_cropped_square_sees_the_same_pattern(shape: tuple[int, int]) -> None:
    pytest.importorskip("kikuchipy")
    rotations = random_rotations(3)
    whole = crop_square(PatternSimulator(shape, WIDE).project(rotations))
    x, y, z = crop_centre(WIDE, shape)
    square = PatternSimulator((90, 90), (x, 1 - y, z)).project(rotations)  # Bruker's y to EDAX's
    for one, other in zip(whole, square, strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.99999


@given(st.tuples(*[st.floats(-1, 2)] * 2, st.floats(0.1, 5)), st.tuples(st.integers(60, 2000), st.integers(60, 2000)))
def test_cropping_a_centre_can_be_undone(centre: tuple[float, float, float], shape: tuple[int, int]) -> None:
    assert uncrop_centre(crop_centre(centre, shape), shape) == pytest.approx(centre, abs=1e-9)


# --- phases


@pytest.mark.parametrize("phase", ["", "FCC", "nickel", "hcp:", "hcp:0.2", "hcp:nan", "fcc:1.2"])
def test_phases_that_cannot_be_indexed(phase: str) -> None:
    with pytest.raises(ScanError, match="it must be one of fcc, bcc, diamond, hcp, or hcp:C/A") as error:
        Geometry(CENTRE, phase)
    assert repr(phase) in str(error.value)


def test_nickel_is_face_centred(indexed: Indexed) -> None:
    some = indexed.patterns[:12]
    fits = {}
    for phase in PHASES:
        found = Indexer(Geometry(CENTRE, phase), (120, 120), (120, 120)).index(some)
        assert found.phase == phase
        fits[phase] = np.median(found.fit_deg / found.bands.clip(1))
    assert fits["fcc"] < fits["bcc"]


@pytest.mark.parametrize(
    ("phase", "structure"), [("titanium", "hcp"), ("magnesium", "hcp"), ("titanium", "hcp:1.588"), ("iron", "bcc")]
)
def test_other_structures_are_indexed(phase: str, structure: str) -> None:
    conditions = Conditions(
        pattern_centre=((0.42, 0.42), (0.79, 0.79), (0.5, 0.5)), tilt_deg=(70, 70), noise=(0.2, 0.2), pixels=(120,),
        brightness=(0, 0), even=1, blotches=0, high_passed=0, shadowed=0, mixed=0, clipped=0, gamma=0,
    )  # fmt: skip
    with pytest.warns(ScanWarning, match="kinematically"):
        material = load_material(phase, (20,))
    made = CameraSimulator([material], [1], conditions, 3).make(0, 16)
    found = Indexer(Geometry(CENTRE, structure), (120, 120), (120, 120)).index(made.patterns)
    angles = misorientation_angles(found.rotations, made.rotations, structure)
    assert (found.indexed & (angles < 5)).mean() > 0.9 and np.median(angles) < 1


# --- orientations


def test_indexing_recovers_the_truth(indexed: Indexed) -> None:
    found = indexed.orientations
    angles = misorientation_angles(found.rotations, indexed.truth.rotations.reshape(-1, 4), "fcc")
    assert found.indexed.mean() > 0.95
    assert np.median(angles) < 0.5
    assert np.quantile(angles, 0.9) < 1
    assert np.median(found.fit_deg) < 1
    assert np.median(found.bands) >= 6
    assert (found.confidence[found.indexed] > 0).all()
    assert (found.quality > 0).all()
    assert_allclose(np.linalg.norm(found.rotations, axis=1), 1)
    for values in (found.fit_deg, found.confidence, found.quality, found.bands, found.indexed):
        assert values.shape == (60,)


@pytest.mark.parametrize("chunk", [1, 25])
def test_orientations_do_not_depend_on_the_chunks(
    indexed: Indexed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], chunk: int
) -> None:
    monkeypatch.setattr(indexing, "AT_ONCE", chunk)
    count = 3 * chunk // 2 + 1
    before = indexed.patterns.copy()
    seen, found = watch(index_all(indexed.indexer, indexed.patterns[:count]))
    assert_allclose(found.rotations, indexed.orientations.rotations[:count], atol=1e-6)
    assert_allclose(found.fit_deg, indexed.orientations.fit_deg[:count], atol=1e-4)
    assert_array_equal(found.bands, indexed.orientations.bands[:count])
    assert seen == [Progress(min(count, (n + 1) * chunk), count, "indexing") for n in range(-(-count // chunk))]
    assert_array_equal(indexed.patterns, before)
    assert capsys.readouterr().out == ""


def test_patterns_without_information_are_not_indexed(indexed: Indexed) -> None:
    noise = np.random.default_rng(0).standard_normal((3, 120, 120)).astype(np.float32)
    patterns = np.concatenate([np.zeros((2, 120, 120), np.float32), indexed.patterns[:1], noise])
    found = indexed.indexer.index(patterns)
    assert found.indexed.tolist()[:3] == [False, False, True]
    assert_array_equal(found.rotations[:2], [[1, 0, 0, 0]] * 2)
    assert found.bands[:2].tolist() == [0, 0]


@pytest.mark.parametrize(("shape", "tilt"), [((120, 171), 70.0), ((150, 120), 60.0)])
def test_cropped_detectors_and_other_tilts_are_indexed(indexed: Indexed, shape: tuple[int, int], tilt: float) -> None:
    truth = random_rotations(24, seed=2)
    patterns = prepare(PatternSimulator(shape, WIDE, tilt).project(truth))
    found = Indexer(Geometry(WIDE, sample_tilt=tilt), shape, (120, 120)).index(patterns)
    angles = misorientation_angles(found.rotations, truth, "fcc")
    assert found.indexed.mean() > 0.9
    assert np.median(angles) < 0.5


# --- fitting the pattern centre


def test_the_fitted_centre_is_that_of_the_whole_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    kikuchipy = pytest.importorskip("kikuchipy")
    wanted = crop_centre(WIDE, (120, 160))
    starts: list[Any] = []

    def optimise(signal: Any, start: Any, indexer: Any, batch: bool) -> Any:
        """Find half of the way."""
        assert signal.data.shape == (5, 120, 120)
        starts.append(start)
        return kikuchipy.detectors.EBSDDetector((120, 120), pc=(np.add(start, wanted) / 2))

    monkeypatch.setattr(kikuchipy.signals.EBSD, "hough_indexing_optimize_pc", optimise)
    found = fit_pattern_centre(np.zeros((5, 120, 120), np.float32), Geometry((0.5, 0.5, 0.5)), (120, 160))
    first = np.array(crop_centre((0.5, 0.5, 0.5), (120, 160)))
    assert_allclose(starts, [first, (first + wanted) / 2])
    assert_allclose(crop_centre(found, (120, 160)), first / 4 + np.multiply(wanted, 0.75))


@pytest.mark.slow
def test_fitting_the_centre_improves_the_fit(indexed: Indexed) -> None:
    some, start = indexed.patterns[:6], (0.45, 0.76, 0.52)
    centre = fit_pattern_centre(some, Geometry(start), (120, 120))
    before, after = (Indexer(Geometry(pc), (120, 120), (120, 120)).index(some) for pc in (start, centre))
    assert np.median(after.fit_deg) < np.median(before.fit_deg)
    assert np.abs(np.subtract(centre, CENTRE)).max() < 0.05
