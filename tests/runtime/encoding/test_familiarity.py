"""Whether a model knows a scan: perfect models do, whatever the noise; models that give other bands back do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_engine import FunctionEngine, identity_pair
from hypothesis import given, settings
from hypothesis import strategies as st
from make_models import write_decoder, write_encoder, write_pair
from numpy.testing import assert_allclose
from scipy.ndimage import gaussian_filter
from write_up2 import Header, write_up

from microrun.export.recorded import recorded_patterns
from microrun.kernels.masking import circular_keep
from microrun.runtime.array_types import Float32
from microrun.runtime.encoding import familiarity
from microrun.runtime.encoding.familiarity import (
    METRIC,
    familiarity_of,
    measure_familiarity,
    measure_reliability,
    reached_bands,
)
from microrun.runtime.engines.catalogue import decoder_beside, find_model
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.open import open_engine
from microrun.runtime.latents.familiarity import Familiarity
from microrun.runtime.patterns.bands import band_correlation, smooth
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.scans.up_source import FileSource
from microrun.runtime.spec import Preprocessing

ENCODER, DECODER = identity_pair(120)
KEEP = circular_keep((120, 120), 0)
NOTHING = np.zeros((120, 120), np.float32)
FULL = EngineRequest("f32", lanes=1, batch=9)


def lined(n: int, seed: int = 0, side: int = 120) -> Float32:
    """Bands: narrow stripes in random directions, of a standard deviation of 0.7."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((side, side)) / side
    angles, phases = rng.uniform(0, np.pi, (2, n, 1, 1))
    return np.sin(60 * (x * np.cos(angles) + y * np.sin(angles)) + 6 * phases).astype(np.float32)


def noise(n: int, sigma: float, seed: int = 0, side: int = 120) -> Float32:
    return (sigma * np.random.default_rng(seed + 100).standard_normal((n, side, side))).astype(np.float32)


def knowing(clean: Float32) -> FunctionEngine:
    """A decoder that gives these patterns back, whatever the latents."""
    return FunctionEngine(DECODER.spec, lambda latents: clean[: len(latents), None], batch=len(clean))


def wide(count: int) -> FunctionEngine:
    """An encoder that takes all patterns at once, so that decoders may count on their order."""
    return FunctionEngine(ENCODER.spec, ENCODER.function, batch=count)


@pytest.mark.parametrize("sigma", [0.05, 0.7, 2.0, 4.0])
def test_a_model_that_denoises_knows_patterns_whatever_their_noise(sigma: float) -> None:
    clean = lined(12)
    found = measure_familiarity(clean + noise(12, sigma), KEEP, wide(12), knowing(clean))
    assert found is not None and found.known
    ratio = found.median / found.expected
    assert ratio == pytest.approx(1 / (familiarity.KNOWN * familiarity.SHARE), rel=0.1)  # of a perfect model


@pytest.mark.parametrize("sigma", [0.05, 0.7, 2.0, 4.0])
def test_a_model_that_gives_other_bands_back_does_not(sigma: float) -> None:
    found = measure_familiarity(lined(12) + noise(12, sigma), KEEP, wide(12), knowing(lined(12, seed=7)))
    assert found is not None and not found.known
    assert abs(found.median) < 0.3


def test_a_model_that_gives_the_brightness_back_does_not() -> None:
    y, x = np.indices((120, 120)) / 120 - 0.5
    bright = np.repeat(np.float32(5 * np.exp(-2 * (x * x + y * y)))[None], 12, 0)
    found = measure_familiarity(lined(12) + bright, KEEP, wide(12), knowing(bright))
    assert found is not None and not found.known


def blotches(n: int, seed: int = 0) -> Float32:
    """What an imperfect background leaves: broader than bands, and as strong; narrower than brightness."""
    made = np.stack([gaussian_filter(image, 7.0) for image in noise(n, 1.0, seed)])
    return (0.7 * made / made.std()).astype(np.float32)


def test_a_model_that_leaves_out_what_is_broader_than_bands_knows_patterns() -> None:
    clean = lined(12)
    found = measure_familiarity(clean + blotches(12) + noise(12, 0.7), KEEP, wide(12), knowing(clean))
    assert found is not None and found.known
    other = measure_familiarity(lined(12, seed=7) + blotches(12), KEEP, wide(12), knowing(blotches(12)))
    assert other is not None and not other.known


@pytest.mark.parametrize("name", ["vae32", "vae64"])
def test_real_nickel_is_known(name: str) -> None:
    path = find_model(name)
    with open_engine(path, "cpu", FULL) as encoder, open_engine(decoder_beside(path), "cpu", FULL) as decoder:
        patterns = recorded_patterns("nickel", encoder.spec.preprocessing)
        found = measure_familiarity(patterns, KEEP, encoder, decoder)
        turned = measure_familiarity(np.ascontiguousarray(patterns[:, ::-1]), KEEP, encoder, decoder)
    assert found is not None and found.known
    assert turned is None or not turned.known  # bands that no crystal shows from there


def test_nothing_is_said_of_few_patterns_and_of_noise() -> None:
    assert measure_familiarity(lined(7), KEEP, wide(7), knowing(lined(7))) is None
    pure = noise(12, 1.0)
    assert measure_familiarity(pure, KEEP, wide(12), knowing(pure)) is None


def test_what_is_expected_is_what_the_model_states() -> None:
    clean = lined(12)
    training = replace(ENCODER.spec.training, metrics={familiarity.METRIC: 0.6})
    modest = FunctionEngine(replace(ENCODER.spec, training=training), ENCODER.function, batch=12)
    found, usual = (measure_familiarity(clean, KEEP, engine, knowing(clean)) for engine in (modest, wide(12)))
    assert found is not None and usual is not None
    assert found.expected == pytest.approx(usual.expected * 0.6 / familiarity.KNOWN)


def test_dark_bands_are_noticed() -> None:
    clean = lined(12)
    found = measure_familiarity(noise(12, 0.3) - clean, KEEP, wide(12), knowing(clean))
    assert found is not None and not found.known and found.inverted
    assert found.turned is not None and found.turned > 0.9 and found.median < -0.9
    foreign = measure_familiarity(clean, KEEP, wide(12), knowing(lined(12, seed=7)))
    assert foreign is not None and not foreign.known and not foreign.inverted
    known = measure_familiarity(clean, KEEP, wide(12), knowing(clean))
    assert known is not None and not known.inverted and known.turned is None


@pytest.mark.parametrize("sigma", [0.1, 2.0])
def test_what_a_model_reaches_does_not_depend_on_noise(sigma: float) -> None:
    clean = lined(24)
    blurred = clean + lined(24, seed=5)  # half of what is given back is something else
    assert reached_bands(clean + noise(24, sigma), clean, KEEP)[METRIC] == pytest.approx(1, abs=0.05)
    assert reached_bands(clean + noise(24, sigma), blurred, KEEP)[METRIC] == pytest.approx(0.5**0.5, abs=0.1)
    assert reached_bands(noise(6, 1.0), clean[:6], KEEP) == {}


def test_nothing_is_said_by_a_model_that_gives_back_too_little() -> None:
    clean = lined(12)
    training = replace(ENCODER.spec.training, metrics={METRIC: 0.1})
    poor = FunctionEngine(replace(ENCODER.spec, training=training), ENCODER.function, batch=12)
    assert measure_familiarity(clean, KEEP, poor, knowing(clean)) is None


@settings(max_examples=15)
@given(sigma=st.floats(0.1, 6), seed=st.integers(0, 50))
def test_reliability_is_the_share_that_is_no_noise(sigma: float, seed: int) -> None:
    clean = lined(4, seed)
    noisy = clean + noise(4, sigma, seed)
    true = band_correlation(smooth(noisy, KEEP), smooth(clean, KEEP), KEEP) ** 2
    assert_allclose(measure_reliability(noisy, KEEP), true, atol=0.2)  # one pattern tells it to a tenth


@pytest.mark.parametrize("sigma", [0.3, 2.0])
def test_noise_of_enlarged_patterns_is_seen(sigma: float) -> None:
    small = lined(6, side=60) + noise(6, sigma, side=60)
    clean, noisy = (array.repeat(2, 1).repeat(2, 2) for array in (lined(6, side=60), small))
    true = band_correlation(smooth(noisy, KEEP), smooth(clean, KEEP), KEEP) ** 2
    assert_allclose(measure_reliability(noisy, KEEP), true, atol=0.12)


def test_patterns_of_one_value_are_no_noise_and_no_bands() -> None:
    assert_allclose(measure_reliability(np.zeros((2, 120, 120), np.float32), KEEP), 0)


# --- of a scan


@pytest.fixture
def scan(tmp_path: Path) -> FileSource:
    """Forty patterns of bands; every second is blank."""
    patterns = np.rint(1000 + 200 * (lined(40) + noise(40, 0.3))).astype(np.uint16)
    patterns[::2] = 7
    return FileSource(write_up(tmp_path / "scan.up2", patterns, Header(sig_shape=(120, 120), nav_shape=(5, 8))))


def measure(source: FileSource, path: Path) -> Familiarity | None:
    with open_engine(path, "cpu", EngineRequest("f32", lanes=1, batch=4)) as engine:
        return familiarity_of(source, engine, Preprocessor(Preprocessing(), source.scan.sig_shape), NOTHING)


def test_a_model_that_learned_nothing_does_not_know_a_scan(scan: FileSource, tmp_path: Path) -> None:
    found = measure(scan, write_pair(tmp_path))
    assert found is not None and not found.known
    assert abs(found.median) < 0.4 < 0.5 < found.expected


def test_without_a_decoder_nothing_is_measured(scan: FileSource, tmp_path: Path) -> None:
    assert measure(scan, write_encoder(tmp_path / "alone.onnx")) is None


@pytest.mark.parametrize("make", ["of another model", "damaged"])
def test_a_decoder_that_does_not_fit_spoils_nothing(scan: FileSource, tmp_path: Path, make: str) -> None:
    encoder, decoder = write_encoder(tmp_path / "tiny.onnx"), tmp_path / "tiny.decoder.onnx"
    decoder.write_bytes(b"no model") if make == "damaged" else write_decoder(decoder, latent_size=5)
    assert measure(scan, encoder) is None


def test_a_scan_that_went_away_spoils_nothing(scan: FileSource, tmp_path: Path) -> None:
    pair = write_pair(tmp_path)
    scan.path.unlink()
    assert measure(scan, pair) is None


def test_a_scan_without_patterns_spoils_nothing(tmp_path: Path) -> None:
    flat = np.full((20, 120, 120), 9, np.uint16)
    source = FileSource(write_up(tmp_path / "flat.up2", flat, Header(sig_shape=(120, 120), nav_shape=(4, 5))))
    assert measure(source, write_pair(tmp_path)) is None
