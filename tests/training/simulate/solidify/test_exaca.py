"""ExaCA's melting events: read back as they are, mended where that is safe, refused where it is not."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_line import one_line
from small_pool import make_small_pool

from microrun.runtime.errors import MicrorunError, OutputError
from microrun.runtime.progress import finish
from microrun.training.simulate.melt_pool.material import STEEL_316L
from microrun.training.simulate.melt_pool.process import Process
from microrun.training.simulate.solidify.exaca import read_exaca, write_exaca
from microrun.training.simulate.solidify.laws import STEEL_LAWS
from microrun.training.simulate.solidify.plan import Plan
from microrun.training.simulate.solidify.temperature_files import Stated, build_from_temperatures, read_temperatures

PROCESS = Process(150.0, 0.9)
TITLES = "x,y,z,tm,tl,cr"
STEP = 2.5e-6
AFTER = np.array([0, 0, 0, 1e-6, 1e-6, 0])


def make_rows(shape=(3, 4, 5), seed=0, rounds=2):
    """Every point of a block melts, a column after the other, and once more."""
    rng = np.random.default_rng(seed)
    place = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3)
    position = place[:, ::-1] * STEP + (1e-3, -2e-4, 5e-5)
    parts = []
    for number in range(rounds):
        melt = number * 1e-3 + place[:, 2] * 3e-6 + rng.uniform(0, 1e-6, len(place))
        liquid = melt + rng.uniform(1e-5, 5e-5, len(place))
        parts.append(np.column_stack([position, melt, liquid, rng.uniform(5e5, 3e6, len(place))]))
    return rng.permutation(np.concatenate(parts))


def write_csv(path, rows, titles=TITLES, digits=9):
    np.savetxt(path, rows, f"%.{digits}e", ",", header=titles, comments="")
    return path


def refused(path, *words):
    with pytest.raises(MicrorunError) as error:
        read_exaca(path, PROCESS, STEEL_316L)
    one_line(error, path, *words)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(2, 5)), st.integers(1, 3))
def test_events_are_read_in_the_order_in_which_they_begin(tmp_path_factory, seed, shape, rounds):
    path = tmp_path_factory.mktemp("exaca") / "events.catemp"
    rows = make_rows(shape, seed, rounds)
    path.write_bytes(rows.astype("<f8").tobytes())
    history, notes = read_exaca(path, PROCESS, STEEL_316L)
    assert (history.shape, history.step_um, notes) == (shape, 2.5, [])
    assert (np.diff(history.melt_s) >= 0).all()
    rows = rows[np.argsort(rows[:, 3])]
    np.testing.assert_array_equal(np.column_stack([history.melt_s, history.liquid_s, history.rate]), rows[:, 3:])
    np.testing.assert_allclose(history.place[:, ::-1] * STEP + (1e-3, -2e-4, 5e-5), rows[:, :3], atol=1e-12)


@pytest.mark.parametrize("titles", [TITLES, "x, y, z, tm, ts, cr", "X,Y,Z,TM,TL,CR", "cr,tl,tm,z,y,x"])
def test_text_by_its_titles(tmp_path, titles):
    rows = make_rows()
    backwards = titles.startswith("cr")
    path = write_csv(tmp_path / "events.csv", rows[:, ::-1] if backwards else rows, titles, 17)
    history, _ = read_exaca(path, PROCESS, STEEL_316L)
    np.testing.assert_array_equal(history.rate, rows[np.argsort(rows[:, 3]), 5])


def test_rounded_positions_are_on_the_lattice(tmp_path):
    rows = make_rows((3, 4, 400), rounds=1)
    rows[:, :3] = np.round(rows[:, :3], 7)  # by 2 % of a step
    history, _ = read_exaca(write_csv(tmp_path / "events.csv", rows), PROCESS, STEEL_316L)
    assert history.shape == (3, 4, 400)
    assert history.step_um == pytest.approx(2.5, rel=1e-3)


def test_lines_that_stand_twice_count_once(tmp_path):
    rows = make_rows()
    path = write_csv(tmp_path / "events.csv", np.concatenate([rows, rows[:7]]))
    history, notes = read_exaca(path, PROCESS, STEEL_316L)
    assert len(history.rate) == len(rows)
    assert notes == ["lines that stood there twice, left out: 7"]


def test_few_gaps_are_filled_and_many_refused(tmp_path):
    rows = make_rows((5, 12, 12))
    place = np.round((rows[:, :3] - (1e-3, -2e-4, 5e-5)) / STEP).astype(int)
    without = rows[~(place == (5, 6, 2)).all(axis=1)]
    history, notes = read_exaca(write_csv(tmp_path / "gap.csv", without), PROCESS, STEEL_316L)
    assert notes == ["points missing, filled with the events of the one before along x: 1"]
    gap, before = ((history.place == (2, 6, x)).all(axis=1) for x in (5, 4))
    assert gap.sum() == 2
    np.testing.assert_array_equal(history.melt_s[gap], history.melt_s[before])
    holes = (place[:, 0] % 3 == 1) & (place[:, 1] % 3 == 1) & (place[:, 2] == 2)
    refused(write_csv(tmp_path / "gaps.csv", rows[~holes]), "16 points", "lines are missing")


def test_what_never_melts_at_the_side_is_no_gap(tmp_path):
    rows = make_rows((4, 6, 6))
    corner = (rows[:, 1] < -2e-4 + 1.5 * STEP) & (rows[:, 2] < 5e-5 + 1.5 * STEP)
    history, notes = read_exaca(write_csv(tmp_path / "events.csv", rows[~corner]), PROCESS, STEEL_316L)
    assert (history.shape, notes) == ((4, 6, 6), [])


def change(column, value):
    def apply(rows):
        rows[3, column] = value
        return rows

    return apply


@pytest.mark.parametrize(
    ("apply", "words"),
    [
        (change(5, 0.0), ("event 4 cools by 0 K/s or less", "cr 0")),
        (change(5, -2e6), ("cr -2e+06", "so do 0 more")),
        (change(4, -1.0), ("event 4 solidifies before it melts",)),
        (change(3, np.nan), ("1 of 120 events", "event 4")),
        (change(0, np.inf), ("1 of 120 events",)),
        (lambda rows: rows[:, [0, 1, 2, 4, 3, 5]], ("event 1 solidifies before it melts", "columns are x,y,z")),
        (lambda rows: rows[:, [3, 4, 5, 0, 1, 2]], ("columns are x,y,z,tm,tl,cr",)),
        (lambda rows: rows * (1e6, 1e6, 1e6, 1, 1, 1), ("2.5e+06 × 2.5e+06 × 2.5e+06 µm apart", "positions in m")),
        (lambda rows: rows * (2, 2, 2, 1, 1, 1), ("5 × 5 × 5 µm apart", "0.5 to 3 µm")),
        (lambda rows: rows * (1, 1.3, 1, 1, 1, 1), ("2.5 × 3.25 × 2.5 µm apart", "off a cubic lattice of 2.5 µm")),
        (change(1, -2e-4 + 1.3 * STEP), ("1 of 120 are off a cubic lattice",)),
        (lambda rows: rows * (0, 0, 0, 1, 1, 1), ("all events are at one point",)),
        (lambda rows: np.concatenate([rows, rows[:1] + AFTER]), ("1 events begin while", "join them")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".csv", ".catemp"])
def test_events_that_make_no_sense_are_refused(tmp_path, apply, words, suffix):
    path, rows = tmp_path / f"events{suffix}", apply(make_rows())
    if suffix == ".csv":
        write_csv(path, rows)
    else:
        path.write_bytes(rows.astype("<f8").tobytes())
    refused(path, *words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "the first line names the columns x,y,z,tm,tl,cr"),
        ("1,2,3,4,5,6\n", "got '1,2,3,4,5,6'"),
        ("x,y,z,tm,tl\n1,2,3,4,5\n", "got 'x,y,z,tm,tl'"),
        (TITLES + "\n", "contains no melting event"),
        (TITLES + "\n1,2,3,4,5\n", "lines of 6 numbers"),
        (TITLES + "\n1,2,3\n4,5,6\n", "lines of 6 numbers; got 3"),
        (TITLES + "\n1,2,3,4,5,six\n", "lines of 6 numbers"),
        (TITLES + "\n1,2,3,4,5,6\n1,2,3\n", "lines of 6 numbers"),
    ],
)
def test_text_that_is_no_table_of_events(tmp_path, content, words):
    path = tmp_path / "events.csv"
    path.write_text(content)
    refused(path, words)


def test_catemp_that_is_truncated_empty_or_not_there(tmp_path):
    path = tmp_path / "events.catemp"
    refused(path, "cannot be read")
    path.write_bytes(make_rows().astype("<f8").tobytes()[:-8])
    refused(path, "is truncated", "48")
    path.write_bytes(b"")
    refused(path, "contains no melting event")


def test_track_of_a_pool_is_written_with_its_times(tmp_path):
    """A pool of closed form: when the front passes, how long it stays, and how fast it cools."""
    pool = make_small_pool(speed_m_s=0.5)
    count = write_exaca(tmp_path / "track.csv", pool, STEEL_LAWS, 2.0, 40.0)
    history, notes = read_exaca(tmp_path / "track.csv", pool.process, pool.material)
    assert (len(history.rate), history.shape[2], history.step_um, notes) == (count, 20, 2.0, [])
    depth, width, _ = history.shape
    axis = (history.place[:, 0] == depth - 1) & np.isin(history.place[:, 1], (width // 2 - 1, width // 2))
    assert axis.sum() == 40
    place = history.place[axis][:, 2]
    np.testing.assert_allclose(np.diff(np.sort(history.melt_s[axis])[::2]), 2e-6 / 0.5, rtol=1e-4)
    level = np.sqrt(-2 * np.log((1723 - 300) / 2300) - (0.25 / 4) ** 2 - (0.25 / 3) ** 2)
    lasts = (history.liquid_s - history.melt_s)[axis]
    np.testing.assert_allclose(lasts, 14 * level * 4e-6 / 0.5, rtol=0.03)
    solid = np.sqrt(-2 * np.log((1650 - 300) / 2300) - (0.25 / 4) ** 2 - (0.25 / 3) ** 2)
    np.testing.assert_allclose(history.rate[axis], 73 / (11 * (solid - level) * 4e-6 / 0.5), rtol=0.15)
    assert np.corrcoef(place, history.melt_s[axis])[0, 1] > 0.999
    with pytest.raises(OutputError):
        write_exaca(tmp_path / "none" / "track.csv", pool, STEEL_LAWS, 2.0, 40.0)
    with pytest.raises(MicrorunError, match="nothing melts"):
        cold = dataclasses.replace(pool, temperature=pool.temperature * 0.5)
        write_exaca(tmp_path / "track.csv", cold, STEEL_LAWS, 2.0, 40.0)


def test_a_file_of_events_makes_a_part(tmp_path):
    path = write_csv(tmp_path / "events.csv", make_rows((3, 4, 5), rounds=1))
    temperatures = read_temperatures(path, Stated(PROCESS))
    part = finish(build_from_temperatures(temperatures, Plan(layers=1, substrate_um=5.0), threads=1))
    assert part.grains.orientation.shape == (3 + 2, 4 + 4, 5 + 4)
    assert part.plan.cell_um == 2.5
    with pytest.raises(MicrorunError) as error:
        read_temperatures(path, Stated())
    one_line(error, path, "power and speed", "state both")


def test_one_point_far_from_all_others_is_refused_and_takes_no_memory(tmp_path):
    rows = make_rows((3, 4, 5), 0, 1)
    rows[7, 1] += 40_000_000 * STEP
    refused(write_csv(tmp_path / "far.csv", rows, digits=14), "too many cells")
