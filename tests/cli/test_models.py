"""`microrun models`."""

from __future__ import annotations

from command_line import Microrun

from microrun.runtime.engines.catalogue import list_models


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
