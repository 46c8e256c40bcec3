"""A background that is scaled to each pattern: what a drifting beam current does to latents, and what is kept of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encode_runs import COUNT, HEADER, SIG_SHAPE, SPEC, EndedError, assert_same, contents, engine, run, stopping
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from write_up2 import write_up

from microrun.runtime.encoding.encode_scan import EncodeRequest
from microrun.runtime.encoding.stream import encode
from microrun.runtime.errors import MicrorunError, ScanError
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.patterns.background import mean_background
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.up_source import FileSource
from microrun.runtime.spec import Preprocessing
from microrun.runtime.testing import ProjectionEngine

TRAINED_SO = replace(SPEC, preprocessing=replace(SPEC.preprocessing, scale_background=True))


@pytest.fixture
def bright(tmp_path: Path) -> Path:
    """Patterns with a clear background, whose mean is the file beside it."""
    shape = np.linspace(10_000, 30_000, SIG_SHAPE[1])
    patterns = shape + np.random.default_rng(4).uniform(-3000, 3000, (COUNT, *SIG_SHAPE))
    np.save(tmp_path / "background.npy", np.broadcast_to(shape, SIG_SHAPE).copy())
    return write_up(tmp_path / "bright.up2", patterns.astype(np.uint16), HEADER)


def fading(path: Path, scan: Path) -> Path:
    """The same scan, while the beam current falls by 30 %."""
    patterns = read(scan) * np.linspace(1, 0.7, COUNT)[:, None, None]
    return write_up(path, np.rint(patterns).astype(np.uint16), HEADER)


def read(scan: Path) -> NDArray[Any]:
    raw = np.empty((COUNT, *SIG_SHAPE), np.uint16)
    FileSource(scan).read_patterns(np.arange(COUNT), raw)
    return raw


def moved(scan: Path, tmp_path: Path, scaled: bool) -> float:
    """How far latents move if the current falls, in standard deviations of the map."""
    background, latents = str(tmp_path / "background.npy"), []
    for name, each in (("steady", scan), ("fading", fading(tmp_path / "fading.up2", scan))):
        out = tmp_path / f"{name}_{scaled}.h5"
        run(EncodeRequest(each, out, background=background, scale_background=scaled), engine())
        latents.append(contents(out)["latents"].reshape(COUNT, -1))
    spread = latents[0].std(axis=0)
    return float(np.sqrt((((latents[1] - latents[0]) / spread) ** 2).mean()))


def test_a_falling_beam_current_does_not_move_the_latents(bright: Path, tmp_path: Path) -> None:
    assert moved(bright, tmp_path, scaled=True) < 0.01
    assert moved(bright, tmp_path, scaled=False) > 1


def test_unasked_the_model_says_whether_the_background_is_scaled(bright: Path, tmp_path: Path) -> None:
    for name, spec, asked in (("asked", SPEC, True), ("trained", TRAINED_SO, None), ("plain", TRAINED_SO, False)):
        run(EncodeRequest(bright, tmp_path / f"{name}.h5", scale_background=asked), ProjectionEngine(spec, 2, 7))
        with open_latents(tmp_path / f"{name}.h5") as latents:
            assert latents.origin.scale_background == (name != "plain")
    asked, trained = contents(tmp_path / "asked.h5"), contents(tmp_path / "trained.h5")
    assert_array_equal(asked["latents"], trained["latents"])
    assert (asked["latents"] != contents(tmp_path / "plain.h5")["latents"]).any()


def test_a_resumed_run_goes_on_as_it_began(bright: Path, tmp_path: Path) -> None:
    whole, resumed = tmp_path / "whole.h5", tmp_path / "resumed.h5"
    run(EncodeRequest(bright, whole, scale_background=True), engine())
    with pytest.raises(EndedError):
        run(EncodeRequest(bright, resumed, scale_background=True), engine(lanes=1), stopping(after=7))
    with pytest.raises(MicrorunError, match="scaling of the background"):
        run(EncodeRequest(bright, resumed, scale_background=False, resume=True), engine())
    run(EncodeRequest(bright, resumed, resume=True), engine())
    assert_same(resumed, whole)


def test_ranges_are_those_of_patterns_brought_to_the_brightness_of_the_background(bright: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    run(EncodeRequest(bright, out, scale_background=True), engine())
    preprocessor = Preprocessor(SPEC.preprocessing, SIG_SHAPE)
    binned = np.empty((COUNT, *preprocessor.input_shape), np.float32)
    preprocessor.bin(read(bright), binned)
    keep = preprocessor.pixel_keep
    image, inside = contents(out)["background"][keep], binned[:, keep]
    left = inside * ((image @ image) / (inside @ image))[:, None] - image
    expected = np.stack([left.min(axis=1), left.max(axis=1)], axis=1)
    assert_allclose(contents(out)["ranges"].reshape(COUNT, 2), expected, rtol=1e-4)


def test_a_growing_scan_is_scaled_by_its_running_mean(bright: Path, tmp_path: Path) -> None:
    whole, followed = tmp_path / "whole.h5", tmp_path / "followed.h5"
    run(EncodeRequest(bright, whole, background="running", scale_background=True), engine())
    run(EncodeRequest(bright, followed, follow=True, scale_background=True, idle_timeout_s=0), engine())
    assert_same(followed, whole)


def test_without_a_background_there_is_nothing_to_scale(bright: Path, tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="there is no background to scale"):
        run(EncodeRequest(bright, tmp_path / "a.h5", background="none", scale_background=True), engine())
    assert not (tmp_path / "a.h5").exists()


def test_an_embedder_gives_the_preprocessor(bright: Path) -> None:
    source = FileSource(bright)
    preprocessor = Preprocessor(TRAINED_SO.preprocessing, SIG_SHAPE)
    background = mean_background(source, preprocessor)
    with encode(source, engine(), background, preprocessor=preprocessor) as stream:
        scaled = np.concatenate([batch.latents for batch in stream])
    with encode(FileSource(bright), ProjectionEngine(TRAINED_SO, 2, 7), background) as stream:
        assert_array_equal(scaled, np.concatenate([batch.latents for batch in stream]))


@pytest.mark.parametrize(
    ("preprocessor", "said"),
    [
        (Preprocessor(SPEC.preprocessing, (40, 40)), "for a detector of"),
        (Preprocessor(Preprocessing((6, 6)), SIG_SHAPE), "the engine takes"),
    ],
)
def test_a_preprocessor_of_something_else_is_refused(bright: Path, preprocessor: Preprocessor, said: str) -> None:
    with pytest.raises(ScanError, match=said):
        encode(FileSource(bright), engine(), preprocessor=preprocessor)
