"""What an .onnx file may not be, found in its bytes before a library follows them."""

from __future__ import annotations

import mmap
from pathlib import Path

from microrun.runtime.errors import EngineError

# A key of a tensor's `external_data`, as protobuf writes it: field 1, eight bytes long.
LOCATION = b"\x0a\x08location"


def check_one_file(path: Path) -> None:
    """Refuse a model whose weights are in other files.

    A model is known by the hash of its file: resumes, caches and records of what made a result rely on it. And no
    model may have other files opened.

    Raises
    ------
    EngineError
        If it has such weights, or cannot be read.
    """
    if not path.is_file():  # opening a pipe would wait for its writer
        raise EngineError(f"{path}: no such file")
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            apart = content.find(LOCATION) >= 0
    except (OSError, ValueError) as error:  # ValueError: an empty file
        raise EngineError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'it is empty'})") from None
    if apart:
        raise EngineError(
            f"{path}: has weights in a file beside it; save it as one: onnx.save(onnx.load({path.name!r}), 'one.onnx')"
        )
