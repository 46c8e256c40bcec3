"""The state of a training run: all that it takes to go on, on a CPU exactly."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from microrun.runtime.errors import MicrorunError
from microrun.runtime.files.output import write_whole
from microrun.training.loop.settings import Settings

NAME = "state.pt"
KEYS = {"network", "optimizer", "average", "average_steps", "step", "data"}

_DAMAGED = (  # what zipfile and torch raise on files that are not whole
    OSError, RuntimeError, EOFError, LookupError, TypeError, ValueError, zipfile.BadZipFile, pickle.PickleError,
)  # fmt: skip


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the state, never half.

    Parameters
    ----------
    folder
        Of the run.
    state
        Values of `KEYS`.

    Raises
    ------
    OutputError
        If the disk is full; the old state stays.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_whole(folder / NAME, buffer.getbuffer())


def load_state(folder: Path, config: Settings, identity: str) -> dict[str, Any] | None:
    """Read the state of a run, if there is one.

    Parameters
    ----------
    folder
        Of the run.
    config
        Must equal the run's settings.
    identity
        Of the data; must equal that of the data that the run was started with.

    Raises
    ------
    MicrorunError
        If settings or data are others, or the file is damaged.
    """
    path = folder / NAME
    if not path.exists():
        return None
    difference = config.difference(type(config).load(folder / "config.json"))
    if difference:
        raise MicrorunError(f"{folder}: was started with other settings ({difference}); leave these options out")
    state = _read(path)
    if state["data"] != identity:
        raise MicrorunError(
            f"{folder}: was started on other data or with another selection of it; "
            f"give the same files in the same order, or start again with another --folder"
        )
    return state


def _read(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # torch does not look at the check sums
        if damaged:
            raise zipfile.BadZipFile(f"{damaged} has another check sum")
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if set(state) != KEYS:
            raise KeyError("it holds something else")
    except _DAMAGED as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MicrorunError(
            f"{path}: is damaged or no state of a training run ({reason}); start again with another --folder"
        ) from None
    return state
