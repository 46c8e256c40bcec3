"""Served scans are treated as followed ones: bad pixels are filled, hexagonal grids known; older clients still work."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from encode_runs import COUNT, HEADER, LONG_S, NAV_SHAPE, SIG_SHAPE, assert_same, engine, run
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from services import Running, running, take_all
from streams import wait_until
from write_up2 import write_up

from microrun.runtime.encoding.encode_scan import EncodeRequest
from microrun.runtime.errors import MicrorunError
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.latents.writer import LatentsWriter
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.up2 import ScanWarning
from microrun.runtime.serving import filled_source, wire
from microrun.runtime.serving.client import Client
from microrun.runtime.serving.client_export import export_client
from microrun.runtime.serving.token_file import Address, write_token_file
from microrun.runtime.serving.wire import HELLO_1, STATUS, WELCOME, Channel, Kind, RefusedError

SCAN = Scan(NAV_SHAPE, SIG_SHAPE, step_um=(1.5, 1.5))
PLACE = (11, 13)
FILLED = "1 of 576 pixels is dead, hot or stuck: filled from those around"
SHARED = pytest.mark.parametrize("shared", [True, False], ids=["ring", "tcp"])


@pytest.fixture
def hot() -> NDArray[Any]:
    """A pixel flickers to white in half of the patterns."""
    patterns = np.random.default_rng(0).normal(15_000, 600, (COUNT, *SIG_SHAPE)).astype(np.uint16)
    patterns[np.random.default_rng(1).random(COUNT) < 0.5, PLACE[0], PLACE[1]] = 65535
    return patterns


def follow(folder: Path, patterns: NDArray[Any], header: Any = HEADER, **asked: Any) -> Path:
    """Latents that `encode --follow` makes."""
    scan, out = write_up(folder / "followed.up2", patterns, header), folder / "followed.h5"
    run(EncodeRequest(scan, out, follow=True, idle_timeout_s=0.1, **asked), engine())
    return out


def push_all(service: Running, patterns: NDArray[Any], scan: Scan = SCAN, shared: bool = True) -> Path:
    with service.client(scan, shared=shared) as client:
        for pattern in patterns:
            client.push(pattern)
        client.finish()
        take_all(client)
    return Path(client.file)


def check_same(served: Path, followed: Path) -> None:
    assert_same(served, followed)
    with open_latents(served) as one, open_latents(followed) as other:
        assert_array_equal(one.bad_pixels, other.bad_pixels)
        assert one.origin.scan == other.origin.scan
    with h5py.File(served) as one, h5py.File(followed) as other:
        for name in ("x_um", "y_um"):
            assert_array_equal(one[name], other[name])


@SHARED
def test_bad_pixels_are_filled_as_in_a_scan_that_is_followed(
    hot: NDArray[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    with pytest.warns(ScanWarning, match=FILLED):
        followed = follow(tmp_path, hot)
    looked, find = threading.Event(), filled_source.find_bad_pixels

    def find_late(*asked: Any) -> NDArray[np.bool_]:
        assert looked.wait(LONG_S)
        return find(*asked)

    monkeypatch.setattr(filled_source, "find_bad_pixels", find_late)
    with running(tmp_path, engine(), background="running") as service, service.client(SCAN, shared=shared) as client:
        for pattern in hot[:100]:  # more than the ring has room for: it is emptied while bad pixels are looked for
            client.push(pattern)
        looked.set()
        for pattern in hot[100:]:
            client.push(pattern)
        client.finish()
        take_all(client)
    assert service.warnings() == f"scan-1.latents.h5: {FILLED}"
    check_same(Path(client.file), followed)
    with open_latents(Path(client.file)) as latents:
        assert np.argwhere(latents.bad_pixels).tolist() == [list(PLACE)]


def test_a_scan_that_ends_early_has_its_bad_pixels_filled_too(hot: NDArray[Any], tmp_path: Path) -> None:
    short = replace(HEADER, nav_shape=(5, 8))
    with pytest.warns(ScanWarning, match=FILLED):
        followed = follow(tmp_path, hot[:40], short)
    with running(tmp_path, engine(), background="running") as service:
        check_same(push_all(service, hot[:40], replace(SCAN, nav_shape=(5, 8))), followed)
        push_all(service, hot[:0])  # none at all


def test_a_file_that_is_begun_anew_needs_room_for_one_only(
    hot: NDArray[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, restart = list[bool](), LatentsWriter.restart

    def look_and_restart(writer: LatentsWriter, scan: Scan) -> None:
        found.append(writer.path.exists())
        restart(writer, scan)

    monkeypatch.setattr(LatentsWriter, "restart", look_and_restart)
    with running(tmp_path, engine(), background="running") as service:
        push_all(service, hot)
    assert found == [os.name == "nt"]


@pytest.mark.parametrize("how", [{"background": "none"}, {"background": "running", "bad_pixels": "keep"}])
def test_bad_pixels_are_kept_where_that_is_asked_for_or_none_may_wait(
    hot: NDArray[Any], tmp_path: Path, how: dict[str, Any]
) -> None:
    followed = follow(tmp_path, hot, **how)
    with running(tmp_path, engine(), **how) as service:
        check_same(push_all(service, hot), followed)
    assert not service.warnings()


def test_what_fails_in_looking_for_bad_pixels_is_told(
    hot: NDArray[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*asked: Any) -> None:
        raise MicrorunError("no good pixel")

    monkeypatch.setattr(filled_source, "find_bad_pixels", fail)
    with running(tmp_path, engine(), background="running") as service, service.client(SCAN) as client:
        for pattern in hot[:64]:
            client.push(pattern)
        with pytest.raises(RefusedError, match="no good pixel"):
            take_all(client)


@pytest.mark.parametrize("alternating", [True, False])
def test_a_hexagonal_grid_is_that_of_a_followed_scan(hot: NDArray[Any], tmp_path: Path, alternating: bool) -> None:
    header = replace(HEADER, hexagonal=1, extra=int(not alternating), step_um=(1.5, 1.25))
    scan = replace(SCAN, grid="hexagonal", step_um=(1.5, 1.25), alternating=alternating)
    assert scan.total == (155 if alternating else 160)
    patterns = hot[: scan.total]
    followed = follow(tmp_path, patterns, header, bad_pixels="keep")
    with running(tmp_path, engine(), background="running", bad_pixels="keep") as service:
        check_same(push_all(service, patterns, scan), followed)
    assert "10×16 hexagonal map" in dict(service.said)["scan"]


@pytest.mark.parametrize("layout", range(4))
@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_c_programs_state_hexagonal_grids(hot: NDArray[Any], tmp_path: Path, c_example: Path, layout: int) -> None:
    scan = Scan(NAV_SHAPE, SIG_SHAPE, "uint16", "hexagonal", (1, 0.75**0.5), bool(layout & 1), bool(layout & 2))
    hot[: scan.total].tofile(tmp_path / "patterns.raw")
    with running(tmp_path, engine()) as service:
        token_file = service.service.token_file
        words = [c_example, tmp_path / "patterns.raw", *NAV_SHAPE, *SIG_SHAPE, tmp_path / "out", -1, token_file, layout]
        ran = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=120)
        assert ran.returncode == 0, ran.stderr
        for wrong in (layout + 4, layout + (1 << 30), layout - 4):
            words[-1] = wrong
            refused = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=120)
            assert refused.returncode == 1 and "layout of a hexagonal grid must be 0 to 3" in refused.stderr
    assert f"{scan.total} accepted, 0 dropped, {scan.total} encoded" in ran.stdout
    with open_latents(tmp_path / "scan-1.latents.h5") as latents:
        assert latents.origin.scan == scan and latents.written[scan.exists()].all()


@pytest.fixture(scope="module")
def c_example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("client") / "c"
    export_client(folder)
    words = ("gcc", "-std=c99", "example.c", "microrun_client.c", "-o", "example", "-lpthread")
    subprocess.run(words, cwd=folder, check=True, timeout=120)
    return folder / "example"


def older_greeting(service: Running, flags: int = 0) -> bytes:
    token = service.service.address.token.encode()
    return HELLO_1.pack(token, *NAV_SHAPE, *SIG_SHAPE, 2, flags, 1.5, b"older")


def test_a_client_of_version_1_still_works(service: Running) -> None:
    with socket.create_connection(("127.0.0.1", service.service.address.port)) as connection:
        channel = Channel(connection, (1,))
        channel.version = 1
        channel.send(Kind.HELLO, older_greeting(service))
        kind, body = channel.receive(1 << 16)
        assert kind == Kind.HELLO and WELCOME.unpack_from(body)[0] == 4
        channel.send(Kind.STATUS)
        kind, body = channel.receive(1 << 16)  # in version 1 as well: it takes no other
        assert kind == Kind.STATUS and STATUS.unpack_from(body)[7] == wire.State.LIVE
        channel.send(Kind.FINISH)
        channel.receive(0)
    path = service.folder / "older.latents.h5"
    wait_until(lambda: "encoded" in dict(service.said))
    with open_latents(path) as latents:
        assert latents.origin.scan == SCAN


def test_what_version_1_did_not_know_is_not_taken_for_a_square_grid(service: Running) -> None:
    with socket.create_connection(("127.0.0.1", service.service.address.port)) as connection:
        channel = Channel(connection, (1,))
        channel.version = 1
        channel.send(Kind.HELLO, older_greeting(service, wire.HEXAGONAL))
        kind, body = channel.receive(1 << 16)
    assert kind == Kind.REFUSAL and b"flags of the greeting are not known" in body


def test_a_service_of_version_1_is_told_apart(tmp_path: Path, c_example: Path) -> None:
    """As it was, it refuses a greeting by its version; no hexagonal scan becomes a square one unsaid."""

    def refuse() -> None:
        for _ in range(2):
            channel = Channel(listening.accept()[0], (1,))
            try:
                channel.receive(1 << 10)
            except RefusedError as error:
                channel.version = 1
                channel.refuse(error)
                channel.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        write_token_file(tmp_path / "serve.token", Address(listening.getsockname()[1], "0" * 64))
        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        with pytest.raises(MicrorunError, match="speaks version 1, this one version 2"):
            Client(SCAN, token_file=tmp_path / "serve.token")
        words = [c_example, "/dev/null", *NAV_SHAPE, *SIG_SHAPE, tmp_path / "out", -1, tmp_path / "serve.token", 0]
        ran = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=120)
        thread.join(LONG_S)
    assert ran.returncode == 1 and "the other side speaks version 2, this one version 1" in ran.stderr
