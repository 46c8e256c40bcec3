"""How `microrun bench` shows what it measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from rich.table import Table

from microrun.cli import console
from microrun.cli.bench.encode import EncodeResult
from microrun.cli.bench.latency import Latency
from microrun.cli.bench.machine import Machine

LABEL_WIDTH, RATE_WIDTH = 23, 10
Rate = tuple[str, str, str]  # a name, patterns per second, a remark


def print_encode(machine: Machine, results: Sequence[EncodeResult]) -> None:
    """Print the machine's limits, then a block for every engine."""
    copied, prepared = machine.copy_bytes_s, machine.prepare_bytes_s
    rows = [
        ("memory copy", f"{copied / machine.pattern_bytes:,.0f}", f"{amount(copied, 'B/s')}, all cores"),
        ("preprocessing alone", f"{machine.prepare_patterns_s:,.0f}", f"{prepared / copied:.2f} of copy, all cores"),
    ]
    if machine.link_bytes_s:
        rows.append(("copy to the card", "", f"{amount(machine.link_bytes_s, 'B/s')} from page-locked memory"))
    card = f"; {machine.card}" if machine.card else ""
    console.out.print(f"[bold]480×480 uint16 patterns[/]: {machine.cpu}, {machine.cores} cores{card}")
    _print_rates(rows)
    for result in results:
        _print_result(machine, result)


def print_latency(latency: Latency) -> None:
    """Print how long one pattern takes, step by step."""
    stream = f"push to latents, {latency.rate_patterns_s:g}/s"
    steps = {"preprocessing alone": latency.preprocessing, "engine alone": latency.engine, stream: latency.stream}
    rows = [[name, *(f"{value:.3f}" for value in dataclasses.astuple(times))] for name, times in steps.items()]
    console.print_rows(("one 480×480 uint16, ms", "p50", "p90", "p99", "worst"), rows)


def _print_result(machine: Machine, result: EncodeResult) -> None:
    workers = f"{result.lanes} lane{'s' * (result.lanes > 1)} of {result.batch}"
    console.out.print(f"\n[bold]{result.model}, {result.precision} on {result.device}[/]: {result.library}, {workers}")
    _print_rates([*_rates(machine, result), *_costs(result)])
    _print_ceilings(result)


def _rates(machine: Machine, result: EncodeResult) -> list[Rate]:
    peak = f"{result.engine_of_peak:.2f} of the matmul peak" if result.engine_of_peak is not None else ""
    cores = f"{machine.cores} cores"
    bound = f"the slower: card, or {cores}" if result.device == "cuda" else f"engine + preprocessing, {cores}"
    rows = [
        ("engine alone", f"{result.engine_patterns_s:,.0f}", peak),
        ("end to end", f"{result.end_to_end_patterns_s:,.0f}", f"{result.of_engine:.2f} of engine alone"),
        ("", "", f"{result.of_bound:.2f} of {bound}"),
    ]
    if result.peer_patterns_s is not None:
        faster = f"end to end is {result.of_peer:.1f} × faster"
        rows.append(("torch f32 + kikuchipy", f"{result.peer_patterns_s:,.0f}", faster))
    return rows


def _costs(result: EncodeResult) -> list[Rate]:
    rows = [
        ("one pattern", "", f"{result.single.p50_ms:.2f} ms p50, {result.single.p99_ms:.2f} ms p99 in the engine"),
        ("", "", f"moves {console.size_text(result.moved.memory_bytes)} through memory"),
    ]
    if result.moved.to_card_bytes:
        there, back = map(console.size_text, (result.moved.to_card_bytes, result.moved.from_card_bytes))
        rows.append(("", "", f"and {there} to the card, {back} back"))
    return [*rows, ("first latents", "", f"after {result.first_s:.2f} s, from opening the scan")]


def _print_rates(rows: Sequence[Rate]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("", min_width=LABEL_WIDTH, no_wrap=True)
    table.add_column("patterns/s", justify="right", min_width=RATE_WIDTH, no_wrap=True)
    table.add_column("", no_wrap=True)
    for name, *rest in rows:
        table.add_row("  " + name, *rest)
    console.out.print(table)


def _print_ceilings(result: EncodeResult) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("  end to end uses", min_width=LABEL_WIDTH, no_wrap=True)
    for title in ("per second", "of", "share"):
        table.add_column(title, justify="right", min_width=RATE_WIDTH, no_wrap=True)
    table.add_column("", no_wrap=True)
    for ceiling in result.ceilings:
        amounts = (amount(value, ceiling.unit) for value in (ceiling.used, ceiling.limit))
        mark = "← bound by this" if ceiling.resource == result.bound_by else ""
        table.add_row("  " + ceiling.resource, *amounts, f"{ceiling.share:.2f}", mark)
    console.out.print(table)


def amount(value: float, unit: str) -> str:
    """Three digits and a prefix; patterns are counted."""
    if unit == "patterns/s":
        return f"{value:,.0f}"
    for prefix in ("", "k", "M", "G"):
        if value < 999.5:
            return f"{value:.3g} {prefix}{unit}"
        value /= 1000
    return f"{value:,.3g} T{unit}" if value < 999.5 else f"{value:,.0f} T{unit}"
