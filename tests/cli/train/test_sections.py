"""`microrun train sections` as users run it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from command_line import Microrun, check_refused, run_here
from make_denoisers import TINY_SECTIONS
from make_sections import make_sections

from microrun.cli.train import runs
from microrun.runtime.sections.section_set import write_sections
from microrun.training.diffusion import unet_config
from microrun.training.diffusion.checkpoint import load_denoiser
from microrun.training.loop import speed

pytestmark = pytest.mark.usefixtures("on_the_cpu")
TINY_COLOURS = dataclasses.replace(TINY_SECTIONS, channels=(8,), in_channels=3, out_channels=3)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sections") / "sim.h5"
    write_sections(path, [make_sections(4, 3, 10), make_sections(3, 2, 8, "along")])
    return path


@pytest.fixture
def train(data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Microrun:
    """`microrun train sections` on small sections, with tiny networks."""
    monkeypatch.setattr(speed, "PEAK_S", 0.0)
    monkeypatch.setattr(runs, "DRAW_S", 0)
    for size, network in (("small", TINY_SECTIONS), ("published", TINY_COLOURS)):
        monkeypatch.setitem(unet_config.SECTION_UNETS, size, network)
    return lambda *arguments: run_here(capsys, "train", "sections", data, "--batch", 2, *arguments)


@pytest.fixture
def first(train: Microrun, tmp_path: Path) -> Path:
    """A checkpoint to begin from."""
    assert train("--steps", 1, "--power", "100:200", "--speed", "0.4:1.1", "--folder", tmp_path / "first").code == 0
    return tmp_path / "first" / "checkpoint.safetensors"


@pytest.mark.usefixtures("pictures")
def test_a_run_and_going_on_with_it(train: Microrun, tmp_path: Path) -> None:
    out = tmp_path / "run"
    ran = train("--steps", 3, "--folder", out)
    assert ran.code == 0 and ran.err == "", ran
    names = {"checkpoint.safetensors", "config.json", "loss.png", "metrics.csv", "state.pt"}
    assert {path.name for path in out.iterdir()} == names
    for part in ("trained 9 sections of 3 cases", "held out 3 sections, all of case ", "speed_m_s 0.5 to 1", "loss"):
        assert part in ran.said, ran
    assert f"next microrun export {out / 'checkpoint.safetensors'}" in ran.said
    check_refused(train("--folder", out), out, "--resume")
    ran = train("--resume", "--folder", out)
    assert ran.code == 0 and "nothing to do: all 3 steps" in ran.said
    check_refused(train("--resume", "--held-out-cases", 2, "--folder", out), "held_out 2 instead of 1")
    check_refused(train("--resume", "--network", "small", "--folder", out), "goes on with the network that it has")


def test_options_reach_the_spec(train: Microrun, tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = ("--plane", "along", "--representation", "rgb", "--network", "published", "--embedding", "fourier")
    ran = train("--steps", 1, *options, "--power", "90:210", "--seed", 5, "--patience", 9, "--folder", out)
    assert ran.code == 0, ran
    unet, spec = load_denoiser(out / "checkpoint.safetensors")
    assert spec.diffusion is not None and spec.training.seed == 5 and len(spec.diffusion.palette) == 20
    assert (spec.diffusion.plane, spec.diffusion.sample_shape) == ("along", (3, 8, 8))
    assert (spec.diffusion.conditions[0].low, spec.diffusion.conditions[0].high) == (90, 210)
    assert unet.config.channels == (8,) and unet.config.condition_embedding == "fourier"
    assert json.loads((out / "config.json").read_text())["patience"] == 9


def test_a_run_that_learns_no_more_stops_early(train: Microrun, tmp_path: Path) -> None:
    ran = train("--steps", 2000, "--patience", 1, "--learning-rate", 1e-9, "--seed", 2, "--folder", tmp_path / "run")
    assert ran.code == 0 and "the held-out loss has not become lower for long" in ran.said, ran


def test_a_model_is_fine_tuned_and_distilled(train: Microrun, first: Path, tmp_path: Path) -> None:
    out = tmp_path / "tuned"
    ran = train("--steps", 2, "--from", first, "--fine-tune", "last", "--retain", 0.2, "--folder", out)
    assert ran.code == 0 and "window power_w 100 to 200, speed_m_s 0.4 to 1.1" in ran.said, ran
    config = json.loads((out / "config.json").read_text())
    assert (config["free"], config["distil"], config["learning_rate"]) == ("last", 0.2, 2e-4)
    tuned, spec = load_denoiser(out / "checkpoint.safetensors")
    before = load_denoiser(first)[0].state_dict()
    changed = {name.split(".")[0] for name, one in tuned.state_dict().items() if not torch.equal(one, before[name])}
    assert changed == {"norm", "head", "detail"}
    assert "fine-tuned from sections (sha256 " in spec.training.data

    check_refused(train("--resume", "--folder", out), "learns from a model, which it needs again: give it with --from")
    ran = train("--resume", "--from", first, "--folder", out)
    assert ran.code == 0 and "nothing to do" in ran.said
    changed_file = tmp_path / "other.safetensors"
    assert train("--steps", 1, "--seed", 9, "--folder", tmp_path / "other").code == 0
    (tmp_path / "other" / "checkpoint.safetensors").rename(changed_file)
    check_refused(train("--resume", "--from", changed_file, "--folder", out), "started with other settings", "sha256")


def test_a_model_that_does_not_fit_is_refused(train: Microrun, first: Path, tmp_path: Path) -> None:
    start, out = ("--from", first), tmp_path / "tuned"
    check_refused(train(*start, "--plane", "along", "--folder", out), first, "not sections along the tracks")
    check_refused(train(*start, "--representation", "rgb", "--folder", out), first, "orientations as bits")
    check_refused(train(*start, "--network", "small", "--folder", out), first, "brings its own size")
    check_refused(train(*start, "--power", "100:150", "--folder", out), first, "brings its own")
    check_refused(
        train(*start, "--fine-tune", "none", "--folder", out), "all, up, last, or 1 to 2 up blocks; got 'none'"
    )
    check_refused(train("--from", "vae32", "--folder", out), "vae32: is a built-in model without a checkpoint")
    check_refused(train("--from", tmp_path / "none.safetensors", "--folder", out), "none.safetensors")
    assert not out.exists()


def test_bad_input_is_refused_in_one_line(train: Microrun, tmp_path: Path) -> None:
    out = tmp_path / "run"
    check_refused(
        train("--power", "120:180", "--folder", out), "power_w of the sections is 100 to 200, outside", "widen"
    )
    check_refused(train("--power", "200:100", "--folder", out), "--power must rise from above 0")
    check_refused(train("--speed", "0:1", "--folder", out), "--speed must rise from above 0")
    check_refused(train("--speed", "fast", "--folder", out), "--speed is a window LOW:HIGH, such as")
    check_refused(train("--held-out-cases", 4, "--folder", out), "4 cases are too few: 4 are held out")
    check_refused(train("--retain", 0.2, "--folder", out), "need a model to begin from")
    check_refused(train("--steps", 0, "--folder", out), "must be positive")
    assert not out.exists()


def test_a_file_that_holds_no_sections_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    missing = tmp_path / "none.h5"
    check_refused(run_here(capsys, "train", "sections", missing, "--folder", tmp_path / "run"), missing)
    assert not (tmp_path / "run").exists()
