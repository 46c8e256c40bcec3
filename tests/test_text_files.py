"""Text files are UTF-8 on every system, also where Windows would take another encoding for granted."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path for part in ("kernels", "runtime", "training", "export", "cli") for path in (ROOT / part).rglob("*.py")
)


def find_guesses(tree: ast.AST) -> Iterator[int]:
    """Lines that read or write text without saying in which encoding."""
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or any(keyword.arg == "encoding" for keyword in call.keywords):
            continue
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        texts = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
        modes = [text for text in texts if isinstance(text, str) and set(text) <= set("rwaxb+")]
        newline = any(keyword.arg == "newline" for keyword in call.keywords)  # there is none in bytes
        method = isinstance(call.func, ast.Attribute) and name in ("read_text", "write_text")
        method &= not (name == "read_text" and texts)  # an encoding, or the name of a distribution's file
        if method or (name == "open" and (newline or (modes and "b" not in modes[-1]))):
            yield call.lineno


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_encoding_is_left_to_the_system(path: Path) -> None:
    assert not list(find_guesses(ast.parse(path.read_text(encoding="utf-8"))))


def test_what_leaves_it_to_the_system_is_found() -> None:
    guesses = "path.read_text()\npath.write_text(a)\npath.open('w')\nopen(path, 'r')\npath.open(newline='')"
    assert len(list(find_guesses(ast.parse(guesses)))) == 5
    assert not list(find_guesses(ast.parse("path.open('rb')\nwrite_text(path, a)\nx.read_text(encoding='utf-8')")))
