"""`microrun view`, and the page that `encode --view` starts."""

from __future__ import annotations

import os
import re
import signal
import urllib.request
from pathlib import Path

import pytest
from command_line import Microrun, check_refused, finish, hide_library, start
from make_latents import SCANS, make_contents, make_origin, write_contents
from small_scan import HEADER, SIG_SHAPE
from write_up2 import make_patterns, write_up

from microrun.runtime.latents import page
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.view.serve import ViewRequest, bind, serve


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    scan = SCANS["square"]
    return write_contents(tmp_path / "a.latents.h5", make_origin(scan), make_contents(scan))


def test_a_file_of_another_kind_is_refused_in_one_line(microrun: Microrun, tmp_path: Path) -> None:
    scan = write_up(tmp_path / "scan.up2", make_patterns(15, SIG_SHAPE), HEADER)
    check_refused(microrun("view", scan), scan)
    check_refused(microrun("view", tmp_path / "none.h5"), "none.h5", "no such file")
    check_refused(microrun("view", tmp_path), tmp_path)
    (tmp_path / "text.h5").write_text("no HDF5")
    check_refused(microrun("view", tmp_path / "text.h5"), "text.h5")


def test_a_scan_that_is_not_there_is_refused(microrun: Microrun, finished: Path, tmp_path: Path) -> None:
    check_refused(microrun("view", finished, "--scan", tmp_path / "gone.up2"), "gone.up2", "no such file")


def test_a_port_that_is_taken_is_refused_in_one_line(microrun: Microrun, finished: Path) -> None:
    with bind(ViewRequest(finished, port=0)) as taken:
        port = taken.getsockname()[1]
        check_refused(microrun("view", finished, "--port", port), f"127.0.0.1:{port}", "--port")
    check_refused(microrun("view", finished, "--port", 70000), "--port", 70000)


def test_other_machines_are_let_in_with_a_token_only(microrun: Microrun, finished: Path) -> None:
    check_refused(microrun("view", finished, "--host", "192.168.1.5"), "--token")
    check_refused(microrun("view", finished, "--token", "short"), "--token")


@pytest.mark.parametrize("library", ["starlette", "uvicorn", "websockets"])
def test_what_is_missing_is_said(
    microrun: Microrun, finished: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    hide_library(monkeypatch, library)
    check_refused(microrun("view", finished, "--port", 0), f"{library} is not installed", "view")


def test_ctrl_c_ends_the_page_without_a_word(finished: Path) -> None:
    process = start("view", finished, "--port", 0)
    assert process.stdout is not None
    assert "http://127.0.0.1" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    ran = finish(process)
    assert (ran.code, ran.err) == (0, "")


def test_a_run_with_a_page_says_its_address_and_ends_as_without(
    encode: Microrun, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise RuntimeError('a file of the folder where the command runs')")
    monkeypatch.chdir(tmp_path)
    ran = encode(scan, "--view")
    assert (ran.code, ran.err) == (0, "")
    address = re.search(r"view +(http://127\.0\.0\.1:\d+/)", ran.out)
    assert address
    with urllib.request.urlopen(address[1], timeout=60) as answer:
        assert b"<canvas" in answer.read()
    assert encode(scan, "--out", tmp_path / "b.h5").code == 0
    with open_latents(tmp_path / "b.h5") as one, open_latents(tmp_path / "scan.latents.h5") as other:
        assert (one.latents == other.latents).all()
    end_pages()


def test_a_notebook_shows_latents_in_place(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "open_page", lambda path: page.Page(f"http://127.0.0.1:8180/?{path.name}&"))
    with open_latents(finished) as latents:
        shown = latents.view()
    assert str(shown) == "http://127.0.0.1:8180/?a.latents.h5&"
    assert shown._repr_html_().startswith('<iframe src="http://127.0.0.1:8180/?a.latents.h5&amp;"')


def end_pages() -> None:
    while page._processes:
        process = page._processes.pop()
        process.terminate()
        process.communicate()


def test_a_run_that_keeps_the_old_latents_until_its_end_says_so(
    encode: Microrun, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("microrun.cli.view.open_page", lambda *_: page.Page("http://127.0.0.1:8180/"))
    assert encode(scan, "--view", "--overwrite").err == ""
    said = encode(scan, "--view", "--overwrite").err.splitlines()
    assert len(said) == 1
    assert str(tmp_path / "scan.latents.h5") in said[0]
    assert "shows the old latents until this run has ended" in said[0]


@pytest.mark.skipif(os.name == "nt", reason="a script stands in for Python")
def test_a_page_that_says_much_is_not_held_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho http://127.0.0.1:8180/\nhead -c 1000000 /dev/zero >&2\n")
    script.chmod(0o755)
    monkeypatch.setattr(page.sys, "executable", str(script))
    assert page.open_page(tmp_path / "a.latents.h5").address == "http://127.0.0.1:8180/"
    assert page._processes[-1].wait(60) == 0
    end_pages()


def test_a_page_lingers_until_its_run_has_ended(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microrun.runtime.view.serve.LINGER_S", 0.5)
    asked: list[bool] = []

    def is_over() -> bool:
        asked.append(len(asked) > 0)
        return asked[-1]

    serve(ViewRequest(finished, port=0, with_run=True), lambda _: None, is_over)
    assert asked[:2] == [False, True]


def test_a_run_without_a_page_goes_on(encode: Microrun, scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page.sys, "executable", "/no/python")
    ran = encode(scan, "--view")
    assert ran.code == 0
    assert ran.err.startswith("warning: no page is shown: ")
