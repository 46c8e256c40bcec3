"""`microrun generate` of periodic volumes, of known grains, and in micrometres."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from command_line import Microrun, Ran, check_refused, run_here
from make_denoisers import write_block_denoiser
from numpy.testing import assert_array_equal

FEW_STEPS = ("--timesteps", 6, "--resample", 1)
NATIVE = 8.0


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_block_denoiser(tmp_path_factory.mktemp("denoisers") / "tiny.onnx", grain_voxels=NATIVE)


@pytest.fixture
def generate(capsys: pytest.CaptureFixture[str], tmp_path: Path, denoiser: Path) -> Microrun:
    """Runs the command on the tiny denoiser, writing out.h5 unless told otherwise."""

    def run(*arguments: object) -> Ran:
        out = () if "--out" in arguments else ("--out", tmp_path / "out.h5")
        return run_here(capsys, "generate", *out, "--engine", denoiser, *FEW_STEPS, "--device", "cpu", *arguments)

    return run


def test_a_periodic_volume_says_why_its_grains_are_counted_otherwise(
    generate: Microrun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.h5"
    ran = generate("--size", "32x40x60", "--periodic", "x,y", "--min-voxels", 0)
    assert (ran.code, ran.err) == (0, ""), ran
    with h5py.File(out) as file:
        grains = file["grain_id"][()]
        assert file["grain_id"].attrs["periodic"] == "yx"
    count = f"grains {grains.max() + 1:,}"
    assert f"{count} in 76,800 voxels, joined across the faces along y, x" in ran.said
    inspected = run_here(capsys, "inspect", out).said
    assert (
        count in inspected and "periodic along y, x: a grain that goes on at the opposite face counts once" in inspected
    )
    cut = run_here(capsys, "segment", out, "--components", 6, "--out", tmp_path / "cut.h5").said
    assert count not in cut and "periodic along y, x, where grains were cut" in cut and "--periodic y,x" in cut
    joined = run_here(
        capsys, "segment", out, "--components", 6, "--periodic", "y,x", "--out", tmp_path / "joined.h5"
    ).said
    assert count in joined and "joined across those along y, x: each counts once" in joined


def test_a_simulated_volume_says_why_inspect_counts_fewer_grains_than_segment(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "potts.h5"
    assert run_here(capsys, "simulate", "potts", path, "--count", 1, "--duration", 4, "--size", 20).code == 0
    with h5py.File(path) as file:
        count = f"grains {file['volume_0000'].attrs['grains']:,}"
    inspected = run_here(capsys, "inspect", path).said
    assert f"{count} periodic along z, y, x: a grain that goes on at the opposite face counts once" in inspected
    cut = run_here(capsys, "segment", path, "--components", 6, "--out", tmp_path / "cut.npy").said
    assert count not in cut and "one that goes on at the opposite face counts at each (--periodic z,y,x" in cut
    joined = run_here(
        capsys, "segment", path, "--components", 6, "--periodic", "all", "--out", tmp_path / "joined.npy"
    ).said
    assert f"{count} noise" in joined and "faces grains are joined across those along z, y, x" in joined
    some = run_here(capsys, "segment", path, "--components", 6, "--periodic", "z", "--out", tmp_path / "some.npy").said
    assert "joined across those along z: each" in some and "periodic along y, x, where grains were cut" in some


def test_a_plan_of_a_periodic_volume_says_so(generate: Microrun) -> None:
    ran = generate("--size", 64, "--periodic", "all", "--voxel-um", 1.5, "--dry-run")
    assert ran.code == 0 and "voxels (z, y, x), periodic along z, y, x, each 1.5 µm blocks 27 in" in ran.said


def test_blocks_of_a_volume_that_is_not_periodic_are_left_alone(generate: Microrun, tmp_path: Path) -> None:
    folder = tmp_path / "out.h5.blocks"
    (folder / "block-x").mkdir(parents=True)
    check_refused(generate("--size", 40, "--periodic", "x"), folder / "blueprint.json")


def test_a_known_layer_is_continued(generate: Microrun, tmp_path: Path) -> None:
    known = np.full((32, 40, 44), -1)
    known[0] = 1000 * (np.arange(40)[:, None] // 10) + np.arange(44) // 11
    np.save(tmp_path / "known.npy", known)
    ran = generate("--known", tmp_path / "known.npy")
    assert (ran.code, ran.err) == (0, ""), ran
    assert "known 16 grains of 1,760 voxels are kept and go on" in ran.said
    with h5py.File(tmp_path / "out.h5") as file:
        grown = file["grain_id"][()]
    assert grown.shape == known.shape
    pairs = np.unique(np.stack([grown[0].ravel(), known[0].ravel()]), axis=1)
    assert pairs.shape[1] == len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == 16


def test_grains_are_as_large_as_asked_for(
    generate: Microrun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = generate("--mean-grain-um", 16, "--size-um", "64x72x70")
    assert (ran.code, ran.err) == (0, ""), ran
    assert "voxel 2 µm, as the file states" in ran.said
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["grain_id"].shape == (32, 36, 35)
        assert file["grain_id"].attrs["voxel_um"] == 2.0
    assert "voxel 2 µm" in run_here(capsys, "inspect", tmp_path / "out.h5").said
    assert run_here(capsys, "render", tmp_path / "out.h5", "--out", tmp_path / "out.png").code == 0


def test_a_npy_says_what_it_cannot_state(generate: Microrun, tmp_path: Path) -> None:
    ran = generate("--size", 32, "--voxel-um", 1.25, "--out", tmp_path / "out.npy")
    assert "voxel 1.25 µm; a .npy cannot state it: give --voxel-um 1.25 to other commands, or write .h5" in ran.said
    assert f"microrun grains {tmp_path / 'out.npy'} --voxel-um 1.25" in ran.said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--size", 56, "--periodic", "z"], "got z = 56: take 48 or 60"),
        (["--size", 64, "--periodic", "w"], "periodic axes are z, y and x, such as z,y,x or x,y, or all; got 'w'"),
        (["--size", 64, "--periodic", "x", "--order", "anisotropic"], "grows toward faces"),
        (["--known", "nowhere.npy"], "nowhere.npy: no such file"),
        (["--mean-grain-um", 15, "--voxel-um", 2], "draws grains of one size"),
        (["--mean-grain-um", 15, "--voxel-um", "nan"], "more than 0 µm; got nan"),
        (["--mean-grain-um", 0], "more than 0 µm; got 0"),
        (["--mean-grain-um", "nan"], "more than 0 µm; got nan"),
        (["--voxel-um", "inf"], "more than 0 µm; got inf"),
        (["--size-um", 100], "give --mean-grain-um or --voxel-um"),
        (["--size-um", 100, "--size", 40, "--voxel-um", 1], "take one"),
        (["--size-um", "wide", "--voxel-um", 1], "got 'wide'"),
        (["--size-um", "-90", "--voxel-um", 1], "got '-90'"),
        (["--size-um", "1e400", "--voxel-um", 1], "got '1e400'"),
        (["--size-um", 20, "--mean-grain-um", 16], "2 mean grains across or more, 16 voxels"),
        (["--size-um", 40, "--mean-grain-um", 16], "32 voxels or more"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    generate: Microrun, tmp_path: Path, arguments: list[object], said: str
) -> None:
    check_refused(generate(*arguments), said)
    assert not list(tmp_path.iterdir())


def test_a_denoiser_that_does_not_state_its_grains_is_told_what_to_give(generate: Microrun, tmp_path: Path) -> None:
    older = write_block_denoiser(tmp_path / "older.onnx")
    check_refused(generate("--mean-grain-um", 15, "--engine", older), "give --voxel-um instead")


def test_known_grains_of_another_size_name_their_file(generate: Microrun, tmp_path: Path) -> None:
    np.save(tmp_path / "known.npy", np.full((32, 32, 32), -1))
    check_refused(generate("--known", tmp_path / "known.npy"), tmp_path / "known.npy", "must hold a known grain")
    check_refused(generate("--known", tmp_path / "known.npy", "--size", 40), "shape (40, 40, 40)", "got (32, 32, 32)")
    np.save(tmp_path / "known.npy", np.full((32, 32), 3))
    check_refused(generate("--known", tmp_path / "known.npy"), "three dimensions")
    np.save(tmp_path / "known.npy", np.full((32, 32, 32), np.nan))
    check_refused(generate("--known", tmp_path / "known.npy"), "grains are numbered by integers", "got float64")
    assert_array_equal(sorted(path.name for path in tmp_path.iterdir()), ["known.npy"])
