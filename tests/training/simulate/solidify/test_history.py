"""Parts from histories: against all cells in float64, against the window, and whatever the threads."""

import dataclasses
import json

import h5py
import numpy as np
import pytest
from jobs import watch
from one_line import one_line
from small_pool import make_small_pool
from solidification_oracles import advance

from microrun.runtime.errors import MicrorunError
from microrun.runtime.progress import finish
from microrun.runtime.sections.section_set import write_sections
from microrun.runtime.workers import Workers
from microrun.training.simulate.melt_pool.material import STEEL_316L
from microrun.training.simulate.melt_pool.process import Process
from microrun.training.simulate.solidify import hot_cells, substrate
from microrun.training.simulate.solidify.events import History
from microrun.training.simulate.solidify.exaca import read_exaca, write_exaca
from microrun.training.simulate.solidify.grains import Grains
from microrun.training.simulate.solidify.history import build_history, part_stretches
from microrun.training.simulate.solidify.laws import Laws
from microrun.training.simulate.solidify.plan import SIDE, Plan
from microrun.training.simulate.solidify.sections import cut_sections
from microrun.training.simulate.solidify.store import write_part
from microrun.training.simulate.solidify.substrate import fill_voronoi
from microrun.training.simulate.solidify.track import Stepping, Track, melt_track
from microrun.training.simulate.solidify.window import cut_window

NO_NUCLEI = Laws(wetting_deg=90.0)
PLAN = Plan(layers=1, substrate_um=6.0, layer_um=4.0)


@pytest.fixture
def fine_grains(monkeypatch):
    """Several grains in a small part."""
    monkeypatch.setattr(substrate, "GRAIN_UM3", 100.0)


def make_history(shape=(4, 6, 8), seed=0, rounds=1, apart_s=2e-4):
    """A front that runs along x; in each round every cell melts again."""
    rng = np.random.default_rng(seed)
    place = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3).astype(np.int32)
    count = len(place)
    parts = []
    for number in range(rounds):
        depth = shape[0] - 1 - place[:, 0]
        melt = place[:, 2] * 2e-6 + depth * 1e-6 + rng.uniform(0, 1e-7, count) + number * apart_s
        liquid = melt + 3e-5 - 5e-6 * depth + rng.uniform(0, 1e-6, count)
        parts.append((place, melt, liquid, rng.uniform(1.5e6, 2.5e6, count)))
    place, melt, liquid, rate = map(np.concatenate, zip(*parts, strict=True))
    order = np.lexsort((place[:, 2], place[:, 1], place[:, 0], melt))
    return History(
        place[order], melt[order], liquid[order], rate[order], 2.0, Process(150.0, 0.9), STEEL_316L
    )  # fmt: skip


def same(one, other):
    np.testing.assert_array_equal(one.grains.orientation, other.grains.orientation)
    np.testing.assert_array_equal(one.grains.grain_id, other.grains.grain_id)
    assert one.tally == other.tally


def solidify_by_hand(history, orientation, origin, laws, step_s):
    """All cells and steps in float64; a cell is read off when it is cold."""
    eta = (orientation[..., None] == np.arange(20)).astype(np.float64)
    now = np.full(orientation.shape, -1)
    cells = [tuple(place + origin) for place in history.place]
    begun, opened, number = history.melt_s[0], 0, 0
    while opened < len(cells) or (now >= 0).any():
        time = number * step_s
        while opened < len(cells) and history.melt_s[opened] - begun <= time:
            now[cells[opened]] = opened
            opened += 1
        elapsed = time - (history.liquid_s[now] - begun)
        temperature = np.where(elapsed >= 0, 1723.0 - history.rate[now] * elapsed, 2000.0)
        cold = (now >= 0) & (temperature <= laws.hot_k)
        eta[cold] = np.eye(20)[eta[cold].argmax(-1)]
        moved = advance(eta, np.where(now >= 0, temperature, 300.0), laws, 1723.0, 2e-6, step_s)
        hot = (now >= 0) & ~cold
        eta[hot] = np.maximum(moved[hot], 0)
        now[cold] = -1
        number += 1
    return eta.argmax(-1)


def test_part_equals_all_cells_in_float64(fine_grains):
    history = make_history()
    part = finish(build_history(history, PLAN, NO_NUCLEI, threads=1))
    begun = Grains.empty(part.grains.orientation.shape)
    fill_voronoi(begun, 2.0, (PLAN.seed, 1, 0), 0)
    expected = solidify_by_hand(history, begun.orientation, (3, SIDE, SIDE), NO_NUCLEI, PLAN.step_s)
    np.testing.assert_array_equal(part.grains.orientation, expected)
    assert (part.grains.orientation != begun.orientation).sum() > 30
    assert part.tally.molten == 4 * 6 * 8
    assert part.tally.unsolidified == part.tally.nuclei == 0


@pytest.mark.parametrize("threads", [2, 4])
def test_threads_do_not_change_a_bit(monkeypatch, fine_grains, threads):
    monkeypatch.setattr(hot_cells, "SHARED_ROWS", 16)
    history = make_history((5, 8, 12), rounds=2)
    one = finish(build_history(history, PLAN, threads=1))
    assert one.tally.nuclei > 0
    same(one, finish(build_history(history, PLAN, threads=threads)))


def test_layers_are_the_history_done_again_higher_and_later():
    history = make_history()
    part = finish(build_history(history, dataclasses.replace(PLAN, layers=3), threads=1))
    assert part.grains.orientation.shape == (3 + 4 + 2 * 2, 6 + 2 * SIDE, 8 + 2 * SIDE)
    longest = history.cold_s(1200).max() - history.melt_s[0]
    again = history.stacked(3, 2, (np.ceil(longest / 4e-7) + 4) * 4e-7)
    same(part, finish(build_history(again, PLAN, threads=1)))
    assert part.plan.layers == 3
    assert part.plan.cell_um == 2.0


def test_planes_are_laid_when_something_at_their_height_melts():
    """Two layers in one file: as long as the first one solidifies there is nothing above it."""
    low, high = make_history((3, 6, 8)), make_history((5, 6, 8), seed=1)
    later = high.melt_s + 1e-2
    both = History(
        np.concatenate([low.place, high.place]), np.append(low.melt_s, later),
        np.append(low.liquid_s, high.liquid_s + 1e-2), np.append(low.rate, high.rate), 2.0, low.process, STEEL_316L,
    )  # fmt: skip
    part = finish(build_history(both, PLAN, threads=1))
    first = finish(build_history(low, PLAN, threads=1))
    untouched = (slice(0, 3), slice(None), slice(None))
    np.testing.assert_array_equal(part.grains.orientation[untouched], first.grains.orientation[untouched])
    powder = part.grains.grain_id[-2:, :SIDE]
    assert powder.min() > first.grains.grain_id.max()


def test_what_is_interrupted_goes_on_to_the_same_part(tmp_path):
    history = make_history(rounds=3, apart_s=1e-3)
    whole = finish(build_history(history, PLAN, threads=1))
    path = tmp_path / "left.h5"
    job = build_history(history, PLAN, threads=1, checkpoint=path)
    while not path.exists():
        next(job)
    job.close()
    with h5py.File(path) as file:
        assert file.attrs["tracks_done"] == 1
    records, part = watch(build_history(history, PLAN, threads=1, checkpoint=path))
    same(part, whole)
    assert records[0].done > records[0].total / 3
    assert records[-1].done <= records[-1].total
    assert "stretch 3 of 3" in records[-1].phase
    with pytest.raises(MicrorunError) as error:
        finish(build_history(make_history(seed=5), PLAN, threads=1, checkpoint=path))
    one_line(error, path, "other settings")


def test_idle_time_is_skipped():
    assert [(one.first, one.stop) for one in part_stretches(np.array([0, 1, 5.0]), np.array([3, 2, 6.0]), 0.1)] == [
        (0, 2), (2, 3),
    ]  # fmt: skip
    soon, late = (
        finish(build_history(make_history(rounds=2, apart_s=apart), PLAN, NO_NUCLEI, 1)) for apart in (1e-3, 20.0)
    )
    assert late.tally.hot == pytest.approx(soon.tally.hot, rel=0.01)
    assert (late.grains.orientation == soon.grains.orientation).mean() > 0.99


def test_what_cools_too_fast_is_counted_and_filled():
    history = make_history((8, 12, 12))
    quick = dataclasses.replace(history, rate=np.full(len(history.rate), 1e9), liquid_s=history.melt_s + 2e-4)
    part = finish(build_history(quick, PLAN, NO_NUCLEI, threads=1))
    assert 0 < part.tally.unsolidified < part.tally.molten
    assert part.grains.orientation.min() >= 0
    assert part.grains.grain_id.min() >= 0


def test_track_is_that_of_the_window(tmp_path):
    """A melt pool through the window, and the same one through ExaCA's file."""
    pool = make_small_pool(peak_k=3000.0, speed_m_s=0.3, power_w=100.0)
    write_exaca(tmp_path / "track.csv", pool, NO_NUCLEI, 2.0, 100.0)
    history, notes = read_exaca(tmp_path / "track.csv", pool.process, pool.material)
    assert notes == []
    part = finish(build_history(history, Plan(layers=1, substrate_um=40.0), NO_NUCLEI, threads=1))
    window = cut_window(pool, NO_NUCLEI, 2.0)
    shape = part.grains.orientation.shape
    start = Grains.empty(shape)
    fill_voronoi(start, 2.0, (0, 1, 0), 0)
    side = (window.shape[1] - shape[1]) // 2
    pad = ((0, 0), (side, side), (0, 0))
    by_window = Grains(np.pad(start.orientation, pad, mode="edge"), np.pad(start.grain_id, pad, mode="edge"))
    track = Track(0, shape[0] - window.shape[0], 0, backwards=False)
    with Workers(1) as workers:
        for _ in melt_track(by_window, window, Stepping(NO_NUCLEI, 2.0, 4e-7, 0), track, 10**6, workers):
            pass
    found = by_window.orientation[:, side : side + shape[1]]
    molten = np.zeros(shape, np.bool_)
    molten[tuple((history.place + np.array([20, SIDE, SIDE])).T)] = True
    molten[..., : shape[2] // 3] = molten[..., -shape[2] // 3 :] = False  # the file's track has ends
    assert (found == part.grains.orientation)[molten].mean() > 0.96
    assert (start.orientation == found)[molten].mean() < 0.6


def test_part_is_stored_and_cut_like_any_other(tmp_path, fine_grains):
    part = finish(build_history(make_history(), PLAN, threads=1))
    write_part(tmp_path / "part.h5", part)
    with h5py.File(tmp_path / "part.h5") as file:
        assert file.attrs["field"] == "history"
        assert file.attrs["step_um"] == 2.0
        assert json.loads(file.attrs["process"])["power_w"] == 150
    across, along = cut_sections(part)
    assert across.orientation.shape[1:] == (7, 10)
    assert set(along.speed_m_s) == {0.9}
    write_sections(tmp_path / "sections.h5", [across, along])


@pytest.mark.parametrize(
    ("changes", "plan", "words"),
    [
        ({}, {"step_s": 1e-5}, "stay stable"),
        ({}, {"layer_um": 1.0}, "at least one cell"),
        ({"rate": np.full(192, 1e-3)}, {}, "time steps"),
        ({"step_um": 0.5}, {}, "stay stable"),
        ({"material": dataclasses.replace(STEEL_316L, solidus_k=800.0, liquidus_k=900.0)}, {}, "liquidus at 900 K"),
        ({}, {"layers": 10**6, "layer_um": 1000.0}, "cells"),
    ],
)
def test_what_cannot_be_done_is_refused(changes, plan, words):
    with pytest.raises(MicrorunError) as error:
        finish(build_history(dataclasses.replace(make_history(), **changes), dataclasses.replace(PLAN, **plan)))
    one_line(error, words)
