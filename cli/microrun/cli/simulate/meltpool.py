"""`microrun simulate meltpool`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from microrun.cli import console
from microrun.cli.outputs import OverwriteOption, say_next, say_wrote
from microrun.runtime.errors import MicrorunError
from microrun.runtime.files.destination import HDF5_ENDINGS, check_files

if TYPE_CHECKING:
    from microrun.training.simulate.melt_pool.calibrate import Target
    from microrun.training.simulate.melt_pool.field import MovingField
    from microrun.training.simulate.melt_pool.measure import Pool
    from microrun.training.simulate.melt_pool.process import Process


def meltpool(
    power: Annotated[float, typer.Option(help="Of the laser, in W.")],
    speed: Annotated[float, typer.Option(help="Of the laser, in m/s.")],
    out: Annotated[Path, typer.Option(help="The .h5 file to make; a picture goes beside it.")] = Path("pool.h5"),
    field: Annotated[
        Literal["eagar-tsai", "conduction", "flow"],
        typer.Option(help="A closed form; heat conduction with latent heat; or the same with the flow of the liquid."),
    ] = "conduction",
    beam: Annotated[float, typer.Option(help="Radius of the beam, at 1/e² of the peak, in µm.")] = 40.0,
    absorptivity: Annotated[float, typer.Option(help="Part of the power that is absorbed.")] = 0.4,
    depth: Annotated[str, typer.Option(help="Of the source in µm, or auto: a published law for 316L.")] = "12",
    material: Annotated[Path | None, typer.Option(help="A .toml file of a metal; by default 316L.")] = None,
    preheat: Annotated[float, typer.Option(help="Temperature of the plate in K.")] = 300.0,
    convection: Annotated[float, typer.Option(help="From the surface, in W/(m² K).")] = 0.0,
    emissivity: Annotated[float, typer.Option(help="Of the surface.")] = 0.0,
    fit: Annotated[
        str | None, typer.Option(help="A measured pool, width=UM,depth=UM or one: finds absorptivity and depth.")
    ] = None,
    cell: Annotated[float, typer.Option(help="Edge of a cell in µm.")] = 4.0,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; by default one a core.")] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Compute a melt pool: the temperature around a moving laser, its size, and how it solidifies.

    The field is quasi-steady, in the frame that moves with the laser; what
    the pool measures, and a picture, are written with it.
    """
    from microrun.training.simulate.melt_pool.calibrate import calibrate
    from microrun.training.simulate.melt_pool.material import STEEL_316L, read_material
    from microrun.training.simulate.melt_pool.process import Process
    from microrun.training.simulate.melt_pool.solve import compute_field

    check_files([out, out.with_suffix(".png")], overwrite, endings=HDF5_ENDINGS)
    metal = read_material(material) if material else STEEL_316L
    process = Process(power, speed, beam, absorptivity, 12.0, preheat, convection, emissivity)
    process = _set_depth(process, depth)
    target = parse_fit(fit) if fit else None
    if target:
        job = calibrate(process, metal, target, field, cell, threads)
    else:
        job = compute_field(process, metal, field, cell, threads)
    with console.progress_bar("melting", "stretches of 20 µm") as bar:
        found = console.watch(job, bar)
    _write(found, out, calibrated=target is not None)


def parse_fit(text: str) -> Target:
    """Read ``width=UM,depth=UM``, or one of both.

    Parameters
    ----------
    text
        As it was given.

    Raises
    ------
    MicrorunError
        If it is something else.
    """
    from microrun.training.simulate.melt_pool.calibrate import Target

    sizes: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        if name not in ("width", "depth") or name in sizes:
            raise MicrorunError(f"--fit is width=UM,depth=UM or one of both, such as width=120,depth=60; got {text!r}")
        sizes[name] = _number(value, "--fit")
    return Target(sizes.get("width"), sizes.get("depth"))


def _set_depth(process: Process, depth: str) -> Process:
    from dataclasses import replace

    from microrun.training.simulate.melt_pool.depth_law import published_depth

    return replace(process, depth_um=published_depth(process) if depth == "auto" else _number(depth, "--depth"))


def _number(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise MicrorunError(f"{option} takes numbers in µm{' or auto' * (option == '--depth')}; got {text!r}") from None


def _write(field: MovingField, out: Path, calibrated: bool) -> None:
    from microrun.runtime.pictures.figure_file import save_figure
    from microrun.runtime.pictures.melt_pool import PoolPicture, draw_pool
    from microrun.training.simulate.melt_pool.measure import find_warnings, measure_pool
    from microrun.training.simulate.melt_pool.store import write_pool

    write_pool(out, field)
    pool, process, metal = measure_pool(field), field.process, field.material
    title = f"{metal.name}, {process.power_w:g} W, {process.speed_m_s:g} m/s, {field.kind} field"
    rows = describe_pool(field, pool)
    console.print_table(title, rows)
    if calibrated:
        console.out.print(f"fitted: --absorptivity {process.absorptivity:.4g} --depth {process.depth_um:.4g}")
    for line in find_warnings(field, pool):
        console.warning_line(line)
    picture = PoolPicture(
        field.temperature, field.step_um, field.laser_um, process.beam_radius_um, metal.solidus_k, metal.liquidus_k,
        metal.boiling_k, title, rows,
    )  # fmt: skip
    save_figure(draw_pool(picture), out.with_suffix(".png"))
    say_wrote(out, out.with_suffix(".png"))
    say_next("simulate", "solidify", out, "--out", out.with_name("part.h5"))


def describe_pool(field: MovingField, pool: Pool) -> dict[str, str]:
    """What a pool is, in words.

    Parameters
    ----------
    field
        What was computed.
    pool
        Of this field.

    Returns
    -------
    dict of str to str
        Values by their names, to be printed.
    """
    process, balance = field.process, field.balance
    rows = {"source": f"absorptivity {process.absorptivity:.3g}, depth {process.depth_um:.3g} µm, beam "
                      f"{process.beam_radius_um:g} µm"}  # fmt: skip
    if pool.width_um:
        rows["pool"] = f"{pool.width_um:.1f} µm wide, {pool.depth_um:.1f} deep, {pool.length_um:.1f} long"
    rows["highest temperature"] = f"{pool.peak_k:,.0f} K"
    gradient, growth, cooling = pool.averages()
    if not math.isnan(gradient):
        rows["G, mean"] = f"{gradient:.3g} K/m"
        rows["R, mean"] = f"{growth:.3g} m/s"
        rows["cooling rate, mean"] = f"{cooling:.3g} K/s"
    if balance:
        rows["heat"] = f"{balance.absorbed_w:.4g} W absorbed, {balance.lost_w:.3g} W lost from the surface"
        rows["unbalanced"] = f"{abs(balance.error):.1g} of the heat"
        if field.kind == "flow":
            rows["unbalanced flow"] = f"{balance.divergence:.1g} of the largest"
        rows["from steady"] = f"{balance.drift_k:.2g} K per 20 µm"
    return rows
