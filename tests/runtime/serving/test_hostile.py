"""Clients that lie, hang up or say nonsense: one line, what was encoded is kept, and the next one is served."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from disk import full_disk
from encode_runs import SPEC
from services import COUNT, NAV_SHAPE, SCAN, Running, check_kept, running, some_patterns, take_all
from streams import wait_until

from microrun.runtime.encoding import watching
from microrun.runtime.errors import MicrorunError, OutputError
from microrun.runtime.latents.batch import EncodedBatch
from microrun.runtime.latents.writer import LatentsWriter
from microrun.runtime.scans.scan import Scan
from microrun.runtime.serving import token_file
from microrun.runtime.serving.client import Client
from microrun.runtime.serving.refusals import MOST, OTHERS, Refusals
from microrun.runtime.serving.shared_memory import HEAD, TAIL
from microrun.runtime.serving.token_file import Address, write_token_file
from microrun.runtime.serving.wire import (
    HEADER,
    HELLO,
    MAGIC,
    PUSH,
    VERSION,
    Channel,
    Code,
    GoneError,
    Hello,
    Kind,
    RefusedError,
    State,
)
from microrun.runtime.testing import ProjectionEngine

PATTERNS = some_patterns()


@pytest.fixture(autouse=True)
def the_next_client_is_served(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a client does, the service goes on."""
    service: Running | None = request.getfixturevalue("service") if "service" in request.fixturenames else None
    yield
    if service is not None:
        push_all(service, "the_next")


def push_all(service: Running, name: str = "") -> None:
    def is_free() -> bool:
        try:
            clients.append(service.client(name=name))
        except RefusedError as error:
            assert error.code == Code.BUSY
        return bool(clients)

    clients: list[Client] = []
    wait_until(is_free)
    with clients[0] as client:
        for pattern in PATTERNS:
            client.push(pattern)
        assert len(take_all(client).indices) == COUNT


def refused(service: Running, hello: bytes) -> RefusedError:
    channel = Channel(socket.create_connection(("127.0.0.1", service.service.address.port)))
    channel.send(Kind.HELLO, hello)
    kind, body = channel.receive(1 << 16)
    channel.close()
    assert kind == Kind.REFUSAL
    code, text = int.from_bytes(body[:4], "little", signed=True), body[4:].decode()
    assert "\n" not in text and text
    return RefusedError(Code(code), text)


def greeting(service: Running, *, token: str = "", scan: Scan = SCAN, name: str = "") -> bytes:
    return Hello((token or service.service.address.token).encode(), scan, name).pack()


def test_a_wrong_token_is_refused(service: Running, tmp_path: Path) -> None:
    assert refused(service, greeting(service, token="0" * 64)).code == Code.TOKEN
    wrong = tmp_path / "wrong.token"
    write_token_file(wrong, Address(service.service.address.port, "f" * 64))
    with pytest.raises(RefusedError, match="token"):
        Client(SCAN, token_file=wrong)
    assert service.warnings().count("not this service's") == 1  # told once


def test_a_client_that_tries_again_and_again_is_told_of_once_and_counted(tmp_path: Path) -> None:
    with running(tmp_path, ProjectionEngine(SPEC)) as service:
        for _ in range(30):
            assert refused(service, greeting(service, token="0" * 64)).code == Code.TOKEN
        for number in range(30):
            assert refused(service, greeting(service, scan=SCAN, name=f"no name {number}"[:8])).code == Code.ARGUMENT
        assert service.warnings().count("a client was refused") == 2
    last = service.warnings().splitlines()[-2:]
    assert [line.partition(":")[0] for line in last] == ["clients were refused 29 times more"] * 2


def test_many_reasons_are_told_of_as_one() -> None:
    said = list[str]()
    refusals = Refusals(lambda kind, text: said.append(text))
    for number in range(100):
        refusals.tell(f"reason {number}")
    assert said[:MOST] == [f"a client was refused: reason {number}" for number in range(MOST)]
    refusals.tell_counted(0)
    assert len(said) == MOST + 2 and said[MOST] == f"a client was refused: {OTHERS}"
    assert said[-1] == f"clients were refused {99 - MOST} times more: {OTHERS}"
    refusals.tell("reason 0")
    assert said[-1] == "a client was refused: reason 0"


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\0" * 400, bytes(range(55, 255)) * 2])
def test_nonsense_is_refused(service: Running, said: bytes) -> None:
    with socket.create_connection(("127.0.0.1", service.service.address.port)) as connection:
        connection.sendall(said)
        wait_until(lambda: "no message of microrun's clients" in service.warnings())


def test_another_version_and_another_kind_are_refused(service: Running) -> None:
    for header, expected in (
        (HEADER.pack(MAGIC, VERSION + 1, Kind.HELLO, HELLO.size), f"version {VERSION + 1}, this one version 1 and 2"),
        (HEADER.pack(MAGIC, VERSION, Kind.STATUS, 0), "a greeting"),
        (HEADER.pack(MAGIC, VERSION, Kind.HELLO, 1 << 60), "bytes at most"),
    ):
        with socket.create_connection(("127.0.0.1", service.service.address.port)) as connection:
            connection.sendall(header)
            wait_until(lambda expected=expected: expected in service.warnings())


def test_half_a_greeting_keeps_nobody_waiting(service: Running) -> None:
    with socket.create_connection(("127.0.0.1", service.service.address.port)) as connection:
        connection.sendall(HEADER.pack(MAGIC, VERSION, Kind.HELLO, HELLO.size) + b"half")
        push_all(service)


def test_sizes_that_make_no_sense_are_refused(service: Running, tmp_path: Path) -> None:
    body = bytearray(greeting(service))
    for offset, number in ((64, 0), (72, 0), (72, 1 << 20), (80, 3)):
        changed = bytearray(body)
        changed[offset : offset + 4] = number.to_bytes(4, "little")
        assert refused(service, bytes(changed)).code == Code.ARGUMENT
    assert refused(service, greeting(service, scan=Scan(NAV_SHAPE, (4, 4)))).code == Code.REFUSED  # for the model
    assert refused(service, greeting(service, scan=Scan(NAV_SHAPE, (1 << 13, 1 << 13)))).code == Code.REFUSED
    assert not list(tmp_path.glob("*.h5"))


def test_a_name_that_leads_elsewhere_or_is_taken_is_refused(service: Running, tmp_path: Path) -> None:
    for name in ("../a", "a/b", ".hidden", "a b"):
        assert refused(service, greeting(service, name=name)).code == Code.ARGUMENT
    (tmp_path / "there.latents.h5").write_text("mine")
    assert str(refused(service, greeting(service, name="there"))).endswith("exists; give another name")
    assert (tmp_path / "there.latents.h5").read_text() == "mine"


def test_numbers_out_of_range_or_twice_are_refused_over_tcp(service: Running) -> None:
    with service.client(shared=False) as client:
        for number, pattern in enumerate(PATTERNS[:10]):
            client.push(pattern, number)
        for wrong in (9, 3, COUNT, 1 << 63):
            with pytest.raises(RefusedError, match="must be 10 to 59") as error:
                client._ask(Kind.PUSH, PUSH.pack(wrong, -1, 0) + PATTERNS[0].tobytes())
            assert error.value.code == Code.ARGUMENT
        client.push(PATTERNS[10])
        client.finish()
        assert len(take_all(client).indices) == 11
    check_kept(client.file, PATTERNS, 11)


def test_a_pattern_of_another_size_ends_the_scan(service: Running) -> None:
    with service.client(shared=False) as client:
        client.push(PATTERNS[0])
        with pytest.raises(RefusedError, match="bytes here") as error:
            client._ask(Kind.PUSH, PUSH.pack(1, -1, 0) + PATTERNS[0].tobytes()[:-2])
        assert error.value.code == Code.PROTOCOL
    wait_until(lambda: "interrupted" in service.warnings())
    check_kept(client.file, PATTERNS, 1)


def test_a_question_that_there_is_not_ends_the_scan(service: Running) -> None:
    with service.client() as client:
        client.push(PATTERNS[0])
        with pytest.raises(RefusedError, match="no message of kind 9") as error:
            client._ask(9)  # type: ignore[arg-type]
        assert error.value.code == Code.PROTOCOL
    wait_until(lambda: "interrupted" in service.warnings())
    check_kept(client.file, PATTERNS, 1)


def test_an_error_of_our_own_is_one_line_and_the_service_goes_on(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(hello: Hello) -> None:
        raise ZeroDivisionError("division by zero")

    with monkeypatch.context() as patch:
        patch.setattr(Hello, "unpack", fail)
        with pytest.raises(MicrorunError):
            service.client()
    assert service.warnings() == "a client was let go (ZeroDivisionError: division by zero)"


@pytest.mark.parametrize("wrong", [COUNT, 2, 1 << 63, (1 << 64) - 1])
def test_numbers_out_of_range_or_twice_in_the_ring_end_the_scan(service: Running, wrong: int) -> None:
    with service.client() as client:
        for pattern in PATTERNS[:3]:
            client.push(pattern)
        wait_until(lambda: client.status().encoded == 3)
        assert client._memory is not None
        client._memory.numbers[3] = wrong
        client._memory.words[HEAD] = 4
        with pytest.raises(RefusedError, match="must be 3 to 59") as error:
            take_all(client)
        assert error.value.code == Code.FAILED
        with pytest.raises(GoneError):
            client.push(PATTERNS[4])
    check_kept(client.file, PATTERNS, 3)


@pytest.mark.parametrize("head", [0, 8, (1 << 64) - 1])
def test_a_ring_that_cannot_be_ends_the_scan(service: Running, head: int) -> None:
    with service.client() as client:
        for pattern in PATTERNS[:3]:
            client.push(pattern)
        wait_until(lambda: client.status().encoded == 3)
        assert client._memory is not None
        client._memory.words[HEAD] = head
        with pytest.raises(RefusedError, match="3 to 7 can be"):
            take_all(client)
    check_kept(client.file, PATTERNS, 3)


def test_what_the_service_wrote_into_the_ring_it_does_not_believe(service: Running) -> None:
    with service.client() as client:
        assert client._memory is not None
        for number, pattern in enumerate(PATTERNS[:6]):
            wait_until(lambda number=number: client.status().encoded == number)
            client._memory.words[TAIL] = number
            client._memory.words[0] = client._memory.words[1] = (1 << 64) - 1
            client.push(pattern)
        client.finish()
        assert len(take_all(client).indices) == 6
    check_kept(client.file, PATTERNS, 6)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere memory has another form")
def test_a_client_cannot_cut_the_ring_off_under_the_service(service: Running) -> None:
    with service.client() as client:
        assert client._memory is not None
        with Path(client._memory.name).open("r+b") as file, pytest.raises(PermissionError):
            os.ftruncate(file.fileno(), 0)


def test_a_client_that_dies_leaves_a_file_up_to_there(service: Running) -> None:
    client = service.client()
    for pattern in PATTERNS[:25]:
        client.push(pattern)
    client._channel.close()  # as the system does for a process that is killed
    wait_until(lambda: "interrupted, its client is gone" in service.warnings())
    check_kept(client.file, PATTERNS, 25)
    client.close()


def test_a_client_that_dies_within_a_pattern_leaves_those_before(service: Running) -> None:
    client = service.client(shared=False)
    for pattern in PATTERNS[:5]:
        client.push(pattern)
    body = PUSH.pack(5, -1, 0) + PATTERNS[5].tobytes()
    client._channel._connection.sendall(HEADER.pack(MAGIC, VERSION, Kind.PUSH, len(body)) + body[:500])
    client.close()
    wait_until(lambda: "interrupted, its client is gone" in service.warnings())
    check_kept(client.file, PATTERNS, 5)


@pytest.mark.parametrize("seed", range(3))
def test_a_ring_that_is_scribbled_over_ends_the_scan(service: Running, seed: int) -> None:
    random = np.random.default_rng(seed)
    with service.client() as client:
        for pattern in PATTERNS[:10]:
            client.push(pattern)
        wait_until(lambda: client.status().encoded == 10)
        memory = client._memory
        assert memory is not None
        memory.pixels[:] = random.integers(0, 256, memory.pixels.shape)
        memory.numbers[:] = random.integers(0, 1 << 63, len(memory.numbers), np.uint64)
        memory.words[:] = random.integers(1 << 32, 1 << 63, len(memory.words), np.uint64)
        with pytest.raises(RefusedError, match="patterns were pushed where") as error:
            take_all(client)
        assert error.value.code == Code.FAILED and "\n" not in str(error.value)
    check_kept(client.file, PATTERNS, 10)


def test_a_client_that_says_nothing_any_more_loses_its_place(tmp_path: Path) -> None:
    with running(tmp_path, ProjectionEngine(SPEC), idle_timeout_s=0.2) as service:
        client = service.client()
        for pattern in PATTERNS[:5]:
            client.push(pattern)
        wait_until(lambda: "has said nothing for 0.2 s" in service.warnings())
        check_kept(client.file, PATTERNS, 5)
        client.close()
        push_all(service)


def test_a_second_client_is_told_to_wait(service: Running) -> None:
    with service.client() as client:
        assert refused(service, greeting(service)).code == Code.BUSY
        client.push(PATTERNS[0])
        client.finish()
        assert len(take_all(client).indices) == 1


def test_a_full_disk_is_told_and_the_service_goes_on(service: Running, tmp_path: Path) -> None:
    with full_disk():
        refusal = refused(service, greeting(service))
    assert refusal.code == Code.REFUSED and "scan-1.latents.h5" in str(refusal)
    assert not list(tmp_path.glob("*.h5"))


def test_a_disk_that_fails_ends_the_scan_with_what_is_in_it(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    write, flush = LatentsWriter.write, LatentsWriter.flush
    written, on_disk = list[EncodedBatch](), [0]

    def fail_at_3(writer: LatentsWriter, batch: EncodedBatch) -> None:
        if 3 in batch.indices:
            raise writer._failed(OSError("no such device"))
        write(writer, batch)
        written.append(batch)

    def note(writer: LatentsWriter) -> None:
        flush(writer)
        on_disk.append(len(written))

    monkeypatch.setattr(LatentsWriter, "write", fail_at_3)
    monkeypatch.setattr(LatentsWriter, "flush", note)
    monkeypatch.setattr(watching, "FLUSH_S", 0)
    with service.client() as client:
        for number in range(4):
            wait_until(lambda number=number: on_disk[-1] == number)  # what is not yet on the disk may be lost
            client.push(PATTERNS[number])
        wait_until(lambda: client.status().state == State.FAILED)
        assert len(client.latents().indices) == 4
        with pytest.raises(RefusedError, match="cannot be written") as error:
            client.latents()
        assert error.value.code == Code.FAILED and "--resume" not in str(error.value)  # which there is not
    check_kept(client.file, PATTERNS, 3)
    monkeypatch.undo()


def test_when_the_service_ends_scans_keep_what_they_have(tmp_path: Path) -> None:
    with running(tmp_path, ProjectionEngine(SPEC)) as service:
        client = service.client()
        for pattern in PATTERNS[:5]:
            client.push(pattern)
    assert "the service was ended" in service.warnings()
    check_kept(client.file, PATTERNS, 5)
    with pytest.raises(RefusedError, match="the service was ended"):
        client.status()
    client.close()
    assert not (tmp_path / "serve.token").exists()


def test_the_token_file_is_for_its_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "serve.token"
    write_token_file(path, Address(1, "a" * 64))
    if os.name != "nt":
        assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
        monkeypatch.setattr(token_file, "PRIVATE", 0o644)  # as on a disk that knows no users
        with pytest.raises(OutputError, match="others can read it"):
            write_token_file(path, Address(2, "b" * 64))
    assert token_file.read_token_file(path) == Address(1, "a" * 64)


def test_one_token_file_is_one_services(service: Running, tmp_path: Path) -> None:
    with (
        pytest.raises(MicrorunError, match="another service has this token file"),
        running(tmp_path, ProjectionEngine(SPEC)),
    ):
        pass
    with pytest.raises(MicrorunError, match="cannot be read"):
        Client(SCAN, token_file=tmp_path / "none.token")
    (tmp_path / "other.token").write_text("something else")
    with pytest.raises(MicrorunError, match="is no token file"):
        Client(SCAN, token_file=tmp_path / "other.token")
