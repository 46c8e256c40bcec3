"""What commands of the documentation find in their folder: files of a user, small, made once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

MICRORUN = {
    "scan.up2": "simulate scan scan.up2 --grid 12x16",
    "scan.latents.h5": "encode scan.up2",
    "ni.h5": "generate --size 32 --preset fast --seed 7 --out ni.h5",
    "oriented.h5": "orient ni.h5 --texture uniform --out oriented.h5",
    "measured.dream3d": "convert ni.h5 --to dream3d --out measured.dream3d",
    "fresh.h5": "simulate potts fresh.h5 --size 32 --duration 10",
    "truth.h5": "segment fresh.h5 --components 6 --min-voxels 27 --out truth.h5",
    "rve.h5": "generate --size 40 --preset fast --periodic z,y,x --out rve.h5",
    "pool.h5": "simulate meltpool --power 150 --speed 0.9 --out pool.h5",
    "part.sections.h5": "simulate solidify pool.h5 --layers 1 --tracks 1 --out part.h5",
    "sections.h5": "sample --power 150 --speed 0.9 --count 2 --out sections.h5",
    "sim.h5": "simulate sections --sobol 2 --layers 1 --out sim.h5",
    "pretrained": "train sections sim.h5 --steps 2 --batch 2 --folder pretrained",
    "lab": "simulate experiment lab",
    "experiment.h5": "convert lab/held_out.csv --to sections --out experiment.h5",
    "held_out.h5": "convert lab/held_out.csv --to sections --out held_out.h5",
}
NEEDS = {
    "scan.latents.h5": ["scan.up2"],
    "oriented.h5": ["ni.h5"],
    "measured.dream3d": ["ni.h5"],
    "truth.h5": ["fresh.h5"],
    "part.sections.h5": ["pool.h5"],
    "pretrained": ["sim.h5"],
    "experiment.h5": ["lab"],
    "held_out.h5": ["lab"],
}


def write_stl(path: Path) -> None:
    """A ring, as a part that users have."""
    import trimesh

    trimesh.creation.annulus(r_min=6, r_max=12, height=8).export(path)


def write_layer(path: Path) -> None:
    """Grain numbers of one plane, negative where nothing is known."""
    known = np.full((32, 48, 48), -1)
    y, x = np.indices((48, 48)) // 16
    known[0] = 3 * y + x
    np.save(path, known)


def write_grains(path: Path) -> None:
    """Cubes of 8 voxels, each a grain."""
    z, y, x = np.indices((32, 32, 32)) // 8
    np.save(path, 16 * z + 4 * y + x)


def write_values(path: Path) -> None:
    """Values of a denoiser before they are grains: cubes of one value each, and a little noise."""
    z, y, x = np.indices((32, 32, 32)) // 8
    values = (7 * z + 5 * y + 3 * x) % 11 / 11
    np.save(path, (values + np.random.default_rng(0).normal(0, 0.001, values.shape)).astype(np.float32))


def write_dump(path: Path) -> None:
    """A text dump of SPPARKS: a line a site."""
    z, y, x = np.indices((16, 16, 16))
    spins = 1 + (z // 4 * 16 + y // 4 * 4 + x // 4)
    rows = np.stack([np.arange(1, z.size + 1), spins.ravel(), x.ravel(), y.ravel(), z.ravel()], axis=1)
    bounds = "\n".join(["0 16"] * 3)
    head = (
        f"ITEM: TIMESTEP\n0 0\nITEM: NUMBER OF ATOMS\n{z.size}\nITEM: BOX BOUNDS\n{bounds}\nITEM: ATOMS id type x y z"
    )
    np.savetxt(path, rows, fmt="%d", header=head, comments="")


def write_patterns(path: Path) -> None:
    """A folder of numbered pictures in the order of the scan, all alike but for noise."""
    from PIL import Image

    path.mkdir()
    rng = np.random.default_rng(0)
    rows, cols = np.indices((60, 60)) - 30.0
    for number in range(200 * 300 // 100):
        bands = 128 + 40 * np.cos(rows / 3 + number / 40) + 30 * np.cos((rows + cols) / 4)
        Image.fromarray((bands + rng.normal(0, 5, bands.shape)).clip(0, 255).astype(np.uint8)).save(
            path / f"scan{number + 1:05d}.tif"
        )


FILES: dict[str, Callable[[Path], None]] = {
    "part.stl": write_stl,
    "gear.stl": write_stl,
    "layer.npy": write_layer,
    "ni.npy": write_grains,
    "rve2.npy": write_grains,
    "volume.npy": write_values,
    "dump.potts": write_dump,
    "patterns": write_patterns,
}
COPIES = {
    "a.up2": "scan.up2",
    "b.up2": "scan.up2",
    "monday.up2": "scan.up2",
    "tuesday.up2": "scan.up2",
    "part.h5": "ni.h5",
    "other.h5": "fresh.h5",
    "latents": "scan.latents.h5",
    "map.ang": "lab",
    "labels.csv": "lab",
}


def make_inputs(name: str, folder: Path, run: Callable[[str, Path], object]) -> list[Path]:
    """Make a file that commands read, once, and all that it names.

    Parameters
    ----------
    name
        As commands name it.
    folder
        Where all such files are.
    run
        Runs a command in a folder.

    Returns
    -------
    Files and folders to put beside the command; none if it is unknown here.
    """
    path = folder / name
    if name in COPIES and not path.exists():
        _copy(make_inputs(COPIES[name], folder, run), path)
    elif name in FILES and not path.exists():
        FILES[name](path)
    elif name in MICRORUN and not path.exists():
        for needed in NEEDS.get(name, []):
            make_inputs(needed, folder, run)
        run(f"microrun {MICRORUN[name]}", folder)
    if name == "labels.csv":
        return sorted((folder / "lab").iterdir())
    return [path] if path.exists() else []


def _copy(sources: list[Path], path: Path) -> None:
    """Copy a file under another name: a map out of a folder of maps, or the latents of a service into its folder."""
    for source in sources:
        if path.suffix == ".ang":
            shutil.copy(min(source.rglob("*.ang")), path)
        elif path.name == "latents":
            path.mkdir()
            shutil.copy(source, path / "scan-1.latents.h5")
        elif source.is_file():
            shutil.copy(source, path)
        else:
            shutil.copytree(source, path)
