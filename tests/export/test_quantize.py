"""Encoders in int8: what they cost is measured as it says, and what costs too much is not written."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_models import encoder_graph, save_model, tiny_spec, write_decoder, write_encoder
from numpy.typing import NDArray
from one_line import one_line
from write_up2 import Header, write_up

from microrun.export import quantize
from microrun.export.calibration import QuantiseRequest
from microrun.export.graph import ParityError
from microrun.export.quantize import check, quantise
from microrun.runtime.engines.catalogue import MODELS
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.onnx_cpu import OnnxEngine
from microrun.runtime.engines.open import find_decoder_of, open_engine, read_model_spec
from microrun.runtime.errors import EngineError, OutputError, SpecError
from microrun.runtime.patterns.background import mean_background
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.progress import finish
from microrun.runtime.quantisation import Quantisation
from microrun.runtime.scans.source import Claim
from microrun.runtime.scans.up_source import FileSource
from microrun.runtime.spec import ModelSpec, Preprocessing, Training

BUILT_IN = MODELS / "vae32.onnx"
NAV_SHAPE, HALF = (6, 10), 2  # of the simulated scan, whose first two of six rows are calibrated on
FOUR_ROWS = Header(sig_shape=(60, 60), nav_shape=(4, 3))
SIX_ROWS = replace(FOUR_ROWS, nav_shape=(6, 3))


# --- what is written


def test_the_file_says_what_it_is_and_what_it_costs(int8: Path, asked: QuantiseRequest) -> None:
    before, spec = read_model_spec(BUILT_IN), read_model_spec(int8)
    with OnnxEngine(int8) as engine:
        assert engine.spec == spec
    assert replace(spec, precision="f16", parity_error=before.parity_error, quantisation=None) == before
    assert spec.precision == "int8"
    cost = spec.quantisation
    assert cost is not None
    assert (cost.calibrated_on, cost.held_out) == ("random.up2, rows 1 to 2", "random.up2, rows 3 to 6")
    assert (cost.calibration_patterns, cost.held_out_patterns) == (20, 40)
    assert list(int8.parent.iterdir()) == [int8]
    assert read_model_spec(find_decoder_of(BUILT_IN)).belongs_to(spec)


def test_the_built_in_model_stays_what_it_is(int8: Path) -> None:
    spec = read_model_spec(int8)
    assert spec.quantisation is not None and spec.parity_error is not None
    assert 0.001 < spec.parity_error < 0.06
    assert 0.001 < spec.quantisation.latent_error < 0.06
    assert 0.98 < spec.quantisation.rank_correlation <= 1
    assert spec.quantisation.top_kept >= 4


def test_the_costs_are_what_a_slow_look_finds(int8: Path, simulated_scan: Path) -> None:
    reference = encode_slowly(BUILT_IN, "f32", simulated_scan)[HALF:]
    found = encode_slowly(int8, "auto", simulated_scan)[HALF:]
    difference = sum(float(x) ** 2 for x in (found - reference).ravel()) ** 0.5
    size = sum(float(x) ** 2 for x in reference.ravel()) ** 0.5
    spread = sum(float(x) ** 2 for x in (reference - reference.reshape(-1, 32).mean(axis=0)).ravel()) ** 0.5
    places = [rank_slowly(latents) for latents in (reference, found)]
    squares = sum((places[0][feature] - places[1][feature]) ** 2 for feature in range(32))
    best = [{feature for feature in range(32) if place[feature] < 5} for place in places]

    spec = read_model_spec(int8)
    assert spec.quantisation is not None
    assert spec.parity_error == pytest.approx(difference / size, rel=6e-3)
    assert spec.quantisation.latent_error == pytest.approx(difference / spread, rel=6e-3)
    assert spec.quantisation.rank_correlation == pytest.approx(1 - 6 * squares / (32 * (32**2 - 1)), abs=6e-4)
    assert spec.quantisation.top_kept == len(best[0] & best[1])


def encode_slowly(model: Path, precision: Any, scan: Path) -> NDArray[np.float32]:
    """Latents of the simulated scan, one pattern after the other: (rows, cols, D)."""
    source = FileSource(scan)
    latents = []
    with open_engine(model, "cpu", EngineRequest(precision, 1, 1)) as engine:
        preprocessor = Preprocessor(engine.spec.preprocessing, source.scan.sig_shape)
        background = mean_background(source, preprocessor)
        lane = engine.lane()
        for number in range(source.scan.total):
            raw = np.empty((1, *source.scan.sig_shape), source.scan.dtype)
            source.read(Claim(np.array([number])), 0, raw)
            out, ranges, flags = np.empty((1, 120, 120), np.float32), np.empty((1, 2), np.float32), np.empty(1, bool)
            preprocessor.prepare(raw, background, out, ranges, flags)
            latents.append(lane.run(out[:, None])[0].copy())
    return np.array(latents).reshape(*NAV_SHAPE, -1)


def rank_slowly(latents: NDArray[np.float32]) -> list[int]:
    """Each feature's place by Geary's C, the smallest first."""
    rows, cols, size = latents.shape
    structures = []
    for feature in range(size):
        image = latents[..., feature].astype(float)
        across = [(image[y, x] - image[y, x + 1]) ** 2 for y in range(rows) for x in range(cols - 1)]
        down = [(image[y, x] - image[y + 1, x]) ** 2 for y in range(rows - 1) for x in range(cols)]
        structures.append(np.mean(across + down) / (2 * image.var()))
    return [sorted(structures).index(structure) for structure in structures]


def test_a_model_in_float32_is_quantised(asked: QuantiseRequest, tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "tiny.onnx")
    spec = finish(quantise(encoder, tmp_path / "out.onnx", asked))
    assert (spec.name, spec.latent_size, spec.precision) == ("tiny", 8, "int8")
    assert read_model_spec(tmp_path / "out.onnx") == spec
    assert read_model_spec(encoder).precision == "f32"


def test_the_model_s_own_preprocessing_counts(asked: QuantiseRequest, simulated_scan: Path, tmp_path: Path) -> None:
    prepared, training = Preprocessing((120, 120), mask_radius=30), Training("scans", 7, licence="mine")
    spec = replace(tiny_spec(), preprocessing=prepared, training=training)
    path, out = save_model(tmp_path / "masked.onnx", encoder_graph(), spec), tmp_path / "out.onnx"
    found = finish(quantise(path, out, asked))
    assert (found.preprocessing, found.training) == (prepared, training)
    reference, int8 = (encode_slowly(model, "f32", simulated_scan)[HALF:] for model in (path, out))
    assert found.parity_error == pytest.approx(np.linalg.norm(int8 - reference) / np.linalg.norm(reference), rel=6e-3)


def test_another_scan_is_held_out(asked: QuantiseRequest, other_scan: Path, tmp_path: Path) -> None:
    spec = finish(quantise(BUILT_IN, tmp_path / "out.onnx", replace(asked, held_out=FileSource(other_scan))))
    cost = spec.quantisation
    assert cost is not None
    assert (cost.calibrated_on, cost.held_out) == ("random.up2, rows 1 to 6", "other.up2, rows 1 to 3")
    assert (cost.calibration_patterns, cost.held_out_patterns) == (60, 12)


# --- what is refused


def test_what_costs_too_much_is_not_written(
    asked: QuantiseRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.onnx"
    monkeypatch.setattr(quantize, "MOST_LATENT_ERROR", 1e-4)
    with pytest.raises(
        ParityError, match=r"latents are off by 0\.0\d+ of their spread \(0\.0001 is allowed\)"
    ) as error:
        finish(quantise(BUILT_IN, out, asked))
    one_line(error, "vae32 in int8", "Nothing was written")
    assert list(tmp_path.iterdir()) == []
    out.write_bytes(b"what was there before")
    with pytest.raises(ParityError):
        finish(quantise(BUILT_IN, out, asked))
    assert list(tmp_path.iterdir()) == [out]
    assert out.read_bytes() == b"what was there before"


def test_a_bad_calibration_is_seen(asked: QuantiseRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize, "MOST_LATENT_ERROR", 0.06)  # a good one costs less
    dark = np.full((16, 120, 120), 1000, np.uint16)
    dark[np.arange(16), 60, 30 + 4 * np.arange(16)] = 60_000  # but for one pixel: nothing like those to encode
    scan = write_up(tmp_path / "dark.up2", dark, Header(sig_shape=(120, 120), nav_shape=(4, 4)))
    request = QuantiseRequest(FileSource(scan), asked.calibrate, background="none")
    with pytest.raises(ParityError, match="latents are off by") as error:
        finish(quantise(BUILT_IN, tmp_path / "out.onnx", request))
    one_line(error)
    assert list(tmp_path.iterdir()) == [scan]


GOOD = Quantisation("one", "other", 256, 4096, latent_error=0.1, rank_correlation=0.9, top_kept=4)
NAN = float("nan")


@pytest.mark.parametrize(
    ("latent_size", "costs"),
    [
        (32, GOOD),
        (9, GOOD),
        (8, replace(GOOD, rank_correlation=0.5)),  # too few to be ranked
        (5, replace(GOOD, top_kept=5, rank_correlation=-1.0)),
        (1, replace(GOOD, top_kept=1, rank_correlation=1.0)),
    ],
)
def test_what_is_accepted(latent_size: int, costs: Quantisation) -> None:
    check(ModelSpec("model", "encoder", latent_size), costs)


@pytest.mark.parametrize(
    ("latent_size", "costs", "told"),
    [
        (32, replace(GOOD, latent_error=0.101), ["off by 0.1"]),
        (1, replace(GOOD, latent_error=0.2, top_kept=1), ["off by 0.2"]),
        (32, replace(GOOD, latent_error=NAN), ["off by nan"]),
        (9, replace(GOOD, rank_correlation=0.89), ["by 0.89 (0.9 is needed)"]),
        (32, replace(GOOD, rank_correlation=NAN), ["by nan"]),
        (32, replace(GOOD, top_kept=3), ["3 of the 5 best features are kept (4 are needed)"]),
        (32, replace(GOOD, latent_error=0.3, rank_correlation=0.2, top_kept=0), ["off by 0.3", "by 0.2", "0 of the 5"]),
    ],
)
def test_what_is_not_accepted(latent_size: int, costs: Quantisation, told: list[str]) -> None:
    with pytest.raises(ParityError) as error:
        check(ModelSpec("model", "encoder", latent_size), costs)
    one_line(error, "model in int8", *told)
    assert str(error.value).count(";") == len(told)  # each once, and what to do


def test_decoders_and_quantised_models_are_refused(int8: Path, asked: QuantiseRequest, tmp_path: Path) -> None:
    decoder = write_decoder(tmp_path / "tiny.decoder.onnx")
    for path, said in ((decoder, "is a decoder; quantisation needs an encoder"), (int8, "is quantised already")):
        with pytest.raises(SpecError, match=said) as error:
            finish(quantise(path, tmp_path / "out.onnx", asked))
        one_line(error, path)
    assert not (tmp_path / "out.onnx").exists()


def test_models_that_cannot_be_opened(asked: QuantiseRequest, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(BUILT_IN.read_bytes()[:1000])
    for path in (damaged, tmp_path / "none.onnx"):
        with pytest.raises(EngineError) as error:
            finish(quantise(path, tmp_path / "out.onnx", asked))
        one_line(error, path)
    assert list(tmp_path.iterdir()) == [damaged]


def test_where_nothing_can_be_written(asked: QuantiseRequest, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written") as error:
        finish(quantise(write_encoder(tmp_path / "tiny.onnx"), tmp_path / "none" / "out.onnx", asked))
    one_line(error, tmp_path / "none" / "out.onnx")


# --- manners


def test_nothing_is_said_and_nothing_left_behind(
    asked: QuantiseRequest, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", logging.INFO)
    finish(quantise(write_encoder(tmp_path / "tiny.onnx"), tmp_path / "out.onnx", asked))
    assert capfd.readouterr() == ("", "")
    assert (root.handlers, root.level) == ([], logging.INFO)
    assert list(folder.iterdir()) == []


def test_progress_is_told(asked: QuantiseRequest, tmp_path: Path) -> None:
    told = list(quantise(write_encoder(tmp_path / "tiny.onnx"), tmp_path / "out.onnx", asked))
    assert list(dict.fromkeys(now.phase for now in told)) == ["encoding in f32", "calibrating", "encoding in int8"]
    assert [(now.done, now.total) for now in told if now.phase == "calibrating"] == [(16, 20), (20, 20)]
    assert [(now.done, now.total) for now in told if now.phase == "encoding in f32"] == [(16, 40), (32, 40), (40, 40)]


def test_who_gives_up_leaves_nothing(
    asked: QuantiseRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = write_encoder(tmp_path / "tiny.onnx")
    for now in quantise(encoder, tmp_path / "out.onnx", asked):
        print(now.phase)
        if now.phase == "calibrating":
            break
    assert capsys.readouterr().out.splitlines() == ["encoding in f32"] * 3 + ["calibrating"]
    assert list(tmp_path.iterdir()) == [encoder]
