"""What a training goes on from, as a user names it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from microrun.runtime.engines.catalogue import find_model, is_built_in

if TYPE_CHECKING:
    from microrun.training.vae.fine_tune import Start


def read_autoencoder_start(path: Path) -> Start:
    """Read an autoencoder to begin from.

    Parameters
    ----------
    path
        A run, a checkpoint, a built-in model, or an exported .onnx file with its decoder beside it.

    Raises
    ------
    MicrorunError
        If it is something else, or holds no weights to train on.
    """
    from microrun.training.loop.checkpoint import find_checkpoint
    from microrun.training.vae.fine_tune import Start, read_start

    if path.suffix != ".onnx" and (path.exists() or not is_built_in(path)):  # a run may be called as a model is
        return read_start(find_checkpoint(path))
    from microrun.export.vae_from_onnx import read_autoencoder

    file = find_model(path)
    return Start(file, *read_autoencoder(file))
