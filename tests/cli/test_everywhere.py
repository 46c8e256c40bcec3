"""What holds for every command: its options, how much it says, and where."""

from __future__ import annotations

import json
import logging
import math
import os
import queue
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from command_line import Microrun, check_refused
from disk import full_disk

from microrun.cli import console, demo, plain_progress
from microrun.cli.commands import COMMANDS, load_command
from microrun.cli.feature_numbers import parse_features
from microrun.cli.log_file import LogFile
from microrun.cli.plain_progress import PlainProgress
from microrun.cli.told import Told, to_data
from microrun.runtime.errors import LatentsError


@cache
def all_commands() -> list[tuple[str, Any]]:
    loaded = {name: load_command(name) for name in COMMANDS}
    return [
        (f"{name} {of_group}".strip(), one)
        for name, command in loaded.items()
        for of_group, one in getattr(command, "commands", {"": command}).items()
    ]


def all_options() -> Iterator[tuple[str, Any]]:
    return ((name, one) for name, command in all_commands() for one in command.params if one.opts[0].startswith("-"))


def test_an_option_is_a_flag_everywhere_or_takes_a_value_everywhere() -> None:
    found: dict[str, dict[bool, list[str]]] = {}
    for name, option in all_options():
        found.setdefault(option.opts[0], {}).setdefault(option.is_flag, []).append(name)
    assert {option: kinds for option, kinds in found.items() if len(kinds) > 1} == {}


def test_out_is_a_file_and_folder_a_folder() -> None:
    for name, option in all_options():
        if option.opts[0] in ("--out", "--folder"):
            assert ("older" in option.help.split(";")[0].split(" beside")[0]) == (option.opts[0] == "--folder"), name


def test_every_option_says_what_it_is_without_being_given() -> None:
    silent = [
        f"{name} {option.opts[0]}"
        for name, option in all_options()
        if not (option.is_flag or option.required or isinstance(option.show_default, str))
        and option.default in (None, "")
        and "default" not in option.help
    ]
    assert silent == []


def test_flags_show_no_type(microrun: Microrun) -> None:
    for command in ([], ["encode"], ["train", "vae"], ["bench"]):
        listed = microrun(*command, "--help").out
        assert "bool" not in listed and "--help" in listed


def test_commands_stand_in_groups_and_completion_is_told_of(microrun: Microrun) -> None:
    listed = microrun("--help").said
    places = [listed.index(f"─ {title} ─") for title in ("Scans", "Latents", "Models", "Volumes of grains", "Tools")]
    assert places == sorted(places) and "microrun --install-completion" in listed


def test_every_command_takes_the_common_options() -> None:
    for name, command in all_commands():
        given = {one.opts[0] for one in command.params}
        assert {"--verbose", "--quiet", "--log"} <= given, name


def test_a_quiet_command_prints_its_table_only(microrun: Microrun, volume: Path, tmp_path: Path) -> None:
    segment = ("segment", volume, "--components", 6, "--out", tmp_path / "labels.npy")
    assert microrun(*segment, "-q")[1:] == ("", "")
    assert "grains" in microrun(*segment, "--overwrite").out
    assert "shape" in microrun("-q", "inspect", volume).out


def test_a_verbose_command_says_how_long_its_steps_take(microrun: Microrun, volume: Path, tmp_path: Path) -> None:
    ran = microrun("segment", volume, "--components", 6, "--out", tmp_path / "labels.npy", "-v")
    assert ran.err.startswith("segmenting: ") and ran.err.endswith(" s\n")
    missing = microrun("-v", "inspect", tmp_path / "none.up2")
    assert missing.code == 2 and missing.err.startswith("error: ") and "Traceback" in missing.err
    check_refused(microrun("inspect", tmp_path / "none.up2"))  # without the option, as always


def test_the_log_holds_all_that_was_said(microrun: Microrun, volume: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    assert microrun("inspect", volume, "--log", log).code == 0
    assert microrun("--log", log, "inspect", tmp_path / "none.up2").code == 2
    said = log.read_text(encoding="utf-8")
    for part in (f"microrun inspect {volume}", "shape", "exit code 0", "ERROR", "none.up2", "Traceback", "exit code 2"):
        assert part in said
    check_refused(microrun("models", "--log", tmp_path / "none" / "log.txt"), "log.txt: the log cannot be written")


def test_json_is_all_that_is_printed(microrun: Microrun, volume: Path, scan: Path) -> None:
    assert json.loads(microrun("inspect", volume, "--json").out)["shape"] == [4, 4, 4]
    found = json.loads(microrun("inspect", scan, "--json").out)
    assert found["patterns"] == {"available": 15, "total": 15, "shape": [60, 60], "type": "uint16"}
    assert found["size"] == scan.stat().st_size
    listed = {model["name"]: model for model in json.loads(microrun("models", "--json").out)}
    assert listed["vae32"]["latent_size"] == 32 and listed["vae32"]["training"]["metrics"]["bands"] > 0.5


def test_demo_says_beforehand_what_it_writes(
    microrun: Microrun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(scan: Path) -> None:
        raise SystemExit(7)

    monkeypatch.setattr(demo, "_simulate", stop)
    monkeypatch.setattr(demo.shutil, "disk_usage", lambda folder: SimpleNamespace(free=10**9))
    check_refused(microrun("demo", tmp_path / "here"), "takes 1.4 GB, and 1.0 GB are free", "on another disk", code=1)
    assert not (tmp_path / "here").exists()
    monkeypatch.setattr(demo.shutil, "disk_usage", lambda folder: SimpleNamespace(free=10**10))
    ran = microrun("demo", tmp_path / "here")
    assert ran.code == 7 and "simulates 3,072 patterns of 480×480" in ran.out and "1.4 GB, once" in ran.out


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """Two grains."""
    np.save(tmp_path / "volume.npy", np.repeat(np.int32([0, 0, 1, 1]), 16).reshape(4, 4, 4))
    return tmp_path / "volume.npy"


# --- progress


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> queue.Queue[str]:
    """Lines of progress, said at once and then all the time."""
    monkeypatch.setattr(plain_progress, "FIRST_S", 0.0)
    monkeypatch.setattr(plain_progress, "EVERY_S", 0.01)
    return queue.Queue()


def wait_for(lines: queue.Queue[str], part: str) -> str:
    while part not in (line := lines.get(timeout=60)):
        pass
    return line


def test_a_step_without_records_says_for_how_long_it_goes_on(lines: queue.Queue[str]) -> None:
    with PlainProgress("fitting", "patterns", lines.put):
        assert wait_for(lines, "fitting: ").endswith(" so far")


def test_a_step_with_records_says_how_far_it_is_and_how_long_it_will_take(lines: queue.Queue[str]) -> None:
    with PlainProgress("indexing", "patterns", lines.put) as progress:
        progress.update(0, 4000, "vae32")
        assert wait_for(lines, "0 of").startswith("indexing: 0 of 4,000 patterns, vae32, ")
        progress.update(900, 4000)  # this long it took to start, too
        progress.update(1000, 4000)
        assert "left" in wait_for(lines, "indexing: 1,000 of 4,000 patterns, about ")
        progress.update(4000, 4000)  # nobody counts what is left: it is never the same line again and again
        assert wait_for(lines, "4,000 of 4,000 patterns, finishing, ").endswith("so far")
        progress.update(10, 50, "another")  # what begins anew has another speed
        assert wait_for(lines, "10 of 50 patterns, another").endswith("so far")


def test_progress_is_said_where_there_is_no_terminal(
    lines: queue.Queue[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.err, "print", lines.put)
    with console.step("converting"):
        wait_for(lines, "converting: ")
    with console.progress_bar("melting", "steps") as bar:
        bar(3, 10)
        wait_for(lines, "melting: 3 of 10 steps")
    console.be_quiet()
    while not lines.empty():
        lines.get()
    with console.progress_bar("melting", "steps") as bar:
        bar(3, 10)
    console.talk_as_usual()
    assert lines.empty()


@pytest.mark.parametrize(
    ("text", "numbers"), [("3", [3]), (" 3, 17", [3, 17]), ("3-7,12", [3, 4, 5, 6, 7, 12]), ("9-9,2", [9, 2])]
)
def test_features_are_numbers_and_ranges(text: str, numbers: list[int]) -> None:
    assert parse_features(text) == numbers


@pytest.mark.parametrize("text", ["", "a", "3-", "-3", "7-3", "3--7", "0-9999999", "1.5"])
def test_other_features_are_refused(text: str) -> None:
    with pytest.raises(LatentsError, match="ranges that rise, such as 3-7,12; got"):
        parse_features(text)


def test_a_log_never_ends_up_in_another_file(microrun: Microrun, volume: Path) -> None:
    before = volume.read_bytes()
    check_refused(microrun("inspect", volume, "--log", volume), "is not a log of microrun")
    assert volume.read_bytes() == before


def test_a_log_that_is_no_file_is_refused_and_not_waited_for(microrun: Microrun, tmp_path: Path) -> None:
    check_refused(microrun("models", "--log", tmp_path), "is a folder; name a file as --log")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        check_refused(microrun("models", "--log", tmp_path / "pipe"), "is a pipe; name a file as --log")


def test_a_log_for_which_there_is_no_room_is_refused(microrun: Microrun, tmp_path: Path) -> None:
    with full_disk(0):
        check_refused(microrun("models", "--log", tmp_path / "log.txt"), "the log cannot be written (File too large)")


def test_a_log_that_ends_before_its_command_is_one_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = LogFile(tmp_path / "log.txt")
    with full_disk(0):
        for _ in range(3):
            log.note(logging.INFO, "said")
        log.close(0)
    assert capsys.readouterr().err.splitlines() == [
        f"warning: {tmp_path / 'log.txt'}: the log is not whole, it could not be written (File too large)"
    ]


def test_the_log_keeps_no_token(microrun: Microrun, tmp_path: Path) -> None:
    log, token = tmp_path / "log.txt", "0123456789abcdef0123456789abcdef"
    microrun("view", tmp_path / "none.h5", "--host", "example.invalid", "--token", token, "--log", log)
    microrun("view", tmp_path / "none.h5", "--host", "example.invalid", f"--token={token}", "--log", log)
    said = log.read_text(encoding="utf-8")
    assert "--token …" in said and "--token=…" in said and token not in said


def test_numbers_that_json_does_not_know_are_null() -> None:
    assert to_data({"right": Told("nan", math.nan), "count": Told("3", 3)}) == {"right": None, "count": 3}
