"""What `microrun inspect` says of files that are neither scans, latents, models nor volumes."""

from __future__ import annotations

import contextlib
from pathlib import Path

import h5py

from microrun.cli.told import Told, size_of
from microrun.runtime.engines.nvidia.plan import read_record
from microrun.runtime.engines.nvidia.tensorrt_library import TITLES
from microrun.runtime.errors import MicrorunError
from microrun.runtime.files.hdf5 import open_hdf5, reason_of
from microrun.runtime.files.kinds import Kind
from microrun.runtime.json_text import UNREADABLE, parse_object
from microrun.runtime.scans.truth import load_truth

TRUTH = ".truth.npz"
SHOWN = 200  # characters of a setting


def plan_rows(path: Path) -> dict[str, object]:
    """Rows about a TensorRT plan, beside those of its model.

    Parameters
    ----------
    path
        The .plan file.

    Raises
    ------
    EngineError
        If its record is missing.
    """
    record = read_record(path)
    profile = record.profile
    return {
        "built by": f"{TITLES[record.library]} {record.version}, in {record.build_s:.1f} s",
        "runs on": f"cards of compute capability {', '.join(record.compute_capabilities)}",
        "at a time": f"{profile.min} to {profile.max}, fastest with {profile.opt}",
    }


def truth_rows(path: Path) -> dict[str, object]:
    """Rows about the truth of a simulated scan.

    Parameters
    ----------
    path
        NAME.truth.npz.

    Raises
    ------
    ScanError
        If it is damaged.
    """
    truth = load_truth(path.with_name(path.name[: -len(TRUTH)] + ".up2"))
    if truth is None:
        raise MicrorunError(f"{path}: no such file")
    rows, cols = truth.grain.shape
    x, y, z = truth.pattern_centre
    grains = len(set(truth.grain.ravel().tolist()))
    return {
        "kind": "truth of a simulated scan",
        "map": Told(f"{rows}×{cols}", {"rows": rows, "columns": cols}),
        "grains": Told(f"{grains:,}", grains),
        "particles": f"{(truth.phase != 0).mean():.1%} of the points",
        "pattern centre": Told(f"{x:.4f},{y:.4f},{z:.4f} (EDAX's convention)", [x, y, z]),
        "tilt": Told(f"{truth.sample_tilt:g}°", {"degrees": truth.sample_tilt}),
        "structure": truth.structure or "not stated",
        "size": size_of(path),
    }


def hdf5_rows(path: Path, kind: Kind) -> dict[str, object]:
    """Rows about any other HDF5 file of ours: what was stated, and what arrays it holds.

    Parameters
    ----------
    path
        The file.
    kind
        What it is.

    Raises
    ------
    MicrorunError
        If it is damaged.
    """
    try:
        with open_hdf5(path, own=False) as file:
            rows: dict[str, object] = {"kind": kind.text}
            rows |= {name: _in_words(value) for name, value in file.attrs.items() if name != "format"}
            rows |= {name: f"{_sides(item)} {item.dtype}" for name, item in _arrays(file).items()}
    except (OSError, RuntimeError, *UNREADABLE) as error:
        raise MicrorunError(f"{path}: is damaged ({reason_of(error)})") from None
    return {**rows, **_advice(kind), "size": size_of(path)}


def other_rows(path: Path, kind: Kind) -> dict[str, object]:
    """Rows about a text, a picture, a file for another program, or a folder.

    Parameters
    ----------
    path
        A file or a folder.
    kind
        What it is.
    """
    if path.is_dir():
        held = f"{sum(1 for _ in path.iterdir()):,} files and folders"
        return {"kind": kind.text, "holds": held, **_advice(kind)}
    return {"kind": kind.text, **_advice(kind), "size": size_of(path)}


def _advice(kind: Kind) -> dict[str, object]:
    return {} if kind.advice == Kind.advice else {"next": kind.advice}


def _arrays(file: h5py.File) -> dict[str, h5py.Dataset]:
    found: dict[str, h5py.Dataset] = {}

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item

    file.visititems(note)
    return found


def _sides(data: h5py.Dataset) -> str:
    return "×".join(map(str, data.shape)) if data.shape else "one value of"


def _in_words(value: object) -> str:
    """An attribute as it is read: of JSON its names and values."""
    text = str(value)
    with contextlib.suppress(*UNREADABLE):
        stated = parse_object(text)
        text = ", ".join(f"{name.replace('_', ' ')} {part}" for name, part in stated.items())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
