"""The page of `microrun view` served by a process of its own, for a real browser."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from command_line import start
from latents_runs import read_line

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., "Page"]


@contextmanager
def view(path: Path, *options: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`microrun view` as a process, and its address."""
    process = start("view", path, *options)
    try:
        address = re.search(r"http://\S+", read_line(process))
        assert address
        yield process, address[0]
    finally:
        process.terminate()
        process.communicate()
