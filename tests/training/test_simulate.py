from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from microrun.runtime.file_sources import FileSource
from microrun.runtime.sources import Claim
from microrun.training.simulate import Exposure, PatternSimulator, grow_sample, random_sample, simulate_scan
from microrun.training.simulate.patterns import MEAN_SIGNAL, blur

EXPOSURE = Exposure(electrons=20_000, gain=2)


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


def test_random_sample_covers_its_map_with_distinct_orientations() -> None:
    sample = random_sample((5, 4), seed=0)
    assert len(np.unique(sample.cell)) == 20 == len(sample.rotations)
    assert (sample.mixture == 0).all()


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("simulated") / "scan.up2"
    simulate_scan(path, grow_sample((5, 6), 3, seed=1), PatternSimulator((60, 60)), EXPOSURE, seed=7, step_um=0.5)
    return path


def test_scan_and_truth_are_written(simulated: Path) -> None:
    source = FileSource(simulated)
    assert source.scan.nav_shape == (5, 6) and source.scan.step_um == (0.5, 0.5)
    with np.load(simulated.with_suffix(".truth.npz")) as truth:
        assert truth["cell"].shape == (5, 6)
        assert set(truth) == {"cell", "grain", "neighbour", "mixture", "rotations", "blur_px", "centre_shift"}


def test_noise_is_a_function_of_seed_and_pattern(simulated: Path, tmp_path: Path) -> None:
    sample = grow_sample((5, 6), 3, seed=1)
    again, other = tmp_path / "again.up2", tmp_path / "other.up2"
    simulate_scan(again, sample, PatternSimulator((60, 60)), EXPOSURE, seed=7, step_um=0.5)
    simulate_scan(other, sample, PatternSimulator((60, 60)), EXPOSURE, seed=8, step_um=0.5)
    assert again.read_bytes() == simulated.read_bytes()
    assert (read_all(other) != read_all(simulated)).mean() > 0.9


def test_jitter_of_the_pattern_centre_is_used_and_told(simulated: Path, tmp_path: Path) -> None:
    path = tmp_path / "moved.up2"
    sample = grow_sample((5, 6), 3, seed=1, centre_jitter=0.05)
    simulate_scan(path, sample, PatternSimulator((60, 60)), EXPOSURE, seed=7, step_um=0.5)
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
