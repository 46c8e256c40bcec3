"""What judges models, and makes the data for it: `simulate`, `generate-patterns`, `evaluate`, `probe`."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Microrun, check_refused, run_here
from make_models import decoder_graph, encoder_graph, save_model, tiny_spec, write_decoder, write_encoder
from numpy.testing import assert_allclose
from write_ang import random_angles, write_ang
from write_up2 import Header, make_patterns, write_up

from microrun.cli import pattern_centre as _geometry
from microrun.cli import probe as probe_command
from microrun.cli.pattern_centre import GeometryRequest, find_geometry
from microrun.runtime.errors import ScanError
from microrun.runtime.maps.indexing import Geometry
from microrun.runtime.scans.source import Claim
from microrun.runtime.scans.truth import load_truth
from microrun.runtime.scans.up_source import FileSource
from microrun.runtime.spec import Preprocessing

ASKED = GeometryRequest(None, "fcc", 70.0)


@pytest.fixture
def microrun(capsys: pytest.CaptureFixture[str]) -> Microrun:
    return lambda *arguments: run_here(capsys, *arguments)


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """An encoder that knows nothing, with its decoder beside it."""
    (tmp_path / "models").mkdir()
    write_decoder(tmp_path / "models" / "tiny.decoder.onnx")
    return write_encoder(tmp_path / "models" / "tiny.onnx")


@pytest.fixture
def random_scan(simulated_scan: Path, tmp_path: Path) -> Path:
    """A copy of the simulated scan and its truth, to be changed."""
    for path in (simulated_scan, simulated_scan.with_suffix(".truth.npz")):
        shutil.copy(path, tmp_path / path.name)
    return tmp_path / simulated_scan.name


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def read_all(path: Path) -> np.ndarray:
    source = FileSource(path)
    patterns = np.empty((source.available, *source.scan.sig_shape), source.scan.dtype)
    source.read(Claim(np.arange(source.available)), 0, patterns)
    return patterns


# --- simulate

SMALL = ("--size", "3x4", "--grains", "2", "--detector", "60")


def test_a_scan_is_simulated(microrun: Microrun, tmp_path: Path) -> None:
    options = ("--particles", "3", "--seed", "5", "--step", "0.25", "--pc", "0.5,0.6,0.7")
    ran = microrun("simulate", "scan", tmp_path / "a.up2", *SMALL, *options)
    assert (ran.code, ran.err) == (0, "")
    assert f"wrote {tmp_path / 'a.up2'} (86.4 kB), its truth in a.truth.npz" in ran.said
    scan, truth = FileSource(tmp_path / "a.up2").scan, load_truth(tmp_path / "a.up2")
    assert (scan.nav_shape, scan.sig_shape, scan.step_um) == ((3, 4), (60, 60), (0.25, 0.25))
    assert truth is not None
    assert (truth.pattern_centre, truth.sample_tilt) == ((0.5, 0.6, 0.7), 70)
    assert (truth.phase == 1).any()
    assert names_in(tmp_path) == ["a.truth.npz", "a.up2"]


def test_the_same_seed_gives_the_same_scan(microrun: Microrun, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert microrun("simulate", "scan", tmp_path / f"{name}.up2", *SMALL, "--seed", seed).code == 0
    one, again, other = ((tmp_path / f"{name}.up2").read_bytes() for name in "abc")
    assert one == again != other


def test_noise_does_not_change_the_brightness(microrun: Microrun, tmp_path: Path) -> None:
    patterns = {}
    for noise in ("low", "high"):
        path = tmp_path / f"{noise}.up2"
        assert microrun("simulate", "scan", path, "--size", "1x1", "--detector", "60", "--noise", noise).code == 0
        patterns[noise] = read_all(path)[0].astype(float)
    assert patterns["low"].mean() == pytest.approx(patterns["high"].mean(), rel=0.01)
    roughness = {noise: np.diff(pattern, axis=1).std() for noise, pattern in patterns.items()}
    assert roughness["high"] > 1.1 * roughness["low"]


def test_a_map_of_orientations_is_simulated(microrun: Microrun, tmp_path: Path) -> None:
    angles = write_ang(tmp_path / "angles.ang", (2, 3))
    assert microrun("simulate", "scan", tmp_path / "a.up2", "--orientations", angles, "--detector", "60").code == 0
    truth = load_truth(tmp_path / "a.up2")
    assert truth is not None
    assert truth.rotations.shape == (2, 3, 4)
    a, b, c = random_angles(6).T
    assert_allclose(np.abs(truth.rotations[..., 0].ravel()), np.abs(np.cos(b / 2) * np.cos((a + c) / 2)), atol=1e-5)


def test_what_cannot_be_simulated(microrun: Microrun, tmp_path: Path) -> None:
    missing = write_ang(tmp_path / "missing.ang", (2, 3), missing=(1, 2))
    out = tmp_path / "a.up2"
    for options, said in (
        (["--size", "12"], "ROWSxCOLS"),
        (["--size", "0x3"], "ROWSxCOLS"),
        (["--orientations", missing], "2 of its points are not indexed"),
        (["--orientations", tmp_path / "none.ang"], "none.ang"),
        (["--pc", "0.5"], "a pattern centre is written X,Y,Z"),
        (["--noise", "none"], "--noise"),
        (["--detector", "30"], "--detector"),
        (["--grains", "0"], "--grains"),
        (["--seed", "-1"], "--seed"),
        (["--size", "2x2", "--step", "nan"], "steps must be finite"),
    ):
        check_refused(microrun("simulate", "scan", out, *options), said)
    for name in ("a.up1", "a.h5", "a"):
        check_refused(microrun("simulate", "scan", tmp_path / name), "a simulated scan is a .up2 file")
    check_refused(microrun("simulate", "scan", tmp_path / "no" / "a.up2", *SMALL), "cannot be written", code=1)
    assert names_in(tmp_path) == ["missing.ang"]


def test_simulate_does_not_overwrite_unasked(microrun: Microrun, tmp_path: Path) -> None:
    out = tmp_path / "a.up2"
    out.write_bytes(b"precious")
    check_refused(microrun("simulate", "scan", out, *SMALL), out, "--overwrite", code=1)
    assert out.read_bytes() == b"precious"
    assert microrun("simulate", "scan", out, *SMALL, "--overwrite").code == 0
    assert len(read_all(out)) == 12


# --- generate-patterns


def test_patterns_are_generated(microrun: Microrun, engine: Path, tmp_path: Path) -> None:
    picture, scan = tmp_path / "a.png", tmp_path / "a.up2"
    for out in (picture, scan):
        ran = microrun("generate-patterns", "--engine", engine, "--count", "5", "--seed", "3", "--out", out)
        assert (ran.code, ran.err) == (0, "")
        assert f"wrote {out}: 5 patterns of seed 3" in ran.said
    assert picture.read_bytes().startswith(b"\x89PNG")
    patterns = read_all(scan)
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
    inside = read_all(tmp_path / "a.up2")[:, 40:80, 40:80].astype(float)
    assert (inside.std(axis=(1, 2)) > 500).all()


def test_what_cannot_be_generated(microrun: Microrun, engine: Path, tmp_path: Path) -> None:
    alone = write_encoder(tmp_path / "alone.onnx")
    options = ("generate-patterns", "--engine", engine)
    check_refused(microrun(*options, "--out", tmp_path / "a.jpg"), "a.jpg", ".png or .up2")
    check_refused(microrun(*options, "--out", tmp_path / "no" / "a.up2"), "a.up2", "cannot be written", code=1)
    check_refused(microrun(*options, "--out", tmp_path / "no" / "a.png"), "a.png", "cannot be written", code=1)
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
    check_refused(microrun(*options), out, "--overwrite", code=1)
    assert out.read_bytes() == b"precious"
    assert microrun(*options, "--overwrite").code == 0
    assert len(read_all(out)) == 2


# --- evaluate


def test_models_are_evaluated(microrun: Microrun, engine: Path, simulated_scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    options = ("--patterns", "20", "--precision", "f32", "--out", out)
    ran = microrun("evaluate", simulated_scan, "--engine", "vae32", "--engine", engine, *options)
    assert (ran.code, ran.err) == (0, "")
    assert names_in(out) == ["random.csv", "random.differences.png", "random.json", "random.md"]
    for part in ("original", "vae32", "tiny", "medians of 20 patterns", f"wrote {out / 'random'}.differences.png"):
        assert part in ran.said
    found = json.loads((out / "random.json").read_text())
    assert (found["scan"], found["phase"]) == ("random.up2", "fcc")
    assert found["pattern_centre"] == [0.42, 0.79, 0.5]  # of the truth beside
    original, vae, tiny = found["models"]
    assert original["indexed"] > 0.9
    assert original["truth_deg"][1] < 0.5
    assert vae["correlation"][1] > 0.3 > abs(tiny["correlation"][1])
    rows = list(csv.DictReader((out / "random.csv").read_text().splitlines()))
    assert [(row["model"], row["latent_size"], row["patterns"]) for row in rows] == [
        ("original", "0", "20"), ("vae32", "32", "20"), ("tiny", "8", "20"),
    ]  # fmt: skip
    table = (out / "random.md").read_text()
    for name in ("original", "vae32", "tiny"):
        assert f"| {name} |" in table
    assert (out / "random.differences.png").read_bytes().startswith(b"\x89PNG")


def test_a_scan_without_truth_is_evaluated(microrun: Microrun, engine: Path, random_scan: Path, tmp_path: Path) -> None:
    random_scan.with_suffix(".truth.npz").unlink()
    options = ("--patterns", "5", "--pc", "0.42, 0.79, 0.50", "--out", tmp_path / "out")
    assert microrun("evaluate", random_scan, "--engine", engine, *options).code == 0
    found = json.loads((tmp_path / "out" / "random.json").read_text())
    assert [row["truth_deg"] for row in found["models"]] == [None, None]
    assert found["models"][0]["indexed"] > 0.5


def test_what_cannot_be_evaluated(microrun: Microrun, engine: Path, random_scan: Path, tmp_path: Path) -> None:
    alone = write_encoder(tmp_path / "alone.onnx")
    other = save_model(
        tmp_path / "small.onnx", encoder_graph(side=64), replace(tiny_spec(), preprocessing=Preprocessing((64, 64)))
    )
    mixed = write_encoder(tmp_path / "mixed.onnx")
    write_decoder(tmp_path / "mixed.decoder.onnx", latent_size=9)
    out = tmp_path / "out"
    phase = "phase 'hcp' cannot be indexed"
    for options, said in (
        (["--engine", alone], "alone.decoder.onnx: no such file"),
        (["--engine", engine.with_name("tiny.decoder.onnx")], "expected a model of kind encoder"),
        (["--engine", mixed], "was not exported together"),
        (["--engine", other], "small.decoder.onnx: no such file"),
        (["--engine", "vae33"], "vae33"),
        (["--pc", "nonsense"], "a pattern centre is written X,Y,Z"),
        (["--phase", "hcp"], phase),
        (["--phase", "hcp", "--pc", "0.4,0.7,0.5"], phase),
        (["--patterns", "0"], "--patterns"),
        (["--background", tmp_path / "none.npy"], "none.npy"),
        (["--grid", "6"], "ROWSxCOLS"),
    ):
        engines = [] if "--engine" in options else ["--engine", engine]
        check_refused(microrun("evaluate", random_scan, *engines, *options, "--out", out), said)
        assert not any(out.glob("*"))
    check_refused(microrun("evaluate", tmp_path / "none.up2", "--out", out), "none.up2")


def test_truth_of_another_map_is_refused(microrun: Microrun, engine: Path, random_scan: Path, tmp_path: Path) -> None:
    options = ("--engine", engine, "--grid", "10x6", "--patterns", "5", "--out", tmp_path / "out")
    ran = microrun("evaluate", random_scan, *options)
    assert ran.code == 2
    assert "the truth beside it is of a map of (6, 10)" in ran.err.splitlines()[-1]
    random_scan.with_suffix(".truth.npz").write_bytes(b"")
    check_refused(microrun("evaluate", random_scan, "--engine", engine), "random.truth.npz", "simulate the scan again")


def test_models_that_prepare_in_other_ways_are_not_compared(
    microrun: Microrun, engine: Path, random_scan: Path, tmp_path: Path
) -> None:
    spec = replace(tiny_spec(), preprocessing=Preprocessing(mask_radius=-1))
    save_model(tmp_path / "whole.onnx", encoder_graph(), spec)
    save_model(tmp_path / "whole.decoder.onnx", decoder_graph(), replace(spec, kind="decoder"))
    ran = microrun("evaluate", random_scan, "--engine", engine, "--engine", tmp_path / "whole.onnx")
    check_refused(ran, "whole.onnx", "prepares patterns in another way than")


def test_a_scan_of_noise_cannot_be_judged_on(microrun: Microrun, engine: Path, tmp_path: Path) -> None:
    flat = np.full((4, 120, 120), 9, np.uint16)
    scan = write_up(tmp_path / "flat.up2", flat, Header(sig_shape=(120, 120), nav_shape=(2, 2)))
    ran = microrun("evaluate", scan, "--engine", engine, "--pc", "0.5,0.7,0.6", "--out", tmp_path / "out")
    check_refused(ran, "nothing to judge")


# --- where the pattern centre comes from


def test_what_is_asked_for_comes_first(random_scan: Path) -> None:
    asked = GeometryRequest("0.1,0.2,0.3", "bcc", 60.0)
    assert find_geometry(FileSource(random_scan), "auto", asked) == Geometry((0.1, 0.2, 0.3), "bcc", 60.0)


def test_the_truth_comes_before_other_files(random_scan: Path) -> None:
    random_scan.with_suffix(".ang").write_text("# x-star 0.1\n# y-star 0.2\n# z-star 0.3\n")
    found = find_geometry(FileSource(random_scan), "auto", GeometryRequest(None, "fcc", 10.0))
    assert found == Geometry((0.42, 0.79, 0.50), "fcc", 70.0)


def test_the_companion_file_comes_before_a_fit(random_scan: Path) -> None:
    random_scan.with_suffix(".truth.npz").unlink()
    random_scan.with_suffix(".ang").write_text("# x-star 0.1\n# y-star 0.2\n# z-star 0.3\n")
    assert find_geometry(FileSource(random_scan), "auto", ASKED) == Geometry((0.1, 0.2, 0.3), "fcc", 70.0)


def test_without_any_word_the_centre_is_fitted(
    random_scan: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    random_scan.with_suffix(".truth.npz").unlink()
    fitted: list[Any] = []

    def fit(patterns: np.ndarray, start: Geometry, sig_shape: tuple[int, int]) -> tuple[float, float, float]:
        fitted.append((patterns.shape, patterns.min(), patterns.max(), start, sig_shape))
        return 0.43, 0.78, 0.51

    monkeypatch.setattr(_geometry, "fit_pattern_centre", fit)
    found = find_geometry(FileSource(random_scan), "auto", GeometryRequest(None, "fcc", 65.0))
    assert found == Geometry((0.43, 0.78, 0.51), "fcc", 65.0)
    assert fitted == [((24, 120, 120), -1, 1, Geometry(_geometry.USUAL_CENTRE, "fcc", 65.0), (120, 120))]
    assert "0.4300,0.7800,0.5100 fitted; give it as --pc next time" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "1,2", "1,2,3,4", "a,b,c", "0.5;0.7;0.6", "5,0.5,0.5", "0.5,0.5,0", "inf,0,1"])
def test_centres_that_make_no_sense(text: str) -> None:
    with pytest.raises(ScanError, match="a pattern centre is"):
        _geometry.parse_centre(text)


# --- probe


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
    ran = microrun("probe", "--engine", engine, "--engine", "vae32", "--out", out, "--seed", "3")
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
        assert microrun("probe", "--engine", engine, "--out", tmp_path / "probes", "--seed", "3").code == 0
        tables.append((tmp_path / "probes" / "probes.json").read_bytes())
        scans.append([path.stat().st_mtime_ns for path in sorted((tmp_path / "probes").glob("*.up2"))])
    assert tables[0] == tables[1]
    assert scans[0] == scans[1]
    monkeypatch.setattr(probe_command, "SCATTERED", (3, 10))
    refused = microrun("probe", "--engine", engine, "--out", tmp_path / "probes", "--seed", "3")
    check_refused(refused, "grains-low.up2", "is of another sample")


def test_what_cannot_be_probed(microrun: Microrun, engine: Path, tmp_path: Path) -> None:
    out = tmp_path / "probes"
    check_refused(
        microrun("probe", "--engine", engine.with_name("tiny.decoder.onnx"), "--out", out), "tiny.decoder.onnx"
    )
    check_refused(microrun("probe", "--engine", "vae33", "--out", out), "vae33")
    check_refused(microrun("probe", "--seed", "-1", "--out", out), "--seed")
    whole = save_model(
        tmp_path / "whole.onnx", encoder_graph(), replace(tiny_spec(), preprocessing=Preprocessing(mask_radius=-1))
    )
    check_refused(
        microrun("probe", "--engine", engine, "--engine", whole, "--out", out), "whole.onnx", "in another way"
    )
    assert not out.exists()
    scan = write_up(tmp_path / "file", make_patterns(1))
    check_refused(microrun("probe", "--engine", engine, "--out", scan / "probes"), code=1)
