"""`microrun encode` says in one line where the model does not know the patterns, and what to do."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import Microrun
from make_models import write_encoder, write_pair
from write_up2 import Header, write_up

from microrun.runtime.encoding.encode_scan import encode_scan
from microrun.runtime.encoding.request import EncodeRequest
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.open import open_engine
from microrun.runtime.latents.familiarity import Familiarity
from microrun.runtime.latents.reader import open_latents

OPTIONS = ("--device", "cpu", "--precision", "f32", "--background", "none")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen patterns of stripes in random directions: no crystal shows such bands."""
    rng = np.random.default_rng(0)
    y, x = np.indices((120, 120)) / 120
    angles, phases = rng.uniform(0, np.pi, (2, 16, 1, 1))
    patterns = 1000 + 200 * np.sin(90 * (x * np.cos(angles) + y * np.sin(angles)) + phases)
    noisy = (patterns + 20 * rng.standard_normal(patterns.shape)).astype(np.uint16)
    path = tmp_path_factory.mktemp("foreign") / "foreign.up2"
    return write_up(path, noisy, Header(sig_shape=(120, 120), nav_shape=(4, 4)))


def told(path: Path) -> Familiarity | None:
    with open_latents(path) as latents:
        return latents.familiarity


def test_patterns_that_the_model_knows_need_no_word(microrun: Microrun, simulated_scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "known.h5"
    ran = microrun("encode", simulated_scan, *OPTIONS[:4], "--out", out)
    assert (ran.code, ran.err) == (0, "")
    found = told(out)
    assert found is not None and found.known
    assert f"bands given back {found}" in microrun("inspect", out).said


@pytest.mark.parametrize("more", [(), ("--follow", "--idle-timeout", 0)], ids=["finished", "followed"])
def test_foreign_patterns_are_said_in_one_line_with_the_cure(
    microrun: Microrun, foreign: Path, tmp_path: Path, more: tuple[object, ...]
) -> None:
    out = tmp_path / "foreign.h5"
    ran = microrun("encode", foreign, *OPTIONS, "--out", out, *more)
    found = told(out)
    assert found is not None and not found.known
    assert (ran.code, ran.err) == (
        0,
        f"warning: these patterns are not like what vae32 knows: {found}; microrun train vae {foreign} --from vae32\n",
    )
    assert f"bands given back {found}" in microrun("inspect", out).said


def test_without_a_decoder_nothing_is_said(microrun: Microrun, foreign: Path, tmp_path: Path) -> None:
    out = tmp_path / "foreign.h5"
    ran = microrun("encode", foreign, *OPTIONS, "--engine", write_encoder(tmp_path / "tiny.onnx"), "--out", out)
    assert (ran.code, ran.err, told(out)) == (0, "", None)
    assert "bands given back" not in microrun("inspect", out).said


def test_the_checkpoint_beside_a_model_of_ones_own_is_the_cure(
    microrun: Microrun, foreign: Path, tmp_path: Path
) -> None:
    own = write_pair(tmp_path)
    for number, from_ in enumerate((own, tmp_path / "tiny.safetensors")):
        ran = microrun("encode", foreign, *OPTIONS, "--engine", own, "--out", tmp_path / f"{number}.h5")
        assert ran.err.endswith(f"; microrun train vae {foreign} --from {from_}\n")
        (tmp_path / "tiny.safetensors").touch()


def test_a_stopped_run_is_not_asked_and_a_resumed_one_is(foreign: Path, tmp_path: Path) -> None:
    out, own = tmp_path / "foreign.h5", write_pair(tmp_path)
    with open_engine(own, "cpu", EngineRequest("f32", lanes=1, batch=2)) as engine:
        with encode_scan(EncodeRequest(foreign, out, background="none"), engine) as running:
            next(running)
            running.stop()
            assert list(running)[-1].done < 16
        assert running.familiarity is told(out) is None
        for _ in range(2):  # the second has nothing left to encode
            with encode_scan(EncodeRequest(foreign, out, resume=True), engine) as running:
                list(running)
            assert running.familiarity == told(out) is not None


def test_a_resumed_run_without_the_decoder_keeps_what_is_known(foreign: Path, tmp_path: Path) -> None:
    out, own = tmp_path / "foreign.h5", write_pair(tmp_path)
    with open_engine(own, "cpu", EngineRequest("f32", lanes=1, batch=2)) as engine:
        for resume in (False, True):
            with encode_scan(EncodeRequest(foreign, out, background="none", resume=resume), engine) as running:
                list(running)
            if not resume:
                before = told(out)
                shutil.move(tmp_path / "tiny.decoder.onnx", tmp_path / "elsewhere.onnx")
    assert running.familiarity == told(out) == before is not None
