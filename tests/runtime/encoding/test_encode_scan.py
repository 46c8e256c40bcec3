"""One run from a scan file to a latents file, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encode_runs import (
    COUNT,
    HEADER,
    NAV_SHAPE,
    SIG_SHAPE,
    SPEC,
    assert_same,
    contents,
    engine,
    run,
)
from make_models import write_encoder
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from write_up2 import make_patterns, write_up

from microrun.runtime.encoding.encode_scan import EncodeRequest, encode_scan
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.open import open_engine
from microrun.runtime.errors import MicrorunError, ScanError
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.patterns.background import load_background, mean_background
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.up2 import ScanWarning, UpWriter
from microrun.runtime.scans.up_source import FileSource
from microrun.runtime.spec import ModelSpec, Preprocessing
from microrun.runtime.testing import ProjectionEngine


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


def test_kikuchipy_gives_the_same_as_our_own_reader(nickel: Any, nickel_up1: Path, tmp_path: Path) -> None:
    made = ProjectionEngine(ModelSpec("projection", "encoder", 4, Preprocessing((30, 30))), 2, 4)
    for scan, out in ((nickel.path, "one.h5"), (nickel_up1, "other.h5")):
        assert run(EncodeRequest(scan, tmp_path / out), made).done == 9
    assert_same(tmp_path / "one.h5", tmp_path / "other.h5")
    with open_latents(tmp_path / "one.h5") as latents:
        assert latents.origin.scan == Scan((3, 3), (60, 60), "uint8", step_um=(1.5, 1.5))
