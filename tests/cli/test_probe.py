"""`microrun probe` as users run it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import Microrun, check_refused, run_here
from make_models import encoder_graph, save_model, tiny_spec, write_pair
from numpy.testing import assert_allclose
from scan_files import names_in
from write_up2 import make_patterns, write_up

from microrun.cli import probe as probe_command
from microrun.runtime.spec import Preprocessing


@pytest.fixture
def microrun(capsys: pytest.CaptureFixture[str]) -> Microrun:
    return lambda *arguments: run_here(capsys, *arguments)


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """An encoder that knows nothing, with its decoder beside it."""
    (tmp_path / "models").mkdir()
    return write_pair(tmp_path / "models")


@pytest.fixture
def small_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """A map and grains of a few hundred points, at two levels of noise."""
    monkeypatch.setattr(probe_command, "MAP_SHAPE", (10, 16))
    monkeypatch.setattr(probe_command, "GRAINS", 3)
    monkeypatch.setattr(probe_command, "PARTICLES", 8)
    monkeypatch.setattr(probe_command, "SCATTERED", (2, 15))
    monkeypatch.setattr(probe_command, "ELECTRONS", {"low": 38_400.0, "high": 2_400.0})


def read_markdown(text: str) -> dict[str, list[list[str]]]:
    """Cells of each table, by what stands in its corner."""
    tables: dict[str, list[list[str]]] = {}
    for block in text.strip().split("\n\n"):
        head, rule, *lines = ([cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines())
        assert head[1:] == ["low noise", "high noise"]
        assert set(rule) == {"---"}
        tables[head[0]] = lines
    return tables


@pytest.mark.usefixtures("small_probe")
def test_models_are_probed(microrun: Microrun, engine: Path, tmp_path: Path) -> None:
    out = tmp_path / "probes"
    ran = microrun("probe", "--engine", engine, "--engine", "vae32", "--folder", out, "--seed", "3")
    assert (ran.code, ran.err) == (0, "")
    scans = [
        f"{what}-{noise}.{end}"
        for what in ("grains", "map")
        for noise in ("high", "low")
        for end in ("truth.npz", "up2")
    ]
    assert names_in(out) == sorted([*scans, "probes.json", "probes.md"])
    table = json.loads((out / "probes.json").read_text())
    assert list(table) == ["blur, R²", "rotation, R²", "boundaries, AUC", "particles, AUC"]
    for question, rows in table.items():
        assert {name for name in rows if "latents" in name} == {
            f"{model}: latents" + (" (spread)" if question.startswith("boundaries") else "")
            for model in ("tiny", "vae32")
        }
        for values in rows.values():
            assert list(values) == ["low", "high"]
            assert all(value <= 1 for value in values.values())
        assert question in ran.said
    assert table["particles, AUC"]["all maps together"]["low"] > 0.5
    for question, lines in read_markdown((out / "probes.md").read_text()).items():
        names = [name for name, *_ in lines]
        assert sorted(names) == sorted(table[question])
        assert ["latents" in name for name in names[:3]] == [True, True, False]  # they come first
        for name, *values in lines:
            assert_allclose([float(value) for value in values], list(table[question][name].values()), atol=0.006)


@pytest.mark.usefixtures("small_probe")
def test_scans_that_are_there_are_kept(
    microrun: Microrun, engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe_command, "ELECTRONS", {"low": 38_400.0})
    tables, scans = [], []
    for _ in range(2):
        options = ("--engine", engine, "--folder", tmp_path / "probes", "--seed", "3", "--overwrite")
        assert microrun("probe", *options).code == 0
        tables.append((tmp_path / "probes" / "probes.json").read_bytes())
        scans.append([path.stat().st_mtime_ns for path in sorted((tmp_path / "probes").glob("*.up2"))])
    assert tables[0] == tables[1]
    assert scans[0] == scans[1]
    monkeypatch.setattr(probe_command, "SCATTERED", (3, 10))
    refused = microrun("probe", *options)
    check_refused(refused, "grains-low.up2", "is of another sample")


def test_what_cannot_be_probed(microrun: Microrun, engine: Path, tmp_path: Path) -> None:
    out = tmp_path / "probes"
    check_refused(
        microrun("probe", "--engine", engine.with_name("tiny.decoder.onnx"), "--folder", out), "tiny.decoder.onnx"
    )
    check_refused(microrun("probe", "--engine", "vae33", "--folder", out), "vae33")
    check_refused(microrun("probe", "--seed", "-1", "--folder", out), "--seed")
    whole = save_model(
        tmp_path / "whole.onnx", encoder_graph(), replace(tiny_spec(), preprocessing=Preprocessing(mask_radius=-1))
    )
    check_refused(
        microrun("probe", "--engine", engine, "--engine", whole, "--folder", out), "whole.onnx", "in another way"
    )
    assert not out.exists()
    scan = write_up(tmp_path / "file", make_patterns(1))
    check_refused(microrun("probe", "--engine", engine, "--folder", scan / "probes"), "is a file; expected a folder")
