"""The spec of a model: what it refuses, and that it survives being written down."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microrun.runtime.conditions import Condition
from microrun.runtime.domain import Domain
from microrun.runtime.engines.catalogue import MODELS
from microrun.runtime.engines.open import read_model_spec
from microrun.runtime.errors import SpecError
from microrun.runtime.schedule import Schedule
from microrun.runtime.spec import SPEC_VERSION, Diffusion, ModelSpec, Preprocessing, Training

TEXT = st.text(max_size=8)
COUNTS = st.integers(0, 1 << 40)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
TRAININGS = st.builds(Training, TEXT, COUNTS, COUNTS, COUNTS, TEXT, metrics=st.dictionaries(TEXT, FINITE, max_size=3))
PREPROCESSINGS = st.builds(
    Preprocessing, st.integers(1, 512).map(lambda side: (side, side)), mask_radius=st.integers(-1, 300)
)
SCHEDULES = st.builds(
    Schedule,
    st.integers(200, 2000),
    zero_terminal_snr=st.booleans(),
    prediction=st.just("v"),
)
CONDITIONS = st.tuples(TEXT, FINITE, FINITE).map(lambda one: Condition(one[0], *sorted(one[1:])))
DIFFUSIONS = st.builds(
    Diffusion,
    st.lists(st.integers(1, 512), min_size=2, max_size=3).map(lambda sides: (1, *sides)),
    SCHEDULES,
    st.one_of(st.just(0), st.integers(2, 64)),
    st.lists(CONDITIONS, max_size=3).map(tuple),
    st.sampled_from(["", "across", "along"]),
    st.floats(0, 100),
)
SPANS = st.tuples(FINITE, FINITE).map(lambda one: tuple(sorted(one)))
POSITIVE = st.tuples(st.floats(0.01, 100), st.floats(0.01, 100)).map(lambda one: tuple(sorted(one)))
DOMAINS = st.builds(
    Domain, st.lists(TEXT, max_size=3).map(tuple), POSITIVE, st.tuples(SPANS, SPANS, POSITIVE), POSITIVE
)
REST = (PREPROCESSINGS, st.sampled_from(["f32", "f16"]), st.one_of(st.none(), FINITE), TRAININGS)
SPECS = st.one_of(
    st.builds(
        ModelSpec,
        TEXT,
        st.sampled_from(["encoder", "decoder"]),
        st.integers(1, 1024),
        *REST,
        domain=st.one_of(st.none(), DOMAINS),
    ),
    st.builds(ModelSpec, TEXT, st.just("denoiser"), st.just(0), *REST, st.none(), DIFFUSIONS),
)
DENOISER = ModelSpec("grains", "denoiser", diffusion=Diffusion((4, 32, 32, 32), Schedule(), 16))
PLAIN = ModelSpec("vae32", "encoder", 32)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
)


@given(SPECS)
def test_a_spec_comes_back_equal(spec: ModelSpec) -> None:
    text = spec.to_json()
    assert len(text.splitlines()) == 1
    assert ModelSpec.from_json(text, "model.onnx") == spec
    assert ModelSpec.from_json(text, "model.onnx").to_json() == text


def test_shapes_follow_the_kind() -> None:
    prepared = Preprocessing((60, 60))
    encoder, decoder = (ModelSpec("m", kind, 16, prepared) for kind in ("encoder", "decoder"))
    assert encoder.input_shape == decoder.output_shape == (1, 60, 60)
    assert encoder.output_shape == decoder.input_shape == (16,)


def test_a_denoiser_maps_samples_to_samples() -> None:
    assert DENOISER.input_shape == DENOISER.output_shape == (4, 32, 32, 32)
    assert DENOISER.diffusion is not None and DENOISER.diffusion.sides == (32, 32, 32)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sample_shape": (32, 32)}, "channels and two or three sides; got \\(32, 32\\)"),
        ({"sample_shape": (1, 32, 0)}, "channels and two or three sides"),
        ({"n_colours": 1}, "1 channels of bits hold 2 colours; got 1"),
        ({"n_colours": 8, "schedule": Schedule(prediction="bits")}, "a channel for each bit; got 1 channels"),
        ({"n_colours": 8, "sample_shape": (4, 32, 32)}, "4 channels of bits hold 16 colours; got 8"),
        ({"n_colours": 33, "sample_shape": (5, 32, 32)}, "5 channels of bits hold 32 colours; got 33"),
        ({"plane": "above"}, "plane must be across, along or empty; got 'above'"),
        ({"process": "cast"}, "process is potts or am, hatch_voxels 0 up; got 'cast', 0.0"),
        ({"hatch_voxels": -1.0}, "hatch_voxels 0 up; got '', -1.0"),
        ({"sample_shape": (1 << 40, 32, 32)}, "at most 268,435,456 values"),
        ({"sample_shape": (1, 1 << 13, 1 << 13, 1 << 13)}, "at most 268,435,456 values"),
        ({"n_colours": 1 << 40}, "n_colours must be 0 to 65,536"),
        ({"n_colours": "many"}, "n_colours must be 0 to 65,536; got 'many'"),
        ({"grain_voxels": 0.0}, "grain_voxels must be above 0 and below 16384; got 0.0"),
        ({"grain_voxels": float("nan")}, "grain_voxels must be above 0"),
        ({"n_colours": 3, "palette": ((0.0,), (1.0,))}, "1 numbers for each of 3 colours"),
        ({"n_colours": 2, "palette": ((0.0,), (float("nan"),))}, "1 numbers for each of 2 colours"),
    ],
)
def test_senseless_diffusions_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Diffusion(**{"sample_shape": (1, 32, 32), "schedule": Schedule(), **values})


def test_the_size_of_grains_comes_back() -> None:
    diffusion = Diffusion((7, 8, 8, 8), Schedule(), 128, grain_voxels=8.4)
    spec = ModelSpec("grains", "denoiser", diffusion=diffusion)
    assert ModelSpec.from_json(spec.to_json(), "model.onnx") == spec


def test_a_palette_comes_back() -> None:
    palette = ((-1.0, 0.5, 1.0), (0.0, 0.25, -0.5))
    diffusion = Diffusion((3, 8, 8), Schedule(), 2, plane="along", step_um=2.0, palette=palette)
    assert diffusion.codes.tolist() == [list(colour) for colour in palette]
    spec = ModelSpec("sections", "denoiser", diffusion=diffusion)
    assert ModelSpec.from_json(spec.to_json(), "model.onnx") == spec


def test_the_diffusion_of_version_0_1_is_read() -> None:
    """It had the size of a condition, and no more of what came later."""
    values = json.loads(DENOISER.to_json())
    for name in ("conditions", "plane", "step_um", "palette", "grain_voxels"):
        del values["diffusion"][name]
    values["diffusion"]["condition_size"] = 0
    assert ModelSpec.from_json(json.dumps(values), "model.onnx") == DENOISER
    values["diffusion"]["condition_size"] = 2
    with pytest.raises(SpecError, match=r"^model\.onnx: its condition has no names"):
        ModelSpec.from_json(json.dumps(values), "model.onnx")


def test_a_condition_is_scaled_by_its_window() -> None:
    power = Condition("power_w", 100, 200)
    assert [power.scale(value) for value in (100, 150, 175, 200, 250)] == [-1, 0, 0.5, 1, 2]
    assert Condition("speed_m_s", 0.9, 0.9).scale(0.9) == 0
    for low, high in ((2.0, 1.0), (float("nan"), 1.0), (0.0, float("inf"))):
        with pytest.raises(SpecError, match="window of power_w must rise from low to high"):
            Condition("power_w", low, high)


def test_a_damaged_diffusion_is_refused() -> None:
    values = json.loads(DENOISER.to_json())
    del values["diffusion"]["schedule"]
    with pytest.raises(SpecError, match=r"model\.onnx: its spec is damaged"):
        ModelSpec.from_json(json.dumps(values), "model.onnx")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "transcoder"}, "one of encoder, decoder, denoiser; got 'transcoder'"),
        ({"latent_size": 0}, "positive number; got 0"),
        ({"latent_size": 16.0}, "positive number; got 16.0"),
        ({"latent_size": 1 << 40}, "must be at most 16,384; got 1099511627776"),
        ({"preprocessing": Preprocessing((1 << 20, 1 << 20))}, "must be at most 16,384"),
        ({"precision": "bf16"}, "f32, f16, int8; got 'bf16'"),
        ({"kind": "denoiser"}, "a denoiser, and nothing else, tells its diffusion; got denoiser and None"),
        ({"diffusion": DENOISER.diffusion}, "a denoiser, and nothing else"),
    ],
)
def test_senseless_models_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        ModelSpec(**{"name": "m", "kind": "encoder", "latent_size": 16, **values})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"input_shape": (120,)}, "two positive numbers"),
        ({"input_shape": (0, 0)}, "two positive numbers"),
        ({"input_shape": (60.0, 60.0)}, "two positive numbers"),
        ({"input_shape": (120, 60)}, "square"),
        ({"mask_radius": -2}, "-1, 0 or positive; got -2"),
    ],
)
def test_senseless_preprocessing_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Preprocessing(**values)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": 3}, "name cannot be 3"),
        ({"parity_error": "small"}, "parity_error cannot be 'small'"),
        ({"parity_error": 10**400}, "parity_error cannot be 1000"),
        ({"training": {"steps": {}}}, "steps cannot be {}"),
        ({"training": {"seed": 1 << 70}}, "seed cannot be"),
        ({"training": {"metrics": {"r2": None}}}, "metrics cannot be"),
        ({"preprocessing": {"input_shape": [120, 120], "mask_radius": True}}, "mask_radius"),
    ],
)
def test_values_of_other_types_are_refused_in_one_line(wrong: dict[str, Any], message: str) -> None:
    values = json.loads(ModelSpec("m", "encoder", 16).to_json())
    with pytest.raises(SpecError, match=message) as error:
        ModelSpec.from_json(json.dumps(values | wrong), "m.onnx")
    assert "\n" not in str(error.value)


def test_a_spec_that_nests_too_deep_is_refused_in_one_line() -> None:
    for text in ("[" * 100_000, '{"spec_version": 1, "name": ' + "[" * 100_000):
        with pytest.raises(SpecError, match=r"m\.onnx: its spec is damaged \(it is nested too deep") as error:
            ModelSpec.from_json(text, "m.onnx")
        assert "\n" not in str(error.value)


def test_another_version_is_refused() -> None:
    values = {**json.loads(PLAIN.to_json()), "spec_version": SPEC_VERSION + 1}
    with pytest.raises(SpecError, match=f"model.onnx: spec version must be {SPEC_VERSION}; got {SPEC_VERSION + 1}"):
        ModelSpec.from_json(json.dumps(values), "model.onnx")


@pytest.mark.parametrize("entry", ["spec_version", "name", "kind", "preprocessing", "training"])
def test_missing_entries_are_refused(entry: str) -> None:
    values = json.loads(PLAIN.to_json())
    del values[entry]
    with pytest.raises(SpecError, match=r"model\.onnx: its spec is damaged"):
        ModelSpec.from_json(json.dumps(values), "model.onnx")


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "3", '"spec"', "{}", "\x00"])
def test_something_else_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(SpecError, match=r"^model\.onnx: its spec is damaged") as caught:
        ModelSpec.from_json(text, "model.onnx")
    assert len(str(caught.value).splitlines()) == 1


@given(st.sampled_from(sorted(json.loads(PLAIN.to_json()))), JSON)
def test_any_value_is_a_spec_or_a_spec_error(entry: str, value: object) -> None:
    text = json.dumps({**json.loads(PLAIN.to_json()), entry: value})
    try:
        spec = ModelSpec.from_json(text, "model.onnx")
    except SpecError as error:
        assert str(error).startswith("model.onnx: ")
        return
    assert ModelSpec.from_json(spec.to_json(), "model.onnx").to_json() == spec.to_json()


@pytest.mark.parametrize("radius", [1.5, float("nan"), "10", None])
def test_a_mask_radius_is_a_whole_number(radius: object) -> None:
    values = json.loads(PLAIN.to_json())
    values["preprocessing"]["mask_radius"] = radius
    with pytest.raises(SpecError, match=r"^model\.onnx: "):
        ModelSpec.from_json(json.dumps(values), "model.onnx")


# --- which patterns a model knows

DOMAIN = Domain(("nickel",), (20.0, 20.0), ((0.40, 0.44), (0.77, 0.81), (0.48, 0.52)), (0.2, 1.4))


def test_a_domain_tells_the_middle_of_its_pattern_centres_and_which_it_knows() -> None:
    assert DOMAIN.centre == (0.42, 0.79, 0.5)
    assert DOMAIN.knows_centre((0.40, 0.81, 0.5))
    assert not DOMAIN.knows_centre((0.39, 0.81, 0.5)) and not DOMAIN.knows_centre((0.4, 0.8, 0.53))


def test_the_specs_of_older_versions_state_no_domain() -> None:
    values = json.loads(PLAIN.to_json())
    del values["domain"]
    assert ModelSpec.from_json(json.dumps(values), "model.onnx") == PLAIN


@pytest.mark.parametrize(
    "wrong",
    [
        {"noise": [2.0, 1.0]},
        {"noise": [-0.1, 1.0]},
        {"noise": [0.1, float("nan")]},
        {"noise": [0.1, 10**400]},
        {"noise": [0.1]},
        {"noise": 0.1},
        {"energy_kev": [0.0, 20.0]},
        {"energy_kev": [20.0, float("inf")]},
        {"energy_kev": "20"},
        {"phases": "nickel"},
        {"phases": [28]},
        {"pattern_centre": [[0.4, 0.5], [0.7, 0.8]]},
        {"pattern_centre": [[0.4, 0.5], [0.7, 0.8], [0.0, 0.5]]},
        {"pattern_centre": [[0.4, 0.5], [0.8, 0.7], [0.4, 0.5]]},
        {"pattern_centre": [0.42, 0.79, 0.5]},
        {"pattern_centre": {"x": [0.4, 0.5]}},
        {"detector": "square"},
    ],
    ids=str,
)
def test_a_domain_that_makes_no_sense_is_refused_in_one_line(wrong: dict[str, Any]) -> None:
    values = json.loads(replace(PLAIN, domain=DOMAIN).to_json())
    values["domain"] |= wrong
    with pytest.raises(SpecError, match=r"^model\.onnx: ") as error:
        ModelSpec.from_json(json.dumps(values), "model.onnx")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["vae32", "vae32.decoder", "vae64", "vae64.decoder", "vae128", "vae128.decoder"])
def test_the_built_in_encoders_know_nickel_and_what_is_like_it(name: str) -> None:
    domain = read_model_spec(MODELS / f"{name}.onnx").domain
    assert domain is not None and "nickel" in domain.phases
    assert (domain.energy_kev, domain.centre) == ((15.0, 30.0), (0.42, 0.79, 0.5))


@pytest.mark.parametrize(("model", "phase"), [("vae32-silicon", "silicon"), ("vae32-ferrite", "alpha-iron")])
@pytest.mark.parametrize("part", ["", ".decoder"])
def test_built_in_encoders_of_other_crystals_know_them_where_vae32_knows_nickel(
    model: str, phase: str, part: str
) -> None:
    domain, nickel = (read_model_spec(MODELS / f"{name}.onnx").domain for name in (model + part, "vae32"))
    assert nickel is not None and domain == replace(nickel, phases=(phase,))


# --- which decoder belongs to which encoder

TRAINED = ModelSpec("vae32", "encoder", 32, training=Training("nickel", 100, 200, 3, "CC0", {"r2": 0.5}))


def test_the_decoder_that_was_exported_with_an_encoder_belongs_to_it() -> None:
    assert replace(TRAINED, kind="decoder").belongs_to(TRAINED)
    assert replace(TRAINED, kind="decoder", precision="f16", parity_error=1e-3).belongs_to(TRAINED)
    assert replace(TRAINED, kind="decoder").belongs_to(replace(TRAINED, precision="f16", parity_error=1e-3))
    # Latents of older versions hold the spec of an encoder that states no domain.
    assert replace(TRAINED, kind="decoder", domain=DOMAIN).belongs_to(TRAINED)
    text = replace(TRAINED, kind="decoder").to_json()
    assert ModelSpec.from_json(text, "model.onnx").belongs_to(TRAINED)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "encoder"},
        {"name": "vae33"},
        {"latent_size": 64},
        {"preprocessing": Preprocessing((60, 60))},
        {"preprocessing": Preprocessing(mask_radius=-1)},
        {"training": Training()},
        {"training": replace(TRAINED.training, steps=201)},
        {"training": replace(TRAINED.training, metrics={"r2": 0.6})},
    ],
    ids=str,
)
def test_other_models_do_not(change: dict[str, Any]) -> None:
    assert not replace(TRAINED, **{"kind": "decoder", **change}).belongs_to(TRAINED)
