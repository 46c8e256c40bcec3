"""Which part of a scan, asked for by the commands that read scans or latents."""

from __future__ import annotations

from typing import Annotated

import typer

from microrun.runtime.scans.part import Region, parse_region

RegionOption = Annotated[
    str | None,
    typer.Option("--region", help="Rows and columns to take, ROW0:ROW1,COL0:COL1 from 0; by default all."),
]


def asked_region(text: str | None) -> Region | None:
    """What the option says; None where it is not given, ScanError where it is no region."""
    return None if text is None else parse_region(text)
