"""What to type where a package is missing."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from microrun.runtime.files import extras
from microrun.runtime.files.extras import PACKAGES, install_command, say_missing


class Installed:
    """An installation that pip has recorded."""

    requires = ("numpy>=2.0", 'matplotlib>=3.9; extra == "plots"', "scipy; extra == 'analyse'")

    def __init__(self, url: dict[str, object] | None) -> None:
        self.url = url

    def read_text(self, name: str) -> str | None:
        return None if self.url is None else json.dumps(self.url)


def install(monkeypatch: pytest.MonkeyPatch, url: dict[str, object] | None) -> None:
    monkeypatch.setattr(extras, "distribution", lambda name: Installed(url))


def test_in_a_clone_its_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = tmp_path / "my clone"
    clone.mkdir()
    install(monkeypatch, {"url": clone.as_uri(), "dir_info": {"editable": True}})
    assert install_command("plots") == f'pip install -e "{clone}[plots]"'


@pytest.mark.parametrize(
    "url",
    [
        None,
        {"url": "file:///tmp/microrun-0.1.0-py3-none-any.whl", "archive_info": {}},
        {"url": "file:///nowhere/microrun", "dir_info": {"editable": True}},
    ],
)
def test_of_a_wheel_the_packages_are_named(monkeypatch: pytest.MonkeyPatch, url: dict[str, object] | None) -> None:
    install(monkeypatch, url)
    assert install_command("plots") == 'pip install "matplotlib>=3.9"'


def test_of_sources_that_were_not_installed_the_folder_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(extras, "distribution", fail)
    assert install_command("plots") == 'pip install -e ".[plots]" in the folder of microrun'


def test_packages_are_named_and_not_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, None)
    assert say_missing("matplotlib.figure") == 'matplotlib is not installed; pip install "matplotlib>=3.9"'
    assert say_missing("sklearn").startswith("scikit-learn is not installed; pip install")
    assert say_missing("nonsense.part") == "nonsense is not installed; pip install nonsense"


def test_every_extra_that_is_named_exists() -> None:
    offered = set(distribution("microrun").metadata.get_all("Provides-Extra") or ())
    assert {extra for _, extra in PACKAGES.values()} <= offered
