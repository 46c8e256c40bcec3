"""A process that writes latents files bit by bit, as told: HDF5 does not read and write a file in the same one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from latents_runs import read_line, start_child

SCRIPT = """
from microrun.runtime.latents.familiarity import Familiarity
for line in sys.stdin:
    word, *values = line.split()
    if word == "create":
        writer = LatentsWriter.create(Path(values[0]), ORIGIN, BACKGROUND)
    elif word == "write":
        writer.write(batch(*range(*map(int, values))))
        writer.flush()
    elif word == "familiar":
        writer.keep_familiarity(Familiarity(*map(float, values)))
    else:
        writer.close()
    print(word, flush=True)
"""


class Scribe:
    """Writes one latents file after the other, of the scan in `latents_runs`."""

    def __init__(self) -> None:
        self._child = start_child(SCRIPT, "-")

    def tell(self, *words: object) -> None:
        """Say what to do, and wait until it is done."""
        assert self._child.stdin is not None
        self._child.stdin.write(" ".join(map(str, words)) + "\n")
        self._child.stdin.flush()
        assert read_line(self._child) == words[0]

    @contextmanager
    def writes(self, path: Path) -> Iterator[Scribe]:
        """Create a file, and close it in the end."""
        self.tell("create", path)
        yield self
        self.tell("close")

    def end(self) -> None:
        """End the process."""
        self._child.communicate()
