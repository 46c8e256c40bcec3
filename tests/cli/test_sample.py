"""`microrun sample` as users run it."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Microrun, Ran, check_refused, run_here
from make_denoisers import write_denoiser, write_section_denoiser
from numpy.testing import assert_array_equal

from microrun.cli.sample import parse_values
from microrun.runtime.errors import MicrorunError
from microrun.runtime.sections.section_set import read_sections


@pytest.fixture
def sample(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Microrun:
    """`microrun sample` with a tiny model, on the CPU, in four steps unless in all."""
    model = write_section_denoiser(tmp_path / "tiny.onnx")
    given = ("--engine", model, "--device", "cpu", "--precision", "f32")

    def run(*arguments: object) -> Ran:
        few = () if {"--timesteps", "--ddpm"} & set(arguments) else ("--timesteps", 4)
        return run_here(capsys, "sample", *given, *few, *arguments)

    return run


def test_sections_are_drawn_with_a_picture(sample: Microrun, tmp_path: Path) -> None:
    out = tmp_path / "sections.h5"
    asked = ("--power", 150, "--speed", 0.9, "--count", 3)
    ran = sample(*asked, "--out", out)
    assert ran.code == 0 and ran.err == "", ran
    assert "drew 3 sections, 3 of each of 1 conditions" in ran.said and "near no orientation" in ran.said
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    first = read_sections(out)
    assert first.origin == "sample" and first.power_w.tolist() == [150] * 3
    check_refused(sample(*asked, "--out", out), out, "exists; replace it with --overwrite")
    assert sample(*asked, "--batch", 2, "--overwrite", "--out", out).code == 0
    assert_array_equal(read_sections(out).orientation, first.orientation)
    assert sample(*asked, "--ddpm", "--seed", 3, "--overwrite", "--out", out).code == 0
    drawn = read_sections(out)
    assert (drawn.details["steps"], drawn.details["eta"], drawn.details["seed"]) == ("24", "1", "3")
    assert sample(*asked, "--ddim", "--smoothing", 0, "--overwrite", "--out", out).code == 0
    drawn = read_sections(out)
    assert (drawn.details["eta"], drawn.details["smoothing"], float(drawn.details["smoothed_cells"])) == ("0", "0", 0)


def test_ranges_make_a_process_map(sample: Microrun, tmp_path: Path) -> None:
    ran = sample("--power", "120:180:20", "--speed", "0.5:0.9:0.2", "--count", 1, "--out", tmp_path / "map.h5")
    assert ran.code == 0 and "12 sections, 1 of each of 12 conditions" in ran.said, ran
    drawn = read_sections(tmp_path / "map.h5")
    pairs = list(zip(drawn.power_w.tolist(), drawn.speed_m_s.tolist(), strict=True))
    assert pairs == [(w, v) for w in (120, 140, 160, 180) for v in (0.5, 0.7, 0.9)]


def test_bad_input_is_refused_in_one_line(sample: Microrun, tmp_path: Path) -> None:
    out = tmp_path / "sections.h5"
    speed = ("--speed", 0.9, "--out", out)
    check_refused(sample("--power", 250, *speed), "power_w 250 lies outside the window", "100 to 200", "--extrapolate")
    check_refused(sample("--power", 0, *speed), "power_w must be more than 0")
    check_refused(sample("--power", "much", *speed), "--power is a number, several with commas, or LOW:HIGH:STEP")
    check_refused(sample("--power", "120:180:25", *speed), "steps of 25 from 120 do not end at 180")
    check_refused(sample("--power", "100:200:0.1", *speed), "--power: 1001 values are more than 400")
    check_refused(sample("--power", "100:200:4", "--speed", "0.5:1:0.02", "--out", out), "are more than 400 pairs")
    check_refused(sample("--power", "150,150", *speed), "--power: 150 is there twice")
    check_refused(
        sample("--power", "100,200", "--count", 50_001, *speed), "50001 sections of each of 2 conditions",
        "more than 100,000", "a smaller --count, 50,000 at most",
    )  # fmt: skip
    check_refused(sample("--power", 150, "--ddpm", "--timesteps", 4, *speed), "--ddpm visits all timesteps")
    check_refused(sample("--power", 150, "--ddpm", "--ddim", *speed), "--ddpm visits all timesteps")
    check_refused(sample("--power", 150, "--smoothing", 101, *speed), "smoothed 0 to 100 times")
    check_refused(sample("--power", 150, "--timesteps", 99, *speed), "24")
    grains = write_denoiser(tmp_path / "grains.onnx")
    check_refused(sample("--power", 150, "--engine", grains, *speed), grains, "draws no sections")
    assert not out.exists() and not out.with_suffix(".png").exists()
    assert sample("--power", 250, "--extrapolate", "--count", 1, *speed).code == 0


@pytest.mark.parametrize("name", ["sections.png", "sections.npy", "sections"])
def test_sections_are_written_as_hdf5_alone(sample: Microrun, tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    ran = sample("--power", 150, "--speed", 0.9, "--count", 1, "--overwrite", "--out", out)
    check_refused(ran, out, "expected a name that ends in .h5")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.onnx"]


def test_a_picture_is_not_replaced_unasked_and_no_model_is_opened_for_it(sample: Microrun, tmp_path: Path) -> None:
    picture = tmp_path / "sections.png"
    picture.write_bytes(b"mine")
    asked = ("--power", 150, "--speed", 0.9, "--count", 1, "--out", tmp_path / "sections.h5")
    check_refused(sample(*asked, "--engine", tmp_path / "none.onnx"), picture, "exists; replace it with")
    assert picture.read_bytes() == b"mine" and not (tmp_path / "sections.h5").exists()
    assert sample(*asked, "--overwrite").code == 0 and picture.read_bytes() != b"mine"


def test_sections_do_not_grow_volumes(sample: Microrun, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    ran = run_here(capsys, "generate", "--engine", tmp_path / "tiny.onnx", "--out", tmp_path / "v.npy", "--size", 32)
    check_refused(ran, "volumes grow from blocks", "this denoiser draws sections")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("150", [150]),
        ("100,150.5,200", [100, 150.5, 200]),
        ("120:180:20", [120, 140, 160, 180]),
        ("0.5:0.9:0.2", [0.5, 0.7, 0.9]),
        ("0.5:0.5:0.1", [0.5]),
    ],
)
def test_values_are_read(text: str, values: list[float]) -> None:
    assert parse_values("--power", text) == values


@pytest.mark.parametrize(
    "text",
    [
        "", "a", "1:2", "1:2:0", "2:1:1", "1:2:-1", "1:inf:1", "-inf:2:1", "1:2:inf", "nan:2:1", "1:2:3", "1:2:3:4",
        "100:200:1e-9", "100:200:1e-320", "-1e308:1e308:1", "1,1.0", "0.5:0.5000000002:1e-10",
        ",".join(map(str, range(401))),
    ],
)  # fmt: skip
def test_what_is_no_value_is_refused(text: str) -> None:
    with pytest.raises(MicrorunError, match="--power") as error:
        parse_values("--power", text)
    assert len(str(error.value)) < 200


def test_as_many_values_as_there_may_be() -> None:
    assert len(parse_values("--power", "1:400:1")) == 400
    assert len(parse_values("--power", ",".join(map(str, range(400))))) == 400
