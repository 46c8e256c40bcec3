"""Services that tests push patterns to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from encode_runs import SIG_SHAPE, SPEC
from numpy.testing import assert_array_equal
from write_up2 import make_patterns

from microrun.runtime.encoding.stream import encode
from microrun.runtime.engines.engine import Engine
from microrun.runtime.latents.batch import EncodedBatch
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.source import MemorySource
from microrun.runtime.serving.client import Client
from microrun.runtime.serving.kept_latents import Answer
from microrun.runtime.serving.server import ServeRequest, Service
from microrun.runtime.testing import ProjectionEngine

NAV_SHAPE = (6, 10)
COUNT = 60
SCAN = Scan(NAV_SHAPE, SIG_SHAPE)
LONG_S = 60.0  # for what would otherwise hang; nothing waits that long


class GatedEngine(ProjectionEngine):
    """Waits before every batch but warming ones until the gate is open."""

    def __init__(self) -> None:
        super().__init__(SPEC, 1, 2)
        self.gate = threading.Event()

    def project(self, inputs: np.ndarray) -> np.ndarray:
        if inputs.any():
            assert self.gate.wait(LONG_S)
        return super().project(inputs)


@dataclass
class Running:
    """A service that answers, and what it told its operator."""

    service: Service
    folder: Path
    said: list[tuple[str, str]] = field(default_factory=list)

    def client(self, scan: Scan = SCAN, name: str = "", shared: bool = True) -> Client:
        return Client(scan, name, self.service.token_file, shared)

    def warnings(self) -> str:
        return "\n".join(text for kind, text in self.said if kind == "warning")


@contextmanager
def running(folder: Path, engine: Engine, **asked: Any) -> Iterator[Running]:
    """Serve from a thread."""
    asked = {"background": "none", "token_file": folder / "serve.token", **asked}
    said: list[tuple[str, str]] = []
    with Service(ServeRequest(folder, **asked), engine, lambda kind, text: said.append((kind, text))) as service:
        thread = threading.Thread(target=service.run, daemon=True)
        thread.start()
        yield Running(service, folder, said)
    thread.join(LONG_S)
    assert not thread.is_alive(), "hangs"


def some_patterns(seed: int = 0) -> np.ndarray:
    return make_patterns(COUNT, SIG_SHAPE, seed=seed)


def take_all(client: Client) -> Answer:
    """Everything that comes until the scan is over."""
    answers = [client.latents()]
    while not answers[-1].over:
        answers.append(client.latents())
    indices, latents = (np.concatenate([getattr(one, name) for one in answers]) for name in ("indices", "latents"))
    return Answer(indices, latents, True)


def encode_here(patterns: np.ndarray, engine: Engine, background: Any = None) -> EncodedBatch:
    """The same patterns encoded in this process."""
    source = MemorySource(SCAN, capacity=len(patterns))
    for pattern in patterns:
        source.push(pattern)
    source.finish()
    with encode(source, engine, background) as stream:
        batches = list(stream)
    parts = ([getattr(batch, name) for batch in batches] for name in ("indices", "latents", "ranges", "flags"))
    return EncodedBatch(*(np.concatenate(part) for part in parts))


def check_kept(path: str | Path, patterns: np.ndarray, count: int) -> None:
    """The file is whole up to there, and closed."""
    with open_latents(Path(path)) as latents:
        assert not latents.growing
        assert_array_equal(np.flatnonzero(latents.written), np.arange(count))
        expected = encode_here(patterns, ProjectionEngine(SPEC)).latents[:count]
        assert_array_equal(latents.latents.reshape(COUNT, -1)[:count], expected)
