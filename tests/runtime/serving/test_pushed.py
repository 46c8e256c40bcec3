"""Patterns that another program pushes: their latents are those of `encode`, and nothing is lost unsaid."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from encode_runs import SIG_SHAPE, SPEC
from numpy.testing import assert_array_equal
from services import COUNT, LONG_S, NAV_SHAPE, SCAN, GatedEngine, Running, encode_here, running, some_patterns, take_all
from streams import wait_until
from write_up2 import make_patterns

from microrun.runtime.domain import Domain
from microrun.runtime.encoding.stream import encode
from microrun.runtime.errors import ScanError, SpecError
from microrun.runtime.latents.batch import EncodedBatch
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.latents.writer import LatentsWriter
from microrun.runtime.patterns.warp import Warp
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.source import MemorySource
from microrun.runtime.serving import kept_latents
from microrun.runtime.serving.ring_source import RingSource
from microrun.runtime.serving.served_scan import Preparation
from microrun.runtime.serving.server import ServeRequest, Service
from microrun.runtime.serving.shared_memory import TAIL
from microrun.runtime.serving.wire import State
from microrun.runtime.testing import ProjectionEngine

ENGINE = ProjectionEngine(SPEC)
DOMAIN = Domain(("nickel",), (20.0, 20.0), ((0.40, 0.44), (0.77, 0.81), (0.48, 0.52)), (0.2, 1.4))
SHARED = pytest.mark.parametrize("shared", [True, False], ids=["ring", "tcp"])


@SHARED
@pytest.mark.parametrize("background", ["none", "running"])
def test_pushed_patterns_give_what_encode_gives_bit_by_bit(tmp_path: Path, background: str, shared: bool) -> None:
    patterns, engine = some_patterns(), ProjectionEngine(SPEC, 2, 7)
    expected = encode_here(patterns, engine, None if background == "none" else background)
    with running(tmp_path, engine, background=background) as service, service.client(shared=shared) as client:
        assert (client._memory is not None) == shared
        for pattern in patterns:
            assert client.push(pattern)
        client.finish()
        found, status = take_all(client), client.status()
    assert_array_equal(found.indices, np.arange(COUNT))
    assert_array_equal(found.latents, expected.latents)
    assert (status.accepted, status.dropped, status.encoded, status.state) == (COUNT, 0, COUNT, State.ENDED)
    with open_latents(Path(client.file)) as latents:
        assert_array_equal(latents.latents.reshape(COUNT, -1), expected.latents)
        assert_array_equal(latents.ranges.reshape(COUNT, 2), expected.ranges)
        assert latents.origin.background == background and not latents.growing
    assert not service.warnings()


def test_latents_do_not_wait_for_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patterns, written, write = some_patterns(), threading.Event(), LatentsWriter.write

    def write_late(writer: LatentsWriter, batch: EncodedBatch) -> None:
        assert written.wait(LONG_S)
        write(writer, batch)

    monkeypatch.setattr(LatentsWriter, "write", write_late)
    with running(tmp_path, ENGINE) as service, service.client() as client:
        for pattern in patterns:
            client.push(pattern)
        count = 0
        while count < COUNT:
            count += len(client.latents().indices)
        assert client.status().state == State.LIVE  # nothing is in the file yet
        written.set()
        assert take_all(client).over
    with open_latents(Path(client.file)) as latents:
        assert_array_equal(latents.latents.reshape(COUNT, -1), encode_here(patterns, ENGINE).latents)


def test_pushed_patterns_are_turned_about_and_warped_as_by_encode(tmp_path: Path) -> None:
    patterns, engine = some_patterns(), ProjectionEngine(replace(SPEC, domain=DOMAIN), 2, 7)
    how = Preparation("none", (0.45, 0.75, 0.55), invert=True)
    source = MemorySource(SCAN, capacity=COUNT)
    for pattern in patterns:
        source.push(pattern)
    source.finish()
    with encode(source, engine, None, preprocessor=how.make(engine, SIG_SHAPE)) as stream:
        expected = np.concatenate([batch.latents for batch in stream])
    asked = {"pattern_centre": how.pattern_centre, "invert": True}
    assert how.pattern_centre is not None
    with running(tmp_path, engine, **asked) as service, service.client() as client:
        for pattern in patterns:
            assert client.push(pattern)
        client.finish()
        assert_array_equal(take_all(client).latents, expected)
    assert (expected != encode_here(patterns, engine).latents).any()
    with open_latents(Path(client.file)) as latents:
        assert latents.origin.inverted and latents.origin.warp == Warp(how.pattern_centre, DOMAIN.centre)
    with pytest.raises(SpecError, match="does not state which pattern centres it knows"):
        Service(ServeRequest(tmp_path, token_file=tmp_path / "other", pattern_centre=how.pattern_centre), ENGINE, print)


@SHARED
def test_without_waiting_every_drop_is_counted(tmp_path: Path, shared: bool) -> None:
    engine, patterns = GatedEngine(), some_patterns()
    with running(tmp_path, engine) as service, service.client(shared=shared) as client:
        taken = [client.push(pattern, timeout_s=0) for pattern in patterns]
        dropped = client.status().dropped
        engine.gate.set()
        client.finish()
        found, status = take_all(client), client.status()
    assert 0 < sum(taken) < COUNT
    assert dropped == status.dropped == COUNT - sum(taken)
    assert status.encoded + status.dropped == COUNT
    assert_array_equal(found.indices, np.flatnonzero(taken))
    with open_latents(Path(client.file)) as latents:
        assert_array_equal(latents.written.ravel() != 0, taken)
    assert f"{status.dropped} were dropped" in dict(service.said)["encoded"]


@SHARED
def test_a_push_waits_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: bool) -> None:
    engine, patterns, waited, await_room = GatedEngine(), some_patterns(), threading.Event(), RingSource.await_room

    def await_and_tell(source: RingSource, timeout_s: float) -> bool:
        if not (found := await_room(source, timeout_s)):
            waited.set()
        return found

    def is_full() -> bool:
        memory = client._memory
        return waited.is_set() if memory is None else client._head - int(memory.words[TAIL]) == memory.layout.slots

    monkeypatch.setattr(RingSource, "await_room", await_and_tell)
    with running(tmp_path, engine) as service, service.client(shared=shared) as client:
        pushing = threading.Thread(target=lambda: [client.push(pattern) for pattern in patterns], daemon=True)
        pushing.start()
        wait_until(is_full)
        assert pushing.is_alive()
        engine.gate.set()
        found = take_all(client)
        pushing.join(LONG_S)
    assert_array_equal(found.indices, np.arange(COUNT))


def test_every_latent_tells_its_index(service: Running) -> None:
    patterns = some_patterns()
    with service.client() as client:
        for number in (3, 4, 20, 59):
            client.push(patterns[number], number)
        found = take_all(client)  # 59 is the last of the scan: it ends by itself
    assert found.indices.tolist() == [3, 4, 20, 59]
    assert_array_equal(found.latents, encode_here(patterns, ProjectionEngine(SPEC)).latents[found.indices])


def test_uint8_patterns_and_names(service: Running, tmp_path: Path) -> None:
    scan = Scan(NAV_SHAPE, SIG_SHAPE, "uint8", step_um=(0.25, 0.25))
    with service.client(scan, "sample_7") as client:
        for pattern in make_patterns(COUNT, SIG_SHAPE, "uint8"):
            client.push(pattern)
        take_all(client)
    with open_latents(tmp_path / "sample_7.latents.h5") as latents:
        assert latents.origin.scan == scan and latents.written.all()


def test_latents_that_nobody_asks_for_are_forgotten_but_in_the_file(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_latents, "KEPT_BYTES", 20 * 4 * SPEC.latent_size)
    with service.client() as client:
        for pattern in some_patterns():
            client.push(pattern)
        wait_until(lambda: client.status().state == State.ENDED)
        before, found = client.status(), take_all(client)
    assert before.forgotten > 0 and before.waiting + before.forgotten == COUNT
    assert_array_equal(found.indices, np.arange(before.forgotten, COUNT))
    with open_latents(Path(client.file)) as latents:
        assert latents.written.all()


def test_what_python_programs_push_is_checked_before_it_is_sent(service: Running) -> None:
    with service.client() as client:
        with pytest.raises(ScanError, match="must be"):
            client.push(np.zeros((3, 3), np.uint16))
        with pytest.raises(ScanError, match="must be 0 to 59"):
            client.push(np.zeros(SIG_SHAPE, np.uint16), SCAN.total)
    assert client.file.endswith("scan-1.latents.h5")
