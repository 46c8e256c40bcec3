"""`microrun inspect`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from microrun.cli import console
from microrun.cli.everywhere import JsonOption
from microrun.cli.inspect.melt_pools import is_pool_file, pool_rows
from microrun.cli.inspect.others import TRUTH, hdf5_rows, other_rows, plan_rows, truth_rows
from microrun.cli.inspect.sections import section_rows
from microrun.cli.inspect.volumes import array_rows, volume_rows
from microrun.cli.model_words import describe_deviation, describe_metrics
from microrun.cli.told import Told, size_of, to_data
from microrun.runtime.conditions import GRAIN_VOXELS
from microrun.runtime.engines.catalogue import PLAN_SUFFIX, find_model
from microrun.runtime.engines.open import read_model_spec
from microrun.runtime.errors import LatentsError, MicrorunError, ScanError
from microrun.runtime.files.kinds import FOLDER, PICTURE_FOLDER, find_kind, is_hdf5
from microrun.runtime.latents.reader import Latents, open_latents
from microrun.runtime.scans.ang import find_companion
from microrun.runtime.scans.h5ebsd import scan_names
from microrun.runtime.scans.open import open_scan
from microrun.runtime.scans.picture_names import name_pictures
from microrun.runtime.scans.picture_source import PictureSource
from microrun.runtime.scans.up2 import PIXEL_TYPES, count_patterns, pixel_type, read_header
from microrun.runtime.sections.section_set import is_sections_file
from microrun.runtime.spec import Diffusion, ModelSpec


def inspect(
    file: Annotated[
        Path,
        typer.Argument(help="Any file that microrun reads or writes; or the name of a built-in model."),
    ],
    as_json: JsonOption = False,
) -> None:
    """Say what a file holds."""
    with console.step("reading"):
        path, rows = _describe(file)
    if as_json:
        console.print_json({"file": str(path), **to_data(rows)})
    else:
        console.print_table(str(path), rows)


def _describe(file: Path) -> tuple[Path, dict[str, object]]:
    """Where what is named lies, and rows about it."""
    suffix = file.suffix.lower()
    if suffix in PIXEL_TYPES:
        return file, _scan_rows(file)
    if suffix == ".safetensors":
        from microrun.training.loop.checkpoint import read_checkpoint_spec

        return file, _spec_rows(read_checkpoint_spec(file))
    if suffix == ".npy":
        return file, array_rows(file)
    if file.name.endswith(TRUTH):
        return file, truth_rows(file)
    if suffix in (".h5", ".hdf5"):
        return file, _hdf5_rows(file)
    if suffix in (".onnx", PLAN_SUFFIX) or not file.exists():
        model = find_model(file)
        return model, _model_rows(model)
    return file, _rows_by_kind(file)


def _model_rows(path: Path) -> dict[str, object]:
    rows = _spec_rows(read_model_spec(path))
    return rows | plan_rows(path) if path.suffix.lower() == PLAN_SUFFIX else rows


def _rows_by_kind(path: Path) -> dict[str, object]:
    kind = find_kind(path)
    if kind is FOLDER:
        raise MicrorunError(f"{path}: is a folder; expected a file, or the folder of a training")
    if kind is PICTURE_FOLDER:
        return _picture_rows(path)
    if kind is None or (kind.serves == ("scan",) and not is_hdf5(path)):
        return _vendor_rows(path)
    return hdf5_rows(path, kind) if is_hdf5(path) else other_rows(path, kind)


def _scan_rows(path: Path) -> dict[str, object]:
    header = read_header(path)
    count = count_patterns(path, header)
    return {
        "kind": "pattern scan",
        "header": f"version {header.version}, patterns from byte {header.offset}",
        "patterns": _patterns(count, count, header.sig_shape, pixel_type(path)),
        "grid": _grid(header.nav_shape, header.grid),
        "step": _step(header.step_um),
        "size": size_of(path),
    }


def _patterns(there: int, total: int, sig_shape: tuple[int, int], pixels: object) -> Told:
    count = f"{total:,}" if there == total else f"{there:,} of {total:,}"
    data = {"available": there, "total": total, "shape": list(sig_shape), "type": str(pixels)}
    return Told(f"{count} of {sig_shape[0]}×{sig_shape[1]} {pixels}", data)


def _grid(nav_shape: tuple[int, int] | None, kind: str) -> Told:
    if not nav_shape:
        return Told("not stated (give --grid)", None)
    rows, cols = nav_shape
    return Told(f"{rows}×{cols}, {kind}", {"rows": rows, "columns": cols, "kind": kind})


def _step(step_um: tuple[float, float]) -> Told:
    if not any(step_um):
        return Told("not stated", None)
    return Told(f"{step_um[0]:g} × {step_um[1]:g} µm", {"x_um": step_um[0], "y_um": step_um[1]})


def _spec_rows(spec: ModelSpec) -> dict[str, object]:
    training = spec.training
    own, unit = (_sample_rows(spec.diffusion), "samples") if spec.diffusion else (_pattern_rows(spec), "patterns")
    return {
        "kind": f"{spec.kind} {spec.name}",
        **own,
        "weights": spec.precision,
        "exported": describe_deviation(spec.parity_error),
        "trained on": training.data or "not stated",
        "training": Told(
            f"{training.patterns:,} {unit}, {training.steps:,} steps, seed {training.seed}",
            {unit: training.patterns, "steps": training.steps, "seed": training.seed},
        ),
        "licence": training.licence or "not stated",
        **describe_metrics(dict(training.metrics)),
    }


def _pattern_rows(spec: ModelSpec) -> dict[str, object]:
    preprocessing = spec.preprocessing
    mask = {-1: "none", 0: "inscribed circle"}.get(preprocessing.mask_radius, f"radius {preprocessing.mask_radius} px")
    rows, cols = preprocessing.input_shape
    return {
        "latent size": spec.latent_size,
        "input": f"{rows}×{cols}, mask: {mask}, crop: {preprocessing.crop}",
        "background": "scaled to each pattern" if preprocessing.scale_background else "subtracted as it is",
        "knows": str(spec.domain or "not stated"),
    }


def _sample_rows(diffusion: Diffusion) -> dict[str, object]:
    channels, *sides = diffusion.sample_shape
    code = "one value each" if channels == 1 else f"{channels} bits each"
    if diffusion.palette:
        code = "by IPF-Z"
    schedule = diffusion.schedule
    end = "pure noise" if schedule.zero_terminal_snr else "nearly pure noise"
    rows: dict[str, object] = {
        "samples": f"{'×'.join(map(str, sides))}, channels: {channels}",
        "grains": f"{diffusion.n_colours} colours, {code}" if diffusion.n_colours else "values without colours",
        "schedule": f"{schedule.training_steps} timesteps to {end}, predicts {schedule.prediction}",
    }
    if diffusion.known_inputs:
        rows["known voxels"] = "the network sees them; it is drawn without RePaint"
    if diffusion.process == "am":
        rows["structure"] = f"printed metal: columns along z, in rows {diffusion.hatch_voxels:g} voxels apart along y"
    if diffusion.grain_voxels is not None:
        sizes = [
            f"; from {one.low:g} to {one.high:g} if asked" for one in diffusion.conditions if one.name == GRAIN_VOXELS
        ]
        rows["grain size"] = f"{diffusion.grain_voxels:g} voxels across on average, by number" + "".join(sizes)
    if diffusion.plane:
        rows["sections"] = f"{diffusion.plane} the tracks, cells of {diffusion.step_um:g} µm"
    if diffusion.plane and diffusion.conditions:
        rows["condition"] = ", ".join(f"{one.name} {one.low:g} to {one.high:g}" for one in diffusion.conditions)
    return rows


def _hdf5_rows(path: Path) -> dict[str, object]:
    """Sections, a melt pool, volumes, latents, or else a scan of another vendor."""
    if is_pool_file(path):
        return pool_rows(path)
    if is_sections_file(path):
        return section_rows(path)
    kind = find_kind(path)
    if kind and not kind.serves and is_hdf5(path):
        return hdf5_rows(path, kind)
    try:
        return volume_rows(path) or _latents_rows(path)
    except LatentsError as error:
        try:
            return _vendor_rows(path)
        except ScanError:
            raise error from None


def _vendor_rows(path: Path) -> dict[str, object]:
    names = scan_names(path)
    if len(names) > 1:
        return {"kind": "pattern scans, read through kikuchipy", "scans": Told(", ".join(names), list(names))}
    source = open_scan(path)
    scan = source.scan
    return {
        "kind": f"pattern scan, read through {source.library}",
        "patterns": _patterns(source.available, scan.total, scan.sig_shape, scan.dtype),
        "grid": _grid(scan.nav_shape, scan.grid),
        "step": _step(scan.step_um),
        "size": size_of(path),
    }


def _picture_rows(folder: Path) -> dict[str, object]:
    pictures = name_pictures(folder)
    first, last = int(pictures.numbers[0]), int(pictures.numbers[-1])
    stated = pictures.nav_shape or find_companion(folder).is_file()
    scan = PictureSource(folder, None if stated else (1, last - first + 1)).scan
    return {
        "kind": "a folder of pictures, one a pattern",
        "patterns": _patterns(len(pictures.names), scan.total, scan.sig_shape, scan.dtype),
        "names": pictures.understood,
        "grid": _grid(scan.nav_shape if stated else None, scan.grid),
        "step": _step(scan.step_um),
    }


def _latents_rows(path: Path) -> dict[str, object]:
    with open_latents(path) as latents:
        origin, written, blank = latents.origin, int(latents.written.sum()), int(latents.flags.sum())
        scan = origin.scan
        background = origin.background + ", scaled to each pattern" * origin.scale_background
        background += "; bands were dark, and are turned about" * origin.inverted
        return {
            "kind": f"latents of {origin.spec.name}, {origin.dtype}",
            "map": _map(scan.nav_shape, origin.spec.latent_size, scan.grid),
            "step": _step(scan.step_um),
            **({"region": str(origin.part)} if origin.part else {}),
            "written": Told(
                f"{written:,} of {scan.total:,} patterns, {blank} without information",
                {"available": written, "total": scan.total, "without_information": blank},
            ),
            "patterns": f"{scan.sig_shape[0]}×{scan.sig_shape[1]} {scan.dtype}, background: {background}",
            **({"pattern centre": str(origin.warp)} if origin.warp else {}),
            "bad pixels": f"{len(origin.bad_pixels):,} of {scan.sig_shape[0] * scan.sig_shape[1]:,}, filled",
            "engine": f"{origin.engine} in {origin.precision}, SHA-256 {origin.engine_sha256[:16]}…",
            **({"bands given back": str(latents.familiarity)} if latents.familiarity else {}),
            **_watched_rows(latents),
            "size": size_of(path),
        }


def _watched_rows(latents: Latents) -> dict[str, object]:
    """How the run went that wrote the file; nothing of older ones."""
    alarms = latents.alarms
    if alarms is None:
        return {}
    words = [alarm.text + ("" if alarm.end is None else f" (over at pattern {alarm.end:,})") for alarm in alarms]
    return {"alarms": Told("; ".join(words) or "none", [asdict(alarm) for alarm in alarms])}


def _map(nav_shape: tuple[int, int], size: int, kind: str) -> Told:
    rows, cols = nav_shape
    return Told(f"{rows}×{cols}×{size}, {kind}", {"rows": rows, "columns": cols, "features": size, "kind": kind})
