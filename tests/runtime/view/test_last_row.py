"""Whoever looks on sees the last row before the run asks whether the model knows the scan."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from make_models import write_encoder
from small_scan import HEADER, SIG_SHAPE
from write_up2 import make_patterns, write_up

from microrun.runtime.encoding import encode_scan
from microrun.runtime.encoding.request import EncodeRequest
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.open import open_engine
from microrun.runtime.latents.reader import open_latents


def test_the_last_row_is_there_while_the_model_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, seen = tmp_path / "out.h5", tmp_path / "seen.h5"
    monkeypatch.setattr(encode_scan, "familiarity_of", lambda *_: shutil.copyfile(out, seen) and None)
    request = EncodeRequest(write_up(tmp_path / "scan.up2", make_patterns(15, SIG_SHAPE), HEADER), out)
    with open_engine(write_encoder(tmp_path / "tiny.onnx"), "cpu", EngineRequest("f32")) as engine:
        list(encode_scan.encode_scan(request, engine))
    with open_latents(seen) as latents:
        assert latents.written.all()
