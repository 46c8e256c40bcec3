"""Decoded scans: the values of an obvious twin, files that others read, and nothing half-written."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from disk import full_disk
from fake_engine import FunctionEngine, decode_linearly, linear_decoder
from make_latents import DECODER_SPEC, SCANS, SPEC, Contents, make_contents, make_origin, write_contents
from make_models import tiny_spec, write_decoder
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from oracles import circular_keep

from microrun.runtime.encoding.decode import Decoded, decode_latents, find_decoder
from microrun.runtime.engines.catalogue import MODELS
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.open import open_engine, read_model_spec
from microrun.runtime.errors import EngineError, LatentsError, OutputError, ScanError, SpecError
from microrun.runtime.latents.reader import Latents, open_latents
from microrun.runtime.progress import finish
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.source import Claim
from microrun.runtime.scans.up_source import FileSource
from microrun.runtime.spec import ModelSpec, Training

KEEP = circular_keep((4, 4), 0)
ROUNDING = 0.52  # half a count, and what float32 is off by below 65536


def decode_obviously(contents: Contents, add_background: bool) -> tuple[NDArray[np.float64], float, float]:
    """Patterns before rounding, gain and offset; one by one, in float64."""
    usable = contents.written & ~contents.flags
    low, high = min(0, contents.ranges[usable, 0].min()), max(0, contents.ranges[usable, 1].max())
    gain, offset = (1.0, 0.0) if add_background else (65535 / (high - low), -65535 * low / (high - low))
    empty = contents.background.astype(np.float64) if add_background else np.zeros((4, 4))
    patterns = []
    for number in range(len(usable)):
        pattern = empty.copy()
        if usable[number]:
            dark, bright = contents.ranges[number].astype(np.float64)
            decoded = decode_linearly(contents.latents[number : number + 1], DECODER_SPEC)[0, 0]
            pattern += np.where(KEEP, dark + (decoded + 1) / 2 * (bright - dark), 0)
        patterns.append(np.clip(gain * pattern + offset, 0, 65535))
    return np.array(patterns), float(gain), float(offset)


def read_patterns(path: Path) -> NDArray[np.uint16]:
    source = FileSource(path)
    patterns = np.empty((source.scan.total, *source.scan.sig_shape), np.uint16)
    source.read(Claim(np.arange(source.scan.total)), 0, patterns)
    return patterns


def decode(path: Path, add_background: bool = False, decoder: ModelSpec = DECODER_SPEC) -> tuple[Path, Decoded]:
    out = path.parent / "decoded.up2"
    with open_latents(path) as latents:
        return out, finish(decode_latents(latents, linear_decoder(decoder), out, add_background=add_background))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scan.latents.h5"


def write(path: Path, scan: Scan = SCANS["square"], spec: ModelSpec = SPEC) -> Contents:
    contents = make_contents(scan, spec)
    write_contents(path, make_origin(scan, spec), contents)
    return contents


def names_beside(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir())


def one_line(error: pytest.ExceptionInfo[Exception], *parts: object) -> None:
    assert "\n" not in str(error.value)
    for part in parts:
        assert str(part) in str(error.value)


# --- values


@pytest.mark.parametrize("add_background", [False, True])
@pytest.mark.parametrize("scan", SCANS.values(), ids=SCANS)
def test_patterns_are_those_of_an_obvious_twin(path: Path, scan: Scan, add_background: bool) -> None:
    contents = write(path, scan)
    expected, gain, offset = decode_obviously(contents, add_background)
    out, decoded = decode(path, add_background)
    found = read_patterns(out)
    assert np.abs(found - expected).max() <= ROUNDING
    assert (found == np.rint(expected)).mean() > 0.99
    assert (decoded.gain, decoded.offset) == pytest.approx((gain, offset))


@pytest.mark.parametrize("add_background", [False, True])
def test_patterns_that_were_not_encoded_are_blank_and_counted(path: Path, add_background: bool) -> None:
    contents = write(path)
    out, decoded = decode(path, add_background)
    blank = np.flatnonzero(contents.flags | ~contents.written)
    assert blank.tolist() == [3, 8, 9, *range(37, 42)]
    assert decoded.blank == len(blank)
    empty = np.rint(contents.background if add_background else np.full((4, 4), decoded.offset))
    for number, pattern in enumerate(read_patterns(out)):
        assert (pattern == empty).all() == (number in blank)
        assert_array_equal(pattern[~KEEP], empty[~KEEP])


def test_without_the_background_all_16_bits_are_used(path: Path) -> None:
    contents = write(path)
    stripes = np.tile(np.float32([-1, 1]), 8).reshape(1, 1, 4, 4)
    extreme = FunctionEngine(DECODER_SPEC, lambda latents: stripes.repeat(len(latents), axis=0))
    with open_latents(path) as latents:
        decoded = finish(decode_latents(latents, extreme, path.parent / "decoded.up2"))
    found = read_patterns(path.parent / "decoded.up2")
    assert (found.min(), found.max()) == (0, 65535)
    usable = contents.written & ~contents.flags
    brightest = contents.ranges[usable, 1]
    assert_array_equal(found[usable][:, KEEP].max(axis=1), np.rint(decoded.gain * brightest + decoded.offset))


def test_intensities_beyond_16_bits_are_clipped_not_wrapped(path: Path) -> None:
    contents = make_contents(SCANS["square"])
    wide = replace(contents, ranges=contents.ranges * np.float32([1000, 1000]))
    write_contents(path, make_origin(SCANS["square"]), wide)
    found = read_patterns(decode(path, add_background=True)[0])
    expected, _, _ = decode_obviously(wide, add_background=True)
    assert np.abs(found - expected).max() <= ROUNDING
    assert {0, 65535} <= set(found.ravel().tolist())


@pytest.mark.parametrize("shift", [1000, -1000])
def test_intensities_of_one_sign_are_stretched_with_zero(path: Path, shift: int) -> None:
    contents = make_contents(SCANS["square"])
    shifted = replace(contents, ranges=contents.ranges + np.float32(shift))
    write_contents(path, make_origin(SCANS["square"]), shifted)
    out, decoded = decode(path)
    expected, gain, offset = decode_obviously(shifted, add_background=False)
    assert (decoded.gain, decoded.offset) == pytest.approx((gain, offset))
    assert np.abs(read_patterns(out) - expected).max() <= ROUNDING
    assert (read_patterns(out)[3] == (0 if shift > 0 else 65535)).all()  # a blank pattern is an intensity of 0


def test_latents_in_half_precision_are_decoded(path: Path) -> None:
    contents = make_contents(SCANS["square"])
    write_contents(path, make_origin(SCANS["square"], dtype="float16"), contents)
    halved = replace(contents, latents=contents.latents.astype(np.float16))
    found = read_patterns(decode(path)[0])
    assert np.abs(found - decode_obviously(halved, add_background=False)[0]).max() <= ROUNDING


@pytest.mark.parametrize("add_background", [False, True])
def test_results_do_not_depend_on_the_lanes(path: Path, tmp_path: Path, add_background: bool) -> None:
    spec = tiny_spec("encoder")
    scan = Scan((3, 7), (120, 120))
    write_contents(path, make_origin(scan, spec), make_contents(scan, spec))
    model = write_decoder(tmp_path / "tiny.decoder.onnx")
    files = []
    for lanes in (1, 2, 5):
        out = tmp_path / f"{lanes}.up2"
        with open_latents(path) as latents, open_engine(model, "cpu", EngineRequest("f32", lanes, 2)) as engine:
            finish(decode_latents(latents, engine, out, add_background=add_background))
        files.append(out.read_bytes())
    assert len(set(files)) == 1
    assert len(np.unique(read_patterns(out))) > 1000


def test_progress_is_reported_up_to_the_end(path: Path) -> None:
    write(path)
    with open_latents(path) as latents:
        seen = list(decode_latents(latents, linear_decoder(DECODER_SPEC), path.parent / "decoded.up2"))
    assert [now.done for now in seen] == sorted({now.done for now in seen})
    assert (seen[-1].done, seen[-1].total) == (42, 42)
    assert seen[-1].rate > 0


# --- files that others read


@pytest.mark.parametrize("scan", SCANS.values(), ids=SCANS)
def test_the_file_states_the_same_grid(path: Path, scan: Scan) -> None:
    write(path, scan)
    out, decoded = decode(path)
    expected = replace(scan, sig_shape=(4, 4), dtype="uint16")
    assert decoded.scan == expected
    assert FileSource(out).scan == expected
    assert names_beside(path) == ["decoded.up2", "scan.latents.h5"]


@pytest.mark.parametrize("scan", SCANS.values(), ids=SCANS)
def test_kikuchipy_opens_the_file(path: Path, scan: Scan) -> None:
    kikuchipy = pytest.importorskip("kikuchipy")
    write(path, scan)
    out, _ = decode(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of hexagonal grids, which it reads as a row
        signal = kikuchipy.load(out)
    shape = scan.nav_shape if scan.grid == "square" else (scan.total,)
    assert signal.data.shape == (*shape, 4, 4)
    assert_array_equal(signal.data.reshape(-1, 4, 4), read_patterns(out))
    if scan.grid == "square":
        assert [axis.scale for axis in signal.axes_manager.navigation_axes] == [0.5, 0.25]


@pytest.mark.parametrize("scan", SCANS.values(), ids=SCANS)
def test_pyebsdindex_opens_the_file(path: Path, scan: Scan) -> None:
    ebsd_pattern = pytest.importorskip("pyebsdindex.ebsd_pattern")
    write(path, scan)
    out, _ = decode(path)
    file = ebsd_pattern.get_pattern_file_obj(str(out))
    assert (file.nRows, file.nCols, file.patternH, file.patternW) == (*scan.nav_shape, 4, 4)
    assert (file.xStep, file.yStep) == scan.step_um
    assert (file.hexflag, file.extraPatterns) == (
        scan.grid == "hexagonal",
        scan.grid == "hexagonal" and not scan.alternating,
    )
    patterns, _ = file.pat_reader(0, scan.total)
    assert_array_equal(patterns, read_patterns(out))


# --- files that grow


def test_a_file_that_grows_is_decoded_as_it_was_at_the_start(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = make_contents(SCANS["square"])
    contents = replace(contents, written=np.ones(42, bool))
    write_contents(path, make_origin(SCANS["square"]), contents)
    read, there = Latents.read, [10]

    def read_while_it_grows(latents: Latents, name: str, piece: object = ()) -> NDArray[np.generic]:
        """Show ten patterns at first, and one more after every look."""
        values = read(latents, name)
        if name != "background":
            missing = np.arange(42).reshape(6, 7) >= there[0]
            values[missing] = 0 if name in ("written", "flags") else np.nan
        there[0] += 1
        return values[piece]

    monkeypatch.setattr(Latents, "read", read_while_it_grows)
    out, decoded = decode(path)
    early = replace(contents, written=np.arange(42) < 10)
    expected, gain, _ = decode_obviously(early, add_background=False)
    assert there[0] > 20
    assert (decoded.blank, decoded.gain) == (33, pytest.approx(gain))
    assert np.abs(read_patterns(out) - expected).max() <= ROUNDING


# --- what is refused


OTHERS = {
    "an encoder": replace(DECODER_SPEC, kind="encoder"),
    "another size": replace(DECODER_SPEC, latent_size=6),
    "another name": replace(DECODER_SPEC, name="other"),
    "another training": replace(DECODER_SPEC, training=Training(seed=1)),
    "another mask": replace(DECODER_SPEC, preprocessing=replace(SPEC.preprocessing, mask_radius=-1)),
}


@pytest.mark.parametrize("spec", OTHERS.values(), ids=OTHERS)
def test_a_decoder_of_another_encoder_is_refused(path: Path, spec: ModelSpec) -> None:
    write(path)
    with pytest.raises(SpecError) as error:
        decode(path, decoder=spec)
    one_line(error, spec.name, "decoder")
    assert names_beside(path) == ["scan.latents.h5"]


def test_the_precision_of_the_weights_may_differ(path: Path) -> None:
    write(path)
    assert decode(path, decoder=replace(DECODER_SPEC, precision="f16", parity_error=1e-3))[0].exists()


@pytest.mark.parametrize("ranges", [(np.nan, np.nan), (0, np.inf), (7, 7), (7, -7)])
def test_patterns_without_their_ranges_are_refused(path: Path, ranges: tuple[float, float]) -> None:
    contents = make_contents(SCANS["square"])
    contents.ranges[20] = ranges
    write_contents(path, make_origin(SCANS["square"]), contents)
    with pytest.raises(LatentsError, match="encode the scan again") as error:
        decode(path)
    one_line(error, path)
    assert names_beside(path) == ["scan.latents.h5"]


def test_ranges_of_patterns_that_are_blank_do_not_matter(path: Path) -> None:
    contents = make_contents(SCANS["square"])
    contents.ranges[3] = np.nan
    write_contents(path, make_origin(SCANS["square"]), contents)
    assert decode(path)[1].blank == 8


@pytest.mark.parametrize("change", ["nothing written", "all flagged"])
def test_nothing_to_decode(path: Path, change: str) -> None:
    contents = make_contents(SCANS["square"])
    nothing = np.zeros(42, bool)
    contents = replace(contents, written=nothing) if change == "nothing written" else replace(contents, flags=~nothing)
    write_contents(path, make_origin(SCANS["square"]), contents)
    with pytest.raises(LatentsError, match="holds no latents to decode") as error:
        decode(path)
    one_line(error, path)


# --- what cannot be written


@pytest.mark.parametrize("free_bytes", [20, 500])
def test_a_full_disk_leaves_nothing(path: Path, free_bytes: int) -> None:
    write(path)
    with full_disk(free_bytes), pytest.raises(OutputError, match="cannot be written") as error:
        decode(path)
    one_line(error, "decoded.up2")
    assert names_beside(path) == ["scan.latents.h5"]


def test_a_file_that_was_there_stays_when_decoding_fails(path: Path) -> None:
    write(path)
    out, _ = decode(path)
    before = out.read_bytes()
    with full_disk(500), pytest.raises(OutputError):
        decode(path)
    assert out.read_bytes() == before
    assert names_beside(path) == ["decoded.up2", "scan.latents.h5"]


def test_an_error_of_the_engine_leaves_nothing(path: Path) -> None:
    write(path)
    engine = linear_decoder(DECODER_SPEC)

    def fail(latents: np.ndarray) -> np.ndarray:
        raise EngineError("the card is gone")

    engine.function = fail
    with open_latents(path) as latents, pytest.raises(EngineError, match="the card is gone"):
        finish(decode_latents(latents, engine, path.parent / "decoded.up2"))
    assert names_beside(path) == ["scan.latents.h5"]


@pytest.mark.parametrize("place", ["missing/a.up2", "scan.latents.h5/a.up2", "folder.up2"])
def test_a_place_where_nothing_can_be_written(path: Path, place: str) -> None:
    write(path)
    (path.parent / "folder.up2").mkdir()
    with open_latents(path) as latents, pytest.raises(OutputError, match="cannot be written") as error:
        finish(decode_latents(latents, linear_decoder(DECODER_SPEC), path.parent / place))
    one_line(error)
    assert names_beside(path) == ["folder.up2", "scan.latents.h5"]


@pytest.mark.parametrize("name", ["a.h5", "a.up1", "a"])
def test_names_of_other_files_are_refused(path: Path, name: str) -> None:
    write(path)
    with open_latents(path) as latents, pytest.raises(ScanError, match=r"\.up2") as error:
        finish(decode_latents(latents, linear_decoder(DECODER_SPEC), path.parent / name))
    one_line(error, name)
    assert names_beside(path) == ["scan.latents.h5"]


# --- built-in decoders


def write_built_in(path: Path, spec: ModelSpec) -> Latents:
    scan = Scan((1, 2), (120, 120))
    write_contents(path, make_origin(scan, spec), replace(make_contents(scan, spec), written=np.ones(2, bool)))
    return open_latents(path)


def test_the_decoder_of_a_built_in_encoder_is_found(path: Path) -> None:
    with write_built_in(path, read_model_spec(MODELS / "vae32.onnx")) as latents:
        assert find_decoder(latents) == MODELS / "vae32.decoder.onnx"


@pytest.mark.parametrize(
    "change", [{"name": "mine"}, {"training": Training(data="mine")}, {"latent_size": 16, "known": None}]
)
def test_other_encoders_have_no_built_in_decoder(path: Path, change: dict[str, object]) -> None:
    spec = replace(read_model_spec(MODELS / "vae32.onnx"), **change)
    with write_built_in(path, spec) as latents, pytest.raises(EngineError, match="give --engine") as error:
        find_decoder(latents)
    one_line(error, path, spec.name)
