"""Patterns that are decoded again while a scan is encoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from make_models import write_encoder, write_pair
from numpy.testing import assert_allclose

from microrun.runtime.encoding import spot_check
from microrun.runtime.encoding.familiarity import measure_reliability
from microrun.runtime.encoding.spot_check import SpotCheck
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.lanes import run_all
from microrun.runtime.engines.open import find_decoder_of, open_engine
from microrun.runtime.latents.batch import EncodedBatch
from microrun.runtime.patterns.bands import band_correlation, smooth
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.spec import Preprocessing

PREPROCESSOR, PLAIN = Preprocessor(Preprocessing(), (120, 120)), EngineRequest("f32", lanes=1, batch=4)
KEEP = PREPROCESSOR.pixel_keep
Y, X = np.indices((120, 120))
STRIPES = np.stack([np.sin(0.4 * X + k) * KEEP for k in (0, 1)]).astype(np.float32)
NUMBERS = np.arange(250, 515)  # among which 255 and 511 are sampled


def batch(latents: np.ndarray, sampled: np.ndarray) -> EncodedBatch:
    nothing = np.zeros((len(NUMBERS), 2), np.float32)
    return EncodedBatch(NUMBERS, latents, nothing, nothing[:, 0] > 0, None, sampled)


def test_bands_are_those_of_the_decoder(tmp_path: Path) -> None:
    own = write_pair(tmp_path)
    with open_engine(own, "cpu", PLAIN) as engine, open_engine(find_decoder_of(own), "cpu", PLAIN) as decoder:
        size = engine.spec.latent_size
        latents = np.random.default_rng(0).standard_normal((len(NUMBERS), size)).astype(np.float32)
        with SpotCheck(engine, PREPROCESSOR) as check:
            found = check.compare(batch(latents, STRIPES))
        made = run_all(decoder, latents[[5, 261]])[:, 0]
    bands = band_correlation(made, smooth(STRIPES, KEEP), KEEP)
    expected = bands / np.sqrt(measure_reliability(STRIPES, KEEP))
    assert_allclose(found, expected, atol=1e-3)  # the check decodes at the precision that is fastest here


@pytest.mark.parametrize("paired", [True, False])
def test_noise_and_models_without_a_decoder_tell_nothing(tmp_path: Path, paired: bool) -> None:
    own = write_pair(tmp_path) if paired else write_encoder(tmp_path / "tiny.onnx")
    noise = np.random.default_rng(1).standard_normal(STRIPES.shape).astype(np.float32) * KEEP
    with open_engine(own, "cpu", PLAIN) as engine, SpotCheck(engine, PREPROCESSOR) as check:
        latents = np.zeros((len(NUMBERS), engine.spec.latent_size), np.float32)
        assert np.isnan(check.compare(batch(latents, noise if paired else STRIPES))).all()
        assert not len(check.compare(batch(latents, STRIPES[:0])))


def test_a_check_that_is_warm_opens_nothing_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_engine(write_pair(tmp_path), "cpu", PLAIN) as engine, SpotCheck(engine, PREPROCESSOR) as check:
        check.warm()
        monkeypatch.delattr(spot_check, "open_decoder")
        latents = np.zeros((len(NUMBERS), engine.spec.latent_size), np.float32)
        assert len(check.compare(batch(latents, STRIPES))) == 2
