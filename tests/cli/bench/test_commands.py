"""What `microrun bench encode` and `microrun bench latency` refuse."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import pytest
from command_line import Microrun, check_refused
from make_models import encoder_graph, save_model, tiny_spec, write_decoder

from microrun.runtime.spec import Preprocessing


def test_what_cannot_be_measured(microrun: Microrun, engine: Path, tmp_path: Path) -> None:
    encode = ("encode", "--device", "cpu")
    decoder = write_decoder(tmp_path / "tiny.decoder.onnx")
    check_refused(microrun(*encode, "--latent", "33"), "33")
    check_refused(microrun(*encode, "--latent", "32", "--engine", engine), "--latent", "--engine", "both")
    check_refused(microrun(*encode, "--engine", tmp_path / "none.onnx"), "none.onnx")
    check_refused(microrun(*encode, "--engine", engine, "--precision", "f8"), "precision", "'f8'")
    check_refused(microrun("encode", "--device", "tpu"), "device", "'tpu'")
    check_refused(microrun(*encode, "--engine", engine, "--lanes", "0"), "lanes")
    check_refused(microrun(*encode, "--engine", engine, "--repeats", "0"), "--repeats")
    check_refused(microrun(*encode, "--engine", engine, "--out", tmp_path / "none" / "b.json"), "there is no folder")
    check_refused(microrun("latency", "--engine", tmp_path / "none.onnx"), "none.onnx")
    check_refused(microrun("latency", "--runs", "0"), "--runs")
    check_refused(microrun("latency", "--rate", "0"), "--rate")
    check_refused(microrun("latency", "--out", tmp_path / "numbers.csv"), "expected a name that ends in .json")
    for command in ("encode", "latency"):
        check_refused(microrun(command, "--engine", decoder, "--device", "cpu"), decoder.name, "decoder")


def test_engines_that_prepare_patterns_differently_are_not_measured_together(microrun: Microrun, engine: Path) -> None:
    spec = dataclasses.replace(tiny_spec(), preprocessing=Preprocessing((64, 64)))
    small = save_model(engine.with_name("small.onnx"), encoder_graph(side=64), spec)
    engines = ("--engine", engine, "--engine", small, "--device", "cpu", "--precision", "f32")
    check_refused(microrun("encode", *engines, "--patterns", "64"), "another way")


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs OpenVINO")
def test_a_precision_that_this_cpu_does_not_compute_is_refused(microrun: Microrun, engine: Path) -> None:
    import openvino

    from microrun.runtime.engines.openvino_cpu import CAPABILITIES

    offered = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    missing = [name for name in ("f16", "bf16") if CAPABILITIES[name] not in offered]
    if not missing:
        pytest.skip("this CPU computes in all precisions")
    options = ("--engine", engine, "--device", "cpu", "--precision", missing[0])
    check_refused(microrun("encode", *options), f"does not compute in {missing[0]}")
    check_refused(microrun("latency", *options), f"does not compute in {missing[0]}")
