"""`microrun encode --overwrite`: what becomes of the latents that are there."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest
from command_line import Microrun, check_refused
from files_in import names_in
from make_models import write_encoder
from small_scan import HEADER, SIG_SHAPE
from write_up2 import make_patterns, write_up

from microrun.runtime.encoding.encode_scan import EncodeRun
from microrun.runtime.errors import OutputError
from microrun.runtime.files.hashes import hash_file
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.latents.writer import LatentsWriter


@pytest.fixture
def other_engine(tmp_path: Path) -> Path:
    """Another encoder, of as many features."""
    return write_encoder(tmp_path / "other.onnx", seed=1)


def engine_of(latents: Path) -> str:
    with open_latents(latents) as opened:
        return opened.origin.engine_sha256


def test_encoding_again_with_another_engine(encode: Microrun, scan: Path, latents: Path, other_engine: Path) -> None:
    with h5py.File(latents, "r+") as file:
        file.create_group("analysis")
    ran = encode(scan, "--engine", other_engine, "--overwrite")
    assert (ran.code, ran.err) == (0, "")
    with open_latents(latents) as stored:
        assert stored.origin.engine_sha256 == hash_file(other_engine)
        assert stored.written.all() and not stored.growing
    with h5py.File(latents) as file:
        assert "analysis" not in file, "it is of the old latents"
    assert not names_in(scan.parent, ".part-*") and not names_in(scan.parent, "*.lock")


def test_overwrite_makes_a_file_where_there_is_none(encode: Microrun, scan: Path) -> None:
    assert encode(scan, "--overwrite").code == 0
    with open_latents(scan.parent / "scan.latents.h5") as opened:
        assert opened.written.all()


def test_the_old_latents_stay_until_the_new_ones_are_whole(
    encode: Microrun, scan: Path, latents: Path, other_engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = latents.read_bytes()
    kept: list[bool] = []
    finish = LatentsWriter.finish

    def look_and_finish(self: LatentsWriter) -> None:
        kept.append(latents.read_bytes() == before)
        finish(self)

    monkeypatch.setattr(LatentsWriter, "finish", look_and_finish)
    assert encode(scan, "--engine", other_engine, "--overwrite").code == 0
    assert kept == [True] and latents.read_bytes() != before


def test_a_run_that_fails_leaves_the_old_latents(
    encode: Microrun, scan: Path, latents: Path, other_engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = latents.read_bytes()

    def fail(self: LatentsWriter) -> None:
        raise OutputError("the disk is full")

    monkeypatch.setattr(LatentsWriter, "flush", fail)
    check_refused(encode(scan, "--engine", other_engine, "--overwrite"), "the disk is full", code=1)
    assert latents.read_bytes() == before
    assert not names_in(scan.parent, ".part-*")


def test_an_interrupted_run_leaves_the_old_latents(
    encode: Microrun, scan: Path, latents: Path, other_engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = latents.read_bytes()
    step = EncodeRun.__next__

    def stop_after(self: EncodeRun) -> object:
        self.stop()
        return step(self)

    monkeypatch.setattr(EncodeRun, "__next__", stop_after)
    ran = encode(scan, "--engine", other_engine, "--overwrite", "--batch", 4)
    check_refused(ran, f"interrupted; {latents} is as it was before", code=130)
    assert latents.read_bytes() == before
    assert not names_in(scan.parent, ".part-*")


def test_a_followed_scan_can_be_looked_at_while_its_old_latents_are_replaced(
    encode: Microrun, scan: Path, latents: Path, other_engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = latents.stat().st_ino
    seen: list[int] = []
    step = EncodeRun.__next__

    def look(self: EncodeRun) -> object:
        seen.append(latents.stat().st_ino)
        return step(self)

    monkeypatch.setattr(EncodeRun, "__next__", look)
    assert encode(scan, "--follow", "--idle-timeout", "0.2", "--engine", other_engine, "--overwrite").code == 0
    assert seen and old not in seen, "it is the new one from the first pattern on"
    assert engine_of(latents) == hash_file(other_engine)


def test_a_scan_that_never_comes_leaves_the_old_latents(encode: Microrun, latents: Path, tmp_path: Path) -> None:
    before = latents.read_bytes()
    empty = write_up(tmp_path / "new.up2", make_patterns(0, SIG_SHAPE), HEADER)
    options = ("--follow", "--idle-timeout", "0.1", "--overwrite", "--out", latents)
    check_refused(encode(empty, *options), "no pattern arrived")
    assert latents.read_bytes() == before
