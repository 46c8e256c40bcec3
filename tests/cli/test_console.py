"""Jobs as the command line shows them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from microrun.cli import console
from microrun.cli.console import watch
from microrun.runtime.progress import Job, Progress


def count(keep_interrupted: bool) -> Job[int]:
    done = 0
    try:
        for done in range(1, 4):
            yield Progress(done, 3, "counting")
    except KeyboardInterrupt:
        if not keep_interrupted:
            raise
    return done


def test_every_record_is_shown_and_the_result_comes_back() -> None:
    shown: list[tuple[int, int, str]] = []
    assert watch(count(False), lambda done, total, note="": shown.append((done, total, note))) == 3
    assert shown == [(done, 3, "counting") for done in (1, 2, 3)]


def test_ctrl_c_reaches_the_job_while_it_is_shown() -> None:
    def interrupt(done: int, total: int, note: str = "") -> None:
        if done == 2:
            raise KeyboardInterrupt

    assert watch(count(True), interrupt) == 2
    with pytest.raises(KeyboardInterrupt):
        watch(count(False), interrupt)


@pytest.mark.parametrize("encoding", ["cp932", "cp437", "cp936", "cp1251", "gbk", "ascii", "utf-8", "latin-1"])
def test_terminals_of_any_encoding_show_something(encoding: str) -> None:
    code = (
        "from microrun.cli import console\n"
        "console.out.print('3×4 map, step 1.5 µm, −1° … 30²')\n"
        "console.print_table('a × b', {'size µm': '3×4 [x]'})\n"
        "console.error_line('no µ')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONIOENCODING": encoding}, capture_output=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    shown = ran.stdout.decode(encoding)
    assert shown.startswith(("3×4 map, step 1.5 ", "3x4 map, step 1.5 ")) and "[x]" in shown
    assert "error: no " in ran.stderr.decode(encoding)


def test_standard_output_may_be_closed() -> None:
    code = "import sys; sys.stdout = sys.stderr = None\nfrom microrun.cli import console; console.out.print('µ')"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_names_with_brackets_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    name = "scan [1] [bold]x[/] [/nothing].up2"
    console.out.print(f"wrote {name}")
    console.print_table(name, {name: name})
    console.print_rows([name], [[name]])
    console.error_line(name)
    console.warning_line(name)
    shown = capsys.readouterr()
    assert shown.out.count(name) == 6 and shown.err.splitlines() == [f"error: {name}", f"warning: {name}"]


def test_long_errors_are_cut_and_stay_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    console.error_line("a file:\n" + "word " * 1000)
    shown = capsys.readouterr().err
    assert shown.startswith("error: a file: word word") and shown.endswith(" …\n")
    assert len(shown) < 1020 and shown.count("\n") == 1
