"""Simulated scans: projected as by kikuchipy, exposed as stated, on samples whose truth is told."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from disk import full_disk
from numpy.testing import assert_array_equal
from scipy.spatial.transform import Rotation

from microrun.runtime.errors import OutputError
from microrun.runtime.progress import Progress, finish
from microrun.runtime.scans.source import Claim
from microrun.runtime.scans.truth import load_truth
from microrun.runtime.scans.up_source import FileSource
from microrun.training.simulate import scan as scan_module
from microrun.training.simulate.patterns import (
    MEAN_SIGNAL,
    SIGNAL_STD,
    Exposure,
    PatternSimulator,
    blur,
)
from microrun.training.simulate.sample import Recipe, Sample, grow_sample, map_sample, random_sample, scatter_sample
from microrun.training.simulate.scan import simulate_scan

EXPOSURE = Exposure(electrons=20_000, gain=2)
SAMPLE = grow_sample((5, 6), 3, seed=1)


def read_all(path: Path) -> np.ndarray:
    source = FileSource(path)
    out = np.empty((source.available, *source.scan.sig_shape), source.scan.dtype)
    source.read(Claim(np.arange(source.available)), 0, out)
    return out


def test_projection_is_kikuchipys() -> None:
    kikuchipy = pytest.importorskip("kikuchipy")
    from orix.quaternion import Rotation as OrixRotation

    quaternions = Rotation.random(3, np.random.default_rng(0)).as_quat(scalar_first=True)
    ours = PatternSimulator((60, 60)).project(quaternions)
    detector = kikuchipy.detectors.EBSDDetector((60, 60), pc=(0.42, 0.79, 0.50), sample_tilt=70, convention="edax")
    master = kikuchipy.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both")
    theirs = master.get_patterns(OrixRotation(quaternions), detector, energy=20, compute=True, show_progressbar=False)
    np.testing.assert_array_equal(ours, theirs.data)
    assert ours.min() == -1 and ours.max() == 1


def test_shifting_the_pattern_centre_shifts_the_pattern() -> None:
    quaternions = np.repeat(Rotation.random(1, np.random.default_rng(1)).as_quat(scalar_first=True)[None], 2, axis=0)
    quaternions = quaternions.reshape(2, 4)
    still, moved = PatternSimulator((60, 60)).project(quaternions, np.array([[0, 0, 0], [0.1, 0, 0]]))
    assert np.corrcoef(still[:, :-6].ravel(), moved[:, 6:].ravel())[0, 1] > 0.95


def test_exposure_has_the_mean_and_noise_it_states() -> None:
    exposure = Exposure(electrons=900, contrast=0.1, read_noise=10, gain=20, offset=100)
    flat = np.full((400, 400), MEAN_SIGNAL, np.float32)
    counts = exposure.expose(flat, np.ones_like(flat), np.random.default_rng(0)).astype(float)
    assert counts.mean() == pytest.approx(20 * 900 + 100, rel=2e-3)
    assert counts.std() == pytest.approx(20 * np.sqrt(900 + 100), rel=2e-2)


def test_exposure_saturates_instead_of_wrapping() -> None:
    flat = np.ones((8, 8), np.float32)
    counts = Exposure(electrons=1e6).expose(flat, flat, np.random.default_rng(0))
    assert (counts == 65535).all()


def test_blur_takes_fine_detail_away() -> None:
    pattern = np.random.default_rng(0).standard_normal((60, 60)).astype(np.float32)
    assert blur(pattern, 0) is pattern
    assert blur(pattern, 1.5).std() < 0.5 * pattern.std()


def test_sample_is_a_partition_with_neighbours_at_boundaries_only() -> None:
    sample = grow_sample((24, 30), grains=6, seed=3)
    assert sample.nav_shape == (24, 30)
    assert np.allclose(np.linalg.norm(sample.rotations, axis=1), 1)
    assert len(sample.rotations) == len(sample.blur_px) > sample.cell.max()
    mixed = sample.mixture > 0
    assert mixed.any() and not mixed.all()
    assert (sample.neighbour[mixed] != sample.cell[mixed]).all()
    assert (sample.neighbour[~mixed] == sample.cell[~mixed]).all()
    assert sample.mixture.max() <= 0.5
    for cell in np.unique(sample.cell):  # a cell lies in one grain
        assert len(np.unique(sample.grain[sample.cell == cell])) == 1


def test_cells_of_a_grain_differ_by_little_and_twins_by_sixty_degrees() -> None:
    sample = grow_sample((40, 40), grains=9, seed=5)
    rotations = Rotation.from_quat(sample.rotations, scalar_first=True)
    for grain in np.unique(sample.grain):
        cells = np.unique(sample.cell[sample.grain == grain])
        angles = (rotations[cells].inv() * rotations[cells[0]]).magnitude()
        assert np.rad2deg(angles).max() <= 2.0 + 1e-6
    grains = [rotations[int(sample.cell[sample.grain == grain][0])] for grain in np.unique(sample.grain)]
    twins = [np.rad2deg((a.inv() * b).magnitude()) for i, a in enumerate(grains) for b in grains[:i]]
    assert any(abs(angle - 60) < 2.1 for angle in twins)


def test_most_cells_are_perfect_and_the_others_as_the_recipe_says() -> None:
    sample = grow_sample((60, 60), grains=30, seed=2, recipe=Recipe((1.5, 3.0), 0.5, subgrain_deg=(0.3, 0.6)))
    perfect = sample.blur_px == 0.5
    assert 0.5 < perfect.mean() < 0.8
    assert ((sample.blur_px[~perfect] >= 1.5) & (sample.blur_px[~perfect] <= 3.0)).all()
    rotations = Rotation.from_quat(sample.rotations, scalar_first=True)
    for grain in np.unique(sample.grain):
        cells = np.unique(sample.cell[sample.grain == grain])
        angles = np.rad2deg((rotations[cells].inv() * rotations[cells[0]]).magnitude())
        assert angles.max() <= 1.2 + 1e-6
    assert (sample.centre_shift == 0).all()
    assert (sample.shading == 0).all()
    assert (sample.phase == 0).all()


def test_particles_are_small_round_and_of_one_cell_each() -> None:
    recipe = Recipe(particles=6, shading=0.1, centre_jitter=0.02)
    sample = grow_sample((40, 50), grains=5, seed=4, recipe=recipe)
    particle = sample.phase[sample.cell] == 1
    assert_array_equal(particle, np.isin(sample.grain, np.unique(sample.grain[particle])))
    grains = np.unique(sample.grain[particle])
    assert 3 <= len(grains) <= 6
    for grain in grains:
        rows, cols = np.nonzero(sample.grain == grain)
        assert len(np.unique(sample.cell[rows, cols])) == 1
        assert max(np.ptp(rows), np.ptp(cols)) <= 5
        assert len(rows) <= np.pi * 3**2
    assert sample.shading.std() == pytest.approx(0.1, rel=0.3)
    assert sample.centre_shift.std() == pytest.approx(0.02, rel=0.3)
    for name, values in vars(grow_sample((40, 50), grains=5, seed=4, recipe=recipe)).items():
        assert_array_equal(values, getattr(sample, name))


def test_random_sample_covers_its_map_with_distinct_orientations() -> None:
    sample = random_sample((5, 4), seed=0)
    assert len(np.unique(sample.cell)) == 20 == len(sample.rotations)
    assert (sample.mixture == 0).all()
    many = random_sample((40, 50), seed=1).rotations
    assert np.abs(many.T @ many / 2000 - np.eye(4) / 4).max() < 0.03  # evenly over all of SO(3)


def test_map_sample_lays_out_what_it_is_given() -> None:
    rotations = Rotation.random(12, np.random.default_rng(0)).as_quat(scalar_first=True).reshape(3, 4, 4)
    sample = map_sample(rotations, seed=3, recipe=Recipe(blur_px=(0.9, 1.1), shading=0.05))
    assert_array_equal(sample.rotations[sample.cell], rotations)
    assert_array_equal(sample.grain, sample.cell)
    assert (sample.mixture == 0).all() and (sample.phase == 0).all()
    assert ((sample.blur_px >= 0.9) & (sample.blur_px <= 1.1)).all()
    assert np.ptp(sample.blur_px) > 0
    assert sample.shading.std() == pytest.approx(0.05, rel=0.5)
    other = map_sample(rotations, seed=4, recipe=Recipe(blur_px=(0.9, 1.1), shading=0.05))
    assert (other.blur_px != sample.blur_px).all()


def test_scattered_points_differ_a_little_within_a_grain() -> None:
    recipe = Recipe(blur_px=(0.8, 2.4), subgrain_deg=(0.2, 2.0))
    sample = scatter_sample(6, 40, seed=5, recipe=recipe)
    assert_array_equal(sample.grain, np.repeat(np.arange(6)[:, None], 40, axis=1))
    assert len(np.unique(sample.cell)) == 240
    assert (sample.mixture == 0).all()
    assert sample.blur_px.min() == pytest.approx(0.8, abs=0.1)
    assert sample.blur_px.max() == pytest.approx(2.4, abs=0.1)
    rotations = Rotation.from_quat(sample.rotations[sample.cell], scalar_first=True)
    means = Rotation.concatenate([row.mean() for row in rotations])
    angles = np.rad2deg((means[sample.grain].inv() * rotations).magnitude())
    assert 1.6 < angles.max() < 2.4
    between = np.rad2deg((means[0].inv() * means[1:]).magnitude())
    assert between.min() > 5
    assert abs(np.corrcoef(sample.blur_px[sample.cell].ravel(), angles.ravel())[0, 1]) < 0.2


# --- phases


def test_the_second_phase_is_as_bright_as_the_first() -> None:
    rotations = Rotation.random(4, np.random.default_rng(0)).as_quat(scalar_first=True)
    simulator = PatternSimulator((60, 60))
    carbide = simulator.project(rotations, phase=1)
    nickel = simulator.project(rotations)
    np.testing.assert_allclose(carbide.mean(axis=(1, 2)), MEAN_SIGNAL, atol=1e-5)
    np.testing.assert_allclose(carbide.std(axis=(1, 2)), SIGNAL_STD, rtol=1e-4)
    assert nickel.mean() == pytest.approx(MEAN_SIGNAL, abs=0.1)
    assert nickel.std(axis=(1, 2)).mean() == pytest.approx(SIGNAL_STD, rel=0.25)
    likeness = [np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in zip(carbide, nickel, strict=True)]
    assert 0.2 < min(likeness) <= max(likeness) < 0.9  # bands in the same places, of other widths and strengths


def test_both_phases_are_cubic() -> None:
    quarter = Rotation.from_rotvec([0, 0, np.pi / 2])
    rotation = Rotation.random(rng=np.random.default_rng(1))
    equal = np.stack([turned.as_quat(scalar_first=True) for turned in (rotation, quarter * rotation)])
    for phase in (0, 1):
        one, other = PatternSimulator((60, 60)).project(equal, phase=phase)
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.999


# --- scans


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("simulated") / "scan.up2"
    finish(simulate_scan(path, SAMPLE, PatternSimulator((60, 60)), EXPOSURE, seed=7, step_um=0.5))
    return path


def test_scan_and_truth_are_written(simulated: Path) -> None:
    source = FileSource(simulated)
    assert source.scan.nav_shape == (5, 6) and source.scan.step_um == (0.5, 0.5)
    with np.load(simulated.with_suffix(".truth.npz")) as truth:
        assert truth["cell"].shape == (5, 6)
        assert set(truth) == {*vars(SAMPLE), "pattern_centre", "sample_tilt", "structure"}
        for name, values in vars(SAMPLE).items():
            assert_array_equal(truth[name], values)


def test_the_truth_can_be_loaded(simulated: Path, tmp_path: Path) -> None:
    truth = load_truth(simulated)
    assert truth is not None
    assert_array_equal(truth.rotations, SAMPLE.rotations[SAMPLE.cell])
    assert_array_equal(truth.grain, SAMPLE.grain)
    assert (truth.pattern_centre, truth.sample_tilt) == ((0.42, 0.79, 0.50), 70.0)
    simulator = PatternSimulator((60, 60), (0.5, 0.6, 0.7), 65.0)
    finish(simulate_scan(tmp_path / "other.up2", SAMPLE, simulator, EXPOSURE, seed=7))
    other = load_truth(tmp_path / "other.up2")
    assert other is not None
    assert (other.pattern_centre, other.sample_tilt) == ((0.5, 0.6, 0.7), 65.0)
    assert (read_all(tmp_path / "other.up2") != read_all(simulated)).mean() > 0.9


def test_noise_is_a_function_of_seed_and_pattern(simulated: Path, tmp_path: Path) -> None:
    again, other = tmp_path / "again.up2", tmp_path / "other.up2"
    finish(simulate_scan(again, SAMPLE, PatternSimulator((60, 60)), EXPOSURE, seed=7, step_um=0.5))
    finish(simulate_scan(other, SAMPLE, PatternSimulator((60, 60)), EXPOSURE, seed=8, step_um=0.5))
    assert again.read_bytes() == simulated.read_bytes()
    assert (read_all(other) != read_all(simulated)).mean() > 0.9


def test_jitter_of_the_pattern_centre_is_used_and_told(simulated: Path, tmp_path: Path) -> None:
    path = tmp_path / "moved.up2"
    sample = grow_sample((5, 6), 3, seed=1, recipe=Recipe(centre_jitter=0.05))
    assert_array_equal(sample.cell, SAMPLE.cell)
    finish(simulate_scan(path, sample, PatternSimulator((60, 60)), EXPOSURE, seed=7, step_um=0.5))
    with np.load(path.with_suffix(".truth.npz")) as truth:
        assert truth["centre_shift"].std() == pytest.approx(0.05, rel=0.5)
    assert (read_all(path) != read_all(simulated)).mean() > 0.5


def test_patterns_of_a_cell_agree_and_of_other_grains_do_not(simulated: Path) -> None:
    patterns = read_all(simulated).reshape(30, -1).astype(float)
    with np.load(simulated.with_suffix(".truth.npz")) as truth:
        grain, pure = truth["grain"].ravel(), truth["mixture"].ravel() < 0.25
    patterns -= patterns.mean(axis=0)
    likeness = np.corrcoef(patterns)
    same = grain[:, None] == grain[None, :]
    both = pure[:, None] & pure[None, :] & ~np.eye(30, dtype=bool)
    assert likeness[same & both].mean() > likeness[~same & both].mean() + 0.1


def test_scans_do_not_depend_on_the_chunks(simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "CHUNK_BYTES", 7 * 2 * 2 * 60 * 60)
    path = tmp_path / "again.up2"
    job = simulate_scan(path, SAMPLE, PatternSimulator((60, 60)), EXPOSURE, seed=7, step_um=0.5)
    assert list(job) == [Progress(n + 1, 30) for n in range(30)]
    assert path.read_bytes() == simulated.read_bytes()


def write_points(path: Path, sample: Sample, exposure: Exposure) -> np.ndarray:
    finish(simulate_scan(path, sample, PatternSimulator((60, 60)), exposure, seed=0))
    return read_all(path).astype(float)


def test_shading_makes_patterns_brighter_and_uneven(tmp_path: Path) -> None:
    even = map_sample(np.tile([1.0, 0, 0, 0], (1, 2, 1)), seed=0, recipe=Recipe(blur_px=(1, 1)))
    shaded = replace(even, shading=np.array([[0, 0, 0], [0.10, 0.20, -0.15]]))
    exposure = Exposure(electrons=20_000, contrast=0, gain=2, offset=0)
    one, other = write_points(tmp_path / "scan.up2", shaded, exposure)
    y, x = np.meshgrid(*[np.linspace(-1, 1, 60)] * 2, indexing="ij")
    planes = np.stack([np.ones_like(x), x, y]).reshape(3, -1)
    found = np.linalg.lstsq(planes.T, (other / one).ravel(), rcond=None)[0]
    np.testing.assert_allclose(found, [1.10, 0.20, -0.15], atol=0.005)


def test_points_show_the_phase_they_are_of(tmp_path: Path) -> None:
    rotation = Rotation.random(rng=np.random.default_rng(0)).as_quat(scalar_first=True)
    sample = map_sample(np.tile(rotation, (1, 3, 1)), seed=0, recipe=Recipe(blur_px=(0.8, 0.8)))
    exposure = replace(EXPOSURE, offset=0, read_noise=0, electrons=200_000, gain=0.2)
    patterns = write_points(tmp_path / "scan.up2", replace(sample, phase=np.array([0, 1, 0])), exposure)
    one, particle, other = (patterns / exposure.background((60, 60))).reshape(3, -1)
    assert np.corrcoef(one, other)[0, 1] > 0.9 > np.corrcoef(one, particle)[0, 1]
    carbide = blur(PatternSimulator((60, 60)).project(rotation[None], phase=1)[0], 0.8 / 2)
    assert np.corrcoef(particle, carbide.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("free_bytes", [5_000, 216_042])
def test_a_full_disk_leaves_nothing(tmp_path: Path, free_bytes: int) -> None:
    many = replace(SAMPLE, rotations=np.random.default_rng(0).random((60_000, 4)))  # a truth larger than the scan
    with full_disk(free_bytes), pytest.raises(OutputError, match="cannot be written"):
        finish(simulate_scan(tmp_path / "scan.up2", many, PatternSimulator((60, 60)), EXPOSURE, seed=0))
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_simulation_leaves_nothing(tmp_path: Path) -> None:
    job = simulate_scan(tmp_path / "scan.up2", SAMPLE, PatternSimulator((60, 60)), EXPOSURE, seed=0)
    assert [now.done for now in itertools.islice(job, 5)] == [1, 2, 3, 4, 5]
    with pytest.raises(KeyboardInterrupt):
        job.throw(KeyboardInterrupt)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["missing/a.up2", "folder.up2"])
def test_a_place_where_nothing_can_be_written(tmp_path: Path, place: str) -> None:
    (tmp_path / "folder.up2").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        finish(simulate_scan(tmp_path / place, SAMPLE, PatternSimulator((60, 60)), EXPOSURE, seed=0))
    assert not list(tmp_path.glob(".part-*"))
