"""What is done with a trained encoder before it ships: it is judged, and exported with the judgement."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from microrun.export.recorded import MATERIALS, recorded_patterns
from microrun.export.vae_to_onnx import export_checkpoint
from microrun.runtime.domain import Domain
from microrun.runtime.encoding.familiarity import reached_bands
from microrun.runtime.engines.open import open_engine
from microrun.runtime.maps.indexing import Geometry, Indexer
from microrun.runtime.maps.judge import JudgeRequest, judge_model, load_judged
from microrun.runtime.patterns.bands import band_correlation, smooth
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.progress import finish
from microrun.runtime.scans.truth import load_truth
from microrun.runtime.scans.up_source import FileSource
from microrun.runtime.spec import ModelSpec
from microrun.training.simulate.camera.patterns import KEEP, CameraSimulator
from microrun.training.simulate.masters.find import Master
from microrun.training.simulate.patterns import Exposure, PatternSimulator
from microrun.training.simulate.sample import grow_sample
from microrun.training.simulate.scan import simulate_scan
from microrun.training.vae.checkpoint import load_checkpoint, save_checkpoint
from microrun.training.vae.evaluate import reconstruct
from microrun.training.vae.network import VAE
from microrun.training.vae.trainer import TESTED_BANDS
from microrun.training.vae.twins import HELD_OUT

SIG_SHAPE = (120, 120)  # simulated at the engine's size: binning 480×480 would only average the noise
NAV_SHAPE = (50, 50)
HELD_OUT_SEED = 1000
WIDE, MANTISSA_BITS = 128, 7  # weights of wide models are rounded, so that the wheel packs them: 0.2 % of each
HELD_OUT_EXPOSURE = Exposure(electrons=9_600, gain=3.1)  # 600 per pixel of a 480×480 camera, binned


def simulate_held_out(folder: Path, matrix: Master | None = None) -> Path:
    """Simulate a polycrystal that no model learns from; it is kept if it exists.

    Parameters
    ----------
    folder
        Gets the scan and its truth.
    matrix
        Master pattern of its crystal; None for nickel.
    """
    path = folder / (f"held-out-{matrix.crystal.name}.up2" if matrix else "held-out.up2")
    if not path.exists():
        sample, simulator = grow_sample(NAV_SHAPE, 60, HELD_OUT_SEED), PatternSimulator(SIG_SHAPE, matrix=matrix)
        finish(simulate_scan(path, sample, simulator, HELD_OUT_EXPOSURE, HELD_OUT_SEED))
    return path


def ship(
    folder: Path, name: str, held_out: Path, domain: Domain | None = None, cameras: CameraSimulator | None = None
) -> Path:
    """Judge and export a trained model.

    Parameters
    ----------
    folder
        Where it was trained.
    name
        That it ships under.
    held_out
        Scan to judge on.
    domain
        What it was found to know; None for what its checkpoint says.
    cameras
        Where its `known_bands` are measured; None for what its checkpoint says.

    Returns
    -------
    Path
        The checkpoint, which then holds the judgement.
    """
    model, spec = load_checkpoint(folder / "checkpoint.safetensors")
    spec = replace(spec, domain=domain or spec.domain)
    path = folder / f"{name}.safetensors"
    metrics = {**spec.training.metrics, **_reconstruct_recorded(model, spec)}
    if cameras is not None:
        metrics |= _reach_bands(model, cameras)
    _export(path, model, spec, metrics)
    metrics |= _index_reconstructed(path, held_out)  # what is judged is what ships
    _export(path, model, spec, metrics)
    print(name, metrics, flush=True)
    return path


def _export(path: Path, model: VAE, spec: ModelSpec, metrics: dict[str, float]) -> None:
    weights = {key: value.half() for key, value in model.state_dict().items()}
    if spec.latent_size >= WIDE:
        weights = {key: round_mantissa(value, MANTISSA_BITS) for key, value in weights.items()}
    named = replace(spec, name=path.stem, training=replace(spec.training, metrics=metrics))
    save_checkpoint(path, weights, named)
    for exported in export_checkpoint(path, path.with_suffix(".onnx"), "f16"):
        print(f"wrote {exported.path}", flush=True)


def _reach_bands(model: VAE, cameras: CameraSimulator) -> dict[str, float]:
    """What a model gives back of patterns as cameras show them."""
    patterns = cameras.make(HELD_OUT, TESTED_BANDS).patterns
    reconstructed = reconstruct(model, torch.from_numpy(patterns)[:, None])[:, 0].numpy()
    return reached_bands(patterns, reconstructed, KEEP)


def round_mantissa(weights: Tensor, bits: int) -> Tensor:
    """Round float16 numbers to a shorter mantissa, the rest of which is 0.

    Parameters
    ----------
    weights
        float16.
    bits
        Of the mantissa that stay, of 10.
    """
    dropped = 10 - bits
    whole = weights.view(torch.int16).int() + (1 << dropped >> 1)  # carries into the exponent, as it shall
    return (whole >> dropped << dropped).short().view(torch.float16)


def _reconstruct_recorded(model: VAE, spec: ModelSpec) -> dict[str, float]:
    """How well the bands of patterns agree with the smoothed input, of materials and detectors that it never saw."""
    keep = Preprocessor(spec.preprocessing, SIG_SHAPE).pixel_keep
    metrics = {}
    for material in MATERIALS:
        patterns = recorded_patterns(material, spec.preprocessing)
        reconstructed = reconstruct(model, torch.from_numpy(patterns)[:, None])[:, 0].numpy()
        bands = band_correlation(reconstructed, smooth(patterns, keep), keep)
        metrics[f"{material}_bands"] = round(float(np.median(bands)), 4)
    return metrics


def _index_reconstructed(checkpoint: Path, held_out: Path) -> dict[str, float]:
    """The row of the table: medians of the bands, and of indexing what the exported model reconstructs."""
    truth = load_truth(held_out)
    assert truth is not None
    source = FileSource(held_out)
    with (
        open_engine(checkpoint.with_suffix(".onnx")) as encoder,
        open_engine(checkpoint.with_suffix(".decoder.onnx")) as decoder,
    ):
        geometry = Geometry(truth.pattern_centre, truth.structure or "fcc", truth.sample_tilt)
        indexer = Indexer(geometry, SIG_SHAPE, encoder.spec.preprocessing.input_shape)
        request = JudgeRequest(source, truth=truth.rotations.reshape(-1, 4))
        judged = finish(load_judged(request, encoder.spec, indexer))
        row, _ = finish(judge_model(judged, encoder, decoder, indexer))
    assert row.truth_deg is not None
    names = ("bands", "misorientation_deg", "truth_deg", "correlation")
    medians = {name: round(getattr(row, name)[1], 4) for name in names}
    return {"right": round(row.right.share, 4), "indexed": round(row.indexed, 4), **medians}
