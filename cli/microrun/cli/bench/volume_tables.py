"""How `microrun bench segment` and `microrun bench generate` show what they measured, the aims beside."""

from __future__ import annotations

from collections.abc import Sequence

from microrun.cli import console
from microrun.cli.bench.generate import Evaluated, Planned
from microrun.cli.bench.segment import Host, Segmented, Tiled
from microrun.cli.bench.tables import amount
from microrun.cli.bench.voxelise import Voxelised

PEERS = {"GrainPaint small": "≥ 20", "GrainPaint big": "≥ 100"}  # and how often faster we aim to be
PLANS = {"default": "≤ 0.60", "fast": "≤ 0.15"}
VOXELISERS = ("trimesh", "VTK")


def print_segment(host: Host, volumes: Sequence[Segmented], part: Voxelised, tiled: Tiled) -> None:
    """Print grains, a part and a tiling."""
    threads = f"{host.threads} thread{'s' * (host.threads > 1)} of {host.cores} cores"
    console.out.print(f"[bold]{host.cpu}[/]: {threads} copy {amount(host.copy_bytes_s, 'B/s')}\n")
    titles: tuple[str, ...] = ("segmentation", "grains", "noise", "ms", "Mvoxel/s", "B/voxel", "of memory", "× sklearn")
    aims: tuple[str, ...] = ("aim, 2 threads", "", "", "", "≥ 40", "≤ 12", "", "≥ 300")
    console.print_rows(titles, [*map(_volume_row, volumes), aims])
    console.out.print()
    aims = ("aim", "", "", *("≥ 3" for _ in VOXELISERS))
    titles = ("voxelisation", "ms", "Mvoxel/s", *(f"× {name}" for name in VOXELISERS))
    console.print_rows(titles, [_part_row(part), aims])
    took = f"{tiled.seconds * 1e3:.1f} ms (aim < 50 ms)"
    console.out.print(f"\ntiling of {tiled.size}³, {tiled.blocks:,} blocks: {took}")


def print_generate(machine: str, networks: Sequence[Evaluated], size: int, plans: Sequence[Planned]) -> None:
    """Print networks and plans."""
    console.out.print(f"[bold]{machine}[/]: blocks of 32³\n")
    titles = ("network", "evaluations/s", "GFLOP", "of peak", *(f"× {_last_word(name)}" for name in PEERS))
    aims = ("aim", "", "", "", *PEERS.values())
    console.print_rows(titles, [*map(_network_row, networks), aims])
    console.out.print()
    titles = (f"plan of {size}³", "blocks", "evaluations", "per voxel", "of GrainPaint's", "aim")
    console.print_rows(titles, list(map(_plan_row, plans)))


def _volume_row(volume: Segmented) -> tuple[str, ...]:
    return (
        f"{volume.size}³",
        f"{volume.grains:,}",
        f"{volume.noise:.1%}",
        f"{volume.seconds * 1e3:.1f}",
        f"{volume.voxels_s / 1e6:.1f}",
        "" if volume.voxel_bytes is None else f"{volume.voxel_bytes:.1f}",
        f"{volume.of_memory:.1%}",
        "" if volume.of_peer is None else f"{volume.of_peer:.0f}",
    )


def _part_row(part: Voxelised) -> tuple[str, ...]:
    ratios = (part.of_peers.get(name) for name in VOXELISERS)
    return (
        f"{part.part}, {part.faces:,} faces, {part.size}³",
        f"{part.seconds * 1e3:.1f}",
        f"{part.voxels / part.seconds / 1e6:,.0f}",
        *("" if ratio is None else f"{ratio:.1f}" for ratio in ratios),
    )


def _network_row(network: Evaluated) -> tuple[str, ...]:
    rate, ratios = network.evaluations_s, (network.of_peers.get(name) for name in PEERS)
    return (
        network.title,
        f"{rate:,.0f}" if rate >= 100 else f"{rate:#.3g}",
        "" if network.operations is None else f"{network.operations / 1e9:.1f}",
        "" if network.of_peak is None else f"{network.of_peak:.2f}",
        *("" if ratio is None else f"{ratio:.1f}" for ratio in ratios),
    )


def _plan_row(plan: Planned) -> tuple[str, ...]:
    counts = (f"{plan.blocks:,}", f"{plan.evaluations:,}", f"{plan.voxel_evaluations:.4f}")
    return (plan.name, *counts, f"{plan.of_published:.2f}", PLANS.get(plan.name, ""))


def _last_word(name: str) -> str:
    return name.split()[-1]
