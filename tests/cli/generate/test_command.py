"""`microrun generate` as users run it."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import segmentation_oracles as oracles
import trimesh
from command_line import Microrun, Ran, check_refused, finish, run_here, start
from growth import a_part, grow_slowly
from make_denoisers import write_block_denoiser
from make_models import write_encoder
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from microrun.cli import plain_progress
from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.open import open_denoiser
from microrun.runtime.files.lock import FileLock
from microrun.runtime.generation.recipe import LEAD
from microrun.runtime.generation.request import GenerateRequest
from microrun.runtime.generation.sampling import Sampling
from microrun.runtime.volumes.parts import load_part
from microrun.runtime.volumes.volume import Shape

FEW_STEPS = ("--timesteps", 6, "--resample", 1, "--min-voxels", 0)
SAMPLING = Sampling(6, n_resample=2, known_lead=LEAD)
SLOW = (*FEW_STEPS[:1], 24, "--resample", 40, "--preset", "fast")  # blocks that take long enough to be killed at


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_block_denoiser(tmp_path_factory.mktemp("denoisers") / "tiny.onnx")


@pytest.fixture
def generate(capsys: pytest.CaptureFixture[str], tmp_path: Path, denoiser: Path) -> Microrun:
    """Runs the command on the tiny denoiser, writing out.npy unless told otherwise."""

    def run(*arguments: object) -> Ran:
        out = () if "--out" in arguments else ("--out", tmp_path / "out.npy")
        engine = () if "--engine" in arguments else ("--engine", denoiser)
        steps = () if "--timesteps" in arguments else FEW_STEPS
        return run_here(capsys, "generate", *out, *engine, *steps, "--device", "cpu", *arguments)

    return run


def expected_grains(denoiser: Path, tmp_path: Path, shape: Shape, **changes: object) -> NDArray[np.int32]:
    part = changes.get("part")
    request = GenerateRequest(shape, sampling=SAMPLING, out=tmp_path / "expected.npy", **changes)  # type: ignore[arg-type]
    with open_denoiser(denoiser, "cpu", EngineRequest(lanes=1)) as opened:
        colours = grow_slowly(opened, request)
    assert part is None or (colours[~np.asarray(part)] == -1).all()
    return oracles.components(colours, 6)


# --- what is made


def test_a_volume_is_grown(generate: Microrun, denoiser: Path, tmp_path: Path) -> None:
    ran = generate("--size", "32x40x56", "--seed", 5, "--relax", 0)
    assert ran.code == 0, ran
    expected = expected_grains(denoiser, tmp_path, (32, 40, 56), seed=5)
    assert_array_equal(np.load(tmp_path / "out.npy"), expected)
    assert ran.err == ""
    for said in (
        "engine tiny.onnx with", "grown 4 blocks in", "evaluations/s", 
        f"grains {expected.max() + 1:,} in 71,680 voxels",        f"wrote {tmp_path / 'out.npy'}", "microrun render",
    ):  # fmt: skip
        assert said in ran.said
    assert [path.name for path in tmp_path.iterdir()] == ["out.npy"]


def test_an_hdf5_file_says_what_it_is_a_function_of(
    generate: Microrun, denoiser: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.h5"
    ran = generate("--size", 40, "--order", "anisotropic", "--min-voxels", 9, "--batch", 2, "--out", out)
    assert ran.code == 0, ran
    with h5py.File(out) as file:
        grains, attributes = file["grain_id"][()], dict(file["grain_id"].attrs)
    assert grains.shape == (40, 40, 40) and grains.dtype == np.int32
    assert np.bincount(grains.ravel()).min() >= 9
    blueprint = json.loads(attributes["blueprint"])
    assert (blueprint["seed"], blueprint["order"], blueprint["sampling"]["count"]) == (0, "anisotropic", 6)
    assert json.loads(attributes["options"])["min_voxels"] == 9
    ran = run_here(capsys, "inspect", out)
    assert (ran.code, ran.err) == (0, "")
    for said in (
        "kind volume of grains", "voxels 40 × 40 × 40 (z, y, x)", f"grains {grains.max() + 1:,}", "seed 0",
        "order anisotropic", "sampling count 6", f"SHA-256 {blueprint['engine'][:16]}", "min_voxels 9",
    ):  # fmt: skip
        assert said in ran.said, ran.said
    with h5py.File(out, "r+") as file:
        file["grain_id"].attrs.update(periodic=True, blueprint="[]")  # another program's
    ran = run_here(capsys, "inspect", out)
    assert (ran.code, ran.err) == (0, "") and f"grains {grains.max() + 1:,}" in ran.said


def test_a_denoiser_that_sees_what_is_known_takes_no_repaint(generate: Microrun, tmp_path: Path) -> None:
    seeing = write_block_denoiser(tmp_path / "seeing.onnx", known_inputs=True)
    asked = ("--engine", seeing, "--timesteps", 3, "--size", "32x32x40", "--min-voxels", 0)
    for repaint in (("--preset", "repaint"), ("--resample", 1)):
        ran = generate(*asked, *repaint)
        check_refused(ran, "sees what is known", "leave out --resample and --preset repaint")
        assert not (tmp_path / "out.npy.blocks").exists()
    ran = generate(*asked)
    assert ran.code == 0 and ran.err == "", ran
    assert np.load(tmp_path / "out.npy").shape == (32, 32, 40)


def test_a_part_is_grown_from_its_mask(generate: Microrun, denoiser: Path, tmp_path: Path) -> None:
    part = a_part((20, 40, 70))
    np.save(tmp_path / "part.npy", part)
    ran = generate("--part", tmp_path / "part.npy", "--relax", 0)
    assert ran.code == 0, ran
    assert_array_equal(np.load(tmp_path / "out.npy"), expected_grains(denoiser, tmp_path, (20, 40, 70), part=part))
    assert f"in {part.sum():,} voxels" in ran.said


def test_a_part_is_grown_from_its_surface(generate: Microrun, denoiser: Path, tmp_path: Path) -> None:
    stl = tmp_path / "part.stl"
    trimesh.creation.icosphere(3).export(stl)
    ran = generate("--stl", stl, "--size", 36, "--relax", 0)
    assert ran.code == 0, ran
    grains, part = np.load(tmp_path / "out.npy"), load_part(stl, 36).filled
    assert_array_equal(grains >= 0, part)
    assert_array_equal(grains, expected_grains(denoiser, tmp_path, (36, 36, 36), part=part))


def test_a_leaky_surface_is_warned_about(generate: Microrun, tmp_path: Path) -> None:
    mesh = trimesh.creation.icosphere(3)
    mesh.faces = mesh.faces[20:]
    mesh.export(tmp_path / "part.stl")
    ran = generate("--stl", tmp_path / "part.stl", "--size", 34)
    assert ran.code == 0, ran
    assert ran.err.startswith("warning:") and "the mesh is open" in ran.err


def test_a_dry_run_says_what_it_takes_and_leaves_nothing(generate: Microrun, tmp_path: Path) -> None:
    ran = generate("--size", "32x40x56", "--dry-run")
    assert ran.code == 0, ran
    for said in (
        "32 × 40 × 56 voxels", "blocks 4 in isotropic order; 1 from nothing (6 evaluations each)",
        "the others from known voxels too (11)", "evaluations 39, 0.000544 per voxel", "disk", "memory", "measured now",
    ):  # fmt: skip
        assert said in ran.said, ran.said
    assert not list(tmp_path.iterdir())
    np.save(tmp_path / "part.npy", a_part((20, 40, 70)))
    assert (
        f"{a_part((20, 40, 70)).sum():,} of them in the part"
        in generate("--part", tmp_path / "part.npy", "--dry-run").said
    )


def test_a_large_volume_is_planned(generate: Microrun) -> None:
    ran = generate("--size", 512, "--dry-run")
    assert ran.code == 0, ran
    assert "9,261 in isotropic order" in ran.said


def test_what_exists_is_replaced_only_when_told(generate: Microrun, tmp_path: Path) -> None:
    out = tmp_path / "out.npy"
    out.write_bytes(b"mine")
    check_refused(generate("--size", 32), out, "--overwrite")
    assert out.read_bytes() == b"mine" and [path.name for path in tmp_path.iterdir()] == ["out.npy"]
    assert generate("--size", 32, "--overwrite").code == 0
    assert np.load(out).shape == (32, 32, 32)


# --- killed


def wait_for(there: Callable[[], bool], timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while not there():
        assert time.monotonic() < end, "no block came"
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_goes_on_to_the_same_file(generate: Microrun, denoiser: Path, tmp_path: Path, kill: int) -> None:
    out, whole = tmp_path / "out.npy", tmp_path / "whole.npy"
    arguments = ("--size", "32x32x104", *SLOW)
    assert generate("--out", whole, *arguments).code == 0
    process = start("generate", "--out", out, "--engine", denoiser, "--device", "cpu", *arguments)
    blocks = tmp_path / "out.npy.blocks"
    wait_for(lambda: blocks.is_dir() and any(blocks.glob("block-*")))
    os.kill(process.pid, kill)
    ran = finish(process)
    if kill == signal.SIGINT:
        check_refused(ran, "interrupted", "of 4 blocks are kept: run the same again to go on", code=130)
    kept = len(list(blocks.glob("block-*")))
    assert 1 <= kept < 4 and not out.exists()
    check_refused(generate(*arguments, "--seed", 1), blocks, "seed 0, not 1", "delete it to start anew")
    assert len(list(blocks.glob("block-*"))) == kept
    ran = generate(*arguments)
    assert ran.code == 0, ran
    assert f"going on {kept} of 4 blocks are in {blocks}" in ran.said
    assert out.read_bytes() == whole.read_bytes()
    assert not blocks.exists()


def test_one_run_grows_a_volume_at_a_time(generate: Microrun, tmp_path: Path) -> None:
    out = tmp_path / "out.npy"
    with FileLock(tmp_path / "out.npy.blocks"):
        check_refused(generate("--size", 32), out, "another run is growing it", code=2)
    assert not list(tmp_path.iterdir())
    assert generate("--size", 32).code == 0
    assert list(tmp_path.iterdir()) == [out]


# --- what is refused


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--size", 31], "32 voxels or more along each of 3 axes"),
        (["--size", 0], "32 voxels or more"),
        (["--size", "64x64"], "--size is one number or ZxYxX"),
        (["--size", "big"], "got 'big'"),
        (["--size", "-64"], "got '-64'"),
        (["--size", 99_999], "at most"),
        (["--size", 32, "--timesteps", 25], "24"),
        (["--size", 32, "--seed", 1 << 64], "seed must be"),
        (["--size", 32, "--engine", "nowhere.onnx"], "nowhere.onnx"),
        (["--size", 32, "--precision", "int8"], "int8"),
        (["--stl", "a.stl", "--part", "b.npy"], "take one"),
        (["--stl", "a.stl", "--size", "32x32x32"], "one number"),
        (["--part", "nowhere.npy"], "nowhere.npy: no such file"),
        (["--size", 32, "--dask", "tcp://127.0.0.1:9", "--dry-run"], "leave out --dask"),
    ],
)
def test_bad_options_are_one_line(generate: Microrun, tmp_path: Path, arguments: list[object], said: str) -> None:
    check_refused(generate(*arguments), said)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("out", "said"), [("out.vti", ".npy or .h5 or .hdf5"), ("none/out.npy", "there is no folder")])
def test_files_that_cannot_be_made_are_one_line(generate: Microrun, tmp_path: Path, out: str, said: str) -> None:
    check_refused(generate("--size", 32, "--out", tmp_path / out), said)
    assert not list(tmp_path.iterdir())


def test_an_engine_that_is_no_denoiser_is_one_line(generate: Microrun, tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "encoder.onnx")
    check_refused(generate("--size", 32, "--engine", encoder), encoder, "generation needs a denoiser")
    assert [path.name for path in tmp_path.iterdir()] == ["encoder.onnx"]


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (np.ones((40, 40), bool), "a mask of bool (z, y, x); got bool (40, 40)"),
        (np.ones((40, 40, 40), np.uint8), "got uint8 (40, 40, 40)"),
        (np.zeros((40, 40, 40), bool), "the mask is empty"),
        (np.ones((0, 40, 40), bool), "the mask is empty"),
    ],
)
def test_masks_that_are_no_parts_are_one_line(
    generate: Microrun, tmp_path: Path, mask: NDArray[np.uint8], said: str
) -> None:
    np.save(tmp_path / "part.npy", mask)
    check_refused(generate("--part", tmp_path / "part.npy"), said)
    assert [path.name for path in tmp_path.iterdir()] == ["part.npy"]


def test_a_size_is_that_of_the_mask_or_left_out(generate: Microrun, tmp_path: Path) -> None:
    part = tmp_path / "part-out.npy"
    np.save(part, a_part((20, 40, 70)))
    before = part.read_bytes()
    check_refused(generate("--part", part, "--size", 64), part, "(20, 40, 70)", "asks for (64, 64, 64)")
    assert generate("--part", part, "--size", "20x40x70", "--out", tmp_path / "out.npy").code == 0
    assert part.read_bytes() == before  # named like what is half written once was


def test_surfaces_that_enclose_no_part_are_one_line(generate: Microrun, tmp_path: Path) -> None:
    stl = tmp_path / "part.stl"
    half = trimesh.creation.icosphere(3)
    half.faces = half.faces[half.triangles_center[:, 2] > 0.3]
    flat = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]])
    for mesh, said in (
        (half, "expected a closed surface"),
        (flat, "got a flat one"),
        (trimesh.creation.box((1, 1, 0.01)), "thinner than a voxel; take a size of at least 10"),
    ):
        mesh.export(stl)
        check_refused(generate("--stl", stl, "--size", 40), stl, said)
    stl.write_bytes(b"")
    check_refused(generate("--stl", stl), stl, "found no triangles")
    assert [path.name for path in tmp_path.iterdir()] == ["part.stl"]


def test_a_folder_of_something_else_is_left_alone(generate: Microrun, tmp_path: Path) -> None:
    folder = tmp_path / "out.npy.blocks"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    check_refused(generate("--size", 32), folder / "blueprint.json", "write to another name")
    assert (folder / "mine.txt").read_text() == "mine"


def test_the_blocks_of_another_engine_are_left_alone(generate: Microrun, denoiser: Path, tmp_path: Path) -> None:
    with open_denoiser(denoiser, "cpu") as opened:
        request = GenerateRequest((32, 32, 32), sampling=SAMPLING, out=tmp_path / "out.npy")
        folder = request.open_folder(opened.spec, opened.info)
    other = write_block_denoiser(tmp_path / "other.onnx")
    other.write_bytes(other.read_bytes() + b"\x1a\x00")  # an unknown empty field: another file, the same model
    ran = generate("--size", 32, "--engine", other)
    check_refused(ran, folder.path, "another denoiser", "run as then, or delete it to start anew")
    assert (folder.path / "blueprint.json").exists()


def test_a_folder_named_like_the_engine_is_in_nobodys_way(
    generate: Microrun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "grains").mkdir()  # what `microrun grains --folder grains` leaves
    monkeypatch.chdir(tmp_path)
    assert generate("--size", 32, "--engine", "grains", "--dry-run").code == 0


def test_a_job_without_a_terminal_is_told_how_far_it_is(generate: Microrun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_progress, "FIRST_S", 0.0)
    monkeypatch.setattr(plain_progress, "EVERY_S", 0.01)
    ran = generate("--size", 32)
    said = r"growing: [\d,]+ of [\d,]+ evaluations, 0 of 1 blocks, [\d,]+ voxels/s, (about )?[\d.]+ s (left|so far)"
    assert ran.code == 0 and re.search(said, ran.err), ran.err


def test_no_scheduler_at_the_address_is_one_line(
    generate: Microrun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from microrun.runtime.generation import cluster

    monkeypatch.setattr(cluster.connect.__wrapped__, "__defaults__", (1.0,))  # type: ignore[attr-defined]
    ran = generate("--size", 32, "--dask", "tcp://127.0.0.1:9")
    check_refused(ran, "tcp://127.0.0.1:9", "no Dask scheduler answers there within 1 s")
    assert not list(tmp_path.iterdir())
