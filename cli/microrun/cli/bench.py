"""`microrun bench`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from microrun.cli import _console
from microrun.runtime.engine import EngineRequest

if TYPE_CHECKING:
    from microrun.cli._bench_encode import EncodeResult, Machine

app = typer.Typer(no_args_is_help=True, help="Measure speed against limits and peers, in one run.")


@app.callback()
def _group() -> None:
    """Keep `encode` a subcommand while it is the only one."""


@app.command()
def encode(
    latent: Annotated[list[int] | None, typer.Option(help="Latent sizes to measure; by default 32 and 128.")] = None,
    precision: Annotated[Literal["auto", "f32", "bf16"], typer.Option(help="Of the engine.")] = "auto",
    lanes: Annotated[int | None, typer.Option(help="Of the engine.")] = None,
    batch: Annotated[int | None, typer.Option(help="Of the engine.")] = None,
    patterns: Annotated[int, typer.Option(help="480×480 patterns in the scan (0.46 MB each).")] = 1536,
    repeats: Annotated[int, typer.Option(min=1, help="Of every measurement; medians are shown.")] = 5,
    out: Annotated[Path | None, typer.Option("--json", help="Write the numbers here, too.")] = None,
) -> None:
    """Measure encoding of 480×480 patterns, end to end and part by part.

    The peer is the same network in PyTorch float32, fed by kikuchipy's background removal, binning and
    rescaling. Nothing else should run meanwhile.
    """
    from microrun.cli import _bench_encode as measure

    measure.check_installed()
    measure.check_latent_sizes(latent or ())
    results = []
    with (
        TemporaryDirectory(prefix="microrun-bench-") as folder,
        _console.err.status("writing a scan") as status,
    ):
        scan = measure.write_scan(Path(folder), patterns)
        machine = measure.measure_machine(scan, repeats, status.update)
        for size in latent or (32, 128):
            request = EngineRequest(precision, lanes, batch)
            results.append(measure.measure_encode(scan, size, request, machine, repeats, status.update))
    _print(machine, results)
    if out:
        rows = {
            "machine": dataclasses.asdict(machine),
            "encode": [dataclasses.asdict(result) for result in results],
        }
        out.write_text(json.dumps(rows, indent=1) + "\n")
        _console.out.print(f"wrote {out}")


def _print(machine: Machine, results: list[EncodeResult]) -> None:
    copy = machine.copy_bytes_s
    share = machine.prepare_bytes_s / copy
    table = Table(title=f"{machine.cpu}, {machine.cores} cores", title_justify="left", box=None, padding=(0, 2))
    for name in ("480×480 uint16", "patterns/s", "of its limit", "the limit"):
        table.add_column(name, justify="left" if name in ("480×480 uint16", "the limit") else "right")
    pattern_bytes = machine.pattern_bytes
    table.add_row("memory copy", f"{copy / pattern_bytes:,.0f}", "", f"{copy / 1e9:.1f} GB/s, all cores")
    table.add_row("preprocessing alone", f"{machine.prepare_bytes_s / pattern_bytes:,.0f}", f"{share:.2f}", "copy")
    for row in results:
        name = f"D = {row.latent_size}, {row.precision}"
        peak = f"matmul peak {row.matmul_flops / 1e9:,.0f} GFLOP/s; {row.pattern_flops / 1e6:,.0f} MFLOP/pattern"
        table.add_row("")
        table.add_row(f"{name}: engine alone", f"{row.engine:,.0f}", f"{row.engine_of_peak:.2f}", peak)
        table.add_row(f"{name}: end to end", f"{row.end_to_end:,.0f}", f"{row.of_engine:.2f}", "engine alone")
        table.add_row("", "", f"{row.of_bound:.2f}", "engine and preprocessing on the same cores")
        table.add_row("  torch f32 + kikuchipy", f"{row.peer:,.1f}", f"{row.of_peer:.1f} ×", "faster than this peer")
        table.add_row("  first latents after", f"{row.first_s:.2f} s", "", "from opening the scan, engine open")
    _console.out.print(table)
