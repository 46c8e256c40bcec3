"""The folder of a volume in the making: made, refused, removed; blocks whole or not there."""

from __future__ import annotations

import dataclasses
import gc
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from disk import full_disk
from growth import random_blocks
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from microrun.runtime.array_types import Mask
from microrun.runtime.colour_codes import colour_values
from microrun.runtime.errors import EngineError, OutputError, VolumeError
from microrun.runtime.generation.block_folder import BlockFolder, make_folder
from microrun.runtime.generation.blueprint import METHOD, Blueprint, hash_mask
from microrun.runtime.generation.overlaps import BLOCK
from microrun.runtime.generation.recipe import Order
from microrun.runtime.generation.sampling import Sampling
from microrun.runtime.schedule import Schedule
from microrun.runtime.spec import Diffusion
from microrun.runtime.volumes.volume import Shape

Float32 = NDArray[np.float32]
SCHEDULE = Schedule(24)
COLOURS = Diffusion((4, BLOCK, BLOCK, BLOCK), SCHEDULE, n_colours=16)
VALUES = Diffusion((1, BLOCK, BLOCK, BLOCK), SCHEDULE)
BLUEPRINT = Blueprint(
    (40, 56, 64), 3, "isotropic", Sampling(6, n_resample=2), engine="abc", computed="OpenVINO 1 on cpu in f32"
)


def a_part(shape: Shape) -> Mask:
    """A slanted plate."""
    z, y, x = np.indices(shape)
    return np.asarray(abs(z + y // 2 - x) < 9)


def open_folder(
    path: Path, diffusion: Diffusion, shape: Shape = BLUEPRINT.shape, order: Order = "isotropic",
    part: Mask | None = None,
) -> BlockFolder:  # fmt: skip
    hashed = "" if part is None else hash_mask(part)
    make_folder(path, dataclasses.replace(BLUEPRINT, shape=shape, order=order, part=hashed), part)
    return BlockFolder(path, diffusion)


def one_line(error: pytest.ExceptionInfo[Exception], *parts: object) -> None:
    text = str(error.value)
    assert "\n" not in text
    for part in parts:
        assert str(part) in text


def test_a_folder_of_another_method_is_refused(tmp_path: Path) -> None:
    open_folder(tmp_path, COLOURS)
    later = dataclasses.replace(BLUEPRINT, method=BLUEPRINT.method + 1)
    with pytest.raises(VolumeError, match=f"method {METHOD}, not {METHOD + 1}"):
        make_folder(tmp_path, later, None)


@pytest.mark.parametrize("name", ["seed", "engine", "computed", "part", "shape", "order", "sampling"])
def test_the_folder_of_another_volume_is_refused_and_left_alone(tmp_path: Path, name: str) -> None:
    path = tmp_path / "out.blocks"
    folder = open_folder(path, COLOURS)
    folder.store(0, random_blocks(folder, COLOURS)[0])
    others = {"seed": 8, "shape": (64, 64, 64), "order": "anisotropic", "sampling": Sampling(7)}
    values: dict[str, Any] = {name: others.get(name, "other")}
    with pytest.raises(VolumeError, match="of another volume") as error:
        make_folder(path, dataclasses.replace(BLUEPRINT, **values), None)
    said = {"engine": "another denoiser", "part": "another part", "sampling": "count 6, not 7"}
    one_line(error, path, said.get(name, f"{name} "), "delete it to start anew")
    make_folder(path, BLUEPRINT, None)
    assert folder.finished().sum() == 1


def test_foreign_folders_and_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for path in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(VolumeError, match="expected the blueprint of a volume in the making") as error:
            make_folder(path, BLUEPRINT, None)
        one_line(error, path / "blueprint.json", f"delete {path.name}")
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "3", '"text"', "null", "{}", '{"shape": 3}', '{"shape": [1, 2]}', "\ufeff",
        BLUEPRINT.to_json().replace('"seed": 3', '"seed": -3'), BLUEPRINT.to_json().replace('"eta": 1.0', '"eta": 7'),
        BLUEPRINT.to_json().replace('"seed": 3', '"seed": "3"'), BLUEPRINT.to_json().replace('"seed": 3', '"some": 3'),
    ],
)  # fmt: skip
def test_a_damaged_blueprint_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "blueprint.json").write_text(text, encoding="utf-8")
    with pytest.raises(VolumeError, match="expected the blueprint") as error:
        BlockFolder(tmp_path, COLOURS)
    one_line(error, tmp_path / "blueprint.json")


def test_a_folder_can_be_made_from_what_a_killed_run_left(tmp_path: Path) -> None:
    (tmp_path / ".part-blueprint.json").write_text('{"sha')
    part = a_part(BLUEPRINT.shape)
    folder = open_folder(tmp_path, COLOURS, part=part)
    assert_array_equal(folder.part, part)
    (tmp_path / "part.npy").unlink()
    assert_array_equal(open_folder(tmp_path, COLOURS, part=part).part, part)


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY junk"])
def test_a_damaged_part_is_one_line(tmp_path: Path, damage: bytes) -> None:
    open_folder(tmp_path, COLOURS, part=a_part(BLUEPRINT.shape))
    (tmp_path / "part.npy").write_bytes(damage)
    with pytest.raises(VolumeError, match="delete it and run again") as error:
        BlockFolder(tmp_path, COLOURS).finished()
    one_line(error, tmp_path / "part.npy")
    np.save(tmp_path / "part.npy", ~a_part(BLUEPRINT.shape))
    with pytest.raises(VolumeError, match="is not the part of this volume"):
        BlockFolder(tmp_path, COLOURS).finished()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with full_disk(10), pytest.raises(OutputError) as error:
        make_folder(tmp_path / "out.blocks", BLUEPRINT, None)
    one_line(error, tmp_path / "out.blocks", "Make room and run again")


def test_the_folder_is_removed(tmp_path: Path) -> None:
    folder = open_folder(tmp_path / "out.blocks", COLOURS)
    folder.store(0, random_blocks(folder, COLOURS)[0])
    folder.remove()
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("diffusion", [COLOURS, VALUES])
def test_blocks_come_back_as_they_are_kept(tmp_path: Path, diffusion: Diffusion) -> None:
    folder = open_folder(tmp_path, diffusion)
    block = random_blocks(folder, diffusion)[1]
    assert not folder.has(1)
    folder.store(1, block)
    assert folder.has(1) and folder.finished().tolist() == [False, True] + [False] * (len(folder.tiling) - 2)
    kept = folder.load(1)
    assert kept.dtype == folder.dtype == (np.int8 if diffusion.n_colours else np.float32)
    assert_array_equal(colour_values(kept, 16, 4) if diffusion.n_colours else kept[None], block)


@pytest.mark.parametrize("diffusion", [COLOURS, VALUES])
def test_only_whole_files_are_finished_blocks(tmp_path: Path, diffusion: Diffusion) -> None:
    folder = open_folder(tmp_path, diffusion)
    blocks = random_blocks(folder, diffusion)
    for number in range(4):
        folder.store(number, blocks[number])
    whole = (tmp_path / "block-0000000.npy").read_bytes()
    (tmp_path / "block-0000001.npy").write_bytes(whole[:-1])
    (tmp_path / "block-0000002.npy").write_bytes(b"")
    (tmp_path / "block-9999999.npy").write_bytes(whole)
    (tmp_path / ".part-1-block-0000005.npy").write_bytes(whole)
    for name in ("block-.npy", "block-x.npy", "block--1.npy", "notes.txt", "block-6", "block-7.npy.bak"):
        (tmp_path / name).write_bytes(whole[:100])
    assert np.flatnonzero(folder.finished()).tolist() == [0, 3]
    assert [folder.has(number) for number in range(5)] == [True, False, False, True, False]


@pytest.mark.parametrize(
    "content",
    [b"", b"\x93NUMPY\x01", bytes(128 + 4 * BLOCK**3), "other", None],
    ids=["empty", "short", "zeros", "of another type", "absent"],
)
def test_a_block_that_cannot_be_read_is_one_line(tmp_path: Path, content: bytes | str | None) -> None:
    folder = open_folder(tmp_path, VALUES)
    path = tmp_path / "block-0000000.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        np.save(path, np.zeros((BLOCK, BLOCK, BLOCK), np.int32))
    with pytest.raises(VolumeError, match="delete it and run again") as error:
        folder.load(0)
    one_line(error, path)


@pytest.mark.parametrize("diffusion", [COLOURS, VALUES])
def test_a_block_with_changed_bytes_is_not_used(tmp_path: Path, diffusion: Diffusion) -> None:
    folder = open_folder(tmp_path, diffusion)
    folder.store(0, random_blocks(folder, diffusion)[0])
    path = tmp_path / "block-0000000.npy"
    saved = path.read_bytes()
    assert_array_equal(np.load(path), folder.load(0))
    for start, stop in ((200, 20_000), (len(saved) - 6, len(saved) - 5), (len(saved) - 1, len(saved))):
        path.write_bytes(saved[:start] + bytes(byte ^ 0x10 for byte in saved[start:stop]) + saved[stop:])
        with pytest.raises(VolumeError, match="its checksum differs; delete it and run again") as error:
            folder.load(0)
        one_line(error, path)


def test_threads_load_at_once_while_garbage_is_collected(tmp_path: Path) -> None:
    """NumPy's own reader fails here in Python 3.11: parsing is not reentrant where a collection lets go of the lock."""
    folder = open_folder(tmp_path, COLOURS)
    folder.store(0, random_blocks(folder, COLOURS)[0])
    expected = folder.load(0)

    def let_go(*_: object) -> None:
        time.sleep(0)

    threshold = gc.get_threshold()
    gc.callbacks.append(let_go)
    gc.set_threshold(20)
    try:
        with ThreadPoolExecutor(6) as pool:
            loaded = list(pool.map(folder.load, [0] * 2000))
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(let_go)
    assert all(np.array_equal(block, expected) for block in loaded)


def test_threads_store_at_once_even_the_same_block(tmp_path: Path) -> None:
    folder = open_folder(tmp_path, COLOURS)
    blocks = random_blocks(folder, COLOURS)
    start, failures = threading.Barrier(6), list[BaseException]()

    def work() -> None:
        start.wait()
        try:
            for number, block in enumerate(blocks):
                folder.store(number, block)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert folder.finished().all()
    for number, block in enumerate(blocks):
        assert_array_equal(colour_values(folder.load(number), 16, 4), block)
    assert not list(tmp_path.glob(".part-*"))


def test_a_full_disk_keeps_what_was_stored(tmp_path: Path) -> None:
    folder = open_folder(tmp_path, COLOURS)
    blocks = random_blocks(folder, COLOURS)
    folder.store(0, blocks[0])
    with full_disk(), pytest.raises(OutputError, match="Make room and run again") as error:
        folder.store(1, blocks[1])
    one_line(error, tmp_path / "block-0000001.npy")
    assert np.flatnonzero(folder.finished()).tolist() == [0]
    assert not list(tmp_path.glob(".part-*"))


@pytest.mark.parametrize("diffusion", [COLOURS, VALUES])
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_values_that_are_not_finite_are_no_block(tmp_path: Path, diffusion: Diffusion, wrong: float) -> None:
    folder = open_folder(tmp_path, diffusion)
    block = random_blocks(folder, diffusion)[0]
    block[0, 3, 4, 5] = wrong
    with pytest.raises(EngineError, match=r"block 0 are not finite.*--precision f32"):
        folder.store(0, block)
    assert not folder.has(0)


def test_a_removal_that_was_interrupted_leaves_what_can_be_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "blocks"
    folder = open_folder(path, COLOURS)
    for number, block in enumerate(random_blocks(folder, COLOURS)):
        folder.store(number, block)
    folder.assemble()
    unlink, left = Path.unlink, 3

    def interrupted(path: Path) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        unlink(path)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, "unlink", interrupted)
        folder.remove()
    again = open_folder(path, COLOURS)
    assert 0 < again.finished().sum() < len(again.tiling)
    again.remove()
    assert not path.exists()


def test_the_blueprint_can_be_read_by_others(tmp_path: Path) -> None:
    open_folder(tmp_path, COLOURS)
    found = json.loads((tmp_path / "blueprint.json").read_text())
    assert (found["shape"], found["seed"], found["sampling"]["n_resample"]) == ([40, 56, 64], 3, 2)
