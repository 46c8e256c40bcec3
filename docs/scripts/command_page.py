"""The page docs/commands.md, of what `run_commands.py` has found."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from command_changes import ENDED, NEEDS, change, first, has_run, with_masters
from page_commands import PAGES, list_commands

TITLE = re.compile(r"^# (.+)$", re.MULTILINE)
HEAD = """\
# Every command, and its last line

{share}

In a new virtual environment with Python {python} and the extras `{extras}`,
every `microrun …` that a page shows was run in a folder of that page's own, one after the other. What a command reads
and none before it had made was put there under the name that the page uses: small simulated scans, volumes, maps and
parts. `MICRORUN_MASTERS` was set where the page says so. What takes long was run smaller, and what serves until Ctrl-C
got it after some seconds; both are said. A long command that several pages show was run once. Not all pages were
run with the same commit. Other work went on meanwhile: times and rates in these lines mean nothing.

The page was made by

```sh
python docs/scripts/run_commands.py --scratch FOLDER --masters MASTER_PATTERNS
```

and a test refuses it when it does not list what README and docs show. Where the last line only says what to do next,
the one before it stands here, too.
"""
OK, SMALLER, STOPPED, LACKING, FAILED = range(5)
PAGE = PAGES[0].parent / "docs" / "commands.md"


def judge(run: str) -> int:
    """How a command ended, by what the page says of its run."""
    if "**" in run or run == "not run":
        return LACKING if "needs " in run else FAILED
    if "Ctrl-C" in run:
        return STOPPED
    return SMALLER if "with `" in run.replace("with `MICRORUN_MASTERS`", "") else OK


def share(verdicts: list[int]) -> str:
    """What ran of all commands, in sentences."""
    ran = sum(verdict in (OK, SMALLER, STOPPED) for verdict in verdicts)
    counts = [verdicts.count(verdict) for verdict in range(5)]
    words = f"**{ran} of the {len(verdicts)} commands of README and docs ran** without an error: "
    words += (
        f"{counts[OK]} as they are written, {counts[SMALLER]} smaller than written, {counts[STOPPED]} until Ctrl-C."
    )
    if counts[LACKING]:
        words += f" {counts[LACKING]} need what this machine does not have; what they say without it is shown."
    if counts[FAILED]:
        words += f" {counts[FAILED]} failed or were not run."
    return words


def code(text: str) -> str:
    """Text as code in a cell of a table."""
    text = " ".join(text.split()).replace("|", r"\|")
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def find_last(lines: Iterable[str]) -> str:
    """The last line that says something, after the one before if it only says what comes next."""
    said = [line for line in lines if re.search(r"\w", line)]
    if not said:
        return "nothing"
    last = said[-2:] if said[-1].startswith("next ") else said[-1:]
    return "<br>".join(map(code, last))


def tell(command: str, record: dict[str, Any] | None) -> str:
    """How a command was run."""
    if record is None:
        return "not run"
    said = [f"with {', '.join(change(command)[1])}"] if change(command)[1] else []
    said += [f"once, as for {record['page']}"] if "page" in record else []
    said += ["with `MICRORUN_MASTERS`"] if with_masters(command) else []
    said += [f"Ctrl-C after {first(ENDED, command)} s"] if first(ENDED, command) else []
    said += [f"needs {first(NEEDS, command)}"] if first(NEEDS, command) and record["code"] != 0 else []
    if not has_run(command, record["code"]):
        said.append("**not done in time**" if record["code"] is None else f"**exit code {record['code']}**")
    return "; ".join(said) or "as written"


def read_rows() -> dict[str, str]:
    """Rows of the page as it stands, by the heading above them and the command."""
    found, heading = {}, ""
    for line in PAGE.read_text(encoding="utf-8").splitlines() if PAGE.exists() else ():
        heading = line if line.startswith("## ") else heading
        if line.startswith("| `"):
            found[f"{heading} {line.split(' | ')[0]}"] = line
    return found


def write_page(results: dict[str, dict[str, Any]], extras: str, python: str) -> None:
    """Write the page; what was not run this time stays as it stands.

    Parameters
    ----------
    results
        Records of the commands of every page, by `NUMBER COMMAND`.
    extras
        Extras that were installed.
    python
        Version of Python.
    """
    before, verdicts, tables = read_rows(), [], []
    for page, commands in list_commands().items():
        path = next(path for path in PAGES if path.stem == page)
        title = TITLE.findall(path.read_text(encoding="utf-8"))[0]
        heading = "## README" if page == "README" else f"## [{title}]({path.name})"
        rows = [heading, "", "| command | run | last line |", "|---|---|---|"]
        for number, command in enumerate(commands):
            record, cell = results[page].get(f"{number + 1} {command}"), f"| {code(f'microrun {command}')}"
            new = f"{cell} | {tell(command, record)} | {find_last(record['lines']) if record else ''} |"
            rows.append(new if record else before.get(f"{heading} {cell}", new))
            verdicts.append(judge(rows[-1].split(" | ")[1]))
        tables.append("\n".join(rows))
    head = HEAD.format(share=share(verdicts), extras=extras, python=python)
    PAGE.write_text("\n".join([head, *(f"{table}\n" for table in tables)]), encoding="utf-8")
