"""The sidecar of a plan: what it says survives, and it is believed only of its own file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microrun.runtime.engines.known_answers import CHECK_INPUTS, CHECKED, check_error, check_inputs, sample_outputs
from microrun.runtime.engines.nvidia.plan import PlanRecord, Profile, read_record, sidecar_of, write_record
from microrun.runtime.errors import EngineError, SpecError
from microrun.runtime.files.hashes import hash_file
from microrun.runtime.quantisation import Quantisation
from microrun.runtime.spec import ModelSpec, Preprocessing

NUMBERS = st.floats(-1e6, 1e6, width=32).map(lambda value: float(f"{value:.6g}"))
RECORDS = st.builds(
    PlanRecord,
    spec=st.builds(
        ModelSpec,
        name=st.text(max_size=9),
        kind=st.sampled_from(["encoder", "decoder"]),
        latent_size=st.integers(1, 256),
        precision=st.sampled_from(["f32", "f16", "int8"]),
        quantisation=st.none() | st.just(Quantisation("a.up2", "b.up2", 64, 900, 0.03, 0.99, 5)),
    ),
    plan_sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    onnx_sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    library=st.sampled_from(["tensorrt", "tensorrt_rtx"]),
    version=st.just("1.7.1.116"),
    compute_capabilities=st.lists(st.sampled_from(["7.5", "8.6", "12.0+"])).map(tuple),
    profile=st.builds(Profile, st.just(1), st.integers(1, 256), st.integers(1, 256)),
    version_compatible=st.booleans(),
    build_s=st.floats(0, 100),
    check_outputs=st.lists(NUMBERS, min_size=1, max_size=9).map(tuple),
    parity_error=st.none() | st.floats(0, 1),
)


def make_record(plan: Path, **changes: Any) -> PlanRecord:
    values: dict[str, Any] = {
        "spec": ModelSpec("tiny", "encoder", 8),
        "plan_sha256": hash_file(plan),
        "onnx_sha256": "0" * 64,
        "library": "tensorrt_rtx",
        "version": "1.7.1.116",
        "compute_capabilities": ("8.6",),
        "profile": Profile(1, 4, 4),
        "version_compatible": False,
        "build_s": 0.3,
        "check_outputs": (1.0, 2.0),
    }
    return PlanRecord(**values | changes)


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.plan"
    path.write_bytes(b"a plan")
    return path


@given(RECORDS)
def test_a_record_survives_its_json(record: PlanRecord) -> None:
    assert PlanRecord.from_json(record.to_json(), "x.plan.json") == record


def test_a_record_lies_beside_its_plan(plan: Path) -> None:
    record = make_record(plan)
    write_record(plan, record)
    assert sidecar_of(plan).name == "tiny.plan.json"
    assert read_record(plan) == record


def test_a_sidecar_that_nests_too_deep_is_refused_in_one_line(plan: Path) -> None:
    sidecar_of(plan).write_text("[" * 200_000)
    with pytest.raises(SpecError, match=r"tiny.plan.json: is damaged \(it is nested too deep\)"):
        read_record(plan)


def test_without_its_sidecar_a_plan_is_not_believed(plan: Path) -> None:
    with pytest.raises(EngineError, match=r"tiny.plan.json is missing.*microrun export"):
        read_record(plan)


def test_of_another_plan_nothing_is_believed(plan: Path) -> None:
    write_record(plan, make_record(plan))
    plan.write_bytes(b"another plan")
    with pytest.raises(EngineError, match=r"is not the file that tiny.plan.json describes"):
        read_record(plan)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda values: values.pop("plan_sha256"), "damaged"),
        (lambda values: values.pop("plan_version"), "damaged"),
        (lambda values: values.update(plan_version=7), "version must be 1; got 7"),
        (lambda values: values.update(library="cudnn"), "must be one of tensorrt, tensorrt_rtx; got 'cudnn'"),
        (lambda values: values.update(profile=[1, 2, 3]), "damaged"),
        (lambda values: values.update(profile={"min": "1", "opt": 16, "max": 16}), "min cannot be '1'"),
        (lambda values: values.update(plan_sha256=3), "plan_sha256 cannot be 3"),
        (lambda values: values.update(parity_error=[]), r"parity_error cannot be \[\]"),
        (lambda values: values.update(compute_capabilities=3), "damaged"),
        (lambda values: values.update(check_outputs="one two"), "damaged"),
        (lambda values: values["spec"].update(kind="toaster"), "kind must be one of"),
    ],
)
def test_damaged_sidecars(plan: Path, damage: Any, message: str) -> None:
    values = json.loads(make_record(plan).to_json())
    damage(values)
    sidecar_of(plan).write_text(json.dumps(values))
    with pytest.raises(SpecError, match=message) as error:
        read_record(plan)
    assert "tiny.plan.json" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe\x00"])
def test_sidecars_that_are_no_json(plan: Path, content: bytes) -> None:
    sidecar_of(plan).write_bytes(content)
    with pytest.raises(SpecError, match=r"tiny\.plan\.json"):
        read_record(plan)


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_inputs_of_the_check_are_the_same_everywhere(kind: Any) -> None:
    spec = ModelSpec("tiny", kind, 8, Preprocessing((60, 60)))
    inputs = check_inputs(spec)
    assert inputs.shape == (CHECK_INPUTS, *spec.input_shape) and inputs.dtype == np.float32
    assert np.abs(inputs).max() <= 1 and inputs.std(axis=tuple(range(1, inputs.ndim))).min() > 0.1
    assert not np.allclose(inputs[0], inputs[1], atol=0.1)
    known = {"encoder": (-0.9976, -0.7184), "decoder": (0.0, 0.8415)}[kind]
    assert (inputs[0].flat[0], inputs[1].flat[0]) == pytest.approx(known, abs=1e-3)


@given(st.integers(1, 2000))
def test_outputs_are_sampled_from_end_to_end(count: int) -> None:
    sampled = sample_outputs(np.arange(count, dtype=np.float32))
    assert sampled[0] == 0 and sampled[-1] == count - 1
    assert len(sampled) == min(count, CHECKED) and (np.diff(sampled) > 0).all()


def test_the_error_of_the_check() -> None:
    outputs = np.float32([[3, 0], [0, 4]])
    assert check_error(outputs, (3, 0, 0, 4)) == 0
    assert check_error(2 * outputs, (3, 0, 0, 4)) == pytest.approx(1)
    assert np.isnan(check_error(outputs * np.nan, (3, 0, 0, 4)))
