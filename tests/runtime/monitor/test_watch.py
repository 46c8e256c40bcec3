"""Alarms from medians of blocks: what begins one, what ends it, and how it is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from microrun.runtime.latents.batch import EncodedBatch
from microrun.runtime.latents.watched import LONGEST, MEASURED, MONITOR, Alarm
from microrun.runtime.monitor.blocks import Blocks
from microrun.runtime.monitor.scan_monitor import ScanMonitor
from microrun.runtime.monitor.watch import Watch
from microrun.runtime.monitor.words import CAUSES, SUBJECTS, describe
from microrun.runtime.scans.part import Part
from microrun.runtime.scans.scan import Scan

SCAN = Scan((100, 64), (8, 8))
USUAL = {
    "mean": 1000, "contrast": 0.05, "saturated": 0.001, "sharpness": 0.7, "background": 0.98, "distance": 1,
    "bands": 0.5, "unknown": 0.0,
}  # fmt: skip
LEARNED = 32  # blocks of 64 patterns: the first 2,000


def rows(*changes: tuple[int, int, dict[str, float]], count: int = 100, seed: int = 0) -> np.ndarray:
    """Blocks with 1 % of scatter; of each change the first block, the one after the last, and factors."""
    made = np.zeros(count, MONITOR)
    scatter = np.random.default_rng(seed).standard_normal((count, len(MEASURED)))
    made["first"], made["count"] = 64 * np.arange(count), 64
    for place, name in enumerate(MEASURED):
        made[name] = USUAL[name] * (1 + 0.01 * scatter[:, place])
    for first, stop, factors in changes:
        for name, factor in factors.items():
            made[name][first:stop] = made[name][first:stop] * factor if USUAL[name] else factor
    return made


def watch(made: np.ndarray, scan: Scan = SCAN) -> list[Alarm]:
    watching = Watch(scan, 64)
    for row in made:
        watching.add(row)
    return watching.alarms


@pytest.mark.parametrize("seed", range(5))
def test_a_scan_that_stays_as_it_is_gives_no_alarm(seed: int) -> None:
    assert watch(rows(seed=seed)) == []


@pytest.mark.parametrize(
    ("what", "factor", "cause"),
    [
        ("sharpness", 0.8, "defocus?"),
        ("mean", 0.7, "beam current, or a shadow?"),
        ("mean", 1.4, "beam current, or exposure?"),
        ("contrast", 0.6, "contamination, charging, or a little defocus?"),
        ("saturated", 40, "exposure or gain too high?"),
        ("background", 0.9, "shadow, charging, or another background?"),
        ("distance", 1.5, "another phase, or other patterns?"),
        ("bands", 0.4, "another phase, noise, or a large defocus?"),
    ],
)
def test_a_change_is_named_with_its_cause(what: str, factor: float, cause: str) -> None:
    (alarm,) = watch(rows((60, 100, {what: factor})))
    assert (alarm.what, alarm.end) == (what, None)
    assert 60 * 64 <= alarm.start < 70 * 64
    assert alarm.text.endswith(f"since row {alarm.start // 64}: {cause}")


@pytest.mark.parametrize("nav_shape", [(1, 6400), (2, 3200)])
def test_a_beam_that_fades_in_a_scan_of_one_long_row_is_said(nav_shape: tuple[int, int]) -> None:
    (alarm,) = watch(rows((60, 100, {"mean": 0.5})), Scan(nav_shape, (8, 8)))
    assert (alarm.what, alarm.start) == ("mean", pytest.approx(60 * 64, abs=256))


def test_of_a_region_the_row_of_the_whole_scan_is_said() -> None:
    part = Part((500, 300), (200, 400), (10, 138), 2)
    monitor = ScanMonitor(SCAN, None, rows((60, 100, {"mean": 0.5})), 6400, part)
    (alarm,) = monitor.alarms
    assert f"since row {200 + 2 * (alarm.start // 64)}: beam current" in alarm.text


def test_a_change_that_goes_again_ends_its_alarm() -> None:
    (alarm,) = watch(rows((60, 75, {"mean": 0.7})))
    assert alarm.end is not None and 75 * 64 < alarm.end < 90 * 64


def test_one_cause_gives_one_alarm_named_after_it() -> None:
    (alarm,) = watch(rows((60, 100, {"distance": 2.0}), (62, 100, {"sharpness": 0.8, "contrast": 0.8})))
    assert (alarm.what, alarm.start) == ("sharpness", pytest.approx(60 * 64, abs=128))


def test_a_defocus_that_shows_in_the_contrast_first_is_named_as_one() -> None:
    made = rows((60, 100, {"contrast": 0.8, "sharpness": 0.88}))
    made["sharpness"][:LEARNED:2] *= 1.04  # the scatter alone would hide it
    (alarm,) = watch(made)
    assert (alarm.what, alarm.text.split(": ")[1]) == ("sharpness", "defocus?")
    (alarm,) = watch(rows((60, 100, {"contrast": 0.6})))
    assert alarm.what == "contrast"


@pytest.mark.parametrize(
    ("stays", "named"), [({"sharpness": 0.8, "contrast": 0.7}, "sharpness"), ({"unknown": 0.9}, "unknown")]
)
def test_a_beam_that_comes_back_is_no_longer_said_where_something_else_stays(
    stays: dict[str, float], named: str
) -> None:
    made = rows((60, 80, {"mean": 0.7}), (60, 100, stays))
    assert [alarm.what for alarm in watch(made[:78])] == ["mean"]
    (alarm,) = watch(made)
    assert (alarm.what, alarm.end, alarm.start) == (named, None, pytest.approx(60 * 64, abs=256))
    assert alarm.text.startswith(SUBJECTS[named])


def test_what_comes_long_after_is_an_alarm_of_its_own() -> None:
    first, second = watch(rows((40, 100, {"mean": 0.7}), (80, 100, {"sharpness": 0.8})))
    assert (first.what, second.what) == ("mean", "sharpness")


def test_a_small_change_is_none_however_steady_a_scan_is() -> None:
    made = rows((60, 100, {"mean": 0.95, "sharpness": 0.97, "contrast": 0.95}))
    made["mean"][:60] = 1000  # no scatter at all
    assert watch(made) == []


def test_a_camera_that_is_saturated_all_along_gives_no_alarm() -> None:
    assert watch(rows((0, 100, {"saturated": 50}))) == []


def test_patterns_that_the_model_does_not_know_are_said_from_the_first_blocks_on() -> None:
    (alarm,) = watch(rows((0, 100, {"unknown": 0.9})))
    assert (alarm.what, alarm.start) == ("unknown", pytest.approx(0, abs=256))
    assert "% since row" in alarm.text


def test_what_was_not_measured_gives_no_alarm() -> None:
    made = rows((60, 100, {"background": 0.5}))
    for name in ("background", "distance", "unknown", "bands"):
        made[name] = np.nan
    assert watch(made) == []


@pytest.mark.parametrize(("usual", "later"), [(-0.01, -0.03), (0.001, 0.1), (0.0, 0.2)])
def test_a_sharpness_around_nothing_is_not_said_to_change_by_so_many_percent(usual: float, later: float) -> None:
    made = rows()
    made["sharpness"] = np.where(np.arange(100) < 60, usual, later) + 0.02 * (made["sharpness"] - 0.7)
    made["sharpness"][:60:2] += 0.002
    assert watch(made) == []


def test_a_short_scan_is_not_compared_with_itself() -> None:
    assert watch(rows((15, 30, {"mean": 0.1}), count=30)) == []


def test_a_run_that_is_gone_on_with_says_the_same() -> None:
    made = rows((60, 100, {"contrast": 0.5}))
    again = ScanMonitor(SCAN, None, made[:70])
    assert again.blocks == 70
    assert again.baseline == LEARNED * 64
    assert list(again.alarms) == watch(made[:70]) != []


@pytest.mark.parametrize("what", CAUSES)
@pytest.mark.parametrize("change", [-0.5, 0.5])
def test_every_text_finds_room_in_the_file(what: str, change: float) -> None:
    text = describe(what, change, 0.5, 10**7)
    assert text.startswith(SUBJECTS[what]) and len(text.encode()) <= LONGEST


def batch(first: int, count: int, **changes: Any) -> EncodedBatch:
    numbers = np.arange(first, first + count)
    measures = np.tile(numbers[:, None], (1, 5)).astype(np.float32)
    values: dict[str, Any] = {
        "indices": numbers, "latents": np.zeros((count, 2), np.float32), "ranges": np.zeros((count, 2), np.float32),
        "flags": np.zeros(count, bool), "measures": measures,
    }  # fmt: skip
    return EncodedBatch(**{**values, **changes})


def test_blocks_are_medians_whatever_the_batches() -> None:
    for sizes in ([160], [1] * 160, [63, 2, 95]):
        blocks, found = Blocks(64, None), {}
        for first, size in zip(np.cumsum([0, *sizes[:-1]]), sizes, strict=True):
            found.update(blocks.add(batch(int(first), size), np.empty(0)))
        found.update(blocks.finish())
        assert [(row["first"], row["count"], row["mean"]) for row in found.values()] == [
            (0, 64, 31.5), (64, 64, 95.5), (128, 32, 143.5),
        ]  # fmt: skip
        assert list(found) == [0, 1, 2]


def test_patterns_without_information_and_those_that_come_again_do_not_count() -> None:
    blocks = Blocks(64, None)
    assert not list(blocks.add(batch(0, 60, flags=np.arange(60) < 30), np.empty(0)))
    assert not list(blocks.add(batch(10, 5), np.empty(0)))
    ((number, row),) = blocks.add(batch(60, 4), np.empty(0))
    assert (number, row["count"], row["mean"]) == (0, 34, 46.5)


def test_of_a_block_with_too_few_patterns_nothing_is_said() -> None:
    blocks = Blocks(64, None)
    list(blocks.add(batch(0, 7), np.empty(0)))
    ((_, row),) = blocks.finish()
    assert np.isnan(row["mean"]) and row["count"] == 7


def test_sampled_patterns_tell_of_their_block() -> None:
    blocks, found = Blocks(64, None), {}
    found.update(blocks.add(batch(0, 300), np.array([0.25])))
    assert found[3]["bands"] == 0.25
    assert np.isnan(found[2]["bands"])
