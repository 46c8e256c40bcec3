"""Engines that are measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from microrun.runtime.engines.engine import Engine


@dataclass(frozen=True)
class Subject:
    """An engine that is to be measured.

    Parameters
    ----------
    name
        Of its model, for people.
    engine
        Open.
    open_single
        Opens it again, with one lane and a batch of one.
    network
        The same one in torch, of which the peer is made; None for no peer.
    """

    name: str
    engine: Engine
    open_single: Callable[[], Engine]
    network: Any = field(default=None, repr=False)

    @property
    def title(self) -> str:
        """Tells it from all others."""
        return f"{self.name}, {self.engine.info.precision} on {self.engine.info.device}"
