"""The face of the runtime: what `microrun.runtime` offers, every example in its docstrings, and docs/python.md."""

from __future__ import annotations

import doctest
import inspect
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from write_up2 import Header, write_up

import microrun.runtime
from microrun.runtime import EncodeRequest, encode_scan, open_engine
from microrun.runtime.generation.recipe import KNOWN_PRESETS
from microrun.runtime.generation.sampling import Sampling

PAGE = Path(__file__).parents[1] / "docs" / "python.md"
BLOCKS = re.findall(r"^## (.*?)\n.*?^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def example_files(nickel: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the examples find in their folder."""
    folder = tmp_path_factory.mktemp("examples")
    header = Header(sig_shape=(60, 60), nav_shape=(3, 3))
    write_up(folder / "scan.up1", nickel.patterns, header)
    with (
        open_engine("vae32", "cpu") as engine,
        encode_scan(EncodeRequest(folder / "scan.up1", folder / "scan.latents.h5"), engine) as run,
    ):
        for _ in run:
            pass
    grains = np.arange(8, dtype=np.int32).reshape(2, 2, 2)
    np.save(folder / "grains.npy", np.kron(grains, np.ones((16, 16, 16), np.int32)))
    return folder


@pytest.fixture
def workplace(example_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own with these files, in which the example runs; volumes are drawn in a few steps."""
    monkeypatch.setitem(KNOWN_PRESETS, "default", Sampling(3))
    folder = tmp_path / "here"
    shutil.copytree(example_files, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("name", microrun.runtime.__all__)
def test_every_public_name_has_an_example_that_runs(name: str, workplace: Path) -> None:
    found = getattr(microrun.runtime, name)
    tests = [test for test in doctest.DocTestFinder().find(found, name) if test.examples]
    assert any(test.name == name for test in tests), f"{name} has no example"
    for test in tests:
        failed, _ = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test)
        assert not failed


def issubclass_of(found: object, kind: type) -> bool:
    return inspect.isclass(found) and issubclass(found, kind)


@pytest.mark.parametrize("name", microrun.runtime.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    found = getattr(microrun.runtime, name)
    text = inspect.getdoc(found) or ""
    takes = [] if issubclass_of(found, Exception) else inspect.signature(found).parameters
    for each in takes:
        assert re.search(rf"^[\w, ]*\b{each}\b[\w, ]*$", text, re.MULTILINE), f"{name} does not say what {each} is"


@pytest.mark.parametrize(("title", "code"), BLOCKS, ids=[title for title, _ in BLOCKS])
def test_the_page_for_python_runs(title: str, code: str, workplace: Path) -> None:
    exec(compile(code, str(PAGE), "exec"), {"__name__": "__main__"})


def test_the_page_for_python_shows_five_things() -> None:
    assert len(BLOCKS) == 5
