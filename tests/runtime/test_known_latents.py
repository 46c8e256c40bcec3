"""Where latents lie that a model knows: distances, colours, and specs that say so."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from microrun.runtime.errors import SpecError
from microrun.runtime.known_latents import SHARES, KnownLatents
from microrun.runtime.spec import ModelSpec

SPREAD = np.array([[3, 0, 0, 0], [1, 2, 0, 0], [0, 0.5, 1, 0], [0.2, 0, 0, 0.05]])
LATENTS = np.random.default_rng(0).standard_normal((4000, 4)) @ SPREAD.T + [5, 0, -1, 2]
MADE = KnownLatents.of(LATENTS)
assert MADE is not None
KNOWN: KnownLatents = MADE
SPEC = ModelSpec("m", "encoder", 4, known=KNOWN)


def test_mean_covariance_and_distances_are_those_of_the_patterns() -> None:
    assert_allclose(KNOWN.centre, LATENTS.mean(axis=0), rtol=1e-5)
    ridge = 1e-3 * np.trace(np.cov(LATENTS.T)) / 4 * np.eye(4)
    assert_allclose(KNOWN.covariance, np.cov(LATENTS.T) + ridge, rtol=5e-3, atol=5e-3)
    apart = LATENTS - KNOWN.centre
    expected = np.einsum("ni,ij,nj->n", apart, np.linalg.inv(KNOWN.covariance), apart)
    assert_allclose(KNOWN.distances(LATENTS), expected, rtol=1e-3)
    within = [(KNOWN.distances(LATENTS) <= quantile).mean() for quantile in KNOWN.quantiles]
    assert_allclose(within, SHARES, atol=1e-3)


def test_colours_are_the_leading_axes_with_limits_of_their_spread() -> None:
    axes, limits = KNOWN.colour_axes()
    values = (LATENTS - KNOWN.centre) @ axes
    variances = values.var(axis=0)
    assert (np.diff(variances) < 0).all()
    assert_allclose(variances, np.linalg.eigvalsh(KNOWN.covariance)[::-1][:3], rtol=1e-2)
    assert (axes[np.abs(axes).argmax(axis=0), range(3)] > 0).all()
    inside = ((values > limits[:, 0]) & (values < limits[:, 1])).mean(axis=0)
    assert_allclose(inside, 0.96, atol=0.02)


def test_two_features_have_two_axes() -> None:
    few = KnownLatents.of(LATENTS[:, :2])
    assert few is not None
    axes, limits = few.colour_axes()
    assert axes.shape == (2, 3) and not axes[:, 2].any()
    assert limits[2].tolist() == [-1, 1]


@pytest.mark.parametrize("latents", [LATENTS[:20], np.full((100, 4), 3.0), np.full((100, 4), np.nan)])
def test_of_too_few_or_equal_patterns_nothing_is_learned(latents: np.ndarray) -> None:
    assert KnownLatents.of(latents) is None


@pytest.mark.parametrize("scale", [1e-9, 1e6])
def test_a_training_whose_latents_collapse_or_grow_without_bound_goes_on(scale: float) -> None:
    assert KnownLatents.of(scale * LATENTS[:400]) is None


def test_a_spec_keeps_them_and_one_without_them_is_read() -> None:
    assert ModelSpec.from_json(SPEC.to_json(), "m.onnx") == SPEC
    older = replace(SPEC, known=None).to_json().replace('"known": null, ', "")
    assert "known" not in older
    assert ModelSpec.from_json(older, "m.onnx").known is None


def test_a_decoder_from_before_belongs_to_an_encoder_that_states_them() -> None:
    assert replace(SPEC, kind="decoder", known=None).belongs_to(SPEC)


@pytest.mark.parametrize(
    "change",
    [
        {"mean": "?"},
        {"mean": KNOWN.factor},
        {"factor": KNOWN.mean},
        {"factor": ""},
        {"quantiles": (1.0, 2.0)},
        {"quantiles": (4.0, 3.0, 5.0, 6.0)},
        {"quantiles": (float("nan"),) * 4},
        {"patterns": 0},
    ],
)
def test_damaged_ones_are_refused_in_a_line(change: dict[str, object]) -> None:
    values = {**vars(KNOWN), **change}
    with pytest.raises(SpecError):
        KnownLatents(**{name: values[name] for name in ("mean", "factor", "quantiles", "patterns")})


@pytest.mark.parametrize("found", [[], {}, "", False, 0])
def test_a_spec_whose_known_latents_are_something_else_is_refused_in_a_line(found: object) -> None:
    text = json.dumps({**json.loads(SPEC.to_json()), "known": found})
    with pytest.raises(SpecError, match=r"^m\.onnx: its spec is damaged \([^\n]+\); export the model again$"):
        ModelSpec.from_json(text, "m.onnx")


def test_those_of_another_size_are_refused() -> None:
    with pytest.raises(SpecError, match="must have 5 features; got 4"):
        ModelSpec("m", "encoder", 5, known=KNOWN)
