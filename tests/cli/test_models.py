"""`microrun models`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from command_line import Microrun

from microrun.cli import models as command
from microrun.runtime.engines.catalogue import find_model, list_models
from microrun.runtime.engines.open import read_model_spec


def test_built_in_models_are_listed(microrun: Microrun) -> None:
    ran = microrun("models")
    assert (ran.code, ran.err) == (0, "")
    lines = [line.split() for line in ran.out.splitlines() if line.strip()]
    assert lines[0][:3] == ["model", "D", "size"]
    for path, line in zip(list_models(), lines[1:], strict=False):
        assert line[0] == path.stem
        assert line[1].isdigit()
        assert line[3] in ("kB", "MB")
        assert f"{path.stem} " in ran.said
    for part in ("vae32", "patterns", "steps", "trained on"):
        assert part in ran.said


def test_models_of_before_and_with_bands_stand_in_one_table(
    microrun: Microrun, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *others = list_models()
    spec = read_model_spec(find_model("vae32"))

    def read(path: Path) -> object:
        metrics = {"bands": 0.83, "right": 0.971, "indexed": 0.99} if path == first else {"indexed": 0.9785}
        return replace(spec, training=replace(spec.training, metrics=metrics))

    assert others
    monkeypatch.setattr(command, "list_denoisers", lambda: [])
    monkeypatch.setattr(command, "read_model_spec", read)
    head, new, old, *_ = microrun("models").out.splitlines()
    assert head.split() == ["model", "D", "size", "bands", "right", "indexed"]
    assert new.split()[-3:] == ["0.83", "97.1%", "99.0%"]
    assert old.split()[-1] == "97.9%" and "97.1%" not in old
