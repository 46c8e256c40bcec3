"""README and docs: every command in them exists as it is written, every link leads somewhere, every page is listed."""

from __future__ import annotations

import re
import shlex
import tomllib
from importlib.metadata import version as find_version
from pathlib import Path
from typing import Any

import pytest
from command_line import run_here
from page_commands import PAGES, find_commands, list_commands

import microrun.runtime
from microrun.cli.commands import COMMANDS, load_command

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^( *)```.*?^\1```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^()\s]+(?:\([^()\s]*\)[^()\s]*)?)\)")
LISTED = re.compile(r"^- \[[^\]]+\]\(([\w-]+)\.(?:md|rst)\)", re.MULTILINE)  # as docs/conf.py reads them


def parse(words: list[str]) -> None:
    """Take a command as the command line takes it, up to running it."""
    if words == ["--version"]:
        return
    command: Any = load_command(words[0]) if words[0] in COMMANDS else None
    rest = words[1:]
    while hasattr(command, "commands"):
        command, rest = command.commands.get(rest[0] if rest else None), rest[1:]
    if command is None:
        pytest.fail(f"microrun {shlex.join(words)}: no such command")
    try:
        command.make_context(words[0], list(rest))
    except Exception as error:
        pytest.fail(f"microrun {shlex.join(words)}: {getattr(error, 'message', error)}")


def anchors_of(path: Path) -> set[str]:
    """What links may name within a page: its headings as GitHub and MyST write them."""
    headings = re.findall(r"^#{1,3} (.+)$", BLOCK.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_that_a_page_shows_is_there_as_it_is_written(page: Path) -> None:
    for words in find_commands(page.read_text(encoding="utf-8")):
        parse(words)


def test_commands_are_found_behind_others_and_before_comments() -> None:
    page = "```sh demo\npip install . && microrun demo # try\nmicrun x; microrun y\n```\n"
    page += "  ```sh\n  microrun a \\\n    --b\n  ```\n"
    assert find_commands(page) == [["demo"], ["y"], ["a", "--b"]]


@pytest.mark.parametrize(
    "line", ["encoed a.up2", "encode a.up2 --nope", "encode", "simulate scna", "encode a.up2 --step x"]
)
def test_a_command_that_is_not_there_is_found(line: str) -> None:
    with pytest.raises(pytest.fail.Exception):
        parse(line.split())


@pytest.mark.slow
def test_a_first_scan_runs_as_its_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "first-scan.md").read_text(encoding="utf-8").replace("60x80 --grains 40", "12x16 --grains 4")
    for words in find_commands(page):
        ran = run_here(capsys, *words)
        assert ran.code == 0, f"microrun {shlex.join(words)}: {ran.err}"
    made = {path.name for path in tmp_path.iterdir()}
    assert made >= {"scan.latents.h5", "scan.overview.png", "scan.analysis.png", "scan.physics.png", "scan.latents.csv"}


def test_the_page_of_commands_lists_all_that_readme_and_docs_show() -> None:
    listed = re.findall(r"^\| `microrun ([^|]+)` \|", (DOCS / "commands.md").read_text(encoding="utf-8"), re.MULTILINE)
    shown = [command for commands in list_commands().values() for command in commands]
    assert listed == shown, "run docs/scripts/run_commands.py again"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(BLOCK.sub("", page.read_text(encoding="utf-8"))):
        path, _, anchor = link.partition("#")
        if "://" in path or path.startswith("mailto:"):
            continue
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name} leads to {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors_of(target), f"{page.name} leads to {link}"


def test_every_page_stands_in_one_section() -> None:
    pages = {page.stem: page for page in (*DOCS.glob("*.md"), *DOCS.glob("*.rst")) if page.stem != "index"}
    sections = LISTED.findall((DOCS / "index.md").read_text(encoding="utf-8"))
    listed = [name for section in sections for name in LISTED.findall(pages[section].read_text(encoding="utf-8"))]
    assert sorted(sections + listed) == sorted(pages)


def test_the_reference_lists_every_public_name() -> None:
    listed = re.findall(r"^   (\w+)$", (DOCS / "api.rst").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(microrun.runtime.__all__)


def test_every_picture_is_shown_and_said_where_it_comes_from() -> None:
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    cells = re.findall(r"^\| (`[^|]+) \|", (DOCS / "pictures.md").read_text(encoding="utf-8"), re.MULTILINE)
    made = [name for cell in cells for name in re.findall(r"`([\w.-]+)`", cell)]
    pictures = {picture.name for picture in (DOCS / "images").iterdir()}
    assert pictures <= set(made)
    assert {name for name in pictures if not any(f"images/{name})" in text for text in texts)} == set()


def test_every_extra_that_a_page_installs_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for page in PAGES:
        for extras in re.findall(r"(?:\.|microrun)\[([a-z,]+)\]", page.read_text(encoding="utf-8")):
            assert set(extras.split(",")) <= set(project["optional-dependencies"]), f"{page.name}: {extras}"


def test_the_citation_names_the_version_that_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {project['version']}\n" in citation
    assert find_version("microrun") == project["version"]
