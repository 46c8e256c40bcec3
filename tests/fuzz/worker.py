"""One process that damages files and reads them; a line of JSON for each, on its standard output."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shutil
import sys
import time
import traceback
import warnings
from pathlib import Path
from random import Random
from typing import Any

from mutations import damage_bytes
from readers import KINDS, Kind

ROOT = Path(__file__).parents[2]
MOST_BYTES = 2 << 30  # that reading one file may add
SOURCES = (
    str(ROOT / "kernels"),
    str(ROOT / "runtime"),
    str(ROOT / "training"),
    str(ROOT / "cli"),
    str(ROOT / "export"),
)
SYSTEM = ("/dev", "/proc", "/sys", "/usr", "/lib", "/etc/localtime", "/etc/ld.so", "/etc/os-release", "/opt")


class Opened:
    """Paths that Python opens while a file is read, but for those of Python, libraries and the working folder."""

    def __init__(self, work: Path) -> None:
        self.foreign: list[str] = []
        self.watching = False
        own = (str(work), *SOURCES, sys.prefix, sys.base_prefix, str(ROOT / "tests"), str(Path.home() / "."))
        self._known = tuple(map(os.path.realpath, own)) + SYSTEM
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.watching or event != "open":
            return
        if isinstance(arguments[0], str | bytes):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if not path.startswith(self._known):
                self.foreign.append(path)


def damage(kind: Kind, name: str, number: int, seed: int, seeds: Path) -> tuple[bytes, str]:
    """The damaged file of a number, the same on every machine, and its name."""
    random = Random(f"{name} {number} {seed}")
    source = random.choice(sorted((seeds / name).iterdir()))
    data = source.read_bytes()
    try:
        return random.choice(kind.damage)(data, random), source.name
    except Exception:  # a second change of what the first one made unreadable, or larger than memory
        return damage_bytes(data, random), source.name


def read(kind: Kind, path: Path, seeds: Path, opened: Opened) -> tuple[str, str]:
    """How reading a file ends, and what is said of it."""
    from microrun.runtime.errors import MicrorunError

    opened.foreign.clear()
    _forget_peak()
    before = _peak_bytes()
    opened.watching = True
    try:
        kind.read(path, seeds)
        ending, said = "fine", ""
    except MicrorunError as error:
        ending, said = "refused", str(error)
    except MemoryError as error:
        ending, said = "memory", _where(error)
    except BaseException as error:
        ending, said = "traceback", f"{type(error).__name__}: {str(error)[:200]} @ {_where(error)}"
    opened.watching = False
    if _peak_bytes() - before > MOST_BYTES:
        ending, said = "memory", f"{_peak_bytes() - before:,} bytes; {said}"
    if opened.foreign:
        ending, said = "other file", opened.foreign[0]
    return ending, said


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename.startswith(SOURCES)] or frames
    last, end = own[-1], frames[-1]
    return f"{Path(last.filename).name}:{last.lineno} {last.name} <- {Path(end.filename).name}:{end.lineno}"


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_bytes() -> int:
    with contextlib.suppress(OSError, TypeError):
        return 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
    return 0


def _limit_memory() -> None:
    now = 1024 * int(re.search(r"VmSize:\s+(\d+)", Path("/proc/self/status").read_text())[1])
    resource.setrlimit(resource.RLIMIT_AS, (now + 2 * MOST_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _warm_up(names: list[str], seeds: Path, work: Path) -> None:
    """Read the seeds of all kinds, so that all libraries are there before memory is limited."""
    from microrun.runtime.errors import MicrorunError

    for name in names:
        for source in sorted((seeds / name).iterdir()):
            path = work / source.name
            shutil.copy(source, path)
            try:
                KINDS[name].read(path, seeds)
            except MicrorunError as error:
                print("SEED", name, source.name, error, file=sys.stderr)
            path.unlink()


def main() -> None:
    """Read tasks, [kind, first, stop] each, from standard input; `worker.py FOLDER SEED`."""
    folder, seed = Path(sys.argv[1]), int(sys.argv[2])
    seeds, work = folder / "seeds", folder / f"work-{os.getpid()}"
    if not seeds.exists():
        from seeds import write_seeds

        write_seeds(folder / "made")
        shutil.copy(ROOT / "tests/data/made_by_0_1/tiny.plan", folder)
        (folder / "made").rename(seeds)
    work.mkdir()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    warnings.simplefilter("ignore")
    tasks = json.loads(sys.stdin.read())
    _warm_up(sorted({name for name, *_ in tasks}), seeds, work)
    opened = Opened(folder)
    if sys.platform == "linux":
        _limit_memory()
    for name, first, stop in tasks:
        for number in range(first, stop):
            data, called = damage(KINDS[name], name, number, seed, seeds)
            path = work / called
            path.write_bytes(data)
            answers.write(json.dumps(["begin", name, number, str(path)]) + "\n")
            start = time.perf_counter()
            ending, said = read(KINDS[name], path, seeds, opened)
            answers.write(json.dumps(["end", name, number, ending, said, time.perf_counter() - start]) + "\n")
            if ending in ("fine", "refused"):  # others are copied by who watches
                path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
