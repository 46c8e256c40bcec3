"""What errors look like: one line that names what matters."""

from __future__ import annotations

import pytest


def one_line(error: pytest.ExceptionInfo[Exception], *parts: object) -> None:
    """All parts in one line."""
    text = str(error.value)
    assert "\n" not in text
    for part in parts:
        assert str(part) in text
