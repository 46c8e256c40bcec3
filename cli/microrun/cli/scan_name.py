"""Which scan of a file, asked for by the commands that read scans."""

from __future__ import annotations

from typing import Annotated

import typer

ScanNameOption = Annotated[
    str | None,
    typer.Option(
        "--scan-name", help="Which scan, where an HDF5 file holds several, such as 'Scan 2'; by default the only one."
    ),
]
