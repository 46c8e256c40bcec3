"""Does the exported file compute what the checkpoint does? Asked of the class that users open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from microrun.export.recorded import MATERIALS, recorded_patterns
from microrun.runtime.engines.cpu import open_reference
from microrun.training.vae.network import VAE


@torch.no_grad()
def measure_parity(reference: nn.Module, path: Path, model: VAE) -> float:
    """Relative L2 error of a file's outputs on the recorded patterns.

    Parameters
    ----------
    reference
        The exported part of the model, in float32.
    path
        The .onnx file; it is opened as users open it, on the CPU and in its most exact precision.
    model
        Whose encoder makes latents for a decoder to be measured on.

    Returns
    -------
    float
        ‖file − reference‖ / ‖reference‖ over all outputs.
    """
    with open_reference(path) as engine:
        preprocessing = engine.spec.preprocessing
        patterns = np.concatenate([recorded_patterns(material, preprocessing) for material in MATERIALS])
        inputs = torch.from_numpy(patterns)[:, None]
        if engine.spec.kind == "decoder":
            inputs = model.encoder(inputs)[0]
        expected = reference(inputs).numpy()
        found = engine.lane().run(inputs.numpy())
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
