"""The page as a process of its own, from `open_page`: ``python -m microrun.runtime.view LATENTS [SCAN [NAME]]``."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from microrun.runtime.errors import MicrorunError
from microrun.runtime.files.extras import say_missing
from microrun.runtime.view.serve import ViewRequest, serve


def main(latents: str, scan: str = "", scan_name: str = "") -> int:
    """Print the address, or one line of error, as soon as it is known; then serve in nobody's way."""
    if hasattr(os, "nice"):
        os.nice(5)
    alone = threading.Event()  # whoever started this holds the other end of its input
    threading.Thread(target=_await_end, args=(alone,), daemon=True).start()
    try:
        request = ViewRequest(Path(latents), Path(scan) if scan else None, with_run=True, scan_name=scan_name or None)
        serve(request, lambda address: print(address, flush=True), alone.is_set)
    except MicrorunError as error:
        print(error, file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(say_missing(error.name), file=sys.stderr)
        return 2
    return 0


def _await_end(alone: threading.Event) -> None:
    sys.stdin.read()
    alone.set()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
