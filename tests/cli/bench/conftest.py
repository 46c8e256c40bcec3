"""Fixtures of the benchmarks' tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Microrun, run_here
from make_models import tiny_spec, write_encoder

from microrun.cli.bench import encode, machine
from microrun.runtime.engines.known_answers import CHECKED
from microrun.runtime.engines.nvidia.plan import PlanRecord, Profile, write_record
from microrun.runtime.files.hashes import hash_file


@pytest.fixture
def microrun(capsys: pytest.CaptureFixture[str]) -> Microrun:
    return lambda *arguments: run_here(capsys, "bench", *arguments)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every measurement takes a moment."""
    monkeypatch.setattr(encode, "ENGINE_SECONDS", 0.02)
    monkeypatch.setattr(encode, "WARM_SECONDS", 0.01)
    monkeypatch.setattr(encode, "SINGLE_RUNS", 20)
    monkeypatch.setattr(machine, "LINK_BYTES", 1 << 12)
    monkeypatch.setattr(machine, "PEAK_SECONDS", 0.01)


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    return write_encoder(tmp_path / "tiny.onnx")


@pytest.fixture
def plan(tmp_path: Path, engine: Path) -> Path:
    """A file with a plan's sidecar; opened it never is, for these tests keep it off cards."""
    path = tmp_path / "tiny.plan"
    path.write_bytes(b"no plan at all")
    record = PlanRecord(
        tiny_spec(), hash_file(path), hash_file(engine), "tensorrt_rtx", "1.5", ("8.6",), Profile(1, 8, 8),
        version_compatible=False, build_s=1, check_outputs=(0.0,) * CHECKED,
    )  # fmt: skip
    write_record(path, record)
    return path
