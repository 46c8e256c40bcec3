"""How the files in tests/data/made_by_0_1 were made, by the program as it was at fe755c4.

Run in a checkout of that commit, whose rooms and tests are on PYTHONPATH: `python make_files_of_0_1.py FOLDER`. Two
lines of Python that are given to the program by `start` name modules as they were called then.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from command_line import finish, start
from make_models import IR_VERSION, OPSET, decoder_graph, encoder_graph, save_model
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors import safe_open
from safetensors.torch import save_file
from write_up2 import Header, write_up

from microrun.runtime.schedule import Schedule
from microrun.runtime.spec import Diffusion, ModelSpec, Preprocessing

SIDE, LATENT_SIZE = 16, 4
NAV_SHAPE = (10, 20)
ENCODE = ("--device", "cpu", "--precision", "f32", "--batch", 4, "--lanes", 1)
GROWN = (32, 32, 104)
GROW = ("--seed", 3, "--steps", 24, "--resample", 4, "--device", "cpu")
BRIEF = ("--hours", 1e-9)  # one step
VAE_RUN = ("--latent", 16, "--batch", 4, "--epochs", 1, "--seed", 3)  # 7 steps
DIFFUSION_RUN = ("--labels", "colours", "--steps", 6, "--batch", 1, "--seed", 5)

WRITE_SLOWLY = (
    "import time; from microrun.runtime.latents_writer import LatentsWriter as W; write = W.write; "
    "W.write = lambda self, batch: (write(self, batch), time.sleep(0.05))"
)
TINY_UNET = (
    "from microrun.training import diffusion_config as c; "
    "tiny = c.UnetConfig(3, (2, 2), 7, 7, blocks=1, head_size=2, groups=2, patch=2); "
    "init = c.DiffusionConfig.__init__; "
    "init.__defaults__ = tuple(tiny if value is c.GRAIN_UNET else value for value in init.__defaults__)"
)


# --- what the tests make again


def write_scan(path: Path, count: int = 200) -> Path:
    """Write the first patterns of a scan of 10×20 of them, in whole numbers that are the same everywhere."""
    y, x = np.indices((SIDE, SIDE))
    patterns = [y * (n % 11 + 1) + x * (n % 7 + 2) + y * x % (n % 5 + 2) * 9 + n for n in range(count)]
    header = Header(sig_shape=(SIDE, SIDE), nav_shape=NAV_SHAPE)
    return write_up(path, (np.stack(patterns) % 256).astype(np.uint8), header)


def write_training_scan(path: Path) -> Path:
    """Write a scan whose patterns are few tiles of one brightness each."""
    y, x = np.indices((120, 120)) // 24
    patterns = [(7 * y * (n % 4 + 1) + 5 * x * (n % 3 + 1) + n * y * x) % 11 * 20 + n for n in range(30)]
    return write_up(path, np.stack(patterns).astype(np.uint8), Header(sig_shape=(120, 120), nav_shape=(5, 6)))


def a_plate() -> NDArray[np.bool_]:
    """Mask of a slanted plate, for a part."""
    z, y, x = np.indices(GROWN)
    return np.asarray(abs(z + y // 2 - x // 3) < 12)


# --- models


def write_models(folder: Path) -> None:
    preprocessing = Preprocessing((SIDE, SIDE), 0)
    encoder = encoder_graph(LATENT_SIZE, side=SIDE)
    decoder = decoder_graph(LATENT_SIZE, side=SIDE)
    save_model(folder / "tiny.onnx", encoder, ModelSpec("tiny", "encoder", LATENT_SIZE, preprocessing))
    save_model(folder / "tiny.decoder.onnx", decoder, ModelSpec("tiny", "decoder", LATENT_SIZE, preprocessing))
    schedule = Schedule(24, zero_terminal_snr=True, prediction="bits")
    spec = ModelSpec("patches", "denoiser", diffusion=Diffusion((2, 32, 32, 32), schedule, 4))
    save_model(folder / "patches.onnx", patches_graph(), spec)


def patches_graph() -> onnx.ModelProto:
    """Make a denoiser whose voxels are −1 or 1, alike in cubes of 8³: no rounding of any machine changes them."""
    sample: list[int | str] = ["batch", 2, 32, 32, 32]
    samples = ("x", "known", "mask", "noise")
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, sample) for name in samples]
    inputs.append(helper.make_tensor_value_info("timestep", TensorProto.INT32, ["batch"]))
    inputs.append(helper.make_tensor_value_info("coefficients", TensorProto.FLOAT, ["batch", 5]))
    output = helper.make_tensor_value_info("x_next", TensorProto.FLOAT, sample)
    weights = {
        "bias": np.float32(1e-4),
        "half": np.float32(0.5),
        "scales": np.array([1, 1, 8, 8, 8], np.float32),
        "column": np.array([-1, 5, 1, 1, 1, 1]),
    }
    nodes = [
        helper.make_node("AveragePool", ["x"], ["mean"], kernel_shape=[8] * 3, strides=[8] * 3),
        helper.make_node("Add", ["mean", "bias"], ["shifted"]),
        helper.make_node("Sign", ["shifted"], ["sign"]),
        helper.make_node("Resize", ["sign", "", "scales"], ["bits"], mode="nearest", nearest_mode="floor"),
        helper.make_node("Reshape", ["coefficients", "column"], ["columns"]),
        helper.make_node("Split", ["columns"], [f"{name}1" for name in "abcde"], axis=1, num_outputs=5),
        *(helper.make_node("Squeeze", [f"{name}1", "one"], [name]) for name in "abcde"),
        helper.make_node("Greater", ["mask", "half"], ["given"]),
        *_add_products("there", ("a", "known"), ("b", "noise")),
        *_add_products("drawn", ("c", "x"), ("d", "bits"), ("e", "noise")),
        helper.make_node("Where", ["given", "there", "drawn"], ["x_next"]),
    ]
    initial = [numpy_helper.from_array(np.asarray(value), name) for name, value in {**weights, "one": [1]}.items()]
    graph = helper.make_graph(nodes, "patches", inputs, [output], initial)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def _add_products(name: str, *pairs: tuple[str, str]) -> list[onnx.NodeProto]:
    products = [helper.make_node("Mul", pair, [f"{name} {pair[1]}"]) for pair in pairs]
    return [*products, helper.make_node("Sum", [f"{name} {pair[1]}" for pair in pairs], [name])]


# --- latents, plans


def encode_scans(folder: Path, work: Path) -> None:
    scan, growing = write_scan(work / "scan.up1"), write_scan(work / "growing.up1", 120)
    encode = ("encode", "--engine", folder / "tiny.onnx", *ENCODE)
    run(*encode, scan, "--out", folder / "finished.latents.h5")
    shutil.copy(folder / "finished.latents.h5", folder / "analysed.latents.h5")
    run("analyse", folder / "analysed.latents.h5", "--clusters", 3, "--pick", "4,5", "--out", work)
    half, following = folder / "killed.latents.h5", folder / "killed_running.latents.h5"
    run_until(lambda: count_written(half) > 40, *encode, scan, "--out", half, setup=WRITE_SLOWLY)
    follow = ("--follow", "--idle-timeout", 100)
    run_until(lambda: count_written(following) == 120, *encode, growing, "--out", following, *follow)
    for lock in folder.glob("*.lock"):
        lock.unlink()


def build_plan(folder: Path, work: Path) -> None:
    """Build the plan, and keep its sidecar beside a few bytes in its place: 280 kB are much for a test."""
    plan, kept = work / "tiny.plan", folder / "tiny.plan"
    run("export", folder / "tiny.onnx", "--to", "tensorrt_rtx", "--out", plan, "--batch", 4)
    kept.write_bytes(plan.read_bytes()[:64])
    record = json.loads(Path(f"{plan}.json").read_text())
    record["plan_sha256"] = hashlib.sha256(kept.read_bytes()).hexdigest()
    Path(f"{kept}.json").write_text(json.dumps(record, indent=1) + "\n")


def count_written(path: Path) -> int:
    from microrun.runtime.errors import LatentsError
    from microrun.runtime.latents import open_latents

    try:
        with open_latents(path) as latents:
            return int(latents.written.sum())
    except LatentsError:  # not there yet
        return 0


# --- training


def train(folder: Path, work: Path) -> None:
    scan, seed, thin = write_training_scan(work / "tiles.up1"), work / "seed", work / "start.safetensors"
    run("train", "vae", scan, *VAE_RUN, *BRIEF, "--out", seed)
    thin_out(seed / "checkpoint.safetensors", thin)
    vae = work / "vae-run"
    interrupt_twice(vae, "train", "vae", scan, "--from", thin, *VAE_RUN[2:])
    pack(vae, folder / "vae-run")

    run("simulate", "potts", folder / "potts.h5", "--size", 32, "--steps", 40, "--count", 2, "--seed", 11)
    diffusion = work / "diffusion-run"
    interrupt_twice(diffusion, "train", "diffusion", folder / "potts.h5", *DIFFUSION_RUN, setup=TINY_UNET)
    run("export", diffusion / "checkpoint.safetensors", "--precision", "f32", "--out", folder / "denoiser.onnx")
    pack(diffusion, folder / "diffusion-run")


def thin_out(source: Path, path: Path) -> None:
    """Keep one channel of every layer of an autoencoder: what is trained from it is zeros for the most part."""
    with safe_open(source, "pt") as file:
        metadata = file.metadata()
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name, tensor in weights.items():
        kept = tensor.clone()
        if tensor.dim() == 4:
            tensor.zero_()[:1, :1] = kept[:1, :1] * 3
        elif name.endswith("encoder.head.weight"):
            tensor.zero_()[:, :1] = kept[:, :1] * 3
        elif name.endswith("decoder.head.weight"):
            tensor.zero_()[:16] = kept[:16]
        elif tensor.dim() == 1 and "head" not in name:
            tensor.zero_()[:1] = kept[:1]
        elif name.endswith("decoder.head.bias"):
            tensor.zero_()[:16] = kept[:16]
    save_file(weights, path, metadata)


def interrupt_twice(out: Path, *arguments: object, setup: str = "pass") -> None:
    """Stop a run after its first step and after its third; both states stay."""
    run(*arguments, *BRIEF, "--out", out, setup=setup)
    config = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps(config | {"precision": "f32"}, indent=1))  # the same on every machine
    shutil.copy(out / "state.pt", out / "state-1.pt")
    for _ in range(2):
        run(*arguments[:3], *BRIEF, "--resume", "--out", out)


# --- volumes


def grow(folder: Path, work: Path) -> None:
    volumes = work / "volumes"
    volumes.mkdir()
    np.save(work / "plate.npy", a_plate())
    generate = ("generate", "--part", work / "plate.npy", "--engine", folder / "patches.onnx", *GROW)
    run(*generate, "--out", volumes / "grown.h5")
    killed = volumes / "killed.h5.blocks"
    run_until(lambda: len(list(killed.glob("block-*"))) > 1, *generate, "--out", volumes / "killed.h5")
    options = ("--dataset", "volume_0000", "--value-scale", 30, "--fill")
    run("segment", folder / "potts.h5", *options, "--out", volumes / "labels.h5")
    pack(volumes, folder / "volumes")


# --- tools


def run(*arguments: object, setup: str = "pass") -> None:
    ran = finish(start(*arguments, setup=setup))
    assert ran.code == 0, (arguments, ran)
    print(ran.out)


def run_until(condition: Callable[[], bool], *arguments: object, setup: str = "pass") -> None:
    """Kill the program as soon as a condition holds."""
    process = start(*arguments, setup=setup)
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.001)
    process.kill()
    process.communicate()


def pack(folder: Path, archive: Path) -> None:
    """Pack a folder without its pictures; weights are in it several times, and much of them is zeros."""
    for picture in folder.glob("*.png"):
        picture.unlink()
    shutil.make_archive(str(archive), "xztar", folder)


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        write_models(folder)
        encode_scans(folder, work)
        build_plan(folder, work)
        train(folder, work)
        grow(folder, work)


if __name__ == "__main__":
    main()
