"""From the checkpoint of a denoiser to the file that users open."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import pytest
import torch
from disk import full_disk
from make_denoisers import SCHEDULE, SECTIONS, TINY, TINY_SECTIONS, a_unet, denoiser_spec, traced, write_denoiser
from onnx import numpy_helper
from write_up2 import make_patterns, write_up

from microrun.export import denoiser_to_onnx as denoiser_file
from microrun.export.calibration import QuantiseRequest
from microrun.export.denoiser_to_onnx import export_denoiser, measure_denoiser_parity
from microrun.export.export import ExportRequest, export
from microrun.export.graph import TOLERANCES, Exported, ParityError, save_model
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.open import open_denoiser, read_model_spec
from microrun.runtime.errors import EngineError, OutputError, SpecError
from microrun.runtime.progress import finish
from microrun.runtime.scans.open import open_scan
from microrun.runtime.spec import ModelSpec, Training
from microrun.training.diffusion.checkpoint import save_denoiser
from microrun.training.vae.checkpoint import save_checkpoint
from microrun.training.vae.network import VAE

Weights = Literal["f32", "f16"]
PRECISIONS: tuple[Weights, ...] = ("f32", "f16")
SPEC = dataclasses.replace(denoiser_spec(), training=Training("volumes", 800, 100, 3, "CC BY 4.0", {"kl_volume": 0.05}))


def write_checkpoint(folder: Path) -> Path:
    save_denoiser(folder / "tiny.safetensors", a_unet().state_dict(), TINY, SPEC)
    return folder / "tiny.safetensors"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path)


@pytest.fixture(scope="module", params=PRECISIONS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A file in each precision."""
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(denoiser_file, "trace_step", traced)
        return export_denoiser(write_checkpoint(folder), folder / "out.onnx", request.param)


@pytest.fixture(scope="module")
def half_graph() -> onnx.ModelProto:
    return traced(a_unet(), SPEC.input_shape[1:], SCHEDULE, "f16")


@pytest.fixture
def traced_before(half_graph: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracing takes seconds; what is done with the graph afterwards does not."""
    monkeypatch.setattr(denoiser_file, "trace_step", lambda *_: copy.deepcopy(half_graph))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- what is made


def test_the_file_tells_what_it_is_and_how_exact(made: Exported) -> None:
    spec, error = made.spec, made.spec.parity_error
    assert read_model_spec(made.path) == spec == dataclasses.replace(SPEC, precision=spec.precision, parity_error=error)
    assert error is not None and 0 < error < TOLERANCES[spec.precision] / 3
    assert measure_denoiser_parity(a_unet(), made.path) == pytest.approx(error, rel=0.01)
    kernels = {tensor.data_type for tensor in onnx.load(made.path).graph.initializer if len(tensor.dims) == 5}
    assert kernels == {onnx.TensorProto.FLOAT if spec.precision == "f32" else onnx.TensorProto.FLOAT16}
    assert names_in(made.path.parent) == ["out.onnx", "tiny.safetensors"]
    assert made.path.parent.name.startswith(spec.precision)  # what was asked for


def test_a_step_is_that_of_torch(made: Exported) -> None:
    rng, shape = np.random.default_rng(0), SPEC.input_shape
    x, known, noise = rng.standard_normal((3, *shape)).astype(np.float32)
    mask = rng.random(shape) < 0.3
    coefficients = np.array([[0.7, 0.6, 1.01, -0.5, 0.05]], np.float32)
    with open_denoiser(made.path, "cpu", EngineRequest("f32", lanes=1, batch=1)) as denoiser:
        lane = denoiser.lane()
        lane.load(0, x, known, mask)
        lane.step(np.array([17], np.int32), coefficients, noise[None])
        found = lane.read(0)
    with torch.no_grad():
        eps = a_unet()(torch.from_numpy(x)[None], torch.tensor([17])).numpy()[0]
    a, b, c, d, e = coefficients[0]
    expected = np.where(mask, a * known + b * noise, c * x + d * eps + e * noise)
    np.testing.assert_allclose(found, expected, atol=np.ptp(eps) * (1e-5 if made.spec.precision == "f32" else 1e-2))


@pytest.mark.usefixtures("traced_before")
def test_unasked_the_command_makes_half(checkpoint: Path) -> None:
    out = checkpoint.with_name("out.onnx")
    (made,) = finish(export(ExportRequest(checkpoint, out)))
    assert (made.path, made.spec.precision, made.record) == (out, "f16", None)
    assert names_in(checkpoint.parent) == ["out.onnx", "tiny.safetensors"]


# --- parity


@pytest.mark.parametrize("made", ["f32"], indirect=True)
def test_weights_count_wherever_they_are(made: Exported, tmp_path: Path) -> None:
    model, path, rng = onnx.load(made.path), tmp_path / "changed.onnx", np.random.default_rng(0)
    weights = {t.name: t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT and len(t.dims) > 1}
    assert len(weights) > 20
    for tensor in list(weights.values())[::4]:  # of every part of the network some; each is opened anew
        values, before = numpy_helper.to_array(tensor), tensor.raw_data
        noise = rng.standard_normal(values.shape, np.float32)
        tensor.raw_data = (values + 0.05 * noise).tobytes()
        onnx.save_model(model, path)
        assert measure_denoiser_parity(a_unet(), path) > TOLERANCES["f32"], tensor.name
        tensor.raw_data = before


@pytest.mark.parametrize("wrong", [1.1, float("nan")])
def test_what_differs_too_much_is_not_written(
    checkpoint: Path, half_graph: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch, wrong: float
) -> None:
    perturbed = copy.deepcopy(half_graph)
    damage(perturbed, wrong)
    monkeypatch.setattr(denoiser_file, "trace_step", lambda *_: perturbed)
    check_not_written(checkpoint)


@pytest.mark.usefixtures("traced_before")
def test_the_file_that_ships_is_measured_too(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save_damaged(graph: onnx.ModelProto, spec: ModelSpec, path: Path) -> None:
        if spec.parity_error is not None:  # the second time, when it is known
            damage(graph, 1.1)
        save_model(graph, spec, path)

    monkeypatch.setattr(denoiser_file, "save_model", save_damaged)
    check_not_written(checkpoint)


def damage(graph: onnx.ModelProto, factor: float) -> None:
    """Multiply the weights of the last layer."""
    (head,) = (tensor for tensor in graph.graph.initializer if tensor.name == "unet.head.weight")
    head.raw_data = (numpy_helper.to_array(head) * np.float16(factor)).tobytes()


def check_not_written(checkpoint: Path) -> None:
    """An export fails, and what was there stays."""
    out = checkpoint.with_name("out.onnx")
    out.write_bytes(b"kept")
    with pytest.raises(ParityError, match=r"tiny: differs from its checkpoint by .*1e-02 is allowed in f16"):
        export_denoiser(checkpoint, out, "f16")
    assert out.read_bytes() == b"kept" and names_in(checkpoint.parent) == ["out.onnx", "tiny.safetensors"]


# --- what is refused


@pytest.mark.usefixtures("traced_before")
def test_a_full_disk_costs_nothing_that_was_there(checkpoint: Path) -> None:
    out = checkpoint.with_name("out.onnx")
    out.write_bytes(b"kept")
    with full_disk(), pytest.raises(OutputError, match=r"out\.onnx: cannot be written") as error:
        export_denoiser(checkpoint, out, "f16")
    assert "\n" not in str(error.value)
    assert out.read_bytes() == b"kept" and names_in(checkpoint.parent) == ["out.onnx", "tiny.safetensors"]


@pytest.mark.usefixtures("traced_before")
def test_a_folder_that_is_not_there(checkpoint: Path) -> None:
    with pytest.raises(OutputError, match=r"none/out\.onnx: cannot be written: there is no folder .*none; make"):
        export_denoiser(checkpoint, checkpoint.parent / "none" / "out.onnx")


def test_an_autoencoder_is_no_denoiser(tmp_path: Path) -> None:
    path = tmp_path / "vae.safetensors"
    save_checkpoint(path, VAE(16).state_dict(), ModelSpec("vae16", "encoder", 16))
    with pytest.raises(SpecError, match=r"vae\.safetensors: is an encoder; loading a U-Net needs a denoiser"):
        export_denoiser(path, tmp_path / "out.onnx")
    assert names_in(tmp_path) == ["vae.safetensors"]


@pytest.mark.parametrize("suffix", [".safetensors", ".onnx"])
def test_eight_bits_are_for_encoders(checkpoint: Path, suffix: str) -> None:
    scan = write_up(checkpoint.with_name("scan.up2"), make_patterns(6, (60, 60)))
    source = checkpoint if suffix == ".safetensors" else write_denoiser(checkpoint.with_name("tiny.onnx"))
    before = names_in(checkpoint.parent)
    request = ExportRequest(source, checkpoint.with_name("out.onnx"), "int8", QuantiseRequest(open_scan(scan)))
    with pytest.raises(EngineError, match=f"{source}: is a denoiser") as error:
        finish(export(request))
    assert "\n" not in str(error.value) and names_in(checkpoint.parent) == before


@pytest.mark.parametrize(("precision", "embedding"), [("f32", "perceptron"), ("f16", "fourier")])
def test_a_denoiser_of_sections_is_exported_with_its_condition(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: Weights,
    embedding: Literal["perceptron", "fourier"],
) -> None:
    monkeypatch.setattr(denoiser_file, "trace_step", traced)
    unet = a_unet(dataclasses.replace(TINY_SECTIONS, condition_embedding=embedding))
    spec = ModelSpec("sections", "denoiser", diffusion=SECTIONS)
    save_denoiser(tmp_path / "s.safetensors", unet.state_dict(), unet.config, spec)
    made = export_denoiser(tmp_path / "s.safetensors", tmp_path / "s.onnx", precision)
    assert read_model_spec(made.path).diffusion == SECTIONS
    assert made.spec.parity_error is not None and made.spec.parity_error < TOLERANCES[precision] / 3
    with torch.no_grad():
        unet.condition[0].weight.mul_(-1)  # type: ignore[index,operator,union-attr]
    assert measure_denoiser_parity(unet, made.path) > 3 * made.spec.parity_error  # the condition is compared, too
