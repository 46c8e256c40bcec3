"""Whole runs from a scan file to a latents file: backgrounds, following, resuming, and what goes wrong."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_models import write_encoder
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from write_up2 import Header, make_patterns, pattern_bytes, write_up

from microrun.runtime.encoding.encode_scan import EncodeRequest, encode_scan
from microrun.runtime.encoding.meter import Statistics
from microrun.runtime.engines.engine import Engine, EngineRequest
from microrun.runtime.engines.open import open_engine
from microrun.runtime.errors import LatentsError, MicrorunError, ScanError
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.patterns.background import BLOCK, load_background, mean_background
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.up2 import ScanWarning, UpWriter
from microrun.runtime.scans.up_source import FileSource, FollowingSource
from microrun.runtime.spec import ModelSpec, Preprocessing
from microrun.runtime.testing import ProjectionEngine

SIG_SHAPE = (24, 24)
SPEC = ModelSpec("projection", "encoder", 4, Preprocessing((12, 12), 0))
NAV_SHAPE = (10, 16)
COUNT = 160  # two whole blocks of the running mean, and a part of a third
HEADER = Header(sig_shape=SIG_SHAPE, nav_shape=NAV_SHAPE)
ARRAYS = ("latents", "written", "ranges", "flags", "background")
LONG_S = 60.0  # for what would otherwise hang; nothing waits that long


class EndedError(Exception):
    """Ends a run in the middle."""


@pytest.fixture(scope="module")
def patterns() -> NDArray[Any]:
    return make_patterns(COUNT, SIG_SHAPE)


@pytest.fixture
def scan(tmp_path: Path, patterns: NDArray[Any]) -> Path:
    return write_up(tmp_path / "scan.up2", patterns, HEADER)


@pytest.fixture
def background_file(tmp_path: Path) -> Path:
    path = tmp_path / "background.npy"
    np.save(path, np.linspace(0, 50_000, 24 * 24).reshape(SIG_SHAPE))
    return path


def engine(lanes: int = 2, batch: int = 7) -> ProjectionEngine:
    return ProjectionEngine(SPEC, lanes, batch)


def contents(path: Path) -> dict[str, Any]:
    with open_latents(path) as latents:
        return {name: getattr(latents, name) for name in ARRAYS}


def assert_same(found: Path, expected: Path) -> None:
    """Compare bit by bit."""
    one, other = contents(found), contents(expected)
    for name in ARRAYS:
        assert_array_equal(one[name], other[name], name)


def stopping(after: int) -> Callable[[Statistics], None]:
    """Interrupt once so many patterns are done."""

    def progress(now: Statistics) -> None:
        if now.done >= after:
            raise EndedError

    return progress


def run(
    request: EncodeRequest, made: Engine, after_each: Callable[[Statistics], None] = lambda now: None
) -> Statistics:
    """Encode to the end."""
    with encode_scan(request, made) as running:
        for now in running:
            after_each(now)
    return running.statistics


def in_pieces(path: Path, patterns: NDArray[Any], piece: int = 1000) -> threading.Thread:
    """Append patterns to a file, a few bytes at a time, from a thread of its own."""

    def write() -> None:
        data = pattern_bytes(patterns)
        with path.open("ab", buffering=0) as file:
            for first in range(0, len(data), piece):
                file.write(data[first : first + piece])

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


# --- offline


@pytest.mark.parametrize("background", ["auto", "none", "file"])
def test_latents_are_those_of_the_engine(
    scan: Path, tmp_path: Path, patterns: NDArray[Any], background_file: Path, background: str
) -> None:
    out = tmp_path / "out.h5"
    chosen = str(background_file) if background == "file" else background
    statistics = run(EncodeRequest(scan, out, background=chosen), engine())
    assert (statistics.done, statistics.total, statistics.lag) == (COUNT, COUNT, 0)
    preprocessor = Preprocessor(SPEC.preprocessing, SIG_SHAPE)
    subtracted = {
        "auto": mean_background(FileSource(scan), preprocessor),
        "none": np.zeros((12, 12), np.float32),
        "file": load_background(background_file, preprocessor),
    }[background]
    prepared = np.empty((COUNT, 12, 12), np.float32)
    ranges, flags = np.empty((COUNT, 2), np.float32), np.empty(COUNT, bool)
    preprocessor.prepare(patterns, subtracted, prepared, ranges, flags)
    found = contents(out)
    assert_array_equal(found["background"], subtracted)
    assert_array_equal(found["ranges"].reshape(COUNT, 2), ranges)
    assert_array_equal(found["latents"].reshape(COUNT, 4), engine().project(prepared[:, None]))
    assert found["written"].all()
    with open_latents(out) as latents:
        assert latents.origin.background == {"auto": "mean"}.get(background, background)
        assert latents.origin.scan == Scan(NAV_SHAPE, SIG_SHAPE, step_um=(1.5, 1.5))
        assert latents.origin.spec == SPEC


@pytest.mark.parametrize("background", ["auto", "running", "none"])
def test_latents_depend_on_neither_lanes_nor_batch(scan: Path, tmp_path: Path, background: str) -> None:
    for name, made in (("one.h5", engine(1, 1)), ("other.h5", engine(3, 64))):
        run(EncodeRequest(scan, tmp_path / name, background=background), made)
    assert_same(tmp_path / "other.h5", tmp_path / "one.h5")


def test_the_running_mean_is_stored(scan: Path, tmp_path: Path, patterns: NDArray[Any]) -> None:
    out = tmp_path / "out.h5"
    run(EncodeRequest(scan, out, background="running"), engine())
    binned = patterns[:128].reshape(128, 12, 2, 12, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(contents(out)["background"], binned.mean(axis=0), rtol=1e-5)


def test_a_real_engine_at_its_own_size(tmp_path: Path) -> None:
    scan = Scan((4, 6), (240, 240), step_um=(1.0, 1.0))
    path = tmp_path / "scan.up2"
    with UpWriter(path, scan) as writer:
        writer.write(make_patterns(24, (240, 240)))
    for name, request in (("one.h5", EngineRequest("f32", 1, 5)), ("other.h5", EngineRequest("f32", 2, 5))):
        with open_engine(write_encoder(tmp_path / "tiny.onnx"), "cpu", request) as opened:
            statistics = run(EncodeRequest(path, tmp_path / name), opened)
        assert statistics.done == 24
    assert_same(tmp_path / "other.h5", tmp_path / "one.h5")
    assert np.ptp(contents(tmp_path / "one.h5")["latents"]) > 0.1


def test_a_run_tells_its_scan_and_every_batch(scan: Path, tmp_path: Path) -> None:
    with encode_scan(EncodeRequest(scan, tmp_path / "out.h5"), engine(2, 16)) as running:
        assert isinstance(running.source, FileSource)
        assert (running.statistics.done, running.statistics.total) == (0, COUNT)
        assert [now.done for now in running] == list(range(16, COUNT + 1, 16))
    assert running.statistics == running.statistics


def test_a_run_that_is_left_keeps_what_it_gave(scan: Path, tmp_path: Path) -> None:
    for after in (0, 1, 3):
        out = tmp_path / f"{after}.h5"
        with encode_scan(EncodeRequest(scan, out), engine(2, 16)) as running:
            for _ in range(after):
                next(running)
        assert_array_equal(np.flatnonzero(contents(out)["written"]), np.arange(16 * after))
        assert list(running) == []


def test_names_may_be_text(scan: Path, tmp_path: Path) -> None:
    request = EncodeRequest(str(scan), str(tmp_path / "out.h5"))  # type: ignore[arg-type]
    assert run(request, engine()).done == COUNT


def test_a_scan_that_is_cut_off_gives_what_it_holds(scan: Path, tmp_path: Path, patterns: NDArray[Any]) -> None:
    out, whole = tmp_path / "out.h5", tmp_path / "whole.h5"
    run(EncodeRequest(scan, whole, background="none"), engine())
    write_up(scan, patterns[:50], HEADER, trailing=b"half a pattern")
    with pytest.warns(ScanWarning, match="50 of the 160 patterns"):
        statistics = run(EncodeRequest(scan, out, background="none"), engine())
    assert (statistics.done, statistics.total) == (50, COUNT)
    found = contents(out)
    assert_array_equal(np.flatnonzero(found["written"]), np.arange(50))
    assert_array_equal(found["latents"].reshape(COUNT, 4)[:50], contents(whole)["latents"].reshape(COUNT, 4)[:50])
    write_up(scan, patterns, HEADER)
    run(EncodeRequest(scan, out, background="none", resume=True), engine())
    assert_same(out, whole)


# --- resumed


@pytest.mark.parametrize("background", ["auto", "none", "running", "file"])
@pytest.mark.parametrize("after", [1, 70, 150])
def test_a_resumed_run_equals_an_uninterrupted_one(
    scan: Path, tmp_path: Path, background_file: Path, background: str, after: int
) -> None:
    chosen = str(background_file) if background == "file" else background
    out, whole = tmp_path / "out.h5", tmp_path / "whole.h5"
    with pytest.raises(EndedError):
        run(EncodeRequest(scan, out, background=chosen), engine(), stopping(after))
    before = int(contents(out)["written"].sum())
    assert after <= before < COUNT
    rest = run(EncodeRequest(scan, out, background=chosen, resume=True), engine(3, 5))
    again = background == "running" and before < BLOCK  # its mean may have been that of fewer patterns
    assert rest.done == rest.total == (COUNT if again else COUNT - before)
    run(EncodeRequest(scan, whole, background=chosen), engine())
    assert_same(out, whole)


@pytest.mark.parametrize("held", [10, 64, 100])
def test_a_followed_run_that_ended_early_is_resumed(
    tmp_path: Path, scan: Path, patterns: NDArray[Any], held: int
) -> None:
    growing, out, whole = tmp_path / "growing.up2", tmp_path / "out.h5", tmp_path / "whole.h5"
    write_up(growing, patterns[:held], HEADER)
    request = EncodeRequest(growing, out, follow=True, idle_timeout_s=0.1)
    assert run(request, engine()).done == held
    in_pieces(growing, patterns[held:]).join(LONG_S)
    run(dataclasses.replace(request, resume=True), engine())
    run(EncodeRequest(scan, whole, background="running"), engine())
    assert_same(out, whole)


def test_a_finished_file_is_resumed_to_itself(scan: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "out.h5", tmp_path / "whole.h5"
    for background in ("auto", "running"):
        for path in (out, whole):
            path.unlink(missing_ok=True)
            run(EncodeRequest(scan, path, background=background), engine())
        assert run(EncodeRequest(scan, out, background=background, resume=True), engine()).done == 0
        assert_same(out, whole)


def test_resume_starts_a_file_that_is_not_there(scan: Path, tmp_path: Path) -> None:
    assert run(EncodeRequest(scan, tmp_path / "out.h5", resume=True), engine()).done == COUNT


def test_an_existing_file_is_kept_without_resume(scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    out.write_text("precious")
    with pytest.raises(LatentsError, match="exists; go on with --resume"):
        run(EncodeRequest(scan, out), engine())
    assert out.read_text() == "precious"


def test_only_the_same_run_is_resumed(
    scan: Path, tmp_path: Path, patterns: NDArray[Any], background_file: Path
) -> None:
    out = tmp_path / "out.h5"
    run(EncodeRequest(scan, out, background=str(background_file)), engine())
    before = contents(out)
    other_scan = write_up(tmp_path / "other.up2", patterns[::-1], HEADER)
    other_file = tmp_path / "other.npy"
    np.save(other_file, np.arange(float(np.prod(SIG_SHAPE))).reshape(SIG_SHAPE))
    other_engine = ProjectionEngine(dataclasses.replace(SPEC, latent_size=5), 2, 7)
    other_engine.info = dataclasses.replace(other_engine.info, sha256="1" * 64)
    request = EncodeRequest(scan, out, background=str(background_file), resume=True)
    for wrong, made, text in (
        (dataclasses.replace(request, scan=other_scan), engine(), "another scan"),
        (dataclasses.replace(request, step_um=9.0), engine(), "another scan geometry"),
        (dataclasses.replace(request, background="none"), engine(), "another background"),
        (dataclasses.replace(request, background=str(other_file)), engine(), "another background"),
        (dataclasses.replace(request, dtype="float16"), engine(), "another latents type"),
        (request, other_engine, "another engine"),
    ):
        with pytest.raises(LatentsError, match=text):
            run(wrong, made)
    assert_array_equal(contents(out)["latents"], before["latents"])


# --- following


@pytest.mark.parametrize("background", ["none", "running", "file"])
@pytest.mark.parametrize(("lanes", "batch"), [(1, 4), (3, 16)])
def test_following_equals_offline(
    scan: Path, tmp_path: Path, patterns: NDArray[Any], background_file: Path, background: str, lanes: int, batch: int
) -> None:
    chosen = str(background_file) if background == "file" else background
    run(EncodeRequest(scan, tmp_path / "offline.h5", background=chosen), engine())
    growing = write_up(tmp_path / "growing.up2", patterns[:1], HEADER)
    writer = in_pieces(growing, patterns[1:])
    request = EncodeRequest(growing, tmp_path / "live.h5", True, background=chosen, idle_timeout_s=LONG_S)
    assert run(request, engine(lanes, batch)).done == COUNT
    writer.join(LONG_S)
    assert_same(tmp_path / "live.h5", tmp_path / "offline.h5")


@pytest.mark.parametrize(("follow", "kind"), [(False, "mean"), (True, "running")])
def test_the_background_of_a_followed_scan_is_its_running_mean(
    scan: Path, tmp_path: Path, follow: bool, kind: str
) -> None:
    run(EncodeRequest(scan, tmp_path / "out.h5", follow), engine())
    with open_latents(tmp_path / "out.h5") as latents:
        assert latents.origin.background == kind


def test_a_followed_scan_ends_by_the_time_out(tmp_path: Path, patterns: NDArray[Any]) -> None:
    growing = write_up(tmp_path / "growing.up2", patterns[:20], HEADER)
    request = EncodeRequest(growing, tmp_path / "out.h5", follow=True, idle_timeout_s=0.1)
    statistics = run(request, engine())
    assert (statistics.done, statistics.total) == (20, COUNT)
    assert int(contents(request.out)["written"].sum()) == 20


def test_a_followed_scan_without_patterns(tmp_path: Path, patterns: NDArray[Any]) -> None:
    growing = write_up(tmp_path / "growing.up2", patterns[:0], HEADER)
    request = EncodeRequest(growing, tmp_path / "out.h5", follow=True, idle_timeout_s=0.1)
    with pytest.raises(ScanError, match="no pattern arrived"):
        run(request, engine())
    assert not request.out.exists()


@pytest.mark.parametrize("background", ["none", "running"])
@pytest.mark.parametrize("change", ["vanishes", "shrinks"])
def test_what_was_encoded_stays_when_the_scan_goes_away(
    tmp_path: Path, patterns: NDArray[Any], change: str, background: str
) -> None:
    growing = write_up(tmp_path / "growing.up2", patterns[:70], HEADER)
    short = write_up(tmp_path / "short.up2", patterns[:5], HEADER).stat().st_size
    request = EncodeRequest(growing, tmp_path / "out.h5", True, background=background, idle_timeout_s=LONG_S)

    def progress(now: Statistics) -> None:
        if now.done == 70:  # all that is there; lanes wait for more
            if change == "vanishes":
                growing.unlink()
            else:
                os.truncate(growing, short)  # at once: written anew, it would be empty for a moment

    with pytest.raises(ScanError, match=r"growing\.up2: (cannot be read|became shorter)"):
        run(request, engine(), progress)
    assert int(contents(request.out)["written"].sum()) == 70


def test_a_scan_may_go_away_once_it_is_encoded(tmp_path: Path, patterns: NDArray[Any]) -> None:
    growing = write_up(tmp_path / "growing.up2", patterns, HEADER)

    def progress(now: Statistics) -> None:
        if now.done == COUNT:
            growing.unlink()

    request = EncodeRequest(growing, tmp_path / "out.h5", follow=True, background="none")
    assert run(request, engine(), progress).done == COUNT
    assert contents(request.out)["written"].all()


@pytest.mark.parametrize("background", ["none", "running"])
def test_stop_ends_following_and_keeps_what_was_encoded(
    tmp_path: Path, patterns: NDArray[Any], background: str
) -> None:
    growing = write_up(tmp_path / "growing.up2", patterns[:70], HEADER)
    request = EncodeRequest(growing, tmp_path / "out.h5", True, background=background, idle_timeout_s=LONG_S)
    with encode_scan(request, engine()) as running:
        for now in running:
            if now.done == 70:
                running.stop()
    statistics = running.statistics
    assert (statistics.done, statistics.total) == (70, COUNT)
    assert int(contents(request.out)["written"].sum()) == 70


def test_stop_does_not_wait_for_all_that_is_on_disk(tmp_path: Path, patterns: NDArray[Any]) -> None:
    growing = write_up(tmp_path / "growing.up2", patterns[:100], HEADER)
    source = FollowingSource(growing)
    first = source.claim(10)
    assert first is not None
    assert len(first) == 10
    source.stop()
    assert source.claim(10) is None


# --- what does not fit


def test_an_engine_that_does_not_fit_leaves_no_file(scan: Path, tmp_path: Path) -> None:
    large = ProjectionEngine(ModelSpec("large", "encoder", 4, Preprocessing((120, 120))))
    with pytest.raises(ScanError, match="24×24 are too small for an engine that takes 120×120"):
        run(EncodeRequest(scan, tmp_path / "out.h5"), large)
    decoder = ProjectionEngine(ModelSpec("backwards", "decoder", 144, Preprocessing((12, 12))))
    with pytest.raises(MicrorunError, match="encoding needs an encoder"):
        run(EncodeRequest(scan, tmp_path / "out.h5"), decoder)
    assert not (tmp_path / "out.h5").exists()


def test_a_background_that_does_not_fit_leaves_no_file(scan: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "small.npy", np.zeros((5, 5)))
    (tmp_path / "text.npy").write_text("no image")
    for name in ("small.npy", "text.npy", "missing.npy", "missing.up2"):
        with pytest.raises(ScanError, match=name):
            run(EncodeRequest(scan, tmp_path / "out.h5", background=str(tmp_path / name)), engine())
    assert not (tmp_path / "out.h5").exists()


# --- other vendors' files


def test_kikuchipy_gives_the_same_as_our_own_reader(nickel: Any, nickel_up1: Path, tmp_path: Path) -> None:
    made = ProjectionEngine(ModelSpec("projection", "encoder", 4, Preprocessing((30, 30))), 2, 4)
    for scan, out in ((nickel.path, "one.h5"), (nickel_up1, "other.h5")):
        assert run(EncodeRequest(scan, tmp_path / out), made).done == 9
    assert_same(tmp_path / "one.h5", tmp_path / "other.h5")
    with open_latents(tmp_path / "one.h5") as latents:
        assert latents.origin.scan == Scan((3, 3), (60, 60), "uint8", step_um=(1.5, 1.5))


def test_following_needs_a_file_that_grows(nickel: Any, tmp_path: Path) -> None:
    with pytest.raises(ScanError, match=r"\.up1 or \.up2"):
        run(EncodeRequest(nickel.path, tmp_path / "out.h5", follow=True, idle_timeout_s=LONG_S), engine())
