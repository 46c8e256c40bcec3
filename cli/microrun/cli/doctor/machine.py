"""What `microrun doctor` finds installed, which cards it sees, and what of it does not go together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import get_args

from microrun.cli.console import size_text
from microrun.runtime.engines.catalogue import DEFAULT_ENGINE, MODELS
from microrun.runtime.engines.libraries import load_onnxruntime
from microrun.runtime.engines.nvidia.cuda import Card, driver_version, find_cards
from microrun.runtime.engines.nvidia.plan import Library
from microrun.runtime.engines.nvidia.tensorrt_library import import_library
from microrun.runtime.errors import first_line

EXTRAS = {
    "base": ("numpy", "numba", "h5py"),
    "cpu": ("openvino", "onnxruntime"),
    "gpu": ("onnxruntime-gpu", "cuda-bindings"),
    "rtx": ("tensorrt-rtx", "cuda-bindings"),
    "tensorrt": ("tensorrt", "cuda-bindings"),
    "plots": ("matplotlib",),
    "pictures": ("pillow",),
    "pat": ("pyebsdindex",),
    "demo": ("kikuchipy",),
    "analyse": ("scikit-learn", "scipy"),
    "judge": ("pyebsdindex",),
    "convert": ("rosettasciio", "tifffile", "zarr"),
    "generate": ("trimesh",),
    "cluster": ("distributed",),
    "view": ("starlette", "uvicorn", "websockets"),
    "train": ("torch", "onnx", "onnxscript", "safetensors"),
}
# NVIDIA names its packages after the CUDA that they are for; the bare names come from its installers.
DISTRIBUTIONS = {name: (f"{name}-cu13", f"{name}-cu12", name) for name in ("tensorrt", "tensorrt-rtx")}


@dataclass(frozen=True)
class Machine:
    """What is here.

    Parameters
    ----------
    installed
        Packages and their versions; what is not installed is not in it.
    cards
        As the driver lists them.
    no_cards
        Why there are none.
    driver
        The newest CUDA that the driver supports; None if there is no driver, or nothing to ask it with.
    onnxruntime_cuda
        The CUDA that ONNX Runtime was built for, such as "13.0"; empty if for none.
    """

    installed: Mapping[str, str]
    cards: tuple[Card, ...] = ()
    no_cards: str = ""
    driver: str | None = None
    onnxruntime_cuda: str = ""

    @property
    def card(self) -> Card | None:
        """The card that engines run on."""
        return self.cards[0] if self.cards else None


def inspect_machine() -> Machine:
    """Look around; what is broken is as if it were not there."""
    packages = {package for packages in EXTRAS.values() for package in packages}
    installed = {package: found for package in packages if (found := find_version(package))}
    driver, cards, no_cards = _look_for_cards()
    return Machine(installed, cards, no_cards, driver, _onnxruntime_cuda())


def find_version(package: str) -> str | None:
    """The version of an installed package, under any of its names."""
    for name in DISTRIBUTIONS.get(package, (package,)):
        with suppress(Exception):  # PackageNotFoundError, or what a package raises that was half removed
            return version(name)
    return None


def package_rows(machine: Machine) -> dict[str, str]:
    """What each extra has brought, and what of it is missing."""
    rows = {}
    for extra, packages in EXTRAS.items():
        here = ", ".join(f"{name} {machine.installed[name]}" for name in packages if name in machine.installed)
        missing = ", ".join(name for name in packages if name not in machine.installed)
        rows[extra] = "; ".join(part for part in (here, missing and f"not installed: {missing}") if part)
    return rows


def card_rows(machine: Machine) -> dict[str, str]:
    """Driver and cards, or why there is none."""
    rows = {"NVIDIA driver": f"for CUDA {machine.driver} and older"} if machine.driver else {}
    for card in machine.cards:
        memory = f"{size_text(card.free_bytes)} of {size_text(card.memory_bytes)} free"
        rows[f"card {card.number}"] = f"{card.name}, compute capability {card.capability_text}, {memory}"
    return rows if machine.cards else rows | {"NVIDIA card": f"none seen: {machine.no_cards}"}


def find_problems(machine: Machine) -> list[str]:
    """What does not go together, and what to do about it."""
    return [*_clashes(machine), *_card_problems(machine), *_broken_libraries()]


def one_line(error: Exception) -> str:
    """What an error says, without the file that it begins with."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"{error.name} is not installed"
    return re.sub(r"^.*?\.(onnx|plan): ", "", first_line(error))


def _look_for_cards() -> tuple[str | None, tuple[Card, ...], str]:
    driver = None
    try:
        driver = driver_version()
        if driver is None:
            return None, (), "NVIDIA's driver is not installed"
        return driver, tuple(find_cards()), ""
    except Exception as error:  # broken bindings fail in ways of their own
        return driver, (), one_line(error)


def _onnxruntime_cuda() -> str:
    try:
        onnxruntime = load_onnxruntime()

        return str(onnxruntime.cuda_version)
    except Exception:  # why it cannot be imported, its engines say
        return ""


def _clashes(machine: Machine) -> Iterator[str]:
    if {"onnxruntime", "onnxruntime-gpu"} <= machine.installed.keys():
        yield (
            "onnxruntime and onnxruntime-gpu overwrite each other: "
            "pip uninstall onnxruntime onnxruntime-gpu, then install one of them"
        )
    if not (MODELS / f"{DEFAULT_ENGINE}.onnx").is_file():
        yield f"the built-in model {DEFAULT_ENGINE} is missing from the installation"


def _card_problems(machine: Machine) -> Iterator[str]:
    wanted = {"cuda-bindings": machine.installed.get("cuda-bindings", ""), "onnxruntime-gpu": machine.onnxruntime_cuda}
    # Within a major version, newer libraries run with older drivers.
    too_new = [name for name, cuda in wanted.items() if machine.driver and _major(cuda) > _major(machine.driver)]
    for name in too_new:
        yield (
            f"{name} is for CUDA {_major(wanted[name])}, and the driver for CUDA {machine.driver} and older: "
            "update the driver"
        )
    if "onnxruntime-gpu" in machine.installed and not machine.cards and not too_new:
        yield f"onnxruntime-gpu is installed, but no card is seen: {machine.no_cards}"


def _major(version: str) -> int:
    number = version.partition(".")[0]
    return int(number) if number.isdigit() else 0


def _broken_libraries() -> Iterator[str]:
    for library in get_args(Library):
        try:
            if find_spec(library):
                import_library(library)
        except Exception as error:  # whatever bindings raise without the library behind them
            yield one_line(error)
