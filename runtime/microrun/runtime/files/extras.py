"""What to type where a package is missing: it depends on how microrun was installed."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from microrun.runtime.json_text import UNREADABLE, parse_object

PACKAGES = {  # by the module that is imported: the package that brings it, and the extra of ours that does
    "matplotlib": ("matplotlib", "plots"),
    "PIL": ("pillow", "pictures"),
    "kikuchipy": ("kikuchipy", "demo"),
    "orix": ("orix", "demo"),
    "scipy": ("scipy", "analyse"),
    "sklearn": ("scikit-learn", "analyse"),
    "pyebsdindex": ("pyebsdindex", "judge"),
    "openvino": ("openvino", "cpu"),
    "onnxruntime": ("onnxruntime", "cpu"),
    "rsciio": ("rosettasciio", "convert"),
    "dask": ("dask", "convert"),
    "tifffile": ("tifffile", "convert"),
    "zarr": ("zarr", "convert"),
    "xarray": ("xarray", "convert"),
    "h5netcdf": ("h5netcdf", "convert"),
    "trimesh": ("trimesh", "generate"),
    "distributed": ("distributed", "cluster"),
    "starlette": ("starlette", "view"),
    "uvicorn": ("uvicorn", "view"),
    "websockets": ("websockets", "view"),
    "torch": ("torch", "train"),
    "onnx": ("onnx", "train"),
    "onnxscript": ("onnxscript", "train"),
    "safetensors": ("safetensors", "train"),
}


def install_command(extra: str) -> str:
    """Write what installs an extra here.

    Parameters
    ----------
    extra
        Its name in pyproject.toml, such as "plots".

    Returns
    -------
    str
        Of a clone, ``pip install -e`` with its folder; of a wheel, which is on no index, the packages themselves.
    """
    try:
        found = distribution("microrun")
    except PackageNotFoundError:
        return f'pip install -e ".[{extra}]" in the folder of microrun'
    clone = _find_clone(found)
    if clone is not None:
        return f'pip install -e "{clone}[{extra}]"'
    packages = _list_packages(found, extra)
    return "pip install " + (" ".join(f'"{package}"' for package in packages) or f'"microrun[{extra}]"')


def say_missing(module: str | None) -> str:
    """Say that a module cannot be imported, by the package that brings it, and what installs that.

    Parameters
    ----------
    module
        As Python's error names it, such as "matplotlib.figure".
    """
    name = (module or "").partition(".")[0]
    if name not in PACKAGES:
        return f"{name or 'a package'} is not installed; pip install {name}"
    package, extra = PACKAGES[name]
    return f"{package} is not installed; {install_command(extra)}"


def _find_clone(found: Distribution) -> Path | None:
    """The folder of an editable installation."""
    try:
        stated = parse_object(found.read_text("direct_url.json") or "{}")
        editable = bool(stated.get("dir_info", {}).get("editable"))
        folder = Path(url2pathname(urlsplit(stated.get("url", "")).path))
    except UNREADABLE:
        return None
    return folder if editable and folder.is_dir() else None


def _list_packages(found: Distribution, extra: str) -> list[str]:
    """Requirements of an extra, as its metadata has them."""
    asked = re.compile(rf"extra\s*==\s*['\"]{re.escape(extra)}['\"]")
    parts = [line.partition(";") for line in found.requires or ()]
    return [requirement.strip() for requirement, _, marker in parts if asked.search(marker)]
