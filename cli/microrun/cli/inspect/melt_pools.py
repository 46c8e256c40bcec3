"""What `microrun inspect` says of a melt pool."""

from __future__ import annotations

from pathlib import Path

from microrun.cli.simulate.meltpool import describe_pool
from microrun.cli.told import size_of
from microrun.runtime.files.hdf5 import open_hdf5


def is_pool_file(path: Path) -> bool:
    """Whether a file says that it holds a melt pool; nothing that takes long is imported for that."""
    try:
        with open_hdf5(path) as file:
            return str(file.attrs.get("format")).startswith("microrun melt pool")
    except (OSError, RuntimeError, ValueError):
        return False


def pool_rows(path: Path) -> dict[str, object]:
    """Rows about a melt pool.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    MicrorunError
        If it is damaged.
    """
    from microrun.training.simulate.melt_pool.measure import measure_pool
    from microrun.training.simulate.melt_pool.store import read_pool

    field = read_pool(path)
    process, cells = field.process, "×".join(map(str, field.temperature.shape))
    return {
        "kind": f"melt pool, {field.kind} field",
        "made with": f"{field.material.name}, {process.power_w:g} W, {process.speed_m_s:g} m/s, plate at "
        f"{process.preheat_k:g} K",
        "temperatures": f"{cells} cells of {field.step_um:g} µm",
        **describe_pool(field, measure_pool(field)),
        "size": size_of(path),
    }
