from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from microrun.export import vae_to_onnx as to_onnx
from microrun.export.graph import HalfInside, ParityError
from microrun.export.parity import measure_parity
from microrun.export.recorded import MATERIALS, recorded_patterns
from microrun.export.vae_to_onnx import MeanEncoder, export_checkpoint, fold_standardisation
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.onnx_cpu import OnnxEngine
from microrun.runtime.engines.open import open_engine, read_model_spec
from microrun.runtime.errors import SpecError
from microrun.runtime.known_latents import KnownLatents
from microrun.runtime.spec import ModelSpec, Preprocessing
from microrun.training.vae.checkpoint import load_checkpoint, save_checkpoint
from microrun.training.vae.network import VAE


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("checkpoint") / "vae16.safetensors"
    known = KnownLatents.of(np.random.default_rng(0).standard_normal((200, 16)))
    save_checkpoint(path, VAE(16, -0.4, 0.25).state_dict(), ModelSpec("vae16", "encoder", 16, known=known))
    return path


@pytest.fixture(scope="module", params=["f32", "f16"])
def exported(request: pytest.FixtureRequest, checkpoint: Path) -> tuple[Path, Path]:
    out = checkpoint.with_name(f"{request.param}.onnx")
    encoder, decoder = export_checkpoint(checkpoint, out, request.param)
    assert encoder.spec.precision == decoder.spec.precision == request.param
    return encoder.path, decoder.path


def test_fold_is_exact() -> None:
    torch.manual_seed(1)
    model = VAE(16, -0.4, 0.25).encoder.double()
    patterns = torch.rand(2, 1, 120, 120, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        expected = model(patterns)[0]
        fold_standardisation(model)
        found = model.head(model.features(patterns))[:, :16]
    assert torch.allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_graph_is_portable(exported: tuple[Path, Path]) -> None:
    for path in exported:
        raw = path.read_bytes()
        for trace in (b".py", b"site-packages", str(Path(to_onnx.__file__).parent).encode()):
            assert trace not in raw
        model = onnx.load(path)
        assert [opset.version for opset in model.opset_import if not opset.domain] == [21]
        assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param  # the batch is dynamic


def test_what_follows_from_weights_is_computed_at_the_export(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "vae64.safetensors"  # kernels on phases of this size are beyond the exporter's own limit
    save_checkpoint(path, VAE(64).state_dict(), ModelSpec("vae64", "encoder", 64))
    for exported in export_checkpoint(path, path.with_suffix(".onnx"), "f16"):
        kinds = {node.op_type for node in onnx.load(exported.path).graph.node}
        assert not kinds & {"GatherND", "Gather", "Pad", "Transpose"}


def test_spec_carries_a_small_parity_error(exported: tuple[Path, Path]) -> None:
    for path, kind in zip(exported, ("encoder", "decoder"), strict=True):
        with open_engine(path, "cpu") as engine:
            assert engine.spec.kind == kind and engine.spec.latent_size == 16
            assert engine.spec.parity_error is not None
            assert 0 < engine.spec.parity_error < (1e-4 if engine.spec.precision == "f32" else 1e-2)


def test_the_encoder_says_which_latents_it_knows_and_its_decoder_does_not(exported: tuple[Path, Path]) -> None:
    encoder, decoder = map(read_model_spec, exported)
    assert encoder.known is not None and decoder.known is None
    assert decoder.belongs_to(encoder)


def test_both_runtimes_agree_with_torch_at_any_batch(exported: tuple[Path, Path], checkpoint: Path) -> None:
    model, _ = load_checkpoint(checkpoint)
    patterns = np.concatenate([recorded_patterns(material, Preprocessing()) for material in MATERIALS])
    with torch.no_grad():
        expected = model.encoder(torch.from_numpy(patterns)[:, None])[0].numpy()
    tolerance = 1e-3 * np.abs(expected).max()
    for batch in (1, 4, 32):
        engines = (
            open_engine(exported[0], "cpu", EngineRequest("f32", batch=batch)),
            OnnxEngine(exported[0], EngineRequest(batch=batch)),
        )
        for engine in engines:
            lane = engine.lane()
            pieces = [lane.run(patterns[i : i + batch, None]).copy() for i in range(0, len(patterns), batch)]
            np.testing.assert_allclose(np.concatenate(pieces), expected, atol=tolerance)


def test_failing_parity_writes_nothing(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = to_onnx.trace

    def damage(model: torch.nn.Module, spec: ModelSpec) -> onnx.ModelProto:
        with torch.no_grad():
            next(iter(model.parameters())).mul_(1.5)
        return real(model, spec)

    monkeypatch.setattr(to_onnx, "trace", damage)
    with pytest.raises(ParityError, match="Nothing was written"):
        export_checkpoint(checkpoint, tmp_path / "bad.onnx", "f16")
    assert list(tmp_path.iterdir()) == []


def test_parity_sees_another_model(exported: tuple[Path, Path]) -> None:
    torch.manual_seed(5)
    other = VAE(16).eval()
    assert measure_parity(MeanEncoder(other.encoder), exported[0], VAE(16).eval()) > 0.1


def test_unusable_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(SpecError):
        export_checkpoint(tmp_path / "missing.safetensors", tmp_path / "out.onnx")


def test_recorded_patterns_are_prepared() -> None:
    assert recorded_patterns("nickel", Preprocessing()).shape == (9, 120, 120)
    diamond = recorded_patterns("diamond", Preprocessing())
    assert diamond.shape == (1, 120, 120) and diamond.min() == -1 and diamond.max() == pytest.approx(1)


def test_norms_stay_in_float32() -> None:
    """Their sums of squares overflow half: 300² summed over 1,024 pixels is far beyond 65,504."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.Sequential(torch.nn.GroupNorm(2, 4)), torch.nn.SiLU()
    ).eval()
    inputs = 300 * torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        expected = model(inputs)
        half = HalfInside(model)
        found = half(inputs)
    types = {name: parameter.dtype for name, parameter in half.named_parameters()}
    assert types["model.0.weight"] == torch.float16
    assert types["model.1.0.norm.weight"] == torch.float32
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found, expected, atol=2e-2, rtol=2e-2)
