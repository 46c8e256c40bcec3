"""Small valid files of every kind that commands read, to be damaged."""

from __future__ import annotations

import json
import shutil
import struct
import tarfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
from make_latents import SCANS, make_contents, make_origin, write_contents
from make_models import write_encoder
from make_sections import make_sections
from map_files import blocks, write_ang_map, write_ctf_map
from vendor_files import write_h5oina
from write_ang import write_ang
from write_up2 import Header, make_patterns, write_up
from write_vti import write_vti

from microrun.runtime.engines.catalogue import MODELS
from microrun.runtime.patterns.warp import Warp

DATA = Path(__file__).parents[1] / "data"
OLD = DATA / "made_by_0_1"
CORNERS = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]]) * 10.0
FACES = [(0, 2, 1), (0, 3, 2), (4, 5, 6), (4, 6, 7), (0, 1, 5), (0, 5, 4),
         (1, 2, 6), (1, 6, 5), (2, 3, 7), (2, 7, 6), (3, 0, 4), (3, 4, 7)]  # fmt: skip


def write_seeds(folder: Path) -> None:
    """Fill a folder with a folder for each kind."""
    for write in (_scans, _vendors, _maps, _latents, _volumes, _models, _runs, _parts, _sections, _simulated, _tables):
        write(folder)


def _at(folder: Path, kind: str, name: str) -> Path:
    (folder / kind).mkdir(parents=True, exist_ok=True)
    return folder / kind / name


def _scans(folder: Path) -> None:
    square, hexagonal = Header(3, (60, 60), (2, 3)), Header(3, (60, 60), (4, 4), hexagonal=1)
    write_up(_at(folder, "scan", "a.up2"), make_patterns(6, (60, 60)), square)
    write_up(_at(folder, "scan", "b.up1"), make_patterns(6, (60, 60), "uint8"), square)
    write_up(_at(folder, "scan", "c.up2"), make_patterns(14, (60, 60)), hexagonal)
    write_up(_at(folder, "scan", "d.up1"), make_patterns(6, (60, 60), "uint8"), Header(1, (60, 60)))
    numbers = np.arange(12).reshape(3, 4)
    random = np.random.default_rng(0)
    np.savez(
        _at(folder, "truth", "a.truth.npz"), cell=numbers, neighbour=numbers, grain=numbers // 4,
        blur_px=random.random(12),
        rotations=random.random((12, 4)), phase=np.zeros(12, int), mixture=np.zeros((3, 4)), sample_tilt=70.0,
        pattern_centre=np.array([0.5, 0.5, 0.5]),
    )  # fmt: skip
    image = random.integers(1, 999, (60, 60))
    np.save(_at(folder, "background", "a.npy"), image.astype("u2"))
    np.save(_at(folder, "background", "b.npy"), image.astype("f4"))


def _vendors(folder: Path) -> None:
    shutil.copy(DATA / "nickel_ebsd_small.h5", _at(folder, "vendor", "a.h5"))
    patterns = make_patterns(6, (60, 60), "uint8")
    write_h5oina(_at(folder, "vendor", "b.h5oina"), (2, 3), {"1": patterns})
    write_h5oina(_at(folder, "vendor", "c.h5oina"), (2, 3), {"1": patterns, "2": patterns[:5]})


def _maps(folder: Path) -> None:
    write_ang(_at(folder, "ang", "a.ang"), (2, 3))
    write_ang(_at(folder, "ang", "b.ang"), (2, 3), hexagonal=True)
    write_ang_map(_at(folder, "ang", "c.ang"), blocks(8, 9, 3))
    write_ctf_map(_at(folder, "ctf", "a.ctf"), blocks(8, 9, 3), 20.0)
    from PIL import Image

    colours = np.random.default_rng(0).integers(20, 230, (16, 3)).astype("u1")
    Image.fromarray(colours[blocks(32, 32, 8)]).save(_at(folder, "picture", "a.png"))
    Image.fromarray(colours[blocks(32, 32, 8)]).quantize(8).save(_at(folder, "picture", "b.png"))


def _latents(folder: Path) -> None:
    for name, scan in SCANS.items():
        write_contents(_at(folder, "latents", f"{name}.latents.h5"), make_origin(scan), make_contents(scan))
    warped = replace(make_origin(scan), warp=Warp((0.5, 0.7, 0.62), (0.42, 0.79, 0.5)))
    write_contents(_at(folder, "latents", "warped.latents.h5"), warped, make_contents(scan))
    for path in OLD.glob("*.latents.h5"):
        shutil.copy(path, _at(folder, "latents", path.name))


def _volumes(folder: Path) -> None:
    random = np.random.default_rng(0)
    grains, values = random.integers(0, 9, (8, 9, 10)).astype("i4"), random.random((16, 16, 16)).astype("f4")
    np.save(_at(folder, "array", "a.npy"), grains)
    np.save(_at(folder, "array", "b.npy"), values[:8, :9])
    np.save(_at(folder, "array", "c.npy"), grains > 2)
    with h5py.File(_at(folder, "volume", "a.h5"), "w") as file:
        file["grain_id"] = grains
        file["grain_id"].attrs["blueprint"] = json.dumps({"seed": 1, "order": "isotropic", "engine": "ab"})
    with h5py.File(_at(folder, "volume", "b.h5"), "w") as file:
        file.create_dataset("g/values", data=values, chunks=(4, 16, 16), compression="gzip")
    shutil.copy(OLD / "potts.h5", _at(folder, "simulated", "potts.h5"))
    _unpack(OLD / "volumes.tar.xz", folder / "unpacked")
    for name in ("grown.h5", "labels.h5"):
        shutil.copy(folder / "unpacked" / name, _at(folder, "volume", name))
    blocks_folder = folder / "unpacked" / "killed.h5.blocks"
    shutil.copy(blocks_folder / "blueprint.json", _at(folder, "blueprint", "blueprint.json"))
    shutil.copy(blocks_folder / "block-0000000.npy", _at(folder, "block", "block-0000000.npy"))


def _models(folder: Path) -> None:
    for name in ("tiny.onnx", "tiny.decoder.onnx", "patches.onnx"):
        shutil.copy(OLD / name, _at(folder, "model", name))
    write_encoder(_at(folder, "model", "encoder.onnx"))
    shutil.copy(OLD / "denoiser.onnx", _at(folder, "denoiser", "denoiser.onnx"))
    shutil.copy(OLD / "tiny.plan.json", _at(folder, "plan", "tiny.plan.json"))
    record = json.loads((OLD / "tiny.plan.json").read_text())
    _at(folder, "spec", "a.json").write_text(json.dumps(record["spec"]))
    from microrun.runtime.engines.open import read_model_spec

    _at(folder, "spec", "b.json").write_text(read_model_spec(OLD / "denoiser.onnx").to_json())
    _at(folder, "spec", "c.json").write_text(read_model_spec(MODELS / "vae32.onnx").to_json())


def _runs(folder: Path) -> None:
    for kind in ("vae", "diffusion"):
        _unpack(OLD / f"{kind}-run.tar.xz", folder / "unpacked" / kind)
        run = folder / "unpacked" / kind
        shutil.copy(run / "checkpoint.safetensors", _at(folder, "checkpoint", f"{kind}.safetensors"))
        shutil.copy(run / "config.json", _at(folder, "config", f"{kind}.json"))
        shutil.copy(run / "state.pt", _at(folder, "state", f"{kind}.pt"))


def _parts(folder: Path) -> None:
    triangles = [CORNERS[list(face)] for face in FACES]
    packed = b"".join(struct.pack("<12fH", 0, 0, 0, *triangle.ravel(), 0) for triangle in triangles)
    _at(folder, "stl", "a.stl").write_bytes(b"x" * 80 + struct.pack("<I", len(FACES)) + packed)
    loops = ["".join("vertex {:g} {:g} {:g}\n".format(*corner) for corner in triangle) for triangle in triangles]
    text = "".join(f"facet normal 0 0 0\nouter loop\n{loop}endloop\nendfacet\n" for loop in loops)
    _at(folder, "stl", "b.stl").write_text(f"solid a\n{text}endsolid a\n")


def _sections(folder: Path) -> None:
    from microrun.runtime.sections.section_set import write_sections

    write_sections(_at(folder, "sections", "a.h5"), [make_sections(cases=2, each=2)])
    write_sections(_at(folder, "sections", "b.h5"), [make_sections(2, 1), make_sections(2, 1, plane="along")])


def _simulated(folder: Path) -> None:
    from microrun.runtime.progress import finish
    from microrun.training.simulate.melt_pool.material import Material
    from microrun.training.simulate.melt_pool.process import Process
    from microrun.training.simulate.melt_pool.solve import compute_field
    from microrun.training.simulate.melt_pool.store import write_pool

    field = finish(compute_field(Process(150.0, 0.9), step_um=20.0, kind="eagar-tsai"))
    write_pool(_at(folder, "pool", "a.h5"), field)
    names = {name: getattr(Material(), name) for name in Material.__dataclass_fields__}
    lines = [f"{name} = {json.dumps(value)}" for name, value in names.items()]
    _at(folder, "material", "a.toml").write_text("\n".join(lines) + "\n")
    whole = np.concatenate([field.temperature[::2, ::2, ::2]], axis=1)
    write_vti(_at(folder, "vti", "a.vti"), {"T": whole}, (40.0, 40.0, 40.0))
    write_vti(_at(folder, "vti", "b.vti"), {"T": whole}, (40.0, 40.0, 40.0), form="base64", compressed=True)
    write_vti(_at(folder, "vti", "c.vti"), {"T": whole[:3, :4, :5]}, (40.0, 40.0, 40.0), form="ascii")
    events = [f"{x * 2e-6},{y * 2e-6},0,{1e-4 * x},{1e-4 * x + 2e-4},1e5" for x in range(6) for y in range(4)]
    _at(folder, "events", "a.csv").write_text("x,y,z,tm,tl,cr\n" + "\n".join(events) + "\n")
    rows = np.array([[float(part) for part in line.split(",")] for line in events])
    _at(folder, "events", "b.catemp").write_bytes(rows.astype("<f8").tobytes())


def _tables(folder: Path) -> None:
    table = "file,power_w,speed_m_s,plane,case\na.ang,150,0.9,across,1\nb.png,200,0.5,along,2\n"
    _at(folder, "table", "a.csv").write_text(table)
    for name in ("a.ang", "b.png"):
        _at(folder, "maps", name).touch()


def _unpack(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as held:
        held.extractall(folder, filter="data")
