"""Every command of README and docs, run in a fresh folder, and a page of what each says last.

    python docs/scripts/run_commands.py FOLDER [--pages start,live]

Each page gets a folder of its own; files that its commands read and do not make, a user's, are put there. Commands that
would take long are run shorter, and the page says how; those that need a card, a cluster or files of others are left
out, with the reason. With --pages only these are run anew. docs/commands.md is written from FOLDER/results.json.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import multiprocessing
import os
import re
import runpy
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from command_inputs import make_inputs

from microrun.cli.commands import COMMANDS, load_command
from microrun.cli.main import main as run_microrun

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SECTIONS = ("start", "scans", "volumes", "printing", "reference")
LISTED = re.compile(r"^- \[[^\]]+\]\(([\w-]+)\.md\)", re.MULTILINE)
BLOCK = re.compile(r"^( *)```sh\b[^\n]*\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
COMMENT = re.compile(r"(^|\s)#\s.*$")
OUTPUT = re.compile(r"(?:--out|--folder|simulate (?:scan|potts|experiment)) (\S+)")
LIMIT_S, UNTIL_INTERRUPTED_S = 480, 60
SERVERS = re.compile(r"^microrun (serve --engine|view )|--follow --view")
LEFT_OUT = {
    r"pip install|venv": "installs; the environment of this run has all extras that need no card",
    r"^python -m pytest": "the tests; CI runs them",
    r"^python tests/": "measures for many minutes; its page has the figures",
    r"tensorrt|\.plan\b|--build\b": "needs an NVIDIA card, or the extra rtx",
    r"^dask |--dask ": "needs several machines",
    r"MICRORUN_MASTERS|ferrite --kv 15|\.sht": "needs master patterns that others publish",
    r"ni_large_crystal_map|ni\.up2": "needs kikuchipy's map of nickel, which is not in the repository",
}
SHORTER = {
    r"--hours [\d.]+": "--hours 0.005",
    r"--steps 500 --batch 8": "--steps 2 --batch 2",
    r"^(microrun generate .*?)( --preset fast)?( --out .*)": r"\1 --preset fast\3",
    r"(--preset fast.*) --preset fast": r"\1",
    r"^(microrun generate .*)--size (?:64|128|64x128x256)(?= --(?!periodic))": r"\1--size 32",
    r"--size (?:64x96x96|64|72) --periodic": "--size 40 --periodic",
    r"--size 128\b": "--size 32",
    r"--size-um 200": "--size-um 32",
    r"--mean-grain-um 15 --out": "--out",
    r"--size 100 --duration 50": "--size 32 --duration 10",
    r"^(microrun simulate potts fresh.h5)$": r"\1 --size 32 --duration 10",
    r"--count 24 --duration 50": "--count 1 --size 40 --duration 2",
    r"--sobol 40": "--sobol 2 --layers 1",
    r"--layers 8 --tracks 3": "--layers 1 --tracks 1",
    r"--count (64|16|4)\b": "--count 2",
    r"--grid 200x300": "--grid 20x30",
    r"--grid (60x80|60x60|40x40) --grains \d+": "--grid 12x16 --grains 6",
    r"--patterns \d+": "--patterns 50",
    r"--fine-tune up --folder": "--fine-tune up --steps 2 --batch 2 --folder",
    r"^(microrun train sections sim.h5)": r"\1 --steps 2 --batch 2",
    r"^(microrun train vae (?!.*--hours).*)": r"\1 --hours 0.005",
    r"^(microrun train diffusion (?!.*--hours).*)": r"\1 --hours 0.005",
}


class Result(NamedTuple):
    """One command as the page shows it; `ran` is what was run in its place, `made` the new files."""

    page: str
    command: str
    ran: str
    said: str
    seconds: float
    code: int
    made: list[str]


def list_pages() -> list[Path]:
    """README, then the pages in the order of the site."""
    names = [name for section in SECTIONS for name in (section, *LISTED.findall((DOCS / f"{section}.md").read_text()))]
    return [ROOT / "README.md", *(DOCS / f"{name}.md" for name in names if name != "commands")]


def find_lines(page: Path) -> list[str]:
    """Commands of a page, one line each, without comments."""
    lines = []
    for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
        for line in block[2].replace("\\\n", " ").splitlines():
            bare = COMMENT.sub("", line).strip()
            lines += [piece.strip() for piece in bare.split("&&") if piece.strip()]
    return lines


def shorten(command: str) -> str:
    """What is run in the place of a command that takes long."""
    for long, short in SHORTER.items():
        command = re.sub(long, short, command)
    return command


def reason_to_leave(command: str) -> str:
    """Why a command is not run; empty if it is."""
    return next((reason for pattern, reason in LEFT_OUT.items() if re.search(pattern, command)), "")


def put_inputs(command: str, folder: Path, inputs: Path) -> None:
    """Put files that a command reads where it looks for them, unless the page made them."""
    made_here = OUTPUT.findall(command)
    for word in shlex.split(command):
        name = word.partition(":")[0].partition("/")[0]
        if name in made_here or (folder / name).exists():
            continue
        for source in make_inputs(name, inputs, lambda words, where: run("", words, where)):
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / source.name)


def import_all() -> None:
    """Import once what commands import, so that each starts at once in a fork of this process."""
    for name in ("kikuchipy", "matplotlib.figure", "orix.plot", "scipy.ndimage", "sklearn.cluster", "torch"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for name in COMMANDS:
        load_command(name)


def run_fork(words: list[str], folder: Path) -> None:
    """Become the command; its output goes into two files."""
    os.chdir(folder)
    os.environ.update(NO_COLOR="1", COLUMNS="300")
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder.parent / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = words
    if words[0] == "python":
        sys.argv = words[1:]
        runpy.run_path(words[1], run_name="__main__")
    else:
        run_microrun()


def run(page: str, command: str, folder: Path, more: str = "") -> Result:
    """Run a command, and keep its last line."""
    ran, before = shorten(command) + more, set(folder.iterdir())
    words = shlex.split(ran)
    if words[0] == "python":
        words[1:] = [str(ROOT / words[1]), "."]
    started, serves, note = time.monotonic(), bool(SERVERS.search(command)), ""
    process = multiprocessing.get_context("fork").Process(target=run_fork, args=(words, folder))
    process.start()
    process.join(UNTIL_INTERRUPTED_S if serves else LIMIT_S)
    if process.is_alive() and process.pid:
        note = f" (Ctrl-C after {UNTIL_INTERRUPTED_S if serves else LIMIT_S} s)"
        os.kill(process.pid, signal.SIGINT)
        process.join()
    out, err = ((folder.parent / name).read_text(encoding="utf-8") for name in ("out", "err"))
    code = process.exitcode or 0
    lines = [line.strip() for line in (out if code == 0 and out.strip() else err or out).splitlines() if line.strip()]
    made = sorted(path.name for path in set(folder.iterdir()) - before)
    said = re.sub(r"  +", "  ", lines[-1]) if lines else ""
    return Result(page, command, ran, said + note, round(time.monotonic() - started, 1), code, made)


def run_page(page: Path, folder: Path, earlier: dict[str, Result]) -> Iterator[Result]:
    """Run all commands of a page in its folder; what another page ran already is taken over with its files."""
    here = folder / page.stem
    here.mkdir(parents=True, exist_ok=True)
    for command in find_lines(page):
        known = earlier.get(command)
        if reason := reason_to_leave(command):
            yield Result(page.name, command, "", reason, 0, 0, [])
        elif known is not None and known.code == 0:
            for name in known.made:
                source = folder / Path(known.page).stem / name
                if source.exists() and not (here / name).exists():
                    (shutil.copytree if source.is_dir() else shutil.copy)(source, here / name)
        else:
            put_inputs(command, here, folder / "inputs")
            result = run(page.name, command, here)
            if result.code and "--overwrite" in result.said and "--overwrite" not in command:  # an example of its own
                result = run(page.name, command, here, " --overwrite")
            print(f"{result.code} {result.seconds:6.1f} s  {command}\n    {result.said}", flush=True)
            yield result


def write_page(results: list[Result], path: Path) -> None:
    """Write all results as tables, a page of the docs each."""
    ran = [result for result in results if result.ran]
    left = [result for result in results if not result.ran]
    failed = [result for result in ran if result.code]
    text = [HEAD.format(ran=len(ran), left=len(left), failed=len(failed))]
    for page in dict.fromkeys(result.page for result in results):
        own = [result for result in results if result.page == page]
        link = f"[{page}]({'../' if page == 'README.md' else ''}{page})"
        text.append(f"\n## {page}\n\nFrom {link}.\n\n| command | last line | s |\n|---|---|---:|")
        for result in own:
            command = code(result.command)
            if result.ran and result.ran != result.command:
                command += f"; run as {code(result.ran)}"
            said = code(result.said) if result.ran else f"left out: {result.said}"
            text.append(f"| {command} | {said} | {f'{result.seconds:.0f}' if result.ran else ''} |")
    path.write_text("\n".join(text) + "\n", encoding="utf-8")


HEAD = """\
# Every command, and its last line

README and these pages show commands. `python docs/scripts/run_commands.py FOLDER` runs them, each page in a folder of
its own, and writes this page. {ran} were run, {failed} of them ended with an error, and {left} were left out, for the
reason given. A command that several pages show stands at the first. Seconds are those of two busy cores."""


def code(text: str) -> str:
    """A text as code in a cell of a table."""
    return "`" + text.replace("|", "\\|").replace("`", "'") + "`" if text else ""


def main() -> None:
    """Run what is asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pages", default="", help="names without .md, with commas; by default all")
    options = parser.parse_args()
    folder, kept = options.folder.resolve(), options.folder / "results.json"
    (folder / "inputs").mkdir(parents=True, exist_ok=True)
    stored = [Result(*each) for each in json.loads(kept.read_text())] if kept.exists() else []
    pages = {page.stem: page for page in list_pages()}
    import_all()
    for name in options.pages.split(",") if options.pages else pages:
        shutil.rmtree(folder / name, ignore_errors=True)
        stored = [result for result in stored if result.page != pages[name].name]
        for result in run_page(pages[name], folder, {each.command: each for each in stored if each.ran}):
            stored.append(result)
            kept.write_text(json.dumps(stored))
    order = [page.name for page in pages.values()]
    write_page(sorted(stored, key=lambda result: order.index(result.page)), DOCS / "commands.md")


if __name__ == "__main__":
    main()
