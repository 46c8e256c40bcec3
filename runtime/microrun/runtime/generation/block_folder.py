"""A volume in the making: a folder with one file for each finished block, whole or not there.

A run that was killed goes on from the files, and so may any number of workers that see the folder. Besides the
blocks, the folder holds ``blueprint.json`` with all that the volume is a function of, ``part.npy``, the mask of a
part, and ``known.npy``, the colours of known grains.
"""

from __future__ import annotations

import io
import os
import shutil
import uuid
import zlib
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.array_types import Float32, Mask
from microrun.runtime.colour_codes import colour_values
from microrun.runtime.errors import EngineError, MicrorunError, VolumeError
from microrun.runtime.files.disk import take_room
from microrun.runtime.files.npy import map_array
from microrun.runtime.files.output import BESIDE, cannot_write, write_text, written_beside
from microrun.runtime.generation.blueprint import Blueprint, hash_colours, hash_mask
from microrun.runtime.generation.decode_block import decode_block
from microrun.runtime.generation.overlaps import BLOCK
from microrun.runtime.generation.tiling import Tiling, Window
from microrun.runtime.json_text import UNREADABLE
from microrun.runtime.spec import Diffusion

Colours = NDArray[np.int8]
Stored = Colours | Float32
BLUEPRINT, PART, KNOWN = "blueprint.json", "part.npy", "known.npy"
WRITING = "writing"  # a mark: a volume that is newer than it is made of these blocks
OUTSIDE = -1  # among colours
CHECK_BYTES = 4  # a CRC-32 after the array, which readers of .npy files do not see


class BlockFolder:
    """The folder of a volume in the making.

    Parameters
    ----------
    path
        Of the folder, as `make_folder` made it.
    diffusion
        What blocks are: colours are kept as int8, other values as float32.
    tiling
        The blocks and their order, where they are at hand; else they follow from the blueprint.

    Raises
    ------
    VolumeError
        If it is no such folder, or damaged.
    """

    def __init__(self, path: Path, diffusion: Diffusion, tiling: Tiling | None = None) -> None:
        self.path = path
        if tiling is not None:
            self.tiling = tiling
        self.blueprint, self.diffusion = read_blueprint(path), diffusion
        self._colours, self._channels = diffusion.n_colours, diffusion.sample_shape[0]
        dtype = np.int8 if self._colours else np.float32
        self._blank = np.zeros((BLOCK, BLOCK, BLOCK), dtype)
        saved = io.BytesIO()
        np.save(saved, self._blank)
        self._file_bytes = (saved.tell() + CHECK_BYTES, saved.tell())  # older versions wrote no checksum
        self._header = saved.getvalue()[: -self._blank.nbytes]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of what is kept: int8 colours or float32 values."""
        return self._blank.dtype

    @cached_property
    def part(self) -> Mask | None:
        """Mask of the part, if there is one; VolumeError if it is damaged."""
        return self._read_kept(PART, self.blueprint.part, hash_mask)

    @cached_property
    def given(self) -> Colours | None:
        """Colours of the grains that were known from the start, if there are any, −1 elsewhere; as `part`."""
        return self._read_kept(KNOWN, self.blueprint.known, hash_colours)

    @cached_property
    def tiling(self) -> Tiling:
        """The blocks and their order."""
        return self.blueprint.tile(self.part, None if self.given is None else self.given >= 0)

    def finished(self) -> Mask:
        """(n,) bool: blocks whose files are there, whole."""
        found = np.zeros(len(self.tiling), bool)
        with os.scandir(self.path) as entries:
            for entry in entries:
                number = _number_of(entry.name)
                if number is not None and number < len(found) and entry.stat().st_size in self._file_bytes:
                    found[number] = True
        return found

    def has(self, number: int) -> bool:
        """Whether a block's file is there, whole."""
        path = self._file(number)
        return path.exists() and path.stat().st_size in self._file_bytes

    def store(self, number: int, block: Float32) -> None:
        """Keep a finished block; any number of workers may do so at once.

        Parameters
        ----------
        number
            Of the block.
        block
            (channels, 32, 32, 32) values; colours are kept as `decode_block` tells them.

        Raises
        ------
        EngineError
            If values are not finite.
        OutputError
            If the disk is full.
        """
        if not np.isfinite(block).all():
            raise EngineError(
                f"{self.path}: values of block {number} are not finite: the denoiser is damaged, or overflows in "
                f"half precision; see `microrun inspect`, and try --precision f32"
            )
        path = self._file(number)
        beside = path.with_name(f"{BESIDE}{uuid.uuid4().hex}-{path.name}")
        kept = decode_block(block, self._colours, self.known_mask(number)) if self._colours else block[0]
        saved = self._header + np.asarray(kept, self.dtype).tobytes()
        try:
            beside.write_bytes(saved + _checksum(saved))
            beside.replace(path)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise cannot_write(path, error) from None

    def load(self, number: int) -> Stored:
        """Read a block as it is kept; VolumeError if that fails."""
        path = self._file(number)
        try:
            saved = path.read_bytes()
        except OSError as error:
            raise VolumeError(f"{path}: cannot be read ({error}); delete it and run again") from None
        if len(saved) not in self._file_bytes or not saved.startswith(self._header):
            raise VolumeError(f"{path}: is not a block of this volume; delete it and run again")
        if len(saved) == self._file_bytes[0] and _checksum(saved[:-CHECK_BYTES]) != saved[-CHECK_BYTES:]:
            raise VolumeError(f"{path}: is damaged, its checksum differs; delete it and run again")
        # Not np.load: `ast`, which parses the header there, fails now and then in several threads of Python 3.11.
        return np.frombuffer(saved, self.dtype, self._blank.size, len(self._header)).reshape(self._blank.shape)

    def known(self, number: int) -> tuple[Float32, Mask]:
        """What earlier blocks give of a block.

        Returns
        -------
        values : (channels, 32, 32, 32) float32
            Anything where nothing is given.
        mask : (channels, 32, 32, 32) bool
            True = given.
        """
        tiling, kept, mask = self.tiling, self._blank.copy(), self.known_mask(number)
        for other, offset in zip(*(found[::-1] for found in tiling.overlaps(number)), strict=True):
            # The earliest last: it has the voxels that it shares.
            here, there = (tuple(map(slice, np.maximum(o, 0), np.minimum(o, 0) + BLOCK)) for o in (offset, -offset))
            kept[here] = self.load(other)[there]
        for here, given in self._given_in(number):
            np.copyto(kept[here], given, where=given >= 0)
        values = colour_values(kept, self._colours, self._channels) if self._colours else kept[None]
        return values, np.broadcast_to(mask, values.shape)

    def known_mask(self, number: int) -> Mask:
        """(32, 32, 32) bool: voxels of a block that earlier blocks give, or that were known from the start."""
        mask = self.tiling.known_mask(number)
        for here, given in self._given_in(number):
            mask[here] |= given >= 0
        return mask

    def assemble(self) -> NDArray[Any]:
        """Put all blocks together into a file of the folder.

        Returns
        -------
        (z, y, x) int8 or float32
            Mapped; −1 or NaN outside the part.
        """
        path = self.path / "volume.npy"
        with written_beside(path) as beside:
            self._paint(beside)
        assembled: NDArray[Any] = np.load(path, mmap_mode="r")
        return assembled[tuple(map(slice, self.blueprint.shape))]

    def remove(self) -> None:
        """Delete the folder, as `remove_folder` does."""
        remove_folder(self.path)

    def _paint(self, path: Path) -> None:
        """Draw the blocks, the last first, so that a voxel ends as that of the first block that covers it."""
        tiling = self.tiling
        volume = np.lib.format.open_memmap(path, "w+", self.dtype, tiling.shape)
        take_room(path)
        for number in range(len(tiling) - 1, -1, -1):
            block = self.load(number)
            for of_volume, of_block in tiling.windows(number):
                volume[of_volume] = block[of_block]
        if self.given is not None:
            for plane, colours in zip(volume, self.given, strict=False):  # a thin part has room for a block around it
                np.copyto(plane[tuple(map(slice, colours.shape))], colours, where=colours >= 0)
        if self.part is not None:
            asked = volume[tuple(map(slice, self.blueprint.shape))]
            for plane, inside in zip(asked, self.part, strict=True):
                plane[~inside] = OUTSIDE if self._colours else np.nan
        volume.flush()

    def _given_in(self, number: int) -> Iterator[tuple[Window, Colours]]:
        """Where in a block there may be known grains, and their colours."""
        if self.given is None:
            return
        for of_volume, of_block in self.tiling.windows(number):
            given = self.given[of_volume]  # a thin part has room for a block around it
            z, y, x = (slice(side.start, side.start + size) for side, size in zip(of_block, given.shape, strict=True))
            yield (z, y, x), given

    def _read_kept(self, name: str, hashed: str, hash_array: Callable[[NDArray[Any]], str]) -> NDArray[Any] | None:
        """An array that was kept beside the blocks, None where there is none; VolumeError if it is damaged."""
        if not hashed:
            return None
        try:
            array = map_array(self.path / name)
        except VolumeError as error:
            raise VolumeError(f"{error}; delete it and run again") from None
        if hash_array(array) != hashed:
            raise VolumeError(
                f"{self.path / name}: is not the {Path(name).stem} of this volume; delete it and run again"
            )
        return array

    def _file(self, number: int) -> Path:
        return self.path / f"block-{number:07}.npy"


def make_folder(path: Path, blueprint: Blueprint, part: Mask | None, known: Colours | None = None) -> None:
    """Make the folder of a volume, or see that it is that of the same volume and mend its part and known grains.

    Raises
    ------
    VolumeError
        If the folder is that of another volume, or something else.
    OutputError
        If it cannot be written.
    """
    if _holds_something(path):
        difference = blueprint.difference(read_blueprint(path))
        if difference:
            raise VolumeError(
                f"{path}: holds blocks of another volume ({difference}); run as then, or delete it to start anew"
            )
    else:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(path, error) from None
        write_text(path / BLUEPRINT, blueprint.to_json())
    for name, array in ((PART, part), (KNOWN, known)):
        if array is not None and not (path / name).exists():
            with written_beside(path / name) as beside, beside.open("wb") as file:
                np.save(file, array)


def remove_folder(path: Path) -> None:
    """Delete a folder of blocks, mark and blueprint last: what is left when that is interrupted can be told."""
    for file in path.iterdir():
        if file.name not in (BLUEPRINT, WRITING):
            file.unlink()
    (path / WRITING).unlink(missing_ok=True)
    shutil.rmtree(path)


def read_blueprint(path: Path) -> Blueprint:
    """Read the blueprint of a folder; VolumeError if there is none."""
    file = path / BLUEPRINT
    try:
        return Blueprint.from_json(file.read_text(encoding="utf-8"))
    except (OSError, *UNREADABLE, MicrorunError) as error:
        raise VolumeError(
            f"{file}: expected the blueprint of a volume in the making ({error}); delete {path.name}, or write to "
            "another name"
        ) from None


def _holds_something(path: Path) -> bool:
    """Whether there is more than what was half written when a run was killed."""
    if not path.is_dir():
        return path.exists()
    return any(not entry.name.startswith(BESIDE) for entry in path.iterdir())


def _checksum(saved: bytes) -> bytes:
    return zlib.crc32(saved).to_bytes(CHECK_BYTES, "little")


def _number_of(name: str) -> int | None:
    head, _, tail = name.removesuffix(".npy").partition("-")
    return int(tail) if head == "block" and tail.isdecimal() else None
