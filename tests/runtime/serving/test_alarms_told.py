"""Alarms reach whoever pushes, and whoever looks after the service."""

from __future__ import annotations

import ctypes
import dataclasses
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from encode_runs import SIG_SHAPE
from services import NAV_SHAPE, Running, some_patterns, take_all

from microrun.runtime.encoding.watching import RunWatch
from microrun.runtime.latents import writer
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.latents.watched import WHOLE, Alarm
from microrun.runtime.serving.client_export import FILES

OVER = Alarm(3, 9, "mean", -0.2, "brightness −20 % since row 0: beam current, or a shadow?")
LASTS = Alarm(12, None, "sharpness", -0.18, "sharpness −18 % since row 1: defocus?")


@pytest.fixture(autouse=True)
def _drifting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunWatch, "alarms", property(lambda _: (OVER, LASTS)))


def test_the_status_tells_how_many_and_the_newest_that_lasts(service: Running) -> None:
    with service.client() as client:
        for pattern in some_patterns():
            client.push(pattern)
        client.finish()
        take_all(client)
        status = client.status()
    assert (status.alarms, status.alarm) == (2, LASTS.text)
    for alarm in (OVER, LASTS):
        assert service.warnings().count(alarm.text) == 1
    with open_latents(Path(client.file)) as latents:
        assert latents.status is not None and latents.status.state == WHOLE


def test_whoever_looks_after_the_service_hears_it_when_an_alarm_is_named_anew(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    with service.client() as client:
        client.push(some_patterns()[0])
        client.status()
        client.status()  # what the first one showed has been told before the second is answered
        focus = dataclasses.replace(LASTS, what="contrast", text="contrast −30 % since row 1: contamination?")
        monkeypatch.setattr(RunWatch, "alarms", property(lambda _: (OVER, focus)))
        client.finish()
        take_all(client)
    for alarm in (OVER, LASTS, focus):
        assert service.warnings().count(alarm.text) == 1


def test_a_scan_that_was_pushed_to_its_end_is_whole_also_while_latents_wait_for_the_disk(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "FLUSH_S", 1e9)
    with service.client() as client:
        for pattern in some_patterns():
            client.push(pattern)
        client.finish()
        take_all(client)
    with open_latents(Path(client.file)) as latents:
        assert latents.status is not None and latents.status.state == WHOLE


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_a_program_in_c_reads_it_as_the_message(service: Running, tmp_path: Path) -> None:
    made = tmp_path / "libmicrorun_client.so"
    words = ["gcc", "-std=c99", "-shared", "-fPIC", str(FILES / "microrun_client.c"), "-o", str(made), "-lpthread"]
    subprocess.run(words, check=True, timeout=120)
    library, scan, counts = ctypes.CDLL(str(made)), ctypes.c_void_p(), np.zeros(9, np.uint64)
    library.mr_message.restype = ctypes.c_char_p
    place, step_um = str(service.service.token_file).encode(), ctypes.c_double(1)
    assert library.mr_open(place, None, *NAV_SHAPE, *SIG_SHAPE, 2, step_um, ctypes.byref(scan)) > 0
    assert library.mr_status(scan, ctypes.c_void_p(counts.ctypes.data)) == 0
    assert (counts[8], library.mr_message(scan).decode()) == (2, LASTS.text)
    library.mr_close(scan)
