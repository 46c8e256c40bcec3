"""Scans whose bands are dark: turned about, they give the latents of the same scan with bright ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encode_runs import COUNT, HEADER, SPEC, EndedError, assert_same, contents, engine, run, stopping
from fake_engine import identity_pair
from make_latents import SCANS, make_origin
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from write_up2 import write_up

from microrun.runtime.encoding.decode import decode_latents
from microrun.runtime.encoding.request import EncodeRequest
from microrun.runtime.errors import LatentsError, SpecError
from microrun.runtime.latents.origin import Origin
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.progress import finish
from microrun.runtime.scans.up_source import FileSource
from microrun.runtime.spec import ModelSpec, Preprocessing
from microrun.runtime.testing import ProjectionEngine

WHITE = 65535


def read(scan: Path) -> NDArray[Any]:
    source = FileSource(scan)
    raw = np.empty((COUNT, *source.scan.sig_shape), np.uint16)
    source.read_patterns(np.arange(COUNT), raw)
    return raw


@pytest.fixture
def dark(scan: Path, tmp_path: Path) -> Path:
    """The negative of the scan; both have a background beside them."""
    background = read(scan).mean(axis=0)
    np.save(tmp_path / "scan.npy", background)
    np.save(tmp_path / "dark.npy", WHITE - background)
    return write_up(tmp_path / "dark.up2", WHITE - read(scan), HEADER)


@pytest.mark.parametrize("background", ["mean", "running", "none", "file"])
def test_dark_bands_give_the_latents_of_bright_ones(scan: Path, dark: Path, tmp_path: Path, background: str) -> None:
    latents = []
    for one, name, invert in ((scan, "scan", None), (dark, "dark", True), (dark, "dark", None)):
        given = {"mean": "auto", "file": str(tmp_path / f"{name}.npy")}.get(background, background)
        out = tmp_path / f"{name}-{invert}.h5"
        run(EncodeRequest(one, out, background=given, invert=invert), engine())
        latents.append(contents(out)["latents"])
    assert_allclose(latents[1], latents[0], atol=1e-3 * latents[0].std())
    assert not np.allclose(latents[2], latents[0], atol=0.1 * latents[0].std())


def test_a_background_that_is_binned_already_is_turned_about_too(scan: Path, dark: Path, tmp_path: Path) -> None:
    binned = np.load(tmp_path / "dark.npy").reshape(12, 2, 12, 2).mean(axis=(1, 3))
    np.save(tmp_path / "binned.npy", binned)
    latents = []
    for name in ("dark", "binned"):
        asked = EncodeRequest(dark, tmp_path / f"{name}.h5", background=str(tmp_path / f"{name}.npy"), invert=True)
        run(asked, engine())
        latents.append(contents(tmp_path / f"{name}.h5")["latents"])
    assert_allclose(latents[1], latents[0], atol=1e-3 * latents[0].std())


def test_a_scaled_background_is_turned_about_too(scan: Path, tmp_path: Path) -> None:
    dimmed = np.rint(read(scan) * np.linspace(1, 0.7, COUNT)[:, None, None]).astype(np.uint16)
    dark = write_up(tmp_path / "dark.up2", WHITE - dimmed, HEADER)
    run(EncodeRequest(dark, tmp_path / "out.h5", scale_background=True, invert=True), engine())
    assert np.isfinite(contents(tmp_path / "out.h5")["latents"]).all()


def test_what_decodes_without_background_has_bright_bands_and_with_it_what_the_camera_counted(
    scan: Path, dark: Path, tmp_path: Path
) -> None:
    encoder, decoder = identity_pair(12, batch=7)
    decoded = {}
    for one, invert in ((scan, None), (dark, True)):
        out = tmp_path / f"{one.stem}.h5"
        run(EncodeRequest(one, out, invert=invert), encoder)
        for background in (False, True):
            path = tmp_path / f"{one.stem}-{background}.up2"
            with open_latents(out) as latents:
                finish(decode_latents(latents, decoder, path, add_background=background))
            decoded[one.stem, background] = read(path).astype(np.float64)
    assert_allclose(decoded["dark", False], decoded["scan", False], atol=40)
    inside = np.ptp(decoded["scan", True], axis=0) > 0
    assert_allclose(decoded["dark", True][:, inside], WHITE - decoded["scan", True][:, inside], atol=40)


def test_a_resumed_run_goes_on_as_it_began(dark: Path, tmp_path: Path) -> None:
    whole, resumed = tmp_path / "whole.h5", tmp_path / "resumed.h5"
    run(EncodeRequest(dark, whole, invert=True), engine())
    with pytest.raises(EndedError):
        run(EncodeRequest(dark, resumed, invert=True), engine(lanes=1), stopping(after=7))
    with pytest.raises(LatentsError, match="--invert"):
        run(EncodeRequest(dark, resumed, invert=False, resume=True), engine())
    run(EncodeRequest(dark, resumed, resume=True), engine())
    assert_same(resumed, whole)
    with open_latents(whole) as latents:
        assert latents.origin.inverted


def test_a_model_may_be_trained_on_dark_bands(scan: Path, dark: Path, tmp_path: Path) -> None:
    spec = replace(SPEC, preprocessing=replace(SPEC.preprocessing, inverted=True))
    assert ModelSpec.from_json(spec.to_json(), "here") == spec
    run(EncodeRequest(dark, tmp_path / "dark.h5"), ProjectionEngine(spec, 2, 7))
    run(EncodeRequest(scan, tmp_path / "scan.h5"), engine())
    assert_allclose(contents(tmp_path / "dark.h5")["latents"], contents(tmp_path / "scan.h5")["latents"], atol=1e-3)
    with pytest.raises(SpecError, match="inverted must be true or false"):
        Preprocessing(inverted=1)  # type: ignore[arg-type]


def test_files_of_older_versions_state_no_polarity() -> None:
    origin = replace(make_origin(SCANS["square"]), inverted=True)
    assert Origin.from_json(origin.to_json(), origin.spec) == origin
    values = json.loads(origin.to_json())
    del values["inverted"]
    assert not Origin.from_json(json.dumps(values), origin.spec).inverted
    with pytest.raises(ValueError, match="neither true nor false"):
        Origin.from_json(json.dumps({**values, "inverted": 1}), origin.spec)
