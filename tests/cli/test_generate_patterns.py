"""`microrun generate-patterns` as users run it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import Microrun, check_refused, run_here
from make_models import encoder_graph, save_model, tiny_spec, write_encoder, write_pair
from scan_files import names_in, read_patterns


@pytest.fixture
def microrun(capsys: pytest.CaptureFixture[str]) -> Microrun:
    return lambda *arguments: run_here(capsys, *arguments)


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """An encoder that knows nothing, with its decoder beside it."""
    (tmp_path / "models").mkdir()
    return write_pair(tmp_path / "models")


def test_patterns_are_generated(microrun: Microrun, engine: Path, tmp_path: Path) -> None:
    picture, scan = tmp_path / "a.png", tmp_path / "a.up2"
    for out in (picture, scan):
        ran = microrun("generate-patterns", "--engine", engine, "--count", "5", "--seed", "3", "--out", out)
        assert (ran.code, ran.err) == (0, "")
        assert f"wrote {out} (" in ran.said and ": 5 patterns of seed 3" in ran.said
    assert picture.read_bytes().startswith(b"\x89PNG")
    patterns = read_patterns(scan)
    assert patterns.shape == (5, 120, 120)
    assert (patterns[:, 0, 0] == 0).all()  # outside the mask
    assert len(np.unique(patterns.reshape(5, -1), axis=0)) == 5


def test_generated_patterns_are_a_function_of_the_seed(microrun: Microrun, engine: Path, tmp_path: Path) -> None:
    decoder = engine.with_name("tiny.decoder.onnx")
    for name, seed, model in (("a", 1, engine), ("b", 1, decoder), ("c", 2, engine)):
        out = tmp_path / f"{name}.up2"
        assert microrun("generate-patterns", "--engine", model, "--count", "3", "--seed", seed, "--out", out).code == 0
    one, again, other = ((tmp_path / f"{name}.up2").read_bytes() for name in "abc")
    assert one == again != other


def test_the_built_in_model_generates(microrun: Microrun, tmp_path: Path) -> None:
    assert microrun("generate-patterns", "--count", "2", "--out", tmp_path / "a.up2").code == 0
    inside = read_patterns(tmp_path / "a.up2")[:, 40:80, 40:80].astype(float)
    assert (inside.std(axis=(1, 2)) > 500).all()


def test_what_cannot_be_generated(microrun: Microrun, engine: Path, tmp_path: Path) -> None:
    alone = write_encoder(tmp_path / "alone.onnx")
    options = ("generate-patterns", "--engine", engine)
    check_refused(microrun(*options, "--out", tmp_path / "a.jpg"), "a.jpg", ".png or .up2")
    check_refused(microrun(*options, "--out", tmp_path / "no" / "a.up2"), "a.up2", "there is no folder")
    check_refused(microrun(*options, "--out", tmp_path / "no" / "a.png"), "a.png", "there is no folder")
    check_refused(microrun(*options, "--count", "0", "--out", tmp_path / "a.up2"), "--count")
    check_refused(microrun(*options, "--seed", "-1", "--out", tmp_path / "a.up2"), "--seed")
    check_refused(
        microrun("generate-patterns", "--engine", alone, "--out", tmp_path / "a.up2"),
        "alone.decoder.onnx: no such file",
    )
    check_refused(microrun("generate-patterns", "--engine", "vae33", "--out", tmp_path / "a.up2"), "vae33", "vae32")
    assert names_in(tmp_path) == ["alone.onnx", "models"]


def test_an_encoder_in_the_place_of_its_decoder(microrun: Microrun, tmp_path: Path) -> None:
    wrong = save_model(tmp_path / "wrong.decoder.onnx", encoder_graph(), tiny_spec("encoder"))
    ran = microrun("generate-patterns", "--engine", wrong, "--out", tmp_path / "a.up2")
    check_refused(ran, wrong, "this needs a decoder")


def test_generate_does_not_overwrite_unasked(microrun: Microrun, engine: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.up2"
    out.write_bytes(b"precious")
    options = ("generate-patterns", "--engine", engine, "--count", "2", "--out", out)
    check_refused(microrun(*options), out, "--overwrite")
    assert out.read_bytes() == b"precious"
    assert microrun(*options, "--overwrite").code == 0
    assert len(read_patterns(out)) == 2
