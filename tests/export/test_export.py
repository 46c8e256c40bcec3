"""From checkpoints and ONNX files to what runs. Plans are built by TensorRT-RTX, which needs no card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from make_models import write_decoder, write_encoder

from microrun.export.export import ExportRequest, export
from microrun.runtime.engines.catalogue import find_model
from microrun.runtime.engines.nvidia.build_plan import BuildRequest
from microrun.runtime.engines.nvidia.plan import read_record
from microrun.runtime.engines.open import find_decoder_of, read_model_spec
from microrun.runtime.errors import EngineError, RefusedOutputError
from microrun.runtime.files.hashes import hash_file
from microrun.runtime.progress import finish
from microrun.runtime.spec import ModelSpec
from microrun.training.vae.checkpoint import save_checkpoint
from microrun.training.vae.network import VAE

pytest.importorskip("tensorrt_rtx")
RTX = BuildRequest("tensorrt_rtx", batch=16)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("checkpoint") / "vae16.safetensors"
    save_checkpoint(path, VAE(16).state_dict(), ModelSpec("vae16", "encoder", 16))
    return path


@pytest.mark.parametrize(("asked", "built"), [(None, "f16"), ("f32", "f32")])
def test_a_checkpoint_becomes_onnx_and_plans(checkpoint: Path, tmp_path: Path, asked: Any, built: str) -> None:
    made = finish(export(ExportRequest(checkpoint, tmp_path / "model.plan", asked, build=RTX)))
    names = ["model.onnx", "model.decoder.onnx", "model.plan", "model.decoder.plan"]
    assert [one.path.name for one in made] == names
    for one, name in zip(made[2:], names, strict=False):
        assert one.record == read_record(one.path)
        assert one.spec.precision == built and one.spec.name == "vae16"
        assert one.record is not None and one.record.onnx_sha256 == hash_file(tmp_path / name)
        assert one.spec.parity_error == read_model_spec(tmp_path / name).parity_error
    assert find_decoder_of(tmp_path / "model.plan") == tmp_path / "model.decoder.plan"
    assert read_model_spec(tmp_path / "model.plan").kind == "encoder"


def test_no_other_onnx_file_is_replaced_on_the_way(checkpoint: Path, tmp_path: Path) -> None:
    write_encoder(tmp_path / "model.onnx")
    before = (tmp_path / "model.onnx").read_bytes()
    with pytest.raises(RefusedOutputError, match=r"model\.onnx: exists; build the plan from it"):
        finish(export(ExportRequest(checkpoint, tmp_path / "model.plan", build=RTX)))
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert (tmp_path / "model.onnx").read_bytes() == before


def test_a_checkpoint_becomes_onnx(checkpoint: Path, tmp_path: Path) -> None:
    made = finish(export(ExportRequest(checkpoint, tmp_path / "model.onnx")))
    assert [one.path.name for one in made] == ["model.onnx", "model.decoder.onnx"]
    assert {(one.spec.precision, one.record) for one in made} == {("f32", None)}


def test_an_onnx_file_becomes_a_plan_with_its_decoder(tmp_path: Path) -> None:
    write_encoder(tmp_path / "tiny.onnx")
    alone = finish(export(ExportRequest(tmp_path / "tiny.onnx", tmp_path / "alone.plan", build=RTX)))
    assert [one.path.name for one in alone] == ["alone.plan"]
    write_decoder(tmp_path / "tiny.decoder.onnx")
    said = list(export(ExportRequest(tmp_path / "tiny.onnx", tmp_path / "tiny.plan", build=RTX)))
    for name, kind in (("tiny.plan", "encoder"), ("tiny.decoder.plan", "decoder")):
        assert read_record(tmp_path / name).spec.kind == kind
        assert any(now.phase == f"{name}: Building engine" and now.done == now.total for now in said)


def test_a_built_in_model_by_its_name(tmp_path: Path) -> None:
    made = finish(export(ExportRequest(Path("vae32"), tmp_path / "vae32.plan", build=RTX)))
    assert [one.spec.kind for one in made] == ["encoder", "decoder"]
    assert made[0].record is not None and made[0].record.onnx_sha256 == hash_file(find_model("vae32"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"out": Path("model.onnx"), "build": RTX}, "ends in .plan"),
        ({"out": Path("model.plan")}, "ends in .onnx"),
        ({"out": Path("none/model.onnx")}, "none: no such folder"),
        ({"out": Path("model.onnx"), "precision": "int8"}, "--calibrate SCAN together"),
    ],
)
def test_senseless_requests(values: dict[str, Any], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        ExportRequest(source=Path("vae32"), **values)


@pytest.mark.parametrize(
    ("source", "values", "message"),
    [
        ("tiny.onnx", {}, "is ONNX already"),
        ("tiny.onnx", {"build": RTX, "precision": "f16"}, "has weights in f32.*export its checkpoint"),
        ("tiny.plan", {"build": RTX}, "is a plan already"),
        ("none", {"build": RTX}, "no such file, and no built-in model"),
    ],
)
def test_what_cannot_be_exported(source: str, values: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_encoder(tmp_path / "tiny.onnx")
    (tmp_path / "tiny.plan").write_bytes(b"a plan")
    out = tmp_path / ("out.plan" if "build" in values else "out.onnx")
    with pytest.raises(EngineError, match=message):
        finish(export(ExportRequest(tmp_path / source, out, **values)))
    assert not list(tmp_path.glob("out*"))
