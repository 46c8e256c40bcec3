"""Latents files that are damaged, or none: refused in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from latents_runs import (
    ORIGIN,
    SIZE,
    contents,
    cut,
    leave_behind,
    one_line,
    write_file,
)

from microrun.runtime.errors import LatentsError
from microrun.runtime.files.output import name_beside
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.latents.writer import LatentsWriter


def change(edit: Callable[[h5py.File], object]) -> Callable[[Path], object]:
    def damage(path: Path) -> None:
        with h5py.File(path, "r+", libver="latest") as file:
            edit(file)

    return damage


def replace_array(name: str, value: Any) -> Callable[[Path], object]:
    def edit(file: h5py.File) -> None:
        del file[name]
        if value is None:
            file.create_group(name)
        else:
            file[name] = value

    return change(edit)


def become_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def other_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["latents"] = np.zeros((6, 7, SIZE))


def damaged_spec() -> str:
    return ORIGIN.spec.to_json().replace('"seed": 0', '"seed": "none"')


ORIGIN_OF_NOTHING = ORIGIN.to_json().replace("[6, 7]", "[0, 7]")
DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(),
    "a folder": become_folder,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no latents\n" * 1000),
    "truncated 10 %": cut(0.1),
    "truncated 50 %": cut(0.5),
    "truncated 90 %": cut(0.9),
    "one byte short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "other HDF5": other_hdf5,
    "other format": change(lambda file: file.attrs.update(format="microrun latents 9")),
    "no spec": change(lambda file: file.attrs.pop("spec")),
    "spec is text": change(lambda file: file.attrs.update(spec="vae32")),
    "spec is a number": change(lambda file: file.attrs.update(spec=32)),
    "spec without a latent size": change(lambda file: file.attrs.update(spec='{"spec_version": 1}')),
    "no origin": change(lambda file: file.attrs.pop("origin")),
    "origin is text": change(lambda file: file.attrs.update(origin="here")),
    "origin is a list": change(lambda file: file.attrs.update(origin="[1, 2]")),
    "origin is a number": change(lambda file: file.attrs.update(origin="1")),
    "origin of an impossible scan": change(lambda file: file.attrs.update(origin=ORIGIN_OF_NOTHING)),
    "no latents": change(lambda file: file.pop("latents")),
    "latents are a group": replace_array("latents", None),
    "latents of another size": replace_array("latents", np.zeros((6, 7, SIZE + 1), np.float32)),
    "written of another map": replace_array("written", np.zeros((7, 6), np.uint8)),
    "written of objects": replace_array("written", np.full((6, 7), b"x")),
    "positions of complex numbers": replace_array("x_um", np.zeros((6, 7), complex)),
    "origin nested too deep": change(lambda file: file.attrs.update(origin="[" * 50_000)),
    "spec with a size that is none": change(lambda file: file.attrs.update(spec=damaged_spec())),
    "familiarity of one number": replace_array("familiarity", np.zeros(1)),
    "familiarity of text": replace_array("familiarity", np.full(3, b"x")),
    "background of another size": replace_array("background", np.zeros((5, 5), np.float32)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_refused_in_one_line(path: Path, damage: Callable[[Path], object]) -> None:
    damage(write_file(path))
    for work in (open_latents, lambda path: LatentsWriter.resume(path, ORIGIN)):
        with pytest.raises(LatentsError) as error:
            work(path)
        one_line(error, path)
    assert not name_beside(path).exists()


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 0.999])
def test_a_file_left_behind_and_cut_is_refused(path: Path, share: float) -> None:
    cut(share)(leave_behind(path))
    with pytest.raises(LatentsError) as error:
        open_latents(path)
    one_line(error, path)


def places(size: int) -> Iterator[int]:
    yield from range(0, min(size, 1024), 32)
    yield from range(1024, size, max(32, size // 64))


def test_damaged_bytes_give_an_error_or_are_not_noticed(path: Path) -> None:
    whole = write_file(path).read_bytes()
    refused = 0
    for place in places(len(whole)):
        path.write_bytes(whole[:place] + b"\xff" * 16 + whole[place + 16 :])
        try:
            contents(path)
        except LatentsError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused


def end_of_the_first_text(whole: bytes) -> int:
    """Where the heap of texts begins its next object."""
    place = whole.index(b"GCOL") + 16
    size = int.from_bytes(whole[place + 8 : place + 16], "little")
    return place + 16 + (size + 7 & ~7)


@pytest.mark.parametrize("number", [0, 7])
def test_a_heap_of_texts_that_leads_nowhere_does_not_hold_inspect_up_for_ever(path: Path, number: int) -> None:
    whole = bytearray(write_file(path).read_bytes())
    place = end_of_the_first_text(whole)
    endless = -16 if number else 0  # a size that, with its header, is none
    whole[place : place + 16] = number.to_bytes(8, "little") + (endless & ((1 << 64) - 1)).to_bytes(8, "little")
    path.write_bytes(whole)
    with pytest.raises(LatentsError, match="its texts are damaged") as error:
        open_latents(path)
    one_line(error, path)


@pytest.mark.parametrize("place", [20, 36, 44])
def test_one_wrong_bit_in_a_file_left_behind_is_refused_and_not_waited_for(path: Path, place: int) -> None:
    whole = bytearray(leave_behind(path).read_bytes())
    whole[place] ^= 4
    path.write_bytes(whole)
    with pytest.raises(LatentsError) as error:
        open_latents(path)
    one_line(error, path)


def test_a_marked_bit_in_a_finished_file_is_refused_and_not_waited_for(path: Path) -> None:
    whole = bytearray(write_file(path).read_bytes())
    whole[11] ^= 4  # it says that a program writes it
    path.write_bytes(whole)
    with pytest.raises(LatentsError) as error:
        open_latents(path)
    one_line(error, path)
