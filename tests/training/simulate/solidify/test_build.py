"""Parts: the same for any number of threads, whether interrupted or not, and with grains where they belong."""

import dataclasses

import numpy as np
import pytest
from scipy import ndimage
from small_pool import make_small_pool

from microrun.runtime.errors import MicrorunError, OutputError
from microrun.runtime.progress import finish
from microrun.training.simulate.solidify.build import build_part
from microrun.training.simulate.solidify.checkpoint import read_checkpoint
from microrun.training.simulate.solidify.grains import NONE, Grains, fill_unsolidified
from microrun.training.simulate.solidify.laws import Laws
from microrun.training.simulate.solidify.plan import Plan
from microrun.training.simulate.solidify.substrate import GRAIN_UM3, fill_voronoi

PLAN = Plan(layers=2, tracks=2, length_um=40, hatch_um=24, layer_um=12, substrate_um=8, seed=5)
NO_NUCLEI = Laws(atoms=1e-30)


@pytest.fixture(scope="module")
def part():
    return finish(build_part(make_small_pool(), PLAN, threads=1))


def same(one, other):
    return np.array_equal(one.grains.orientation, other.grains.orientation) and np.array_equal(
        one.grains.grain_id, other.grains.grain_id
    )


@pytest.mark.parametrize("threads", [2, 4])
def test_threads_change_nothing(part, threads):
    assert same(finish(build_part(make_small_pool(), PLAN, threads=threads)), part)


def test_another_seed_is_another_part(part):
    assert not same(finish(build_part(make_small_pool(), dataclasses.replace(PLAN, seed=6), threads=2)), part)


@pytest.mark.parametrize("tracks", [1, 2, 3])
def test_a_part_that_was_interrupted_goes_on_to_the_same(part, tmp_path, tracks):
    checkpoint = tmp_path / "left.h5"
    job = build_part(make_small_pool(), PLAN, checkpoint=checkpoint)
    while not (checkpoint.exists() and read_state(checkpoint) >= tracks):
        next(job)
    job.close()
    rest = list_records(build_part(make_small_pool(), PLAN, checkpoint=checkpoint))
    assert rest[0].done > tracks / 4 * rest[0].total  # what was done is not done again
    assert same(finish(build_part(make_small_pool(), PLAN, checkpoint=checkpoint)), part)


def read_state(path):
    import h5py

    with h5py.File(path) as file:
        return file.attrs["tracks_done"]


def list_records(job):
    return list(job)


def test_a_checkpoint_of_another_part_is_refused(tmp_path):
    checkpoint = tmp_path / "left.h5"
    finish(build_part(make_small_pool(), PLAN, checkpoint=checkpoint))
    for pool, plan in ((make_small_pool(2700.0), PLAN), (make_small_pool(), dataclasses.replace(PLAN, seed=1))):
        with pytest.raises(OutputError, match="other settings"):
            finish(build_part(pool, plan, checkpoint=checkpoint))
    checkpoint.write_bytes(checkpoint.read_bytes()[:3000])
    with pytest.raises(OutputError, match="cannot be read"):
        read_checkpoint(checkpoint, "")


def test_every_cell_has_an_orientation_and_a_grain_of_it(part):
    grains = part.grains
    assert grains.orientation.min() >= 0
    assert grains.grain_id.min() >= 0
    pairs = np.unique(np.stack([grains.grain_id.ravel(), grains.orientation.ravel()]), axis=1)
    assert len(np.unique(pairs[0])) == pairs.shape[1]  # no grain has two orientations


def test_grains_of_one_orientation_may_touch_and_stay_two(part):
    grains = part.grains
    same_orientation = grains.orientation[:, :, 1:] == grains.orientation[:, :, :-1]
    other_grain = grains.grain_id[:, :, 1:] != grains.grain_id[:, :, :-1]
    assert (same_orientation & other_grain).any()


def test_what_never_melted_is_the_substrate():
    pool, plan = make_small_pool(), dataclasses.replace(PLAN, layers=1, tracks=1)
    built = finish(build_part(pool, plan))
    again = Grains.empty(built.grains.orientation.shape)
    fill_voronoi(again, plan.cell_um, (plan.seed, 1, 0), 0)
    below = built.plan.cells(plan.substrate_um)
    assert np.array_equal(built.grains.orientation[:below], again.orientation[:below])
    assert np.array_equal(built.grains.grain_id[:below], again.grain_id[:below])
    assert not np.array_equal(built.grains.orientation, again.orientation)


def test_without_nuclei_the_melt_is_taken_by_grains_of_the_solid():
    built = finish(build_part(make_small_pool(), dataclasses.replace(PLAN, layers=1, tracks=1), NO_NUCLEI))
    assert built.tally.nuclei == 0
    again = Grains.empty(built.grains.orientation.shape)
    count = fill_voronoi(again, PLAN.cell_um, (PLAN.seed, 1, 0), 0)
    # A piece that others cut off from its grain counts as new: there are few.
    assert (built.grains.grain_id >= count).mean() < 0.01


def test_a_track_backwards_is_the_mirror_image_of_one_forwards():
    """The same substrate mirrored, no nuclei: what the second track does in it is the first one's mirror image."""
    from microrun.runtime.workers import Workers
    from microrun.training.simulate.solidify.track import Stepping, Track, melt_track
    from microrun.training.simulate.solidify.window import cut_window

    window = cut_window(make_small_pool(), NO_NUCLEI, 2.0)
    stepping, results = Stepping(NO_NUCLEI, 2.0, 4e-7, 0), []
    for backwards in (False, True):
        grains = Grains.empty((window.shape[0], window.shape[1], 20))
        fill_voronoi(grains, 2.0, (3,), 0)
        way = slice(None, None, -1 if backwards else 1)
        turned = Grains(grains.orientation[:, :, way].copy(), grains.grain_id[:, :, way].copy())
        with Workers(1) as workers:
            finish(melt_track(turned, window, stepping, Track(0, 0, 0, backwards), 10_000, workers))
        results.append(turned.orientation[:, :, way])
    assert np.array_equal(*results)


def test_the_tally_counts(part):
    assert part.tally.molten > 0
    assert part.tally.hot > part.tally.molten
    assert 0 <= part.tally.unsolidified < part.tally.molten


def test_records_rise_to_the_total():
    records = list_records(build_part(make_small_pool(), PLAN))
    done = [record.done for record in records]
    assert done == sorted(done)
    assert 0.9 * records[-1].total < done[-1] <= records[-1].total
    assert records[-1].phase.startswith("layer 2 of 2, track 2 of 2, ")


def test_a_cold_field_is_refused():
    with pytest.raises(MicrorunError, match="nothing melts"):
        finish(build_part(make_small_pool(1500.0), PLAN))


def test_voronoi_grains_are_as_large_as_asked_for():
    grains = Grains.empty((40, 40, 40))
    count = fill_voronoi(grains, 2.0, (1,), 7)
    assert count - 7 == round(64_000 * 8 / GRAIN_UM3)
    assert grains.grain_id.min() >= 7
    assert grains.grain_id.max() < count
    sizes = np.bincount(grains.grain_id.ravel() - 7) * 8.0
    assert sizes.mean() == pytest.approx(GRAIN_UM3, rel=0.02)


def test_unsolidified_cells_take_the_nearest_orientation():
    rng = np.random.default_rng(0)
    orientation = rng.integers(0, 20, (6, 7, 8)).astype(np.int8)
    orientation[rng.random(orientation.shape) < 0.7] = NONE
    filled = orientation.copy()
    assert fill_unsolidified(filled) == (orientation == NONE).sum()
    solid = np.argwhere(orientation != NONE)
    for cell in np.argwhere(orientation == NONE):
        distances = ((solid - cell) ** 2).sum(axis=1)
        nearest = solid[distances == distances.min()]
        assert filled[tuple(cell)] in {orientation[tuple(place)] for place in nearest}
    assert np.array_equal(filled[orientation != NONE], orientation[orientation != NONE])


def test_nuclei_are_grains_in_one_piece(part):
    label, _ = ndimage.label(part.grains.grain_id == part.grains.grain_id.max())
    assert label.max() == 1
