"""Memory that two processes share, and how patterns lie in it: see docs/serve.md, which must say the same.

A page of counters, each in a cache line of its own, then slots of whole pages, each with the number of its pattern
in front. The client writes ``HEAD`` and ``DROPPED``, the service ``TAIL`` and ``OVER``.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import secrets
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microrun.runtime.errors import MicrorunError, ScanError
from microrun.runtime.files.closing import Closing

PAGE, SLOT_HEAD = 4096, 64  # bytes: of a page, and in front of each pattern
MOST_SLOTS, LEAST_SLOTS = 1024, 4
RING_BYTES = LEAST_SLOTS * (PAGE + (32 << 20))  # four patterns of 4096×4096 pixels of 16 bits, each with its head
RING_MAGIC = 0x474E4952_4E55524D  # reads "MRUNRING"
WORD = 8
HEAD, TAIL, DROPPED, OVER = (offset // WORD for offset in (64, 128, 192, 256))  # words of the first page


@dataclass(frozen=True)
class Layout:
    """Where slots lie.

    Parameters
    ----------
    pattern_bytes, slots
        Bytes of a pattern, and how many find room.
    """

    pattern_bytes: int
    slots: int

    @classmethod
    def choose(cls, pattern_bytes: int) -> Layout:
        """As many slots as 128 MB take, 1024 at most; ScanError where these are less than four."""
        slots = min(MOST_SLOTS, RING_BYTES // cls(pattern_bytes, 1).slot_bytes)
        if slots < LEAST_SLOTS:
            most = RING_BYTES // LEAST_SLOTS - SLOT_HEAD
            raise ScanError(f"a pattern pushed to the service may have {most:,} bytes at most; got {pattern_bytes:,}")
        return cls(pattern_bytes, slots)

    @property
    def slot_bytes(self) -> int:
        """Bytes from one slot to the next."""
        return -(-(SLOT_HEAD + self.pattern_bytes) // PAGE) * PAGE

    @property
    def total_bytes(self) -> int:
        """Bytes of all."""
        return PAGE + self.slots * self.slot_bytes


class SharedMemory(Closing):
    """The memory of a ring.

    Parameters
    ----------
    layout
        Where slots lie.
    mapped
        The memory itself.
    name
        What a client maps it by; empty where it is not shared.
    handle
        A file to close with it, or −1.

    Attributes
    ----------
    words : (512,) uint64
        The first page.
    numbers : (slots,) uint64
        Of the patterns.
    pixels : (slots, pattern_bytes) uint8
        Patterns.
    """

    def __init__(self, layout: Layout, mapped: mmap.mmap, name: str = "", handle: int = -1) -> None:
        self.layout, self.name, self._mapped, self._handle = layout, name, mapped, handle
        everything = np.frombuffer(mapped, np.uint8, layout.total_bytes)
        slots = everything[PAGE:].reshape(layout.slots, layout.slot_bytes)
        self.words: NDArray[np.uint64] = everything[:PAGE].view(np.uint64)
        self.numbers: NDArray[np.uint64] = slots[:, :WORD].view(np.uint64)[:, 0]
        self.pixels: NDArray[Any] = slots[:, SLOT_HEAD : SLOT_HEAD + layout.pattern_bytes]

    @classmethod
    def make(cls, layout: Layout, shared: bool) -> SharedMemory:
        """Take the memory, and share it where that is asked for and possible: on Linux and Windows.

        Raises
        ------
        OSError
            If there is not so much.
        """
        size = layout.total_bytes
        if shared and sys.platform == "win32":
            name = f"Local\\microrun-{secrets.token_hex(16)}"
            made = cls(layout, mmap.mmap(-1, size, tagname=name), name)
        elif shared and sys.platform == "linux":
            handle = _make_sealed(size)
            made = cls(layout, _map_whole(handle, size), f"/proc/{os.getpid()}/fd/{handle}", handle)
        else:
            made = cls(layout, mmap.mmap(-1, size))
        made.words[0] = RING_MAGIC
        return made

    @classmethod
    def open(cls, layout: Layout, name: str) -> SharedMemory:
        """Map what another process made; MicrorunError if that cannot be."""
        size = layout.total_bytes
        try:
            if sys.platform == "win32":
                mapped = mmap.mmap(-1, size, tagname=name)
            else:
                handle = os.open(name, os.O_RDWR)
                try:
                    mapped = _map_whole(handle, size)
                finally:
                    os.close(handle)
        except (OSError, ValueError) as error:
            raise MicrorunError(f"the shared memory {name} cannot be mapped ({error})") from None
        opened = cls(layout, mapped, name)
        if int(opened.words[0]) != RING_MAGIC:
            opened.close()
            raise MicrorunError(f"the shared memory {name} holds no ring")
        return opened

    def close(self) -> None:
        """Give it back, once nobody looks at it any more."""
        self.words = self.numbers = np.empty(0, np.uint64)
        self.pixels = np.empty((0, 0), np.uint8)
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        with contextlib.suppress(BufferError):  # an array of it is still in use; it goes with that
            self._mapped.close()


def _map_whole(handle: int, size: int) -> mmap.mmap:
    """Map all pages now, where Linux can: one by one they would cost the first patterns 0.2 ms each, on both sides."""
    return mmap.mmap(handle, size, flags=mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0))


def _make_sealed(size: int) -> int:
    """A file in memory that has all its pages, has no name, and that nobody can make shorter under the service."""
    assert sys.platform == "linux"
    import fcntl

    handle = os.memfd_create("microrun", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.posix_fallocate(handle, 0, size)
        fcntl.fcntl(handle, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    except BaseException:
        os.close(handle)
        raise
    return handle
