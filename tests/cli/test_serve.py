"""`microrun serve`."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
from command_line import Microrun, check_refused
from make_models import write_decoder
from numpy.testing import assert_array_equal
from scan_files import names_in, read_patterns
from services import take_all
from small_scan import NAV_SHAPE, SIG_SHAPE
from streams import wait_until

from microrun.runtime.latents.reader import open_latents
from microrun.runtime.scans.scan import Scan
from microrun.runtime.serving.client import Client
from microrun.runtime.serving.client_export import NAMES
from microrun.runtime.serving.token_file import Address, write_token_file


@pytest.fixture
def serve(microrun: Microrun, engine: Path, tmp_path: Path) -> Microrun:
    options = ("--engine", engine, "--device", "cpu", "--precision", "f32", "--token-file", tmp_path / "serve.token")
    return lambda *arguments: microrun("serve", *options, *arguments)


def test_scans_are_encoded_as_by_encode_until_ctrl_c(
    serve: Microrun, encode: Microrun, scan: Path, tmp_path: Path
) -> None:
    assert encode(scan, "--background", "running").code == 0
    folder, found = tmp_path / "served", list[np.ndarray]()

    def push() -> None:
        try:
            wait_until((tmp_path / "serve.token").exists)
            with Client(Scan(NAV_SHAPE, SIG_SHAPE), "mine", tmp_path / "serve.token") as client:
                for pattern in read_patterns(scan):
                    client.push(pattern)
                client.finish()
                found.extend(take_all(client).latents)
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    pushing = threading.Thread(target=push, daemon=True)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # what is started in the background ignores it
    try:
        pushing.start()
        ran = serve("--folder", folder)
        pushing.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert (ran.code, ran.err) == (0, "")
    for said in ("serve port", "scan mine.latents.h5: 3×5 map of 60×60 uint16", "encoded mine.latents.h5: 15 patterns"):
        assert said in ran.said
    with (
        open_latents(scan.with_name("scan.latents.h5")) as expected,
        open_latents(folder / "mine.latents.h5") as served,
    ):
        assert_array_equal(served.latents, expected.latents)
        assert_array_equal(np.array(found).reshape(served.shape), expected.latents)
    assert not (tmp_path / "serve.token").exists()


def test_the_client_is_exported_and_never_overwrites_unasked(microrun: Microrun, tmp_path: Path) -> None:
    folder = tmp_path / "client"
    ran = microrun("serve", "--client", folder)
    assert ran.code == 0 and ran.said.count("wrote") == len(NAMES)
    assert names_in(folder) == sorted(NAMES)
    (folder / "example.c").write_text("mine")
    check_refused(microrun("serve", "--client", folder), "exists", "--overwrite")
    assert (folder / "example.c").read_text() == "mine"
    assert microrun("serve", "--client", folder, "--overwrite").code == 0
    assert (folder / "example.c").read_text() != "mine"
    check_refused(microrun("serve", "--client", folder / "example.c"), "example.c")


def test_what_cannot_be_served_is_refused_in_one_line(serve: Microrun, microrun: Microrun, tmp_path: Path) -> None:
    check_refused(serve("--port", 70000), "--port", 70000)
    check_refused(serve("--background", "nothing.npy"), "--background", "nothing.npy")
    (tmp_path / "file").write_text("no folder")
    check_refused(serve("--folder", tmp_path / "file"), "expected a folder")
    decoder = write_decoder(tmp_path / "tiny.decoder.onnx")
    check_refused(microrun("serve", "--engine", decoder, "--device", "cpu", "--folder", tmp_path), "decoder")
    check_refused(microrun("serve", "--engine", tmp_path / "none.onnx"), "none.onnx")
    for folder in (tmp_path, "."):
        check_refused(microrun("serve", "--engine", tmp_path / "none.onnx", "--token-file", folder), "--token-file")
    assert not (tmp_path / "serve.token").exists()


def test_a_port_and_a_token_file_that_are_taken_are_refused(serve: Microrun, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        check_refused(serve("--port", port), f"port {port}", "--port")
        write_token_file(tmp_path / "serve.token", Address(port, "0" * 64))
        check_refused(serve(), "serve.token", f"port {port}", "--token-file")
