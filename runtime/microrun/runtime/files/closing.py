"""The ``with`` statement for whatever has a ``close``."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class Closing:
    """Base of classes that are closed on leaving ``with``."""

    def close(self) -> None:
        """Free what is held; by default nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
