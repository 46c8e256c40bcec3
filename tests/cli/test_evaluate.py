"""`microrun evaluate` as users run it."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import Microrun, check_refused, run_here
from make_models import decoder_graph, encoder_graph, save_model, tiny_spec, write_decoder, write_encoder, write_pair
from scan_files import copy_with_truth, names_in
from write_up2 import Header, write_up

from microrun.runtime.spec import Preprocessing


@pytest.fixture
def microrun(capsys: pytest.CaptureFixture[str]) -> Microrun:
    return lambda *arguments: run_here(capsys, *arguments)


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """An encoder that knows nothing, with its decoder beside it."""
    (tmp_path / "models").mkdir()
    return write_pair(tmp_path / "models")


@pytest.fixture
def random_scan(simulated_scan: Path, tmp_path: Path) -> Path:
    """A copy of the simulated scan and its truth, to be changed."""
    return copy_with_truth(simulated_scan, tmp_path)


def test_models_are_evaluated(microrun: Microrun, engine: Path, simulated_scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    options = ("--patterns", "20", "--precision", "f32", "--folder", out)
    ran = microrun("evaluate", simulated_scan, "--engine", "vae32", "--engine", engine, *options)
    assert (ran.code, ran.err) == (0, "")
    assert names_in(out) == ["random.csv", "random.differences.png", "random.json", "random.md"]
    said = "right: share of 20 patterns that are indexed within 5° of the truth; by chance 0.08%"
    for part in (
        "original",
        "vae32",
        "tiny",
        "bands",
        "medians of 20 patterns",
        said,
        f"wrote {out / 'random'}.differences.png (",
    ):
        assert part in ran.said
    found = json.loads((out / "random.json").read_text())
    assert (found["scan"], found["phase"]) == ("random.up2", "fcc")
    assert found["pattern_centre"] == [0.42, 0.79, 0.5]  # of the truth beside
    original, vae, tiny = found["models"]
    assert original["indexed"] > 0.9
    assert original["truth_deg"][1] < 0.5
    assert vae["correlation"][1] > 0.3 > abs(tiny["correlation"][1])
    assert vae["bands"][1] > 0.7 > 0.2 > abs(tiny["bands"][1])
    assert vae["right"]["share"] > 0.9 > 0.2 > tiny["right"]["share"]
    assert (vae["right"]["of"], vae["right"]["against"]) == (20, "truth")
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
    options = ("--patterns", "5", "--pc", "0.42, 0.79, 0.50", "--folder", tmp_path / "out")
    ran = microrun("evaluate", random_scan, "--engine", engine, *options, "--json")
    assert ran.code == 0
    found = json.loads((tmp_path / "out" / "random.json").read_text())
    assert json.loads(ran.out) == found
    assert [row["truth_deg"] for row in found["models"]] == [None, None]
    original = found["models"][0]
    assert original["indexed"] > 0.5
    right = {"share": 1.0, "of": round(5 * original["indexed"]), "against": "original"}
    assert {name: original["right"][name] for name in right} == right


def test_what_cannot_be_evaluated(microrun: Microrun, engine: Path, random_scan: Path, tmp_path: Path) -> None:
    alone = write_encoder(tmp_path / "alone.onnx")
    other = save_model(
        tmp_path / "small.onnx", encoder_graph(side=64), replace(tiny_spec(), preprocessing=Preprocessing((64, 64)))
    )
    mixed = write_encoder(tmp_path / "mixed.onnx")
    write_decoder(tmp_path / "mixed.decoder.onnx", latent_size=9)
    out = tmp_path / "out"
    phase = "phase 'sigma' cannot be indexed"
    for options, said in (
        (["--engine", alone], "alone.decoder.onnx: no such file"),
        (
            ["--engine", engine.with_name("tiny.decoder.onnx")],
            "is a decoder; judging needs an encoder",
        ),
        (["--engine", mixed], "was not exported together"),
        (["--engine", other], "small.decoder.onnx: no such file"),
        (["--engine", "vae33"], "vae33"),
        (["--pc", "nonsense"], "a pattern centre is written X,Y,Z"),
        (["--phase", "sigma"], phase),
        (["--phase", "sigma", "--pc", "0.4,0.7,0.5"], phase),
        (["--patterns", "0"], "--patterns"),
        (["--background", tmp_path / "none.npy"], "none.npy"),
        (["--grid", "6"], "ROWSxCOLS"),
    ):
        engines = [] if "--engine" in options else ["--engine", engine]
        check_refused(microrun("evaluate", random_scan, *engines, *options, "--folder", out), said)
        assert not any(out.glob("*"))
    check_refused(microrun("evaluate", tmp_path / "none.up2", "--folder", out), "none.up2")


def test_truth_of_another_map_is_refused(microrun: Microrun, engine: Path, random_scan: Path, tmp_path: Path) -> None:
    options = ("--engine", engine, "--grid", "10x6", "--patterns", "5", "--folder", tmp_path / "out")
    ran = microrun("evaluate", random_scan, *options)
    assert ran.code == 2
    assert "the truth beside it is of a map of (6, 10)" in ran.err.splitlines()[-1]
    random_scan.with_suffix(".truth.npz").write_bytes(b"")
    check_refused(microrun("evaluate", random_scan, "--engine", engine), "random.truth.npz", "simulate it again")


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
    ran = microrun("evaluate", scan, "--engine", engine, "--pc", "0.5,0.7,0.6", "--folder", tmp_path / "out")
    warned, refused = ran.err.splitlines()
    assert "4 of 4 patterns carry no information" in warned
    check_refused(ran._replace(err=refused), "nothing to judge")


def test_patterns_are_judged_as_they_are_warped(microrun: Microrun, engine: Path, tmp_path: Path) -> None:
    scan, out = tmp_path / "far.up2", ("--folder", tmp_path / "out")
    assert microrun("simulate", "scan", scan, "--grid", "4x5", "--pc", "0.50,0.70,0.62", "--detector", "120").code == 0
    ran = microrun("evaluate", scan, "--engine", "vae32", "--warp", "--precision", "f32", *out)
    assert ran.code == 0, ran.err
    assert "pattern centre 0.5, 0.7, 0.62 warped to 0.42, 0.79, 0.5" in ran.said
    found = json.loads((tmp_path / "out" / "far.json").read_text())
    assert (found["pattern_centre"], found["warped_to"]) == ([0.5, 0.7, 0.62], [0.42, 0.79, 0.5])
    original, vae32 = found["models"]
    assert original["indexed"] > 0.9 and original["truth_deg"][1] < 1  # the truth is found in warped patterns, too
    assert vae32["bands"][1] > 0.6 and vae32["right"]["share"] > 0.6
    check_refused(
        microrun("evaluate", scan, "--engine", engine, "--warp", *out, "--overwrite"), "tiny.onnx", "leave out --warp"
    )
