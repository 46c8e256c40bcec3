"""What `run_commands.py` gives to the commands of the docs: small files under the names that the docs use."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests" / "help"))

Step = str | Callable[[Path], None]  # an input, a microrun command, or what Python makes in a folder

POOL = "simulate meltpool --power 150 --speed 0.9 --out pool.h5"
LAB = "simulate experiment lab --cases cases.csv --maps 2"
FERRITE = "simulate scan scan.up2 --phase ferrite --pc 0.50,0.70,0.62 --grid 16x24 --grains 8"


def read_grains(path: Path) -> NDArray[np.int32]:
    """Labels of a volume of microrun's, (z, y, x)."""
    from microrun.runtime.volumes.label_files import read_labels

    return np.asarray(next(iter(read_labels(path))).labels, np.int32)


def write_dump(folder: Path) -> None:
    """Write a snapshot as SPPARKS dumps it."""
    labels = read_grains(folder / "truth.h5")
    z, y, x = (values.ravel() for values in np.indices(labels.shape))
    bounds = "".join(f"0 {side}\n" for side in labels.shape[::-1])
    head = f"ITEM: TIMESTEP\n0 0\nITEM: NUMBER OF ATOMS\n{labels.size}\nITEM: BOX BOUNDS\n{bounds}"
    table = np.column_stack([np.arange(labels.size) + 1, labels.ravel() + 1, x, y, z])
    with (folder / "dump.potts").open("w") as file:
        file.write(f"{head}ITEM: ATOMS id type x y z\n")
        np.savetxt(file, table, "%d")


def write_grain_ids(folder: Path) -> None:
    """Write the same grains into two files under a name of their own."""
    labels = read_grains(folder / "truth.h5")
    for name in ("part.h5", "other.h5"):
        with h5py.File(folder / name, "w") as file:
            file["grain_id"] = labels
            file["phase"] = np.zeros(labels.shape, np.int32)


def write_layer(folder: Path) -> None:
    """Write a layer of grains, the rest unknown."""
    known = np.full((32, 40, 40), -1, np.int32)
    known[0] = read_grains(folder / "truth.h5")[0, :40, :40]
    np.save(folder / "layer.npy", known)


def write_values(folder: Path) -> None:
    """Write grains as values between 0 and 1, with a little noise."""
    labels = read_grains(folder / "truth.h5")
    rng = np.random.default_rng(0)
    values = rng.random(labels.max() + 2)[labels] + rng.normal(0, 0.001, labels.shape)
    np.save(folder / "volume.npy", values.astype(np.float32))


def write_repeated(folder: Path) -> None:
    """Write a periodic volume side by side with itself, as docs/periodic.md does."""
    np.save(folder / "rve2.npy", np.tile(read_grains(folder / "rve.h5"), (1, 2, 2)))


def write_surfaces(folder: Path) -> None:
    """Write two parts: a ring, and a bar."""
    import trimesh

    trimesh.creation.annulus(4, 10, 5).export(folder / "gear.stl")
    trimesh.creation.box((20, 8, 6)).export(folder / "part.stl")


def write_vendor_scan(folder: Path) -> None:
    """Write the scan as a file of Oxford's."""
    from scan_files import read_patterns
    from vendor_files import write_h5oina

    write_h5oina(folder / "scan.h5oina", (24, 48), {"1": read_patterns(folder / "scan.up2")})


def write_pictures_of_patterns(folder: Path) -> None:
    """Write the scan as numbered pictures."""
    from picture_folders import write_pictures
    from scan_files import read_patterns

    write_pictures(folder / "patterns", read_patterns(folder / "small.up2"))


def write_crystal_map(folder: Path) -> None:
    """Write a map of a dozen grains as orix does."""
    from orix.crystal_map import CrystalMap, Phase, PhaseList
    from orix.io import save
    from orix.quaternion import Rotation

    rng = np.random.default_rng(0)
    y, x = (values.ravel() for values in np.indices((30, 40)))
    seeds = rng.uniform(0, (30, 40), (12, 2))
    nearest = ((y[:, None] - seeds[:, 0]) ** 2 + (x[:, None] - seeds[:, 1]) ** 2).argmin(1)
    angles = rng.uniform(0, (2 * np.pi, np.pi, 2 * np.pi), (12, 3))[nearest]
    phases = PhaseList([Phase("ni", space_group=225)])
    made = CrystalMap(Rotation.from_euler(angles), x=1.5 * x, y=1.5 * y, phase_list=phases, scan_unit="um")
    save(str(folder / "ni_large_crystal_map.h5"), made)


def write_cases(folder: Path) -> None:
    """Write a table of two cases."""
    (folder / "cases.csv").write_text("power_w,speed_m_s\n150,0.9\n175,0.8\n", encoding="utf-8")


def make_folder(folder: Path) -> None:
    """Make the folder into which `microrun serve` writes."""
    (folder / "latents").mkdir(exist_ok=True)


def name_sections(folder: Path) -> None:
    """Name the sections of a part as a page does that takes them from anywhere."""
    shutil.copy(folder / "part.sections.h5", folder / "sections.h5")


def write_fast_case(folder: Path) -> None:
    """Write a table of one case with a small melt pool, which is simulated soon."""
    (folder / "cases.csv").write_text("power_w,speed_m_s\n100,1.0\n", encoding="utf-8")


def lift_maps(folder: Path) -> None:
    """Put a table of measured maps, and one map of them, where the docs have them."""
    shutil.copytree(folder / "lab", folder, dirs_exist_ok=True)
    shutil.copy(min(folder.rglob("*.ang")), folder / "map.ang")
    shutil.rmtree(folder / "lab")


def hold_out(folder: Path) -> None:
    """Name the same maps in a second table: with cases of its own, the emulated experiment writes one."""
    shutil.copy(folder / "lab" / "labels.csv", folder / "lab" / "held_out.csv")


SMALL = "simulate scan small.up2 --grid 12x16 --grains 4"
NI = "generate --size 32 --preset fast --seed 1 --voxel-um 0.5 --out ni.h5"
RECIPES: dict[str, tuple[Step, ...]] = {
    "scan.up2": ("simulate scan scan.up2 --grid 24x48 --grains 12",),
    "scan.latents.h5": ("encode scan.up2",),
    "latents/scan-1.latents.h5": (make_folder, "encode scan.up2 --out latents/scan-1.latents.h5"),
    "scan.h5oina": ("scan.up2", write_vendor_scan),
    "patterns": (SMALL, write_pictures_of_patterns),
    "a.up2": ("simulate scan a.up2 --grid 12x16 --grains 4 --seed 1",),
    "b.up2": ("simulate scan b.up2 --grid 12x16 --grains 4 --seed 2",),
    "monday.up2": ("simulate scan monday.up2 --grid 12x16 --grains 4 --seed 1",),
    "tuesday.up2": ("simulate scan tuesday.up2 --grid 12x16 --grains 4 --seed 2",),
    "ni_large_crystal_map.h5": (write_crystal_map,),
    "ni.h5": (NI,),
    "ni.npy": (NI.replace(".h5", ".npy"),),
    "oriented.h5": ("orient ni.h5 --texture fibre:001@z:15 --out oriented.h5",),
    "truth.h5": (
        "simulate potts fresh.h5 --size 48",
        "segment fresh.h5 --components 6 --min-voxels 27 --out truth.h5",
    ),
    "dump.potts": ("truth.h5", write_dump),
    "part.h5": ("truth.h5", write_grain_ids),
    "other.h5": ("truth.h5", write_grain_ids),
    "layer.npy": ("truth.h5", write_layer),
    "volume.npy": ("truth.h5", write_values),
    "measured.dream3d": ("convert ni.h5 --to dream3d --out measured.dream3d",),
    "rve2.npy": ("generate --size 40 --preset fast --periodic z,y,x --out rve.h5", write_repeated),
    "gear.stl": (write_surfaces,),
    "part.stl": (write_surfaces,),
    "map.ang": (write_cases, LAB, lift_maps),
    "labels.csv": (write_cases, LAB, lift_maps),
    "lab/held_out.csv": (hold_out,),
    "cases.csv": (write_cases,),
    "sections.h5": ("part.sections.h5", name_sections),
    "experiment.h5": ("convert labels.csv --to sections --out experiment.h5",),
    "part.sections.h5": (POOL, "simulate solidify pool.h5 --layers 5 --tracks 3 --length 60 --out part.h5"),
}
OF_A_PAGE: dict[tuple[str, str], tuple[Step, ...]] = {
    ("solidification", "cases.csv"): (write_fast_case,),
    ("own-model", "scan.up2"): (FERRITE,),
    ("pattern-centre", "scan.up2"): (FERRITE,),
    ("real-cameras", "scan.up2"): (FERRITE,),
}


def find_inputs(words: list[str]) -> list[str]:
    """Names among a command's words that it reads, as far as they can be made."""
    made_here = {words[at + 1] for at, word in enumerate(words[:-1]) if word in ("--out", "--folder")}
    made_here |= {words[2]} if words[0] == "simulate" else set()
    return [name for name in (word.split(":")[0] for word in words) if name in RECIPES and name not in made_here]
