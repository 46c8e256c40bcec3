from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from training_runs import CONFIG, prepare, write_bands
from write_up2 import Header, write_up

from microrun.runtime.errors import OutputError, ScanError
from microrun.runtime.progress import Progress
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.up2 import ScanWarning, UpWriter
from microrun.runtime.scans.up_source import FileSource
from microrun.runtime.spec import Preprocessing
from microrun.training.vae.data import Prepared, Selection, describe_data, identity_of, prepare_scans


class Room(NamedTuple):
    """What `shutil.disk_usage` returns."""

    total: int = 100
    used: int = 90
    free: int = 10


PLAIN = Preprocessing()


def count_prepared(
    scans: Sequence[FileSource],
    folder: Path,
    selection: Selection = CONFIG.selection,
    preprocessing: Preprocessing = PLAIN,
) -> tuple[Prepared, int]:
    """Prepare scans, and count the patterns for which that was done: none if they come from the cache."""
    job, done = prepare_scans(scans, preprocessing, folder / "prepared.npy", selection), 0
    while True:
        try:
            done = next(job).done
        except StopIteration as end:
            return end.value, done


def test_prepared_patterns_split_every_scan(data: Prepared) -> None:
    assert data.patterns.shape == (48, 120, 120) and data.patterns.dtype == np.float16
    assert [len(part) for part in data.training] == [19, 19] and data.count == 38
    assert len(data.held_out) == 10
    numbers = np.concatenate([*data.training, data.held_out])
    assert_array_equal(np.sort(numbers), np.arange(48))
    assert (data.training[0] < 24).all() and (data.training[1] >= 24).all()
    assert (data.held_out < 24).sum() == 5
    assert (data.patterns[:, ~data.pixel_keep] == 0).all()
    inside = data.patterns[:, data.pixel_keep]
    assert (inside.min(axis=1) == -1).all() and (inside.max(axis=1) == 1).all()
    mean, std = data.moments()
    assert mean == pytest.approx(inside[np.concatenate(data.training)].astype(float).mean(), abs=1e-6) and std > 0


def test_selection_takes_other_patterns_with_another_seed(banded_scans: list[FileSource]) -> None:
    (first, tested), _ = Selection(10, 0.2, seed=0).choose(banded_scans)
    (other, _), _ = Selection(10, 0.2, seed=1).choose(banded_scans)
    assert len(first) == 8 and len(tested) == 2 and not np.intersect1d(first, tested).size
    assert (first != other).any() and (np.diff(first) > 0).all()


def test_the_cache_is_used_again(banded_scans: list[FileSource], tmp_path: Path) -> None:
    first, prepared = count_prepared(banded_scans, tmp_path)
    again, prepared_again = count_prepared(banded_scans, tmp_path)
    assert (prepared, prepared_again) == (48, 0)
    assert again.identity == first.identity
    for a, b in zip((*first.training, first.held_out), (*again.training, again.held_out), strict=True):
        assert_array_equal(a, b)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["prepared.json", "prepared.npy"]


def test_moved_scans_are_the_same_scans(banded_scans: list[FileSource], tmp_path: Path) -> None:
    prepare(banded_scans, tmp_path)
    moved = [FileSource(shutil.copy(scan.path, tmp_path / f"moved-{scan.path.name}")) for scan in banded_scans]
    assert count_prepared(moved, tmp_path)[1] == 0


@pytest.mark.parametrize("change", ["scan", "order", "seed", "held_out", "patterns", "mask"])
def test_anything_else_is_prepared_anew(banded_scans: list[FileSource], tmp_path: Path, change: str) -> None:
    prepare(banded_scans, tmp_path)
    selection = {
        "seed": Selection(seed=99),
        "held_out": Selection(held_out=0.3, seed=CONFIG.seed),
        "patterns": Selection(20, CONFIG.held_out, CONFIG.seed),
    }.get(change, CONFIG.selection)
    other = FileSource(write_bands(tmp_path / "other.up2", (3, 8), seed=9))
    sources = {"scan": [banded_scans[0], other], "order": banded_scans[::-1]}.get(change, banded_scans)
    preprocessing = Preprocessing(mask_radius=50) if change == "mask" else PLAIN
    again, prepared = count_prepared(sources, tmp_path, selection, preprocessing)
    assert again.identity == identity_of(describe_data(sources, preprocessing, selection))
    assert len(again.patterns) == prepared == (40 if change == "patterns" else 48)


@pytest.mark.parametrize("damage", ["cut", "no patterns", "no json", "half a json", "other json"])
def test_a_damaged_cache_is_made_again(banded_scans: list[FileSource], tmp_path: Path, damage: str) -> None:
    whole = np.array(prepare(banded_scans, tmp_path).patterns)
    patterns, beside = tmp_path / "prepared.npy", tmp_path / "prepared.json"
    if damage == "cut":
        patterns.write_bytes(patterns.read_bytes()[:-1000])
    elif damage == "no patterns":
        patterns.unlink()
    elif damage == "no json":
        beside.unlink()
    else:
        beside.write_text(beside.read_text()[:100] if damage == "half a json" else "[]")
    again, prepared = count_prepared(banded_scans, tmp_path)
    assert_array_equal(again.patterns, whole)
    assert prepared == 48


def test_an_interrupted_preparation_leaves_the_old_cache(banded_scans: list[FileSource], tmp_path: Path) -> None:
    whole = np.array(prepare(banded_scans, tmp_path).patterns)
    job = prepare_scans(banded_scans, Preprocessing(), tmp_path / "prepared.npy", Selection(seed=5))
    assert next(job) == Progress(24, 48)
    with pytest.raises(KeyboardInterrupt):
        job.throw(KeyboardInterrupt)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["prepared.json", "prepared.npy"]
    assert_array_equal(prepare(banded_scans, tmp_path).patterns, whole)


def test_a_disk_without_room_is_noticed_before_anything_is_prepared(
    banded_scans: list[FileSource], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Room())
    job = prepare_scans(banded_scans, Preprocessing(), tmp_path / "prepared.npy", CONFIG.selection)
    with pytest.raises(OutputError, match=r"prepared\.npy: cannot be written \(No space left on device\); .*--folder"):
        next(job)
    assert not list(tmp_path.iterdir())


def test_patterns_without_information_are_left_out(tmp_path: Path) -> None:
    change = np.random.default_rng(0).integers(0, 500, (5, 60, 60))
    patterns = 1000 + np.concatenate([change, -change, np.zeros((2, 60, 60), int)])  # the last two are the mean
    with UpWriter(tmp_path / "scan.up2", Scan((3, 4), (60, 60), "uint16")) as writer:
        writer.write(patterns.astype(np.uint16))
    source = FileSource(tmp_path / "scan.up2")
    for _ in range(2):  # also from the cache
        data = prepare([source], tmp_path)
        assert len(data.patterns) == 12 and data.count + len(data.held_out) == 10
        used = np.concatenate([*data.training, data.held_out])
        assert (np.ptp(data.patterns[used], axis=(1, 2)) == 2).all()


@pytest.mark.parametrize("value", [0, 65535])
def test_blank_frames_change_nothing_in_what_is_learned_from(tmp_path: Path, value: int) -> None:
    patterns = np.random.default_rng(0).integers(1000, 60_000, (12, 60, 60)).astype(np.uint16)
    patterns[9:] = value
    header = Header(sig_shape=(60, 60), nav_shape=(3, 4))
    paths = (write_up(tmp_path / f"{n}.up2", patterns[:n], replace(header, nav_shape=(3, n // 3))) for n in (12, 9))
    blank, good = map(FileSource, paths)
    with pytest.warns(ScanWarning, match=r"12\.up2: 3 of 12 patterns carry no information; left out of training"):
        found = prepare([blank], tmp_path)
    (tmp_path / "good").mkdir()
    expected = prepare([good], tmp_path / "good")
    used = [data.patterns[np.concatenate([*data.training, data.held_out])] for data in (found, expected)]
    assert_array_equal(*(np.sort(one, axis=0) for one in used))
    assert found.moments() == pytest.approx(expected.moments(), abs=0.1)


def test_a_scan_without_any_information_is_refused(tmp_path: Path) -> None:
    with UpWriter(tmp_path / "flat.up2", Scan((3, 4), (60, 60), "uint16")) as writer:
        writer.write(np.full((12, 60, 60), 7, np.uint16))
    with pytest.raises(ScanError, match=r"flat\.up2: none of its patterns carries information"):
        prepare([FileSource(tmp_path / "flat.up2")], tmp_path)


def test_detectors_of_different_shapes_are_refused(banded_scans: list[FileSource], tmp_path: Path) -> None:
    other = FileSource(write_bands(tmp_path / "other.up2", (2, 2), 0, sig_shape=(120, 160)))
    with pytest.raises(ScanError, match=r"other\.up2: patterns of \(120, 160\); .*0\.up2 has \(120, 120\)"):
        prepare([*banded_scans, other], tmp_path)
    assert not (tmp_path / "prepared.npy").exists()
