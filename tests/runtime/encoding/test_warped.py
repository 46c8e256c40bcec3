"""A scan with another pattern centre than the model knows: warped while it is encoded, and back when it is decoded."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from encode_runs import COUNT, HEADER, EndedError, assert_same, run, stopping
from fake_engine import FunctionEngine, identity_pair
from make_latents import SCANS, make_origin
from numpy.testing import assert_array_equal
from write_up2 import make_patterns, write_up

from microrun.runtime.domain import Domain
from microrun.runtime.encoding.decode import Decoded, decode_latents
from microrun.runtime.encoding.request import EncodeRequest
from microrun.runtime.engines.open import open_engine
from microrun.runtime.errors import LatentsError, MicrorunError, ScanError, SpecError
from microrun.runtime.latents.origin import Origin
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.patterns.warp import Warp
from microrun.runtime.progress import finish
from microrun.runtime.scans.up2 import ScanWarning
from microrun.runtime.scans.up_source import FileSource

if TYPE_CHECKING:
    from microrun.runtime.array_types import Float32

DOMAIN = Domain(("nickel",), (20.0, 20.0), ((0.40, 0.44), (0.77, 0.81), (0.48, 0.52)), (0.2, 1.4))
FAR = (0.50, 0.70, 0.62)
WARP = Warp(FAR, (0.42, 0.79, 0.50))


def pair(side: int = 12) -> tuple[FunctionEngine, FunctionEngine]:
    """An encoder whose latents are the pixels and its decoder, both with a domain."""
    encoder, decoder = identity_pair(side, batch=7)
    for engine in (encoder, decoder):
        engine.spec = replace(engine.spec, domain=DOMAIN)
    return encoder, decoder


def encoder() -> FunctionEngine:
    return pair()[0]


def state(scan: Path, centre: tuple[float, float, float]) -> None:
    """Write an .ang beside a scan that states a pattern centre."""
    lines = (f"# {name}-star {value}\n" for name, value in zip("xyz", centre, strict=True))
    scan.with_suffix(".ang").write_text("".join(lines))


def decode(latents: Path, decoder: FunctionEngine, out: Path, background: bool = False) -> tuple[Float32, Decoded]:
    with open_latents(latents) as opened:
        made = finish(decode_latents(opened, decoder, out, add_background=background))
    source = FileSource(out)
    patterns = np.empty((source.scan.total, *source.scan.sig_shape), np.uint16)
    source.read_patterns(np.arange(source.scan.total), patterns)
    return patterns.astype(np.float32), made


def test_what_was_warped_is_kept_with_the_latents(scan: Path, tmp_path: Path) -> None:
    run(EncodeRequest(scan, tmp_path / "warped.h5", pattern_centre=FAR), encoder())
    run(EncodeRequest(scan, tmp_path / "plain.h5"), encoder())
    with open_latents(tmp_path / "warped.h5") as warped, open_latents(tmp_path / "plain.h5") as plain:
        assert warped.origin.warp == WARP
        assert plain.origin.warp is None
        assert (warped.latents != plain.latents).any()


def test_an_origin_comes_back_and_files_of_older_versions_have_no_warp() -> None:
    origin = replace(make_origin(SCANS["square"]), warp=WARP)
    assert Origin.from_json(origin.to_json(), origin.spec) == origin
    values = json.loads(origin.to_json())
    del values["warp"]
    assert Origin.from_json(json.dumps(values), origin.spec) == replace(origin, warp=None)
    assert "0.5, 0.7, 0.62 warped to 0.42, 0.79, 0.5 there, none here" in str(
        origin.difference(replace(origin, warp=None))
    )


DAMAGES = [
    "0.5,0.7,0.6",
    [],
    {},
    3,
    {"scan": FAR},
    {"scan": "0.5", "model": FAR},
    {"scan": FAR, "model": FAR, "more": FAR},
    *({"scan": FAR, "model": [0.4, 0.7, *rest]} for rest in ([], [None], [10**400], [-1], [math.nan])),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_warp_is_refused_in_one_line(scan: Path, tmp_path: Path, damage: object) -> None:
    import h5py

    run(EncodeRequest(scan, tmp_path / "warped.h5", pattern_centre=FAR), encoder())
    with h5py.File(tmp_path / "warped.h5", "r+") as file:
        file.attrs["origin"] = json.dumps(json.loads(file.attrs["origin"]) | {"warp": damage})
    with pytest.raises(LatentsError, match=r"warped\.h5: is damaged") as error:
        open_latents(tmp_path / "warped.h5")
    assert "\n" not in str(error.value)


def test_a_resumed_run_goes_on_as_it_began(scan: Path, tmp_path: Path) -> None:
    whole, resumed = tmp_path / "whole.h5", tmp_path / "resumed.h5"
    run(EncodeRequest(scan, whole, pattern_centre=FAR), encoder())
    with pytest.raises(EndedError):
        run(EncodeRequest(scan, resumed, pattern_centre=FAR), encoder(), stopping(after=7))
    with pytest.raises(MicrorunError, match=r"belongs to another pattern centre \(--pc\): 0\.5, 0\.7, 0\.62 warped to"):
        run(EncodeRequest(scan, resumed, pattern_centre=(0.5, 0.7, 0.6), resume=True), encoder())
    run(EncodeRequest(scan, resumed, resume=True), encoder())
    assert_same(resumed, whole)


def test_a_growing_scan_is_warped_too(scan: Path, tmp_path: Path) -> None:
    whole, followed = tmp_path / "whole.h5", tmp_path / "followed.h5"
    run(EncodeRequest(scan, whole, background="running", pattern_centre=FAR), encoder())
    run(EncodeRequest(scan, followed, follow=True, pattern_centre=FAR, idle_timeout_s=0), encoder())
    assert_same(followed, whole)


def test_a_model_that_states_no_geometry_warps_nothing(scan: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"identity\.onnx: does not state which pattern centres it knows"):
        run(EncodeRequest(scan, tmp_path / "out.h5", pattern_centre=FAR), identity_pair(12)[0])
    assert not (tmp_path / "out.h5").exists()


@pytest.mark.parametrize(
    "centre", [(0.5, 0.7), (0.5, 0.7, 0.0), (0.5, math.nan, 0.6), (240.0, 320.0, 300.0), (1.4, 0.8, 0.5)]
)
def test_a_pattern_centre_that_cannot_be_is_refused(scan: Path, tmp_path: Path, centre: tuple[float, ...]) -> None:
    with pytest.raises(ScanError, match="pattern centre") as error:
        run(EncodeRequest(scan, tmp_path / "out.h5", pattern_centre=centre), encoder())  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out.h5").exists()


def test_a_file_that_states_another_pattern_centre_is_spoken_of(scan: Path, tmp_path: Path) -> None:
    state(scan, FAR)
    with pytest.warns(ScanWarning) as said:
        run(EncodeRequest(scan, tmp_path / "out.h5"), encoder())
    (text,) = (str(one.message) for one in said if "pattern centre" in str(one.message))
    assert "pattern centre at 0.5,0.7,0.62 (scan.ang), identity knows 0.4 to 0.44, 0.77 to 0.81, 0.48 to 0.52" in text
    assert text.endswith("--pc 0.5,0.7,0.62 warps to that") and "\n" not in text
    with open_latents(tmp_path / "out.h5") as latents:
        assert latents.origin.warp is None  # unasked, nothing is


def test_nothing_is_said_where_the_model_knows_the_pattern_centre_or_it_is_warped(tmp_path: Path) -> None:
    header = replace(HEADER, sig_shape=(24, 32))
    wide = write_up(tmp_path / "wide.up2", make_patterns(COUNT, (24, 32)), header)
    state(wide, (0.44, 0.79, 0.50))  # of the square in the middle 0.42
    with warnings.catch_warnings():
        warnings.simplefilter("error", ScanWarning)
        run(EncodeRequest(wide, tmp_path / "known.h5"), encoder())
        state(wide, FAR)
        run(EncodeRequest(wide, tmp_path / "warped.h5", pattern_centre=FAR), encoder())
        run(EncodeRequest(wide, tmp_path / "unknown.h5"), identity_pair(12)[0])


@pytest.mark.parametrize("shape", [(96, 96), (96, 128), (128, 96)])
def test_decoding_warps_back_to_the_geometry_of_the_scan(tmp_path: Path, shape: tuple[int, int]) -> None:
    y, x = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    waves = np.linspace(0, 6, COUNT)[:, None, None]
    patterns = np.rint(30_000 + 9000 * np.sin(0.04 * x + waves) * np.cos(0.05 * y)).astype(np.uint16)
    scan = write_up(tmp_path / "smooth.up2", patterns, replace(HEADER, sig_shape=shape))
    encoder, decoder = pair(48)
    for name, centre in (("plain", None), ("warped", FAR)):
        request = EncodeRequest(scan, tmp_path / f"{name}.h5", background="none", pattern_centre=centre)
        run(request, encoder)
    plain, made = decode(tmp_path / "plain.h5", decoder, tmp_path / "plain.up2", background=True)
    back, warped = decode(tmp_path / "warped.h5", decoder, tmp_path / "warped.up2", background=True)
    assert made.uncovered == 0 < warped.uncovered < 0.2 * 48**2
    shown = (back > 0).all(axis=0)
    assert shown.sum() == (plain > 0).all(axis=0).sum() - warped.uncovered
    assert_array_equal(back[:, ~shown], 0)
    off = np.abs(back - plain)[:, shown]
    assert np.quantile(off, 0.9) < 500  # of 18,000; at the edge the scan's own pixels end


@pytest.mark.slow
def test_far_from_the_model_more_orientations_are_right_with_the_pattern_centre(tmp_path: Path) -> None:
    pytest.importorskip("kikuchipy")
    from microrun.runtime.maps.indexing import Geometry, Indexer
    from microrun.runtime.maps.orientations import misorientation_angles
    from microrun.runtime.scans.truth import load_truth
    from microrun.training.simulate.patterns import Exposure, PatternSimulator
    from microrun.training.simulate.sample import Recipe, random_sample
    from microrun.training.simulate.scan import simulate_scan

    scan, sample = tmp_path / "far.up2", random_sample((5, 8), 3, Recipe(blur_px=(0.8, 0.8)))
    finish(simulate_scan(scan, sample, PatternSimulator((120, 120), FAR), Exposure(electrons=9600, gain=3), seed=1))
    truth = load_truth(scan)
    assert truth is not None
    indexer, right = Indexer(Geometry(FAR), (120, 120), (120, 120)), {}
    with open_engine("vae32", "cpu") as first, open_engine("vae32.decoder", "cpu") as second:
        for name, centre in (("plain", None), ("warped", FAR)):
            with warnings.catch_warnings(action="ignore"):  # they say that it is far off
                run(EncodeRequest(scan, tmp_path / f"{name}.h5", pattern_centre=centre), first)
            patterns, _ = decode(tmp_path / f"{name}.h5", second, tmp_path / f"{name}.up2")  # type: ignore[arg-type]
            found = indexer.index(patterns)
            angles = misorientation_angles(found.rotations, truth.rotations.reshape(-1, 4), "fcc")
            right[name] = (found.indexed & (angles < 5)).mean()
    assert right["warped"] > right["plain"]
    assert right["warped"] > 0.85
