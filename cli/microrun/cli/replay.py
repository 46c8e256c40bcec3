"""`microrun replay`."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from microrun.cli import console
from microrun.cli.outputs import OverwriteOption, say_next
from microrun.runtime.errors import MicrorunError, OutputError
from microrun.runtime.files.asked import may_replace
from microrun.runtime.files.destination import check_file
from microrun.runtime.files.output import taken
from microrun.runtime.scans.up2 import count_patterns, read_header
from microrun.runtime.scans.up_source import FileSource

TICK_S = 0.005  # patterns due within this time are written together


def replay(
    scan: Annotated[Path, typer.Argument(help="A finished .up1 or .up2 file.")],
    out: Annotated[Path, typer.Argument(help="The file that grows.")],
    rate: Annotated[float, typer.Option(help="Patterns per second; 0 for as fast as the disk takes.")] = 118.0,
    overwrite: OverwriteOption = False,
) -> None:
    """Play a scan back as if it were being acquired.

    Start `microrun encode OUT --follow` beside it. The default rate is that of a Hikari camera at 480×480.
    """
    if not (math.isfinite(rate) and rate >= 0):
        raise MicrorunError(f"--rate must be positive, or 0 for no limit; got {rate:g}")
    check_file(out, overwrite, endings=[scan.suffix.lower()], sources=[scan])
    count = count_patterns(scan, read_header(scan))
    source = FileSource(scan, grid=(1, max(1, count)) if read_header(scan).version == 1 else None)
    with console.progress_bar("replaying") as bar:
        started = time.perf_counter()
        for done in _play(source, out, rate):
            bar(done, source.available, f"{done / (time.perf_counter() - started):,.0f}/s")
    elapsed = time.perf_counter() - started
    console.out.print(f"replayed {source.available:,} patterns in {elapsed:.1f} s: {source.available / elapsed:,.0f}/s")
    say_next("encode", out)


def _play(source: FileSource, out: Path, rate: float) -> Iterator[int]:
    """Write header and patterns; yield how many are out, and pause until more are due."""
    with source.path.open("rb") as scan:
        header = scan.read(source.header.offset)
    chunk = max(1, int(rate * TICK_S)) if rate else 16
    raw = np.empty((chunk, *source.scan.sig_shape), source.scan.dtype)
    try:
        with out.open("wb" if may_replace(out) else "xb", buffering=0) as file:
            file.write(header)
            started = time.perf_counter()
            done = 0
            while (claim := source.claim(chunk)) is not None:
                source.read(claim, 0, raw[: len(claim)])
                due = started + (done + len(claim)) / rate if rate else 0
                time.sleep(max(0.0, due - time.perf_counter()))
                file.write(raw[: len(claim)].data)
                done += len(claim)
                yield done
    except FileExistsError:
        raise taken(out) from None
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror or error})") from None
