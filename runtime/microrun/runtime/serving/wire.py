"""What goes over the socket between `microrun serve` and its clients: see docs/serve.md, which must say the same.

Every message is a header of 16 bytes and a body. All numbers are little-endian.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from microrun.runtime.errors import MicrorunError, ScanError
from microrun.runtime.scans.scan import PixelType, Scan

MAGIC, VERSION = 0x4E55524D, 2  # the magic reads "MRUN"
VERSIONS = (1, VERSION)  # of clients that the service understands; the first knows square grids only
HEADER = struct.Struct("<IHHQ")  # magic, version, kind, bytes of the body
# token, rows, cols, height, width, pixel bytes, flags, steps in µm (one in version 1, along x and y), name
HELLO_1, HELLO = struct.Struct("<64sIIIIIId64s"), struct.Struct("<64sIIIIIIdd64s")
WELCOME = struct.Struct("<IIQQQ128s")  # D, 0, slots, bytes of a slot, bytes of the ring, its name; then the file
PUSH = struct.Struct("<Qii")  # index, time-out in ms, 0; then the pattern
LATENTS = struct.Struct("<Ii")  # limit, time-out in ms
RESULTS = struct.Struct("<II")  # count, whether all were given; then indices and latents
STATUS = struct.Struct("<9Q")  # then the text of an alarm, if one lasts
CODE = struct.Struct("<i")  # of a push; of a refusal, then its text
WANTS_RING, HEXAGONAL, ALTERNATING, FIRST_SHIFTED = 1, 2, 4, 8  # flags of the greeting; the last three since version 2
MOST_LATENTS = 1 << 16  # of one answer
WAIT_S = 0.25  # after which those who wait look whether the other side is still there
MESSAGE_S, GREETING_S = 10.0, 1.0  # in which a message must be whole once it has begun; the greeting, from the first


class Kind(IntEnum):
    """What a message is; an answer has the kind of its question, or is a refusal."""

    HELLO = 1
    PUSH = 2
    LATENTS = 3
    STATUS = 4
    FINISH = 5
    REFUSAL = 255


class Code(IntEnum):
    """Why something was refused; the client's header has the same numbers."""

    TAKEN = 0
    CONNECT = -1
    TOKEN = -2
    ARGUMENT = -3
    GONE = -4
    FULL = -5
    PROTOCOL = -6
    BUSY = -7
    REFUSED = -8
    FAILED = -9
    END = -10


class State(IntEnum):
    """Where a scan is."""

    LIVE = 1
    ENDED = 2
    FAILED = 3


class Status(NamedTuple):
    """Counts of a scan.

    Parameters
    ----------
    accepted, dropped
        Patterns that were taken, and that found no room in time.
    encoded, flagged
        Patterns whose latents are there; those of them that carry no information.
    waiting, forgotten
        Latents that were not asked for yet; those that were not for so long that they are in the file only.
    rate
        Patterns per second over the last five seconds, rounded.
    state
        Of `State`.
    alarms
        What changed so far in the scan, or what the model does not know: how many times.
    alarm
        The newest of them that lasts, in one line; empty if none does.
    """

    accepted: int
    dropped: int
    encoded: int
    flagged: int
    waiting: int
    forgotten: int
    rate: int
    state: int
    alarms: int
    alarm: str

    def pack(self) -> bytes:
        """The body of a message."""
        return STATUS.pack(*self[:-1]) + self.alarm.encode()

    @classmethod
    def unpack(cls, body: bytes) -> Status:
        """Read the body of a message."""
        return cls._make([*STATUS.unpack_from(body), body[STATUS.size :].decode("utf-8", "replace")])


class GoneError(MicrorunError):
    """The other side went away, or says nothing more."""


class RefusedError(MicrorunError):
    """A question that is answered by a refusal.

    Parameters
    ----------
    code
        For programs.
    text
        One line for people.
    """

    def __init__(self, code: Code, text: object) -> None:
        super().__init__(str(text))
        self.code = code


@dataclass(frozen=True)
class Hello:
    """A greeting.

    Parameters
    ----------
    token
        From the token file.
    scan
        What will be pushed.
    name
        Of the latents file, without its ending; empty for any that is free.
    wants_ring
        Whether the client can map shared memory.
    """

    token: bytes
    scan: Scan
    name: str = ""
    wants_ring: bool = True

    def pack(self) -> bytes:
        """The body of the message."""
        (rows, cols), (height, width) = self.scan.nav_shape, self.scan.sig_shape
        pixel = self.scan.pattern_bytes // (height * width)
        stated = {
            WANTS_RING: self.wants_ring,
            HEXAGONAL: self.scan.grid == "hexagonal",
            ALTERNATING: self.scan.alternating,
            FIRST_SHIFTED: self.scan.first_shifted,
        }
        flags = sum(flag for flag, holds in stated.items() if holds)
        return HELLO.pack(
            self.token, rows, cols, height, width, pixel, flags, *self.scan.step_um, self.name.encode()
        )  # fmt: skip

    @classmethod
    def unpack(cls, body: bytes) -> Hello:
        """Read the body of a message, of either version; RefusedError for a scan that makes no sense."""
        older = len(body) == HELLO_1.size
        token, rows, cols, height, width, pixel, flags, *steps, name = (HELLO_1 if older else HELLO).unpack(body)
        dtype: PixelType | None = {1: "uint8", 2: "uint16"}.get(pixel)  # type: ignore[assignment]
        if dtype is None:
            raise RefusedError(Code.ARGUMENT, f"pixels must have 1 or 2 bytes; got {pixel}")
        if flags & ~(WANTS_RING if older else WANTS_RING | HEXAGONAL | ALTERNATING | FIRST_SHIFTED):
            raise RefusedError(Code.ARGUMENT, f"flags of the greeting are not known here; got {flags}")
        try:
            scan = Scan(
                (rows, cols), (height, width), dtype, "hexagonal" if flags & HEXAGONAL else "square",
                (steps[0], steps[-1]), bool(flags & ALTERNATING), bool(flags & FIRST_SHIFTED),
            )  # fmt: skip
            return cls(token.rstrip(b"\0"), scan, name.rstrip(b"\0").decode("ascii"), bool(flags & WANTS_RING))
        except ScanError as error:
            raise RefusedError(Code.ARGUMENT, error) from None
        except UnicodeDecodeError:
            raise RefusedError(Code.ARGUMENT, "the name of a scan must be ASCII") from None


class Channel:
    """A connection: whole messages in and out.

    Parameters
    ----------
    connection
        Open.
    versions
        That the other side may speak; it is answered in the one that it began with.

    Raises
    ------
    GoneError
        From its methods, if the other side is not there any more.
    """

    def __init__(self, connection: socket.socket, versions: tuple[int, ...] = (VERSION,)) -> None:
        self._connection, self._versions, self.version = connection, versions, VERSION
        self.allow(MESSAGE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def allow(self, message_s: float) -> None:
        """Set in how many seconds each message must be whole from now on."""
        self._message_s = message_s
        self._connection.settimeout(message_s)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def has_news(self, timeout_s: float) -> bool:
        """Wait at most so long; True if a message has begun, or the other side is gone."""
        if self._connection.fileno() < 0:
            raise GoneError("the connection is closed")
        return bool(select.select([self._connection], [], [], timeout_s)[0])

    def check(self) -> None:
        """Raise GoneError if the other side hung up; cheap."""
        if self.has_news(0):
            try:
                begun = self._connection.recv(1, socket.MSG_PEEK)
            except OSError:
                begun = b""
            if not begun:
                raise GoneError("the other side hung up")

    def receive(self, most_bytes: int) -> tuple[int, bytes]:
        """Receive kind and body of a message; RefusedError for what is none, or longer than ``most_bytes``."""
        kind, size = self.receive_header()
        if size > most_bytes:
            raise RefusedError(Code.PROTOCOL, f"a message of kind {kind} has {most_bytes} bytes at most; got {size}")
        return kind, self.take(size)

    def receive_header(self) -> tuple[int, int]:
        """Receive the kind of a message, and how many bytes follow."""
        magic, version, kind, size = HEADER.unpack(self.take(HEADER.size))
        if magic != MAGIC:
            raise RefusedError(Code.PROTOCOL, "what came is no message of microrun's clients")
        if version not in self._versions:
            mine = " and ".join(map(str, self._versions))
            raise RefusedError(Code.PROTOCOL, f"the other side speaks version {version}, this one version {mine}")
        self._versions, self.version = (version,), version
        return kind, size

    def take(self, size: int) -> bytes:
        """Receive so many bytes."""
        taken = bytearray(size)
        self.take_into(memoryview(taken))
        return bytes(taken)

    def take_into(self, room: memoryview) -> None:
        """Receive until the room is full."""
        deadline = time.monotonic() + self._message_s
        while len(room):
            try:
                count = self._connection.recv_into(room)
            except TimeoutError:
                raise GoneError("the other side is silent") from None
            except OSError as error:
                raise GoneError(f"the other side hung up ({error.strerror or error})") from None
            if not count or time.monotonic() > deadline:
                raise GoneError("the other side hung up" if not count else "the other side is too slow")
            room = room[count:]

    def send(self, kind: int, *parts: bytes | memoryview) -> None:
        """Send a message."""
        size = sum(len(part) for part in parts)
        try:
            self._connection.sendall(HEADER.pack(MAGIC, self.version, kind, size) + b"".join(parts))
        except OSError as error:
            raise GoneError(f"the other side takes nothing ({error})") from None

    def refuse(self, error: RefusedError) -> None:
        """Send a refusal."""
        self.send(Kind.REFUSAL, CODE.pack(error.code) + str(error).encode())


def read_refusal(body: bytes) -> RefusedError:
    """What `Channel.refuse` sent."""
    (code,) = CODE.unpack_from(body)
    return RefusedError(Code(code), body[CODE.size :].decode("utf-8", "replace"))
