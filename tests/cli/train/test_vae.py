"""`microrun train vae` as users run it."""

from __future__ import annotations

import inspect
import json
import re
import signal
import time
from pathlib import Path
from typing import get_args

import pytest
from command_line import Microrun, check_refused, finish, run_here, start
from training_runs import torchrun, write_bands

from microrun.cli.train import vae as command
from microrun.runtime.scans.up_source import FileSource
from microrun.training.loop import speed
from microrun.training.loop.checkpoint import read_checkpoint_spec
from microrun.training.vae.config import VaeConfig
from microrun.training.vae.trainer import training_flops

pytestmark = pytest.mark.usefixtures("on_the_cpu")
SMALL = ("--latent", 16, "--batch", 8, "--epochs", 2, "--seed", 3)
RESULTS = {"checkpoint.safetensors", "config.json", "loss.png", "metrics.csv", "prepared.json", "prepared.npy",
           "reconstructions.png", "state.pt"}  # fmt: skip


@pytest.fixture(autouse=True)
def quick_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "PEAK_S", 0.0)


@pytest.fixture
def microrun(capsys: pytest.CaptureFixture[str]) -> Microrun:
    return lambda *arguments: run_here(capsys, *arguments)


@pytest.fixture
def train(microrun: Microrun, banded_scans: list[FileSource]) -> Microrun:
    """`microrun train vae` on the two scans."""
    return lambda *arguments: microrun("train", "vae", *[scan.path for scan in banded_scans], *arguments)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.usefixtures("pictures")
def test_a_run_and_going_on_with_it(train: Microrun, tmp_path: Path) -> None:
    out = tmp_path / "run"
    ran = train(*SMALL, "--folder", out)
    assert ran.code == 0 and ran.err == "", ran
    assert files(out) == RESULTS
    for name in ("loss.png", "reconstructions.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    assert re.search(r"trained at [\d,.]+ patterns/s, \d\.\d\d of the matmul peak \([\d,]+ GFLOP/s in", ran.said), ran
    assert f"{training_flops(16) / 1e6:.0f} MFLOP/pattern" in ran.said
    assert f"next microrun export {out / 'checkpoint.safetensors'}" in ran.said
    assert read_checkpoint_spec(out / "checkpoint.safetensors").preprocessing.scale_background

    before = (out / "state.pt").read_bytes()
    check_refused(train(*SMALL, "--folder", out), out, "--resume")
    check_refused(train("--resume", "--beta", 15, "--folder", out), "beta 15.0 instead of 1.0")
    again = train("--resume", "--folder", out)  # with the settings of the run
    assert again.code == 0 and "nothing to do: all 10 steps" in again.said and "held out" not in again.out, again
    assert (out / "state.pt").read_bytes() == before


def test_resuming_on_other_scans_is_refused_before_anything_is_prepared(
    train: Microrun, microrun: Microrun, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert train(*SMALL, "--folder", out).code == 0
    prepared = (out / "prepared.json").read_bytes()
    other = write_bands(tmp_path / "other.up2", (4, 8), seed=5)
    check_refused(microrun("train", "vae", other, "--resume", "--folder", out), out, "other data", "another --folder")
    assert (out / "prepared.json").read_bytes() == prepared


def test_contrastive_training_and_fine_tuning(train: Microrun, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    ran = train(*SMALL, "--contrastive", "--beta", 15, "--folder", first)
    assert ran.code == 0 and "NT-Xent" in ran.said, ran
    checkpoint = first / "checkpoint.safetensors"
    check_refused(
        train("--from", checkpoint, "--latent", 64, "--folder", second), checkpoint, "latent size 16", "32 to widen"
    )
    check_refused(train("--from", tmp_path / "none", "--folder", second), tmp_path / "none")
    assert not second.exists()
    ran = train("--from", checkpoint, "--batch", 8, "--epochs", 1, "--folder", second)
    assert ran.code == 0, ran
    spec = read_checkpoint_spec(second / "checkpoint.safetensors")
    assert spec.latent_size == 16 and spec.training.data.startswith("0.up2, 1.up2; fine-tuned from vae16 (sha256 ")
    wider = train("--from", checkpoint, "--latent", 32, "--batch", 8, "--epochs", 1, "--folder", tmp_path / "wide")
    assert wider.code == 0, wider
    assert read_checkpoint_spec(tmp_path / "wide" / "checkpoint.safetensors").latent_size == 32
    config = VaeConfig.load(second / "config.json")
    assert config.kl_warmup == 0 and config.beta == 1 and config.contrastive is None
    assert train("--resume", "--folder", second).code == 0  # needs the checkpoint no more


def test_hours_alone_set_the_epochs(train: Microrun, tmp_path: Path) -> None:
    out, batches = tmp_path / "run", 5
    ran = train("--latent", 16, "--batch", 8, "--hours", 1e-9, "--folder", out)
    assert ran.code == 0 and f"{1 / batches} epochs fit into 1e-09 h" in ran.said, ran
    assert json.loads((out / "config.json").read_text())["epochs"] == 1 / batches
    assert read_checkpoint_spec(out / "checkpoint.safetensors").training.steps == 1
    ran = train("--hours", 0.5, "--resume", "--folder", out)
    assert ran.code == 0 and "fit into" not in ran.said, ran
    ran = train(*SMALL, "--hours", 1e-9, "--folder", tmp_path / "other")
    assert ran.code == 0 and "stopped at step 1 of 10; go on with --resume" in ran.said and "fit into" not in ran.said
    check_refused(train("--hours", 0, "--folder", tmp_path / "third"), "--hours", "positive")
    check_refused(train("--resume", "--folder", tmp_path / "third"), tmp_path / "third", "contains no run")
    assert not (tmp_path / "third").exists()


def test_what_stops_a_run_is_one_line(train: Microrun, tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    check_refused(train("--batch", 99, "--folder", out), "46 patterns", "batch of 99", "--batch")
    check_refused(train("--batch", -1, "--folder", out), "batch")
    full = Path("/dev/full")
    if full.exists():
        (out / ".part-state.pt").symlink_to(full)
        check_refused(train(*SMALL, "--folder", out), out / "state.pt", "No space left", "Make room", code=1)
    assert train(*SMALL, "--folder", out).code == 0
    (out / "state.pt").write_bytes(b"nonsense")
    check_refused(train("--resume", "--folder", out), out / "state.pt", "damaged", "another --folder")
    (out / "config.json").write_text("{")
    check_refused(train("--resume", "--folder", out), out / "config.json")


def test_ctrl_c_is_one_line_and_the_run_goes_on(
    banded_scans: list[FileSource], train: Microrun, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    arguments = ("train", "vae", *[scan.path for scan in banded_scans], *SMALL, "--epochs", 200, "--folder", out)
    process = start(*arguments, setup="import torch; torch.set_num_threads(1)")
    until = time.monotonic() + 100
    while not (out / "metrics.csv").exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    check_refused(finish(process), "interrupted; go on with --resume", code=130)
    assert not list(out.glob("run.lock"))
    ran = train("--resume", "--hours", 1e-9, "--folder", out)
    assert ran.code == 0 and "of 1,000; go on with --resume" in ran.said, ran


def test_another_run_in_the_folder_is_noticed(train: Microrun, tmp_path: Path) -> None:
    from microrun.runtime.files.lock import FileLock

    with FileLock(tmp_path / "run"):
        check_refused(train(*SMALL, "--folder", tmp_path), tmp_path, "another run")


def test_torchrun_trains_with_two_processes(banded_scans: list[FileSource], tmp_path: Path) -> None:
    out = tmp_path / "run"
    paths = [scan.path for scan in banded_scans]
    ran = torchrun("-m", "microrun.cli.main", "train", "vae", *paths, *SMALL, "--contrastive", "--folder", out)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("trained at") == 1 and ran.stdout.count("step     10") == 1
    assert files(out) == RESULTS


def test_the_defaults_that_are_shown_are_those_of_the_settings() -> None:
    shown = {}
    for name, parameter in inspect.signature(command.vae, eval_str=True).parameters.items():
        shown[name] = get_args(parameter.annotation)[1].show_default
    names = {"latent": "latent_size", "batch": "batch", "epochs": "epochs", "learning_rate": "learning_rate",
             "beta": "beta", "patterns_per_scan": "patterns_per_scan", "seed": "seed"}  # fmt: skip
    for option, setting in names.items():
        assert float(re.split(", ", shown[option])[0]) == getattr(VaeConfig(), setting)
