"""The `microrun …` commands that README and docs show, as a reader would type them."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^( *)```sh\b[^\n]*\n(.*?)^\1```", re.DOTALL | re.MULTILINE)


def find_commands(text: str) -> list[list[str]]:
    """Words of every `microrun …` in the sh blocks of a page, comments left out."""
    found = []
    for block in FENCED.finditer(text):
        for line in block[2].replace("\\\n", " ").splitlines():
            words = shlex.shlex(line, posix=True, punctuation_chars=";&|")
            words.whitespace_split = True
            for ends, piece in itertools.groupby(words, lambda word: set(word) <= set(";&|")):
                name, *rest = piece
                found += [rest] if name == "microrun" and not ends else []
    return found


def list_commands() -> dict[str, list[str]]:
    """Commands of every page that shows any, by the page's name; README first, as a shell takes them."""
    found = {page.stem: find_commands(page.read_text(encoding="utf-8")) for page in PAGES}
    return {page: [shlex.join(words) for words in commands] for page, commands in found.items() if commands}
