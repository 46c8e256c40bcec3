"""What a run leaves on the disk: whole or not at all, also where the disk is full."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from training_runs import CONFIG

from microrun.runtime.errors import MicrorunError, OutputError, SpecError
from microrun.runtime.files.output import write_whole
from microrun.runtime.schedule import Schedule
from microrun.runtime.spec import SPEC_KEY, Diffusion, ModelSpec, Training
from microrun.training.diffusion.checkpoint import UNET_KEY, load_denoiser
from microrun.training.loop.checkpoint import find_checkpoint
from microrun.training.loop.state import KEYS, load_state, save_state
from microrun.training.vae.checkpoint import load_checkpoint, save_checkpoint
from microrun.training.vae.network import VAE

needs_full_disk = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder with settings and state."""
    CONFIG.save(tmp_path / "config.json")
    save_state(tmp_path, state())
    return tmp_path


def state(step: int = 1) -> dict[str, Any]:
    return dict.fromkeys(KEYS, 0) | {"network": {"weight": torch.arange(1000.0)}, "step": step, "data": "scans"}


def test_checkpoint_round_trip(tmp_path: Path) -> None:
    model, path = VAE(16, -0.4, 0.3), tmp_path / "model.safetensors"
    spec = ModelSpec("vae16", "encoder", 16, training=Training(data="nothing", metrics={"r2": 0.5}))
    save_checkpoint(path, model.state_dict(), spec)
    loaded, found = load_checkpoint(path)
    assert found == spec
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())
    assert list(tmp_path.iterdir()) == [path]


def test_a_checkpoint_is_named_by_its_file_its_run_or_as_built_in(tmp_path: Path) -> None:
    assert find_checkpoint(tmp_path) == tmp_path / "checkpoint.safetensors"
    assert find_checkpoint(tmp_path / "one.safetensors") == tmp_path / "one.safetensors"
    assert find_checkpoint(Path("sections")).is_file()


def test_bad_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(SpecError, match="cannot be read"):
        load_checkpoint(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(SpecError, match="cannot be read"):
        load_checkpoint(path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(SpecError, match="carries no spec"):
        load_checkpoint(path)
    save_file({"x": torch.zeros(1)}, path, {SPEC_KEY: ModelSpec("vae16", "encoder", 16).to_json()})
    with pytest.raises(SpecError, match="weights are not those"):
        load_checkpoint(path)
    save_file({"x": torch.zeros(1)}, path, {SPEC_KEY: json.dumps({"spec_version": 99})})
    with pytest.raises(SpecError, match="spec version must be 1; got 99"):
        load_checkpoint(path)


def test_a_checkpoint_whose_network_would_take_all_memory_is_refused(tmp_path: Path) -> None:
    path, model = tmp_path / "model.safetensors", VAE(16, -0.4, 0.3)
    save_checkpoint(path, model.state_dict(), ModelSpec("vae", "encoder", 256))
    with pytest.raises(SpecError, match="of its tensors are others, such as"):
        load_checkpoint(path)
    unet = {"dims": 3, "channels": [1 << 20, 1 << 20], "attention_levels": [], "groups": 8, "head_size": 8}
    spec = ModelSpec("grains", "denoiser", diffusion=Diffusion((1, 32, 32, 32), Schedule()))
    for wrong in (unet, unet | {"blocks": 1 << 40}, unet | {"channels": "many"}, unet | {"groups": 0}):
        save_file({"x": torch.zeros(1)}, path, {SPEC_KEY: spec.to_json(), UNET_KEY: json.dumps(wrong)})
        with pytest.raises(SpecError, match="its weights are not those of its network") as error:
            load_denoiser(path)
        assert "\n" not in str(error.value)


def test_settings_that_nest_too_deep_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for text in ("[" * 100_000, "[]", '{"batch": {}}', '{"batch": 32.5}'):
        path.write_text(text)
        with pytest.raises(MicrorunError, match="expected the settings of a training run") as error:
            type(CONFIG).load(path)
        assert "\n" not in str(error.value)


def test_a_state_comes_back(run: Path) -> None:
    loaded = load_state(run, CONFIG, "scans")
    assert loaded is not None and loaded["step"] == 1
    assert torch.equal(loaded["network"]["weight"], torch.arange(1000.0))
    (run / "state.pt").unlink()
    assert load_state(run, CONFIG, "scans") is None


def damaged(content: bytes) -> dict[str, bytes]:
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    return {"empty": b"", "text": b"hello", "half": content[:middle], "cut": content[:-9], "one bit": flipped}


@pytest.mark.parametrize("kind", [*damaged(b"any"), "other", "folder"])
def test_a_damaged_state_is_one_line(run: Path, kind: str) -> None:
    path = run / "state.pt"
    content = damaged(path.read_bytes()).get(kind)
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "other":
        torch.save(torch.zeros(3), path)
    else:
        path.write_bytes(content or b"")
    with pytest.raises(MicrorunError, match=r"state\.pt: is damaged or no state of a training run") as caught:
        load_state(run, CONFIG, "scans")
    assert "\n" not in str(caught.value)


@needs_full_disk
def test_a_full_disk_leaves_the_old_state(run: Path) -> None:
    (run / ".part-state.pt").symlink_to("/dev/full")
    with pytest.raises(OutputError, match=r"state\.pt: cannot be written \(No space left on device\).*Make room"):
        save_state(run, state(step=2))
    loaded = load_state(run, CONFIG, "scans")
    assert loaded is not None and loaded["step"] == 1
    assert sorted(path.name for path in run.iterdir()) == ["config.json", "state.pt"]


@needs_full_disk
def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")
    (tmp_path / ".part-model.safetensors").symlink_to("/dev/full")
    with pytest.raises(OutputError, match=r"model\.safetensors: cannot be written"):
        save_checkpoint(path, VAE(16).state_dict(), ModelSpec("vae16", "encoder", 16))
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_the_name_never_stands_for_a_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")
    seen: list[bytes] = []
    plain = Path.replace

    def replace(beside: Path, target: Path) -> Path:
        seen.extend((beside.read_bytes(), target.read_bytes()))
        return plain(beside, target)

    monkeypatch.setattr(Path, "replace", replace)
    write_whole(path, b"new")
    assert seen == [b"new", b"old"] and path.read_bytes() == b"new"
