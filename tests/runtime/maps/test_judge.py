"""Judging models: a perfect one loses nothing, a useless one is called useless, and tables hold the numbers."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict, astuple, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fake_engine import FunctionEngine, identity_pair
from jobs import watch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import gaussian_filter
from write_up2 import Header, write_up

from microrun.runtime.engines.engine import Engine
from microrun.runtime.errors import ScanError, SpecError
from microrun.runtime.maps.compared_models import check_pair
from microrun.runtime.maps.indexing import Orientations
from microrun.runtime.maps.judge import (
    QUANTILES,
    Judged,
    JudgeRequest,
    Row,
    judge_model,
    judge_original,
    load_judged,
    quantiles,
)
from microrun.runtime.maps.judge_table import PAPER, RATIOS, to_csv, to_json, to_markdown
from microrun.runtime.maps.orientations import misorientation_angles
from microrun.runtime.maps.right import Right, chance_of_right, judge_right
from microrun.runtime.patterns.bands import band_correlation, smooth
from microrun.runtime.pictures.reconstructions import draw_differences
from microrun.runtime.progress import Progress, finish
from microrun.runtime.scans.up2 import ScanWarning
from microrun.runtime.scans.up_source import FileSource
from microrun.runtime.spec import Training

if TYPE_CHECKING:
    from conftest import Indexed

ENCODER, DECODER = identity_pair(120)
SPEC = ENCODER.spec


class BlindIndexer:
    """An indexer that finds nothing."""

    def index(self, patterns: np.ndarray) -> Orientations:
        n = len(patterns)
        return Orientations(
            np.tile([1.0, 0, 0, 0], (n, 1)), np.full(n, 180.0), *np.zeros((2, n)), np.zeros(n, int), "fcc"
        )


@pytest.fixture(scope="module")
def judged(indexed: Indexed) -> Judged:
    """Thirty of the simulated patterns."""
    request = JudgeRequest(indexed.source, count=30, truth=indexed.truth.rotations.reshape(-1, 4))
    return finish(load_judged(request, SPEC, indexed.indexer))


@pytest.fixture(scope="module")
def perfect(indexed: Indexed, judged: Judged) -> tuple[Row, np.ndarray]:
    return finish(judge_model(judged, ENCODER, DECODER, indexed.indexer))


def with_function(engine: FunctionEngine, function: object) -> FunctionEngine:
    return FunctionEngine(engine.spec, function, batch=16)  # type: ignore[arg-type]


# --- what models are judged on


def test_patterns_are_evenly_spaced_and_keep_their_truth(indexed: Indexed, judged: Judged) -> None:
    chosen = np.linspace(0, 59, 30).round().astype(int)
    assert_allclose(judged.patterns, indexed.patterns[chosen], atol=1e-6)
    assert_array_equal(judged.pixel_keep, indexed.pixel_keep)
    assert_allclose(judged.orientations.rotations, indexed.orientations.rotations[chosen], atol=1e-6)
    assert judged.truth is not None
    assert_array_equal(judged.truth, indexed.truth.rotations.reshape(-1, 4)[chosen])
    assert judged.sharpness.shape == (30,)


def test_patterns_without_information_are_left_out(indexed: Indexed, tmp_path: Path) -> None:
    raw = np.fromfile(indexed.source.path, np.uint16, offset=42).reshape(60, 120, 120)[:8].copy()
    raw[3] = 5
    source = FileSource(write_up(tmp_path / "scan.up2", raw, Header(sig_shape=(120, 120), nav_shape=(2, 4))))
    truth = np.arange(32.0).reshape(8, 4)
    with pytest.warns(
        ScanWarning, match=r"scan\.up2: 1 of 8 patterns carries no information; left out of what is judged"
    ):
        seen, found = watch(load_judged(JudgeRequest(source, "none", 2000, truth), SPEC, indexed.indexer))
    assert len(found.patterns) == 7
    assert found.truth is not None
    assert_array_equal(found.truth, np.delete(truth, 3, axis=0))
    assert seen == [Progress(7, 7, "indexing originals")]


def test_a_scan_without_information_cannot_be_judged_on(indexed: Indexed, tmp_path: Path) -> None:
    header = Header(sig_shape=(120, 120), nav_shape=(1, 3))
    source = FileSource(write_up(tmp_path / "flat.up2", np.full((3, 120, 120), 7, np.uint16), header))
    with pytest.raises(ScanError, match="nothing to judge"):
        finish(load_judged(JudgeRequest(source), SPEC, indexed.indexer))


def test_a_scan_that_cannot_be_indexed_cannot_be_judged_on(indexed: Indexed) -> None:
    with pytest.raises(ScanError, match="none of 5 patterns can be indexed as fcc; check --phase, --pc and --tilt"):
        finish(load_judged(JudgeRequest(indexed.source, count=5), SPEC, BlindIndexer()))  # type: ignore[arg-type]


# --- models


def test_a_perfect_model_loses_nothing(judged: Judged, perfect: tuple[Row, np.ndarray]) -> None:
    row, reconstructed = perfect
    original = judge_original(judged)
    assert_array_equal(reconstructed, judged.patterns)
    assert (row.name, row.latent_size, row.patterns) == ("identity", 14_400, 30)
    assert row.indexed == original.indexed > 0.9
    for name in ("confidence", "quality", "sharpness"):
        assert_allclose(getattr(row, name), 1, rtol=1e-6)
    assert_allclose(row.correlation, 1, rtol=1e-6)
    assert_allclose(row.misorientation_deg, 0, atol=1e-5)
    assert row.truth_deg == pytest.approx(original.truth_deg, abs=1e-5)
    assert row.bands == pytest.approx(original.bands) and 0.3 < original.bands[1] < 1  # noise is no band
    assert row.right == original.right == Right(original.indexed, 30, "truth", chance_of_right("fcc"))


def test_bands_are_compared_with_the_smoothed_input(judged: Judged, perfect: tuple[Row, np.ndarray]) -> None:
    reference = smooth(judged.patterns, judged.pixel_keep)
    expected = np.quantile(band_correlation(judged.patterns, reference, judged.pixel_keep), QUANTILES)
    assert perfect[0].bands == pytest.approx(tuple(expected))


def test_the_error_against_the_truth_is_that_of_indexing(judged: Judged) -> None:
    row, found = judge_original(judged), judged.orientations
    assert judged.truth is not None and row.truth_deg is not None
    angles = misorientation_angles(found.rotations, judged.truth, "fcc")[found.indexed]
    assert row.truth_deg == pytest.approx(tuple(np.quantile(angles, QUANTILES)))
    assert row.truth_deg[1] < 0.5
    assert judge_original(replace(judged, truth=None)).truth_deg is None


def test_a_model_that_blurs_loses_some(indexed: Indexed, judged: Judged) -> None:
    def blur(latents: np.ndarray) -> np.ndarray:
        return gaussian_filter(latents.reshape(-1, 1, 120, 120), (0, 0, 2, 2))

    decoder = with_function(DECODER, blur)
    seen, (row, reconstructed) = watch(judge_model(judged, ENCODER, decoder, indexed.indexer))
    assert 0.5 < row.correlation[1] < 0.99
    assert row.sharpness[1] < 0.9
    assert 0 < row.misorientation_deg[1] < 3
    assert row.truth_deg is not None and row.truth_deg[1] > 0
    assert (reconstructed[:, ~judged.pixel_keep] == 0).all()
    assert seen == [Progress(30, 30, "indexing identity")]


def test_a_model_that_forgets_everything(indexed: Indexed, judged: Judged) -> None:
    decoder = with_function(DECODER, lambda latents: np.zeros((len(latents), 1, 120, 120), np.float32))
    row, _ = finish(judge_model(judged, ENCODER, decoder, indexed.indexer))
    assert row.indexed == row.right.share == 0
    assert row.correlation == row.bands == (0, 0, 0)
    assert np.isnan([*row.confidence, *row.quality, *row.sharpness, *row.misorientation_deg]).all()
    assert row.truth_deg is not None
    assert np.isnan(row.truth_deg).all()


WRONG_PAIRS: dict[str, tuple[Engine, Engine]] = {
    "two encoders": (ENCODER, ENCODER),
    "two decoders": (DECODER, DECODER),
    "the wrong way round": (DECODER, ENCODER),
    "another training": (ENCODER, FunctionEngine(replace(DECODER.spec, training=Training(seed=9)), DECODER.function)),
    "another name": (ENCODER, FunctionEngine(replace(DECODER.spec, name="other"), DECODER.function)),
    "another size": (ENCODER, FunctionEngine(replace(DECODER.spec, latent_size=9), DECODER.function)),
}


@pytest.mark.parametrize("pair", WRONG_PAIRS.values(), ids=WRONG_PAIRS)
def test_a_wrong_pair_is_refused(judged: Judged, pair: tuple[Engine, Engine]) -> None:
    with pytest.raises(SpecError, match=r"judging needs an? (en|de)coder|was not exported together") as error:
        judge_model(judged, *pair, BlindIndexer())  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    assert any(str(engine.info.path) in str(error.value) for engine in pair)


def test_a_right_pair_is_not() -> None:
    check_pair(ENCODER, DECODER)
    check_pair(ENCODER, FunctionEngine(replace(DECODER.spec, precision="f16"), DECODER.function))


def test_quantiles_of_nothing_are_not_known() -> None:
    assert quantiles(np.arange(11.0)) == (1, 5, 9)
    assert np.isnan(quantiles(np.empty(0))).all()


# --- what is right


def turned(orientations: Orientations, degrees: float) -> Orientations:
    """The same, turned about the crystals' first axis."""
    from orix.quaternion import Rotation

    turn = Rotation.from_axes_angles([1, 0, 0], np.deg2rad(degrees))
    return replace(orientations, rotations=(turn * Rotation(orientations.rotations)).data)


@pytest.mark.parametrize(("degrees", "share"), [(0, 1), (4.9, 1), (5.1, 0), (85.1, 1), (90, 1)])
def test_a_wrong_orientation_that_counts_as_indexed_is_not_right(judged: Judged, degrees: float, share: float) -> None:
    original = judged.orientations
    found = turned(original, degrees)
    assert found.indexed.mean() > 0.9
    right = judge_right(found, original, None)
    assert (right.share, right.of, right.against) == (share, original.indexed.sum(), "original")


def test_only_patterns_whose_original_is_indexed_count_without_a_truth(judged: Judged) -> None:
    original = judged.orientations
    some = replace(original, fit_deg=np.where(np.arange(30) < 12, 0.5, 90), bands=np.full(30, 6))
    found = replace(some, fit_deg=np.where(np.arange(30) % 12 < 6, 0.5, 90))
    assert judge_right(found, some, None) == Right(0.5, 12, "original", chance_of_right("fcc"))
    assert judge_right(found, some, original.rotations) == Right(0.6, 30, "truth", chance_of_right("fcc"))


@pytest.mark.parametrize(("phase", "rotations"), [("fcc", 24), ("diamond", 24), ("6/mmm", 12), ("-1", 1)])
def test_chance_is_what_random_orientations_reach(phase: str, rotations: int) -> None:
    angle = np.deg2rad(5)
    assert chance_of_right(phase) == pytest.approx(rotations * (angle - np.sin(angle)) / np.pi)
    random = np.random.default_rng(0).standard_normal((200_000, 4))
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    near = misorientation_angles(random, np.broadcast_to([1.0, 0, 0, 0], random.shape), phase) <= 5
    assert near.mean() == pytest.approx(chance_of_right(phase), abs=4 * np.sqrt(chance_of_right(phase) / len(random)))


# --- tables

NAN = float("nan")
ALL_RIGHT = Right(1.0, 27, "original", 0.00084)
ORIGINAL = Row(
    "original", 0, 30, (0.5, 0.6, 0.7), ALL_RIGHT, 0.9, *((1.0,) * 3,) * 3, (0.0,) * 3, (0.1, 0.2, 0.3), (1.0,) * 3
)
GOOD = Row(
    "vae32", 32, 30, (0.6, 0.7, 0.8), replace(ALL_RIGHT, share=0.7), 0.8, (0.5, 0.6, 0.7), (0.8, 0.9, 1.1),
    (0.1, 0.2, 0.3), (0.2, 0.4, 0.9), None, (0.5, 0.6, 0.7),
)  # fmt: skip
BAD = Row(
    "bad, one", 48, 30, (-0.1, 0.0, 0.1), replace(ALL_RIGHT, share=0.0), 0.0, *((NAN,) * 3,) * 5, (-0.1, 0.0, 0.1)
)
ROWS = [ORIGINAL, GOOD, BAD]


def test_markdown_has_one_line_a_row() -> None:
    table, _, note = to_markdown(ROWS).partition("\n\n")
    head, rule, *lines = table.splitlines()
    widths = {line.count("|") for line in table.splitlines()}
    assert len(widths) == 1
    assert set(rule) == set("|-")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [row[0] for row in cells] == ["original", "vae32", "*paper*", "bad, one"]
    assert cells[1] == [
        "vae32", "32", "0.60 / 0.70 / 0.80", "70.0%", "80.0%", "0.50 / 0.60 / 0.70", "0.80 / 0.90 / 1.10",
        "0.10 / 0.20 / 0.30", "0.20 / 0.40 / 0.90", "", "0.50 / 0.60 / 0.70",
    ]  # fmt: skip
    assert cells[3][5:10] == [""] * 5
    assert cells[2][2:8] == ["", "", "98.8%", "", f"{PAPER[32][1]:.2f}", f"{PAPER[32][2]:.2f}"]
    heads = [cell.strip() for cell in head.strip("|").split("|")]
    assert heads[2:5] == ["bands, against the smoothed input", "right", "indexed"] and heads[-1] == "correlation"
    assert note.startswith("30 patterns;")
    for part in (
        "share of 27 patterns that are indexed within 5° of what indexing finds in the original; by chance 0.08%",
        "be the orientation right or wrong", "flatters a blur",
    ):  # fmt: skip
        assert part in note
    assert "within 5° of the truth" in to_markdown([replace(ORIGINAL, right=replace(ALL_RIGHT, against="truth"))])


def test_csv_comes_back() -> None:
    found = list(csv.DictReader(io.StringIO(to_csv(ROWS))))
    assert [row["model"] for row in found] == ["original", "vae32", "bad, one"]
    for row, read in zip(ROWS, found, strict=True):
        right = (float(read["right"]), int(read["right_of"]), read["right_against"], float(read["right_chance"]))
        assert right == astuple(row.right) and read["bands_against"] == "the smoothed input"
        assert (int(read["latent_size"]), int(read["patterns"]), float(read["indexed"])) == (
            row.latent_size, row.patterns, row.indexed,
        )  # fmt: skip
        for name in ("bands", *RATIOS):
            values = [read[f"{name}_{percent}"] for percent in ("q10", "q50", "q90")]
            expected = getattr(row, name)
            assert (
                values == ["", "", ""]
                if expected is None
                else np.array_equal(np.array(values, float), expected, equal_nan=True)
            )


def test_json_comes_back_without_nan() -> None:
    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    found = json.loads(to_json(ROWS, {"scan": "a.up2", "pattern_centre": [0.5, 0.7, 0.6]}), parse_constant=refuse)
    assert (found["scan"], found["pattern_centre"]) == ("a.up2", [0.5, 0.7, 0.6])
    assert found["bands_against"] == "the smoothed input"
    for row, read in zip(ROWS, found["models"], strict=True):
        assert set(read) == {*vars(row)}
        for name, value in vars(row).items():
            expected = [None if math.isnan(x) else x for x in value] if isinstance(value, tuple) else value
            assert read[name] == (asdict(value) if name == "right" else expected)


# --- pictures


def test_the_best_the_median_and_the_worst_are_drawn() -> None:
    rng = np.random.default_rng(0)
    patterns, noise = rng.uniform(-1, 1, (2, 5, 60, 60)).astype(np.float32)
    share = np.float32([0.4, 0.0, 0.9, 0.2, 0.6])[:, None, None]
    keep = np.indices((60, 60)).sum(axis=0) > 20
    some = (1 - share) * patterns + share * noise
    blind = BlindIndexer().index(patterns)
    figure = draw_differences(Judged(patterns, keep, blind, np.ones(5), None), {"one": some, "two": noise})
    axes = np.array(figure.axes[:15]).reshape(3, 5)
    assert [bar.get_ylabel() for bar in figure.axes[15:]] == ["patterns, as prepared", "original less reconstruction"]
    assert [axis.get_title() for axis in axes[0]] == ["original", "one", "difference", "two", "difference"]
    assert [axis.get_ylabel() for axis in axes[:, 0]] == ["best", "median", "worst"]
    for row, number in zip(axes, (1, 0, 2), strict=True):
        shown = [axis.images[0].get_array() for axis in row]
        for image, expected in zip(shown, (patterns, some, patterns - some, noise, patterns - noise), strict=True):
            assert_array_equal(np.ma.getmaskarray(image), ~keep)
            assert_allclose(np.ma.getdata(image), expected[number])


@pytest.mark.parametrize("count", [1, 2])
def test_few_patterns_are_drawn(count: int) -> None:
    patterns = np.random.default_rng(0).uniform(-1, 1, (count, 6, 6)).astype(np.float32)
    judged = Judged(patterns, np.ones((6, 6), bool), BlindIndexer().index(patterns), np.ones(count), None)
    axes = draw_differences(judged, {"one": patterns}).axes[:3]
    assert [axis.get_title() for axis in axes] == ["original", "one", "difference"]
