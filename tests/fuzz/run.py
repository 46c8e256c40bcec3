"""Damage files of every kind by the thousands and read each as the commands do.

    python tests/fuzz/run.py --count 1000 [--kinds latents,volume] [--seed 0] [--keep FOLDER]

prints a table: for each kind how many files were fine, refused in a line, or ended in a traceback, a hang (10 s of
computing), a crash, too much memory (2 GB more than before), or with another file opened than the one given. What
ended badly is kept with --keep, and can be made again by its kind, number and seed. The exit code is 1 if any did.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from readers import KINDS

HERE = Path(__file__).parent
ENDINGS = ("fine", "refused", "traceback", "hang", "crash", "memory", "other file")
COMPUTING_S, WAITING_S, STARTING_S = 10.0, 60.0, 300.0
ROUNDS = 10
Task = tuple[str, int, int]


class Tally:
    """How files ended, by kind; what ended badly is told of at once and kept."""

    def __init__(self, keep: Path | None) -> None:
        self.counts: dict[str, Counter[str]] = {}
        self.slowest: dict[str, float] = {}
        self._keep = keep

    def note(self, name: str, number: int, ending: str, said: str, seconds: float, path: str) -> None:
        self.counts.setdefault(name, Counter())[ending] += 1
        self.slowest[name] = max(seconds, self.slowest.get(name, 0.0))
        if ending in ENDINGS[:2]:
            return
        print(f"{name} {number}: {ending}: {said}", flush=True)
        if self._keep is not None and Path(path).exists():
            self._keep.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, self._keep / f"{name}-{number}-{Path(path).name}")

    @property
    def bad(self) -> int:
        return sum(count for one in self.counts.values() for ending, count in one.items() if ending not in ENDINGS[:2])

    def print_table(self) -> None:
        print("| kind | files |", " | ".join(ENDINGS), "| slowest |")
        print("|---" * (len(ENDINGS) + 3) + "|")
        total: Counter[str] = Counter()
        for name, counts in self.counts.items():
            total += counts
            self._print_row(name, counts, f"{self.slowest[name]:.1f} s")
        self._print_row("all", total, "")

    def _print_row(self, name: str, counts: Counter[str], slowest: str) -> None:
        numbers = " | ".join(f"{counts[ending]:,}" for ending in ENDINGS)
        print(f"| {name} | {counts.total():,} | {numbers} | {slowest} |", flush=True)


class Worker:
    """A process that reads damaged files, with a watch on how long it computes."""

    def __init__(self, folder: Path, seed: int, tasks: list[Task]) -> None:
        helpers = os.pathsep.join([str(HERE.parent / "help"), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONPATH": helpers, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        command = [sys.executable, str(HERE / "worker.py"), str(folder), str(seed)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._errors = folder / "stderr.txt"
        with self._errors.open("w") as errors:
            self.process = subprocess.Popen(command, env=environment, text=True, stderr=errors, **pipes)
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(tasks))
        self.process.stdin.close()
        self._lines: queue.Queue[list[Any] | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def next(self, started: bool) -> list[Any] | str | None:
        """What it says next; None at its end, or "hang"."""
        began, computed = time.monotonic(), self._computed_s()
        while True:
            try:
                return self._lines.get(timeout=0.2)
            except queue.Empty:
                waited = time.monotonic() - began
                if waited > (WAITING_S if started else STARTING_S) or (
                    started and self._computed_s() - computed > COMPUTING_S
                ):
                    self.process.kill()
                    return "hang"

    def last_words(self) -> str:
        lines = self._errors.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else ""

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put(None)

    def _computed_s(self) -> float:
        try:
            parts = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def read_all(folder: Path, seed: int, tasks: list[Task], tally: Tally, until: float) -> None:
    """Work tasks off; a worker that dies or hangs is followed by another, which goes on behind that file."""
    while tasks and time.monotonic() < until:
        worker = Worker(folder, seed, tasks)
        begun: list[Any] | None = None
        while True:
            said = worker.next(begun is not None)
            if said is None or said == "hang":
                break
            if said[0] == "begin":
                begun = said
            else:
                assert begun is not None
                tally.note(*said[1:5], said[5], begun[3])
                begun, tasks = None, _after(tasks, said[1], said[2])
                if time.monotonic() > until:
                    worker.process.kill()
                    break
        code = worker.process.wait()
        if begun is not None:
            ending = "hang" if said == "hang" else "crash"
            tally.note(begun[1], begun[2], ending, f"exit code {code} {worker.last_words()}", 0.0, begun[3])
            tasks = _after(tasks, begun[1], begun[2])
        elif code and time.monotonic() < until:
            raise SystemExit(f"the worker did not start: {worker.last_words()}")
        elif code == 0:
            return


def _after(tasks: list[Task], name: str, number: int) -> list[Task]:
    """What is left behind a file."""
    place = next(i for i, (kind, first, stop) in enumerate(tasks) if kind == name and first <= number < stop)
    rest = (name, number + 1, tasks[place][2])
    return [rest, *tasks[place + 1 :]] if rest[1] < rest[2] else tasks[place + 1 :]


def plan_tasks(names: list[str], first: int, count: int) -> list[Task]:
    """Rounds over all kinds, so that a run that is stopped has seen each."""
    tasks = []
    for turn in range(ROUNDS):
        for name in names:
            ends = [first + round(part * count * KINDS[name].share / ROUNDS) for part in (turn, turn + 1)]
            tasks += [(name, *ends)] if ends[0] < ends[1] else []
    return tasks


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="files of each kind, times its share")
    parser.add_argument("--first", type=int, default=0, help="number of the first of each kind")
    parser.add_argument("--kinds", default=",".join(KINDS), help="with commas between")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=1e6, help="to stop after")
    parser.add_argument("--keep", type=Path, help="folder for files that ended badly")
    given = parser.parse_args()
    tally = Tally(given.keep)
    tasks = plan_tasks(given.kinds.split(","), given.first, given.count)
    with tempfile.TemporaryDirectory() as folder:
        try:
            read_all(Path(folder), given.seed, tasks, tally, time.monotonic() + 60 * given.minutes)
        finally:
            tally.print_table()
    return int(tally.bad > 0)


if __name__ == "__main__":
    sys.exit(main())
