"""`microrun train diffusion` as users run it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from command_line import Microrun, check_refused, run_here

from microrun.cli.train import runs
from microrun.runtime.progress import finish
from microrun.training.diffusion import config as diffusion_config
from microrun.training.diffusion.checkpoint import load_denoiser
from microrun.training.diffusion.start import FINE_TUNING_RATE
from microrun.training.diffusion.unet_config import UnetConfig
from microrun.training.loop import speed
from microrun.training.simulate.potts import Growth
from microrun.training.simulate.volumes import write_volumes

pytestmark = pytest.mark.usefixtures("on_the_cpu")
TINY = UnetConfig(dims=3, channels=(8, 8), in_channels=7, out_channels=7, blocks=1, head_size=8, groups=4, patch=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("volumes") / "grains.h5"
    finish(write_volumes(path, Growth((32, 32, 32), 12), 0, 2))
    return path


@pytest.fixture
def train(data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Microrun:
    """`microrun train diffusion` on two small volumes, with a tiny network."""
    monkeypatch.setattr(speed, "PEAK_S", 0.0)
    monkeypatch.setattr(runs, "DRAW_S", 0)
    defaults = list(diffusion_config.DiffusionConfig.__init__.__defaults__ or ())
    defaults[defaults.index(diffusion_config.GRAIN_UNET)] = TINY
    monkeypatch.setattr(diffusion_config.DiffusionConfig.__init__, "__defaults__", tuple(defaults))
    return lambda *arguments: run_here(capsys, "train", "diffusion", data, *arguments)


@pytest.mark.usefixtures("pictures")
def test_a_run_and_going_on_with_it(train: Microrun, tmp_path: Path) -> None:
    out = tmp_path / "run"
    ran = train("--steps", 3, "--batch", 2, "--folder", out)
    assert ran.code == 0 and ran.err == "", ran
    names = {"checkpoint.safetensors", "config.json", "loss.png", "metrics.csv", "state.pt"}
    assert {path.name for path in out.iterdir()} == names
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert re.search(r"trained at [\d,]+ blocks/s, \d\.\d\d of the matmul peak", ran.said), ran
    assert f"next microrun export {out / 'checkpoint.safetensors'}" in ran.said

    before = (out / "state.pt").read_bytes()
    check_refused(train("--folder", out), out, "--resume")
    ran = train("--resume", "--folder", out)
    assert ran.code == 0 and "nothing to do: all 3 steps" in ran.said and (out / "state.pt").read_bytes() == before
    check_refused(train("--resume", "--colours", 8, "--folder", out), "n_colours 8 instead of 128")


def test_options_reach_the_spec(train: Microrun, tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = ("--steps", 1, "--batch", 1, "--prediction", "eps", "--labels", "ids", "--seed", 5)
    ran = train(*options, "--folder", out)
    assert ran.code == 0, ran
    _, spec = load_denoiser(out / "checkpoint.safetensors")
    assert spec.diffusion is not None and spec.diffusion.n_colours == 0 and spec.training.seed == 5
    assert (spec.diffusion.schedule.prediction, spec.diffusion.schedule.zero_terminal_snr) == ("eps", False)


def test_labels_choose_the_prediction(train: Microrun, tmp_path: Path) -> None:
    for labels, prediction in (("bits", "bits"), ("colours", "v")):
        out = tmp_path / labels
        assert train("--steps", 1, "--batch", 1, "--labels", labels, "--folder", out).code == 0
        schedule = json.loads((out / "config.json").read_text())["schedule"]
        assert (schedule["prediction"], schedule["zero_terminal_snr"]) == (prediction, True)


def test_hours_alone_set_the_steps(train: Microrun, tmp_path: Path) -> None:
    out = tmp_path / "run"
    ran = train("--batch", 1, "--hours", 1e-9, "--folder", out)
    assert ran.code == 0 and "1 steps fit into 1e-09 h" in ran.said, ran
    assert json.loads((out / "config.json").read_text())["steps"] == 1
    ran = train("--batch", 1, "--steps", 50, "--hours", 1e-9, "--folder", tmp_path / "other")
    assert ran.code == 0 and "stopped at step 1 of 50; go on with --resume" in ran.said, ran


def test_a_model_is_trained_further_with_known_inputs(train: Microrun, tmp_path: Path) -> None:
    plain, seeing = tmp_path / "plain", tmp_path / "seeing"
    asked = ("--steps", 1, "--batch", 1, "--folder")
    assert train(*asked, plain).code == 0
    ran = train("--from", plain, "--known-inputs", *asked, seeing)
    assert ran.code == 0 and ran.err == "", ran
    settings = json.loads((seeing / "config.json").read_text())
    assert settings["learning_rate"] == FINE_TUNING_RATE and settings["begun_from"].startswith("grains (sha256 ")
    unet, spec = load_denoiser(seeing / "checkpoint.safetensors")
    assert unet.config.known_inputs and spec.diffusion is not None and spec.diffusion.known_inputs
    ran = train("--resume", "--from", plain, "--folder", seeing)
    assert ran.code == 0 and "nothing to do" in ran.said, ran
    check_refused(train("--from", "sections", *asked, tmp_path / "none"), "is no denoiser of blocks in colours")
    check_refused(train("--from", "vae32", *asked, tmp_path / "none"), "vae32", "denoiser")


def test_a_model_is_told_how_large_grains_are(train: Microrun, data: Path, tmp_path: Path) -> None:
    out, later = tmp_path / "run", tmp_path / "later.h5"
    finish(write_volumes(later, Growth((32, 32, 32), 20), 0, 2))
    ran = train(later, "--size-input", "--steps", 1, "--batch", 1, "--folder", out)
    assert ran.code == 0 and ran.err == "", ran
    settings = json.loads((out / "config.json").read_text())
    assert settings["held_out"] == 2
    unet, spec = load_denoiser(out / "checkpoint.safetensors")
    assert unet.config.condition_size == 1 and spec.diffusion is not None
    (size,) = spec.diffusion.conditions
    assert size.name == "grain_voxels" and size.low < (spec.diffusion.grain_voxels or 0) < size.high
    ran = train(later, "--resume", "--folder", out)  # the run knows that it is told
    assert ran.code == 0 and "nothing to do" in ran.said, ran


def test_bad_input_is_refused_in_one_line(train: Microrun, tmp_path: Path) -> None:
    out = tmp_path / "run"
    check_refused(train("--prediction", "x0", "--folder", out), "prediction must be one of eps, v, bits; got 'x0'")
    check_refused(train("--hours", 0, "--folder", out), "--hours must be positive")
    check_refused(train("--steps", 0, "--folder", out), "must be positive")
    check_refused(train("--labels", "names", "--folder", out), "got 'names'")
    check_refused(train(tmp_path / "none.h5", "--folder", out), "none.h5")
    refused = train("--labels", "colours", "--prediction", "bits", "--folder", out)
    check_refused(refused, "bits are predicted of labels that are bits, not colours")
    assert not out.exists()
