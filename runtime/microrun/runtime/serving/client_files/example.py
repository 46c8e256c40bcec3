"""Encode raw patterns by `microrun serve` over TCP alone: for Python 3.8 and later, without any library.

    python example.py PATTERNS ROWS COLS HEIGHT WIDTH LATENTS [TOKEN_FILE [LAYOUT]]

PATTERNS holds ROWS x COLS patterns of 16 bits a pixel, LATENTS gets a record for each latent: its number, 8 bytes, and
its values. The service keeps the newest 64 MB of latents: of a larger scan, ask for some between the pushes.

LAYOUT is given where the grid is hexagonal: 0, or the sum of 1, if rows that are shifted have one pattern less, and 2,
if the first row is shifted.

The messages are those of the page "serve" of microrun's documentation; other languages send the same.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from pathlib import Path

MAGIC, VERSION = 0x4E55524D, 2
HELLO, PUSH, LATENTS, STATUS, FINISH, REFUSAL = 1, 2, 3, 4, 5, 255
FULL = -5
AT_ONCE = 256


def usual_token_file() -> Path:
    """Where the service writes it."""
    if os.name == "nt":
        return Path(os.environ["LOCALAPPDATA"]) / "microrun" / "serve.token"
    return Path.home() / ".microrun" / "serve.token"


def take(connection: socket.socket, size: int) -> bytes:
    """Receive so many bytes."""
    taken = b""
    while len(taken) < size:
        part = connection.recv(size - len(taken))
        if not part:
            raise SystemExit("the service went away")
        taken += part
    return taken


def ask(connection: socket.socket, kind: int, body: bytes = b"") -> bytes:
    """Send a question, and return its answer."""
    connection.sendall(struct.pack("<IHHQ", MAGIC, VERSION, kind, len(body)) + body)
    magic, version, answered, size = struct.unpack("<IHHQ", take(connection, 16))
    answer = take(connection, size)
    if answered == REFUSAL:
        raise SystemExit(answer[4:].decode())
    assert (magic, version, answered) == (MAGIC, VERSION, kind)
    return answer


def main(patterns: str, rows: str, cols: str, height: str, width: str, latents: str, *more: str) -> None:
    """Push all patterns, then write all latents."""
    _, _, port, token = (Path(more[0]) if more and more[0] else usual_token_file()).read_text("utf-8").split()
    connection = socket.create_connection(("127.0.0.1", int(port)))
    shape = (int(rows), int(cols), int(height), int(width))
    step_um, name = 1.0, b""
    flags, row_step_um = (2 + 4 * int(more[1]), step_um * 0.75**0.5) if len(more) > 1 else (0, step_um)
    hello = struct.pack("<64sIIIIIIdd64s", token.encode(), *shape, 2, flags, step_um, row_step_um, name)
    welcome = ask(connection, HELLO, hello)
    (size,) = struct.unpack_from("<I", welcome)
    print("latents go to", welcome[160:].decode())
    with Path(patterns).open("rb") as file:
        for index, pattern in enumerate(iter(lambda: file.read(2 * shape[2] * shape[3]), b"")):
            wait_ms = -1  # without end; 0 drops a pattern that finds no room
            (code,) = struct.unpack("<i", ask(connection, PUSH, struct.pack("<Qii", index, wait_ms, 0) + pattern))
            if code == FULL:
                print("pattern", index, "was dropped")
    ask(connection, FINISH)
    with Path(latents).open("wb") as out:
        over = 0
        while not over:
            answer = ask(connection, LATENTS, struct.pack("<Ii", AT_ONCE, 1000))
            count, over = struct.unpack_from("<II", answer)
            for i in range(count):
                first = 8 + 8 * count + 4 * size * i
                out.write(answer[8 + 8 * i : 16 + 8 * i] + answer[first : first + 4 * size])
    accepted, dropped, encoded, *_ = struct.unpack_from("<9Q", ask(connection, STATUS))
    print(accepted, "accepted,", dropped, "dropped,", encoded, "encoded")
    connection.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
