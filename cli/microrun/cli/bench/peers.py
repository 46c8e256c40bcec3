"""Libraries that ours are compared with."""

from __future__ import annotations

from importlib.util import find_spec

PEERS = {  # by module: name, and what brings it
    "sklearn": ("scikit-learn", "'microrun[analyse]'"),
    "trimesh": ("trimesh", "'microrun[generate]'"),
    "vtkmodules": ("VTK", "vtk"),
}


def list_missing() -> list[str]:
    """Libraries that ours would be compared with if they were installed, and what brings them."""
    return [
        f"{name} is not installed; pip install {extra}" for module, (name, extra) in PEERS.items() if not has(module)
    ]


def has(module: str) -> bool:
    """Whether a library is installed."""
    return find_spec(module) is not None
