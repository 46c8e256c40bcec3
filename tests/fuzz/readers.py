"""For every kind: its seeds' folder, how its files are damaged, and the functions that commands read them with."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from mutations import damage_bytes, damage_json, damage_text
from structures import damage_hdf5, damage_npy, damage_onnx, damage_safetensors

if TYPE_CHECKING:
    from microrun.runtime.spec import Diffusion

Damage = Callable[[bytes, Random], bytes]
Read = Callable[[Path, Path], None]  # the damaged file and the folder of all seeds


@dataclass(frozen=True)
class Kind:
    """How files of a kind are damaged and read."""

    damage: tuple[Damage, ...]
    read: Read
    share: float = 1.0  # of the files that are asked for: fewer where reading takes long


def _json(data: bytes, random: Random) -> bytes:
    return damage_json(data.decode(), random).encode("utf-8", "surrogatepass")


def _inspect(path: Path, seeds: Path) -> None:
    from microrun.cli.inspect.command import inspect

    inspect(path)


def _scan(path: Path, seeds: Path) -> None:
    from microrun.runtime.patterns.background import mean_background
    from microrun.runtime.patterns.preprocess import Preprocessor
    from microrun.runtime.scans.open import fingerprint, open_scan
    from microrun.runtime.spec import Preprocessing

    def look(grid: tuple[int, int] | None) -> None:
        source = open_scan(path, grid)
        fingerprint(source)
        mean_background(source, Preprocessor(Preprocessing((60, 60)), source.scan.sig_shape), 8)

    _each(lambda: _inspect(path, seeds), lambda: look(None), lambda: look((2, 3)))


def _vendor(path: Path, seeds: Path) -> None:
    from microrun.runtime.scans.open import fingerprint, open_scan

    _inspect(path, seeds)
    fingerprint(open_scan(path))


def _truth(path: Path, seeds: Path) -> None:
    from microrun.runtime.scans.truth import load_truth

    load_truth(path.with_name(path.name.removesuffix(".truth.npz") + ".up2"))


def _background(path: Path, seeds: Path) -> None:
    from microrun.runtime.patterns.background import load_background
    from microrun.runtime.patterns.preprocess import Preprocessor
    from microrun.runtime.spec import Preprocessing

    load_background(path, Preprocessor(Preprocessing((30, 30)), (60, 60)))


def _ang(path: Path, seeds: Path) -> None:
    from microrun.runtime.maps.orientation_file import read_orientations
    from microrun.runtime.scans.open import open_scan
    from microrun.runtime.scans.stated import state_beside
    from microrun.runtime.sections.map_table import read_map

    scan = path.with_suffix(".up1")
    shutil.copy(seeds / "scan" / "d.up1", scan)
    every = (
        lambda: state_beside(scan, (2, 3)),
        lambda: open_scan(scan),
        lambda: read_map(path),
        lambda: read_orientations(path),
    )
    _each(*every)


def _map(path: Path, seeds: Path) -> None:
    from microrun.runtime.sections.cut_maps import cut_map
    from microrun.runtime.sections.map_table import read_map

    cut_map(read_map(path, 8.0), "along", str(path), 0)


def _latents(path: Path, seeds: Path) -> None:
    from microrun.runtime.convert.convert_latents import convert_latents
    from microrun.runtime.latents.reader import open_latents

    def read_all() -> None:
        with open_latents(path) as latents:
            _ = latents.written, latents.ranges, latents.flags, latents.background, latents.positions_um, latents.probes
            _ = latents[0, :, 0], latents.to_xarray(), repr(latents), latents.bad_pixels
            convert_latents(latents, "csv", path.with_name("o.csv"), None, True)

    _each(lambda: _inspect(path, seeds), read_all)


def _volume(path: Path, seeds: Path) -> None:
    from microrun.runtime.convert.convert_volume import convert_volume
    from microrun.runtime.volumes.grain_volume import GrainVolume
    from microrun.runtime.volumes.measured import measure_file
    from microrun.runtime.volumes.segment import SegmentOptions, write_labels
    from microrun.runtime.volumes.volume import open_volume

    def label() -> None:
        with open_volume(path) as volume:
            write_labels(volume, SegmentOptions(components=6), path.with_name("o.npy"), 1)

    def convert() -> None:
        with open_volume(path) as volume:
            convert_volume(GrainVolume(volume), "vti", path.with_name("o.vti"))

    _each(lambda: _inspect(path, seeds), label, convert, lambda: measure_file(path))


def _simulated(path: Path, seeds: Path) -> None:
    from microrun.training.simulate.volumes import read_volumes

    _each(lambda: _inspect(path, seeds), lambda: read_volumes(path))


def _blueprint(path: Path, seeds: Path) -> None:
    from microrun.runtime.generation.block_folder import BlockFolder, make_folder
    from microrun.runtime.generation.effort import evaluations_of_blocks

    folder = path.parent / "grown.h5.blocks"
    folder.mkdir(exist_ok=True)
    shutil.copy(path, folder / "blueprint.json")
    shutil.copy(seeds / "unpacked" / "killed.h5.blocks" / "part.npy", folder)
    held = BlockFolder(folder, _diffusion(seeds))
    _each(lambda: make_folder(folder, held.blueprint, None), held.finished, lambda: evaluations_of_blocks(held))


@cache
def _diffusion(seeds: Path) -> Diffusion:
    from microrun.runtime.engines.open import read_model_spec

    diffusion = read_model_spec(seeds / "denoiser" / "denoiser.onnx").diffusion
    assert diffusion is not None
    return diffusion


def _block(path: Path, seeds: Path) -> None:
    from microrun.runtime.generation.block_folder import BlockFolder

    folder = path.parent / "grown.h5.blocks"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(seeds / "unpacked" / "killed.h5.blocks", folder)
    shutil.copy(path, folder / "block-0000000.npy")
    held = BlockFolder(folder, _diffusion(seeds))
    _ = held.finished()
    _each(lambda: held.load(0), lambda: held.known(1), held.assemble)


def _model(path: Path, seeds: Path) -> None:
    import numpy as np

    from microrun.runtime.engines.engine import EngineRequest
    from microrun.runtime.engines.onnx_cpu import OnnxEngine
    from microrun.runtime.engines.openvino_cpu import OpenvinoEngine

    def run(opened: type[OnnxEngine | OpenvinoEngine]) -> None:
        with opened(path, EngineRequest(lanes=1, batch=1)) as engine:
            engine.lane().run(np.zeros((1, *engine.spec.input_shape), np.float32))

    _each(lambda: _inspect(path, seeds), lambda: run(OpenvinoEngine), lambda: run(OnnxEngine))


def _denoiser(path: Path, seeds: Path) -> None:
    from microrun.runtime.engines.denoiser import check_denoiser
    from microrun.runtime.engines.open import read_model_spec
    from microrun.runtime.generation.effort import check_block, evaluations_per_block
    from microrun.runtime.generation.recipe import Preset

    _inspect(path, seeds)
    spec = read_model_spec(path)
    diffusion = check_denoiser(path, spec)
    _ = diffusion.codes if diffusion.n_colours else None
    _each(
        lambda: check_block(spec),
        lambda: evaluations_per_block(diffusion.schedule, Preset().of(spec)),
    )


def _plan(path: Path, seeds: Path) -> None:
    from microrun.runtime.engines.nvidia.plan import read_record
    from microrun.runtime.engines.open import open_engine

    plan = path.with_name(path.name.removesuffix(".json"))
    shutil.copy(seeds.parent / "tiny.plan", plan)
    _each(lambda: _inspect(plan, seeds), lambda: read_record(plan), lambda: open_engine(plan))


def _spec(path: Path, seeds: Path) -> None:
    from microrun.runtime.patterns.preprocess import Preprocessor
    from microrun.runtime.spec import ModelSpec

    spec = ModelSpec.from_json(path.read_bytes().decode("utf-8", "replace"), str(path))
    spec.to_json()
    if spec.diffusion is None:
        Preprocessor(spec.preprocessing, (480, 480))
    else:
        _ = spec.diffusion.schedule.alphas_cumprod


def _checkpoint(path: Path, seeds: Path) -> None:
    from microrun.training.diffusion.checkpoint import load_denoiser
    from microrun.training.vae.checkpoint import load_checkpoint

    _each(lambda: _inspect(path, seeds), lambda: load_checkpoint(path), lambda: load_denoiser(path))


def _config(path: Path, seeds: Path) -> None:
    from microrun.training.diffusion.config import DiffusionConfig
    from microrun.training.vae.config import VaeConfig

    _each(lambda: VaeConfig().difference(VaeConfig.load(path)), lambda: DiffusionConfig.load(path))


def _state(path: Path, seeds: Path) -> None:
    from microrun.training.loop.state import load_state
    from microrun.training.vae.config import VaeConfig

    folder = path.parent / "run"
    folder.mkdir(exist_ok=True)
    shutil.copy(path, folder / "state.pt")
    settings = VaeConfig()
    settings.save(folder / "config.json")
    load_state(folder, settings, "x")


def _stl(path: Path, seeds: Path) -> None:
    from microrun.runtime.volumes.parts import load_part

    load_part(path, 24)


def _sections(path: Path, seeds: Path) -> None:
    from microrun.runtime.sections.section_set import held_planes, read_sections

    _inspect(path, seeds)
    for plane in held_planes(path):
        read_sections(path, plane).take([0])


def _temperatures(path: Path, seeds: Path) -> None:
    from microrun.training.simulate.melt_pool.process import Process
    from microrun.training.simulate.solidify.temperature_files import Stated, read_temperatures

    pool = path.suffix == ".h5"
    stated = Stated() if pool else Stated(Process(150.0, 0.9), temperature_unit="K", length_unit="um")
    read_temperatures(path, stated)


def _material(path: Path, seeds: Path) -> None:
    from microrun.training.simulate.melt_pool.material import read_material

    read_material(path)


def _table(path: Path, seeds: Path) -> None:
    from microrun.runtime.sections.map_table import read_map_table

    for held in (seeds / "maps").iterdir():
        shutil.copy(held, path.parent)
    read_map_table(path)


def _each(*calls: Callable[[], object]) -> None:
    """Call all; if any refuses, raise the last of their refusals."""
    from microrun.runtime.errors import MicrorunError

    refusal = None
    for call in calls:
        try:
            call()
        except MicrorunError as error:
            refusal = error
    if refusal is not None:
        raise refusal


_HDF5 = (damage_hdf5, damage_bytes)
KINDS: Mapping[str, Kind] = {
    "scan": Kind((damage_bytes,), _scan, 0.7),
    "vendor": Kind(_HDF5, _vendor, 0.08),
    "truth": Kind((damage_bytes,), _truth),
    "background": Kind((damage_npy, damage_bytes), _background),
    "ang": Kind((damage_text,), _ang),
    "ctf": Kind((damage_text,), _map, 2),
    "picture": Kind((damage_bytes,), _map, 2),
    "latents": Kind(_HDF5, _latents, 0.2),
    "array": Kind((damage_npy, damage_bytes), _volume, 0.5),
    "volume": Kind(_HDF5, _volume, 0.3),
    "simulated": Kind(_HDF5, _simulated, 0.5),
    "blueprint": Kind((_json,), _blueprint),
    "block": Kind((damage_npy, damage_bytes), _block),
    "model": Kind((damage_onnx, damage_bytes), _model, 0.3),
    "denoiser": Kind((damage_onnx, damage_bytes), _denoiser, 0.15),
    "plan": Kind((_json, damage_bytes), _plan, 1.5),
    "spec": Kind((_json,), _spec, 3),
    "checkpoint": Kind((damage_safetensors, damage_bytes), _checkpoint, 0.4),
    "config": Kind((_json,), _config, 2.5),
    "state": Kind((damage_bytes,), _state, 0.2),
    "stl": Kind((damage_bytes, damage_text), _stl),
    "sections": Kind(_HDF5, _sections, 0.25),
    "pool": Kind(_HDF5, _temperatures, 1.0),
    "vti": Kind((damage_bytes, damage_text), _temperatures, 2),
    "events": Kind((damage_text,), _temperatures, 2),
    "material": Kind((damage_text,), _material, 1.5),
    "table": Kind((damage_text,), _table, 1.5),
}
