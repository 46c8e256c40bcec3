"""Services that end, are killed, or can let nobody in: their clients hear of it, and why."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from encode_runs import SIG_SHAPE, SPEC
from services import LONG_S, Running, running, some_patterns, take_all
from streams import wait_until

from microrun.runtime.errors import ScanError
from microrun.runtime.scans.scan import Scan
from microrun.runtime.serving import client as client_module
from microrun.runtime.serving import server, session
from microrun.runtime.serving.client import Client
from microrun.runtime.serving.shared_memory import OVER, Layout
from microrun.runtime.serving.wire import LATENTS, RESULTS, Code, GoneError, Kind, RefusedError
from microrun.runtime.testing import ProjectionEngine

PATTERNS = some_patterns()
SHARED = pytest.mark.parametrize("shared", [True, False], ids=["ring", "tcp"])


def push_until_refused(client: Client) -> None:
    while True:
        client.push(PATTERNS[0], timeout_s=0)
        time.sleep(0.001)


def test_a_push_hears_that_the_service_was_killed(
    killable: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "WAIT_S", 0.02)
    with Client(Scan((100, 100), SIG_SHAPE), token_file=tmp_path / "serve.token") as client:
        assert client.push(PATTERNS[0])
        killable.kill()
        for _ in range(2):  # it stays so
            with pytest.raises(GoneError):
                push_until_refused(client)


def test_a_system_without_open_files_does_not_end_the_service(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(listening: socket.socket) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "accept", fail)
        wait_until(lambda: os.strerror(errno.EMFILE) in service.warnings())
    with service.client() as client:
        assert client.status().encoded == 0


def test_more_connections_than_there_may_be_are_told_so(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_CLIENTS", 1)
    with service.client():
        with pytest.raises(RefusedError, match="1 connections are open") as error:
            service.client()
        assert error.value.code == Code.BUSY
    assert "1 connections are open" in service.warnings()


def test_who_never_greets_is_let_go(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "GREETING_S", 0.02)
    with socket.create_connection(("127.0.0.1", service.service.address.port), timeout=LONG_S) as connection:
        assert connection.recv(1) == b""


def test_a_question_within_a_question_is_refused(service: Running) -> None:
    with service.client() as client:
        client._channel.send(Kind.LATENTS, LATENTS.pack(1, -1))
        client._channel._connection.sendall(b"M")
        kind, body = client._channel.receive(1 << 16)
        assert kind == Kind.REFUSAL and b"before the last one was answered" in body
    wait_until(lambda: "interrupted" in service.warnings())


def test_no_answer_waits_longer_than_a_client_may_be_silent(tmp_path: Path) -> None:
    with running(tmp_path, ProjectionEngine(SPEC), idle_timeout_s=0.5) as service, service.client() as client:
        answer = client._ask(Kind.LATENTS, LATENTS.pack(1, -1))
        assert RESULTS.unpack_from(answer) == (0, 0)
        wait_until(lambda: "has said nothing for 0.5 s" in service.warnings())


@SHARED
def test_a_client_that_was_silent_is_told_that_its_scan_has_ended(tmp_path: Path, shared: bool) -> None:
    engine = ProjectionEngine(SPEC)
    with running(tmp_path, engine, idle_timeout_s=0.1) as service, service.client(shared=shared) as client:
        wait_until(lambda: "has said nothing for" in service.warnings())
        with pytest.raises(RefusedError, match="has said nothing for") as error:
            client.latents()
        assert error.value.code == Code.GONE


@SHARED
def test_a_scan_is_finished_while_another_thread_waits_for_latents(service: Running, shared: bool) -> None:
    with service.client(shared=shared) as client:
        over: list[bool] = []
        waiting = threading.Thread(target=lambda: over.append(client.latents(timeout_s=-1).over), daemon=True)
        waiting.start()
        wait_until(client._asking.locked)
        finishing = threading.Thread(target=client.finish, daemon=True)
        finishing.start()
        for thread in (finishing, waiting):
            thread.join(LONG_S)
    assert over == [True]


def test_a_pattern_that_came_too_late_is_not_said_to_be_taken(service: Running) -> None:
    with service.client() as client:
        assert client._memory is not None
        pixels, memory = PATTERNS[0].view(np.uint8).ravel(), client._memory
        client.push(PATTERNS[0])
        client.finish()
        take_all(client)
        assert memory.words[OVER]
        with pytest.raises(GoneError):
            client._put(memory, pixels, 1, 0)


def test_a_service_with_a_relative_folder_tells_the_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    engine, token_file = ProjectionEngine(SPEC), tmp_path / "serve.token"
    with running(Path(), engine, token_file=token_file) as service, service.client() as client:
        assert Path(client.file) == tmp_path / "scan-1.latents.h5"


def test_the_largest_detectors_are_served() -> None:
    assert Layout.choose(2 * 4096 * 4096).slots == 4
    with pytest.raises(ScanError, match="bytes at most") as error:
        Layout.choose(1 << 26)
    most = int("".join(filter(str.isdigit, str(error.value).partition("may have ")[2].partition(" bytes")[0])))
    assert Layout.choose(most).slots == 4
    with pytest.raises(ScanError):
        Layout.choose(most + 1)
