"""What a file is, told from its name and its first bytes: so that the wrong one is named for what it is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import h5py

from microrun.runtime.errors import MicrorunError
from microrun.runtime.files.hdf5 import open_hdf5
from microrun.runtime.json_text import UNREADABLE

Wanted = Literal["latents", "scan", "volume", "sections", "pool", "model"]
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
NO_TEXT = set(range(32)) - set(b"\t\n\r\f")  # raw patterns of a dim scan hold some of them
LOOKED_AT = 4096  # bytes of a file that has no telling name
PATTERN_PICTURES = (".tif", ".tiff", ".png", ".bmp")  # that cameras save patterns as
LISTED = 1000  # files of a folder among which pictures are looked for
WANTED = {
    "latents": "a latents file",
    "scan": "a scan",
    "volume": "a volume",
    "sections": "a file of sections",
    "pool": "a melt pool",
    "model": "a model",
}


@dataclass(frozen=True)
class Kind:
    """What a file is.

    Parameters
    ----------
    text
        In words, such as "a volume of grains".
    advice
        What can be done with it.
    serves
        As what it can be read.
    """

    text: str
    advice: str = "microrun inspect says what is in it"
    serves: tuple[Wanted, ...] = ()

    def __str__(self) -> str:
        return self.text


LATENTS = Kind("a latents file", "microrun maps draws them", ("latents",))
GRAINS = Kind("a volume of grains", "microrun render shows it", ("volume",))
FORMATS = {  # by the beginning of the attribute "format"; the longer first
    "microrun latents": LATENTS,
    "microrun sections": Kind("a file of sections of printed metal", "microrun sections measures them", ("sections",)),
    "microrun physics": Kind("a file of conventional maps of a scan"),
    "microrun volumes": Kind("a file of simulated volumes", "microrun grains measures them", ("volume",)),
    "microrun melt pool": Kind("a melt pool", "microrun simulate solidify takes it", ("pool", "volume")),
    "microrun part on its way": Kind("a part on its way", "the same microrun simulate solidify goes on with it"),
    "microrun part": Kind("a solidified part", "microrun render shows its grain_id", ("volume",)),
}
GROUPS = {  # by a name that other programs' HDF5 files have at the top
    "DataContainers": Kind("a file of DREAM3D", "microrun grains measures it", ("volume",)),
    "DataStructure": Kind("a file of DREAM3D", "microrun grains measures it", ("volume",)),
    "Experiments": Kind("a signal of HyperSpy", "HyperSpy opens it", ("scan", "volume")),
}
_SCAN = Kind("a scan of patterns", "microrun encode makes latents of it", ("scan",))
_MODEL = Kind("a model", serves=("model",))
_TEXT = Kind("a text file", "open it in an editor")
_PICTURE = Kind("a picture", "open it in a viewer")
_TABLE = Kind("a table of text", "open it in an editor or a spreadsheet")
_ORIENTATIONS = Kind("a map of orientations", "microrun physics takes it as --orientations")
_ARRAY = Kind("an array of numbers", serves=("volume",))
ENDINGS = {
    ".up1": _SCAN,
    ".up2": _SCAN,
    ".pat": _SCAN,
    ".onnx": _MODEL,
    ".plan.json": Kind("the record of a TensorRT plan", "give the .plan beside it"),
    ".plan": Kind("a TensorRT plan", serves=("model",)),
    ".safetensors": Kind("a checkpoint of a training", "microrun export makes a model of it"),
    ".pt": Kind("the state of a training", "microrun train goes on with it by --resume"),
    ".truth.npz": Kind("the truth of a simulated scan", "give the scan beside it"),
    ".npz": Kind("an archive of arrays"),
    ".npy": _ARRAY,
    ".ang": _ORIENTATIONS,
    ".ctf": _ORIENTATIONS,
    ".stl": Kind("the surface of a part", "microrun voxelize makes a mask of it"),
    ".vti": Kind("a volume for ParaView", "ParaView opens it"),
    ".xdmf": Kind("a description for ParaView", "ParaView opens it"),
    ".tess": Kind("a tessellation of Neper", "Neper opens it"),
    ".inp": Kind("an input file of Abaqus", "Abaqus opens it"),
    **dict.fromkeys((".csv", ".json"), _TABLE),
    **dict.fromkeys((".md", ".txt", ".rst", ".toml", ".yaml", ".yml", ".py", ".log"), _TEXT),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".gif", ".bmp", ".svg", ".pdf", ".tif", ".tiff"), _PICTURE),
}
FOLDER = Kind("a folder")
PICTURE_FOLDER = Kind("a folder of pictures", "microrun encode takes them as patterns of a scan", ("scan",))
FOLDERS = {  # by what lies in them
    "zarr.json": Kind("a group of zarr", "xarray opens it"),
    "state.pt": Kind("the folder of a training", "microrun export takes the checkpoint in it"),
}


def find_kind(path: Path) -> Kind | None:
    """Tell what a file is; None if there is none, or it tells nothing of itself.

    Parameters
    ----------
    path
        A file or a folder.
    """
    if path.is_dir():
        own = next((kind for name, kind in FOLDERS.items() if (path / name).exists()), None)
        return own or (PICTURE_FOLDER if _holds_pictures(path) else FOLDER)
    first = _read_first(path)
    if first is None:
        return None
    if first.startswith(HDF5_SIGNATURE):
        return _look_into(path)
    name = path.name.lower()
    named = next((kind for ending, kind in ENDINGS.items() if name.endswith(ending)), None)
    return named or (_TEXT if _is_text(first) else None)


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 does.

    Parameters
    ----------
    path
        A file; it need not be there.
    """
    return (_read_first(path) or b"").startswith(HDF5_SIGNATURE)


def check_kind(path: Path, wanted: Wanted, error: type[MicrorunError] = MicrorunError) -> None:
    """Refuse a file that is plainly of another kind; one that tells nothing of itself passes.

    Parameters
    ----------
    path
        The file; it need not be there.
    wanted
        What is needed.
    error
        What is raised.

    Raises
    ------
    MicrorunError
        Of the type of ``error``, with what the file is and what can be done with it.
    """
    kind = find_kind(path)
    if kind and wanted not in kind.serves:
        raise error(f"{path}: is {kind}, not {WANTED[wanted]}; {kind.advice}")


def _holds_pictures(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(entry.name.lower().endswith(PATTERN_PICTURES) for entry in islice(entries, LISTED))
    except OSError:
        return False


def _read_first(path: Path) -> bytes | None:
    try:
        if not path.is_file():  # opening a pipe would wait for its writer
            return None
        with path.open("rb") as file:
            return file.read(LOOKED_AT)
    except OSError:
        return None


def _look_into(path: Path) -> Kind | None:
    for growing in (False, True):  # a file that is being written opens in the other way only
        try:
            with open_hdf5(path, growing, locking=False, own=False) as file:
                return _tell_by_contents(file)
        except (OSError, RuntimeError, *UNREADABLE):
            continue
    return None


def _tell_by_contents(file: h5py.File) -> Kind | None:
    stated = file.attrs.get("format")
    if isinstance(stated, str):
        for beginning, kind in FORMATS.items():
            if stated.startswith(beginning):
                return kind
    if isinstance(file.get("grain_id"), h5py.Dataset):
        return GRAINS
    return next((kind for name, kind in GROUPS.items() if isinstance(file.get(name), h5py.Group)), None)


def _is_text(first: bytes) -> bool:
    """Whether the first bytes are text: no byte that has no place in one, but for a letter that was cut at the end."""
    if not first or NO_TEXT & set(first):
        return False
    try:
        first.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(first) - 3
    return True
