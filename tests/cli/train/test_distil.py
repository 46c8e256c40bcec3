"""`microrun train vae --distil`, and scans mixed with simulations, as users run them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Microrun, check_refused

from microrun.runtime.scans.up_source import FileSource
from microrun.training.loop import speed
from microrun.training.loop.checkpoint import read_checkpoint_spec
from microrun.training.simulate.camera.stream import PatternStream
from microrun.training.vae import twins

pytestmark = pytest.mark.usefixtures("on_the_cpu")
NICKEL = ("--phase", "nickel", "--kv", 20, "--pc", "0.5,0.7,0.6")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "PEAK_S", 0.0)
    monkeypatch.setattr(twins, "TESTED", 16)
    monkeypatch.setattr(PatternStream.__init__, "__defaults__", (0,))  # no processes: each takes seconds to start
    monkeypatch.delenv("MICRORUN_MASTERS", raising=False)


@pytest.mark.usefixtures("pictures")
def test_an_encoder_is_taught_on_simulations(microrun: Microrun, tmp_path: Path) -> None:
    out = tmp_path / "run"
    taught = ("train", "vae", "--distil", "vae32", "--batch", 8, "--folder", out)
    ran = microrun(*taught, *NICKEL, "--hours", 1e-9)
    assert ran.code == 0 and "simulates nickel (20 kV)" in ran.said and "1 steps fit into 1e-09 h" in ran.said, ran
    assert "latents differ by" in ran.said and f"next microrun export {out / 'checkpoint.safetensors'}" in ran.said
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG")
    spec = read_checkpoint_spec(out / "checkpoint.safetensors")
    assert spec.name == "vae32" and "latents taught by vae32 (sha256 " in spec.training.data
    assert spec.domain is not None and spec.domain.phases == ("nickel",)
    again = microrun(*taught, "--resume")  # with the settings of the run
    assert again.code == 0 and "nothing to do" in again.said, again
    check_refused(microrun(*taught, "--resume", "--pc", "0.5,0.7,0.6"), "matched")
    check_refused(microrun(*taught, *NICKEL), out, "--resume")


def test_an_encoder_is_taught_on_scans(microrun: Microrun, banded_scans: list[FileSource], tmp_path: Path) -> None:
    scans = [scan.path for scan in banded_scans]
    out = tmp_path / "run"
    ran = microrun("train", "vae", *scans, "--distil", "vae32", "--batch", 8, "--hours", 1e-9, "--folder", out)
    assert ran.code == 0, ran
    spec = read_checkpoint_spec(out / "checkpoint.safetensors")
    assert spec.training.data.startswith("patterns of 0.up2, 1.up2; ")
    both = microrun("train", "vae", *scans, "--distil", "vae32", *NICKEL, "--folder", tmp_path / "both")
    check_refused(both, "scans", "simulations")


def test_a_scan_is_mixed_with_simulations_like_it(
    microrun: Microrun, banded_scans: list[FileSource], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    scans = [scan.path for scan in banded_scans]
    tuned = ("train", "vae", *scans, "--from", "vae32", "--batch", 8, "--folder", out)
    ran = microrun(*tuned, *NICKEL, "--hours", 1e-9)
    assert ran.code == 0, ran
    spec = read_checkpoint_spec(out / "checkpoint.safetensors")
    said = "0.up2, 1.up2, mixed with simulated patterns of nickel (20 kV); fine-tuned from vae32"
    assert spec.training.data.startswith(said)
    assert spec.domain is not None and spec.domain.phases == ("nickel",)
    kept = json.loads((out / "config.json").read_text())["matched"]
    assert kept == {"phases": ["nickel"], "energies_kev": [20.0], "pattern_centre": [0.5, 0.7, 0.6]}
    again = microrun("train", "vae", *scans, "--resume", "--folder", out)
    assert again.code == 0 and "nothing to do" in again.said, again


def test_phases_that_the_decoder_cannot_draw_are_warned_of(microrun: Microrun, tmp_path: Path) -> None:
    taught = ("train", "vae", "--distil", "vae32", "--batch", 8, "--hours", 1e-9, "--folder", tmp_path / "run")
    ran = microrun(*taught, "--phase", "nickel", "--phase", "tungsten")
    assert ran.code == 0 and "cannot draw tungsten" in ran.err and "--phase" in ran.err, ran
    spec = read_checkpoint_spec(tmp_path / "run" / "checkpoint.safetensors")
    assert spec.domain is not None and spec.domain.phases == ("nickel",)


@pytest.mark.usefixtures("pictures")
def test_another_crystal_is_given_the_latents_of_the_known_one(microrun: Microrun, tmp_path: Path) -> None:
    out = tmp_path / "run"
    taught = ("train", "vae", "--distil", "vae32", "--batch", 8, "--folder", out)
    asked = ("--phase", "tungsten", "--pc", "0.5,0.7,0.6")
    refused = microrun(*taught, *asked, "--student", "fast")
    assert refused.code == 2 and "vae32 does not know tungsten: teach it without --student first" in refused.err
    ran = microrun(*taught, *asked, "--hours", 1e-9)
    assert ran.code == 0 and "learns to draw tungsten, with the latents that vae32 gives nickel" in ran.said, ran
    assert "bands' R²" in ran.said and (out / "loss.png").read_bytes().startswith(b"\x89PNG")
    spec = read_checkpoint_spec(out / "checkpoint.safetensors")
    assert spec.name == "vae32-tungsten" and spec.domain is not None
    assert spec.domain.phases == ("tungsten",) and spec.domain.knows_centre((0.5, 0.7, 0.6))
    again = microrun(*taught, "--resume")
    assert again.code == 0 and "nothing to do" in again.said, again


def test_a_fast_student_can_be_tuned_like_any_other(
    microrun: Microrun, banded_scans: list[FileSource], tmp_path: Path
) -> None:
    fast, tuned = tmp_path / "fast", tmp_path / "tuned"
    taught = ("train", "vae", "--distil", "vae32", "--student", "fast", "--batch", 8, "--hours", 1e-9, "--folder", fast)
    assert microrun(*taught, *NICKEL).code == 0
    scans = [scan.path for scan in banded_scans]
    ran = microrun("train", "vae", *scans, "--from", fast, "--batch", 8, "--hours", 1e-9, "--folder", tuned)
    assert ran.code == 0, ran
    assert read_checkpoint_spec(tuned / "checkpoint.safetensors").network == "fast"
    again = microrun("train", "vae", *scans, "--resume", "--folder", tuned)
    assert again.code == 0 and "nothing to do" in again.said, again
    alone = microrun("train", "vae", *scans, "--student", "fast", "--folder", tmp_path / "no")
    check_refused(alone, "--student", "--distil")


def test_what_cannot_be_taught_is_one_line(microrun: Microrun, tmp_path: Path) -> None:
    taught = ("train", "vae", "--distil", "vae32", "--folder", tmp_path / "run")
    check_refused(microrun(*taught, "--phase", "unobtainium"), "unobtainium", "--master")
    check_refused(microrun(*taught, "--kv", 2e4), "--kv")
    check_refused(microrun(*taught, "--kv", 15, "--phase", "sigma"), "sigma")
    check_refused(microrun(*taught, "--pc", "60,70,50"), "pattern centre")
    for option in (("--latent", 32), ("--beta", 2), ("--contrastive",), ("--epochs", 3), ("--from", "vae32")):
        check_refused(microrun(*taught, *option), option[0], "no meaning with --distil")
    check_refused(
        microrun("train", "vae", "--distil", tmp_path / "none", "--folder", tmp_path / "run"), tmp_path / "none"
    )
    check_refused(microrun("train", "vae", "--distil", "grains", "--folder", tmp_path / "run"), "grains")
    check_refused(microrun("train", "vae", "--folder", tmp_path / "run"), "nothing to learn from", "--distil")
    assert not list((tmp_path / "run").glob("*.safetensors"))
