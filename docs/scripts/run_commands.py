"""Run every command that README and docs show, and write docs/commands.md: each with the last line that it printed.

In a new virtual environment with microrun installed, not editable, and the extras that the page names:

    python docs/scripts/run_commands.py --scratch FOLDER --masters MASTER_PATTERNS

What was run is kept in FOLDER/pages: the same command goes on, and runs what is missing, has changed or failed. After a
change of one page, run it with `--pages NAME`: the tables of the others stay as they are.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple

from command_changes import ALTERNATIVES, ENDED, NEEDS, change, first, has_run, with_masters
from command_inputs import OF_A_PAGE, RECIPES, find_inputs
from command_page import write_page
from page_commands import list_commands

HERE = Path(sys.executable).parent
LIMIT = 1800  # seconds
LONG = ("train", "simulate", "generate", "sample")  # run once, even if several pages show the same command


class Ran(NamedTuple):
    """Exit code, None where the limit came first, and what was printed."""

    code: int | None
    lines: list[str]


def run(words: list[str], folder: Path, environment: dict[str, str], ended: int | None = None) -> Ran:
    """Run a microrun command in a folder; one that serves gets Ctrl-C after some seconds."""
    printed = folder / ".printed"
    with printed.open("wb") as file:
        process = subprocess.Popen(
            [str(HERE / "microrun"), *words],
            cwd=folder,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=heed_ctrl_c,
        )
        try:
            if ended:
                wait_for_words(process, printed)
            code = process.wait(ended or LIMIT)
        except subprocess.TimeoutExpired:
            code = stop(process) if ended else None
        finally:
            kill(process)
    text = printed.read_text(encoding="utf-8", errors="replace")
    printed.unlink()
    return Ran(code, make_relative(text, folder).splitlines())


def wait_for_words(process: subprocess.Popen[bytes], printed: Path) -> None:
    """Wait until a command that serves has printed something."""
    end = time.monotonic() + LIMIT
    while process.poll() is None and time.monotonic() < end and not printed.stat().st_size:
        time.sleep(1)


def heed_ctrl_c() -> None:
    """Let Ctrl-C reach a command that a job in the background starts: shells keep it from those."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def stop(process: subprocess.Popen[bytes]) -> int | None:
    """End a command as Ctrl-C does, and return its exit code."""
    process.send_signal(signal.SIGINT)
    try:
        return process.wait(60)
    except subprocess.TimeoutExpired:
        return None


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a command that has not ended, and all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def make_relative(text: str, folder: Path) -> str:
    """Text without the paths of this machine."""
    for path, name in ((folder, ""), (folder.resolve(), ""), (HERE.parent, "VENV"), (folder.parents[1], "SCRATCH")):
        text = text.replace(f"{path}/", f"{name}/" if name else "").replace(str(path), name or ".")
    return text


def find_stem(name: str) -> str:
    """What a file and those that belong to it are called."""
    return name.split(".")[0]


class Kitchen:
    """Where inputs are made once, and laid out for pages."""

    def __init__(self, scratch: Path, environment: dict[str, str], masters: Path) -> None:
        self.folder, self.environment, self.masters = scratch / "inputs", environment, masters

    def supply(self, name: str, page: str, folder: Path) -> None:
        """Put an input into a folder, unless a command before has made it."""
        if (folder / name).exists():
            return
        steps = OF_A_PAGE.get((page, name), RECIPES[name])
        if all(callable(step) for step in steps):
            for step in steps:
                step(folder)
            return
        variant = page if any(page == where for where, _ in OF_A_PAGE) else "any"
        recipe = "\n".join(step if isinstance(step, str) else step.__name__ for step in steps)
        made = self.folder / f"{variant}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
        if not (made / "complete").exists():
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir(parents=True)
            for step in steps:
                self.take(step, page, made)
            (made / "complete").touch()
        for path in made.iterdir():
            if path.is_dir():
                shutil.copytree(path, folder / path.name, dirs_exist_ok=True)
            elif find_stem(path.name) == find_stem(name) and not (folder / path.name).exists():
                shutil.copy(path, folder)

    def take(self, step: Any, page: str, folder: Path) -> None:
        """Take a step of a recipe."""
        if callable(step):
            step(folder)
            return
        words = step.split()
        for name in words if step in RECIPES else find_inputs(words):
            self.supply(name, page, folder)
        ran = run(words, folder, self.environment) if step not in RECIPES else Ran(0, [])
        if ran.code:
            raise SystemExit(f"microrun {step}: {' '.join(ran.lines[-3:])}")


@contextmanager
def dask_cluster(environment: dict[str, str], scratch: Path) -> Iterator[None]:
    """A scheduler and a worker on this machine, as docs/generate.md starts them."""
    commands = (
        ["scheduler", "--host", "127.0.0.1", "--port", "8786"],
        ["worker", "tcp://127.0.0.1:8786", "--nthreads", "2"],
    )
    with (scratch / "dask.log").open("ab") as log:
        started = [
            subprocess.Popen([str(HERE / "dask"), *words], cwd=scratch, env=environment, stdout=log, stderr=log)
            for words in commands
        ]
        time.sleep(15)
        try:
            yield
        finally:
            for process in reversed(started):
                process.terminate()
                process.wait(30)


def remove(folder: Path, names: Sequence[str]) -> None:
    """Remove files and folders, as far as they are there."""
    for path in (folder / name for name in names):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def run_command(page: str, command: str, folder: Path, kitchen: Kitchen) -> dict[str, Any]:
    """Run one command of a page and return what is known of it."""
    environment = dict(kitchen.environment)
    words = shlex.split(change(command)[0])
    for name in find_inputs(words):
        kitchen.supply(name, page, folder)
    for master in re.findall(r"[\w()\[\]{}-]+\.sht", command):
        shutil.copy(next(path for path in kitchen.masters.glob("*.sht") if path.name == master), folder)
    if with_masters(command):
        environment["MICRORUN_MASTERS"] = str(kitchen.masters)
    for (where, start), names in ALTERNATIVES.items():
        if where == page and command.startswith(start):
            remove(folder, names)
    ended = first(ENDED, command)
    begun = time.monotonic()
    ran = run(words, folder, environment, int(ended) if ended else None)
    seconds = round(time.monotonic() - begun, 1)
    known = {"run": change(command)[0], "code": ran.code, "lines": ran.lines[-12:]}
    return known | {"seconds": seconds, "ended": time.time()}


def take_over(command: str, folder: Path) -> dict[str, Any] | None:
    """What a long command did on another page, its files copied; None if it has not run on any."""
    words = shlex.split(change(command)[0])
    named = [words[at + 1] for at, word in enumerate(words) if word in ("--out", "--folder")]
    if words[0] not in LONG or not named + words[2:3]:
        return None
    made = find_stem((named or words[2:3])[0])
    for kept in sorted(folder.parent.glob("*.json")):
        for key, record in json.loads(kept.read_text(encoding="utf-8")).items():
            same = key.split(" ", 1)[1] == command and record["run"] == change(command)[0]
            if same and record["code"] == 0 and "ended" in record:
                for path in kept.with_suffix("").glob(f"{made}*"):
                    its_own = path.name in (*named, *words[2:3]) or path.stat().st_mtime <= record["ended"]
                    if its_own and not (folder / path.name).exists():
                        take_copy(path, folder / path.name, record["ended"])
                return record | {"page": record.get("page", kept.stem)}
    return None


def take_copy(path: Path, to: Path, ended: float) -> None:
    """Copy a file, or a folder without what later commands have put there."""
    if not path.is_dir():
        shutil.copy2(path, to)
        return
    shutil.copytree(path, to, ignore=lambda at, names: [name for name in names if is_later(Path(at) / name, ended)])


def is_later(path: Path, ended: float) -> bool:
    """Whether a file was made after a command had ended."""
    return path.is_file() and path.stat().st_mtime > ended


def is_done(record: dict[str, Any] | None, command: str) -> bool:
    """Whether a command need not run again."""
    return (
        record is not None
        and record["run"] == change(command)[0]
        and (has_run(command, record["code"]) or bool(first(NEEDS, command)))
    )


def run_all(scratch: Path, masters: Path, only: list[str]) -> dict[str, Any]:
    """Run what is not among the results, and return all of them."""
    results: dict[str, dict[str, Any]] = {}
    environment = {key: value for key, value in os.environ.items() if key != "MICRORUN_MASTERS"}
    environment |= {"HOME": str(scratch / "home"), "COLUMNS": "200", "PYTHONUNBUFFERED": "1"}
    environment["PATH"] = f"{HERE}{os.pathsep}{environment['PATH']}"
    (scratch / "home").mkdir(parents=True, exist_ok=True)
    kitchen = Kitchen(scratch, environment, masters)
    for page, commands in list_commands().items():
        folder = scratch / "pages" / page
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder.with_suffix(".json")
        results[page] = found = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
        for number, command in enumerate(commands):
            key = f"{number + 1} {command}"
            if (only and page not in only) or is_done(found.get(key), command):
                continue
            with dask_cluster(environment, scratch) if "--dask" in command else nullcontext():
                found[key] = take_over(command, folder) or run_command(page, command, folder, kitchen)
            kept.write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")
            print(page, "|", command, "|", found[key]["code"], found[key]["seconds"], found[key]["lines"][-1:])
    return results


EXTRAS = "cpu,plots,demo,analyse,judge,convert,view,pictures,generate,cluster,train,rtx"

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--scratch", type=Path, required=True, help="folder for files and results")
    parser.add_argument("--masters", type=Path, required=True, help="folder of master patterns")
    parser.add_argument("--pages", nargs="*", default=[], help="run the commands of these only")
    parser.add_argument("--extras", default=EXTRAS, help="what was installed")
    arguments = parser.parse_args()
    found = run_all(arguments.scratch.resolve(), arguments.masters.resolve(), arguments.pages)
    write_page(found, arguments.extras, platform.python_version())
