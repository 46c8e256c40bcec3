"""What all commands share: help, version, command lines that make no sense."""

from __future__ import annotations

import pytest
from command_line import Microrun, check_refused

COMMANDS = [
    ["encode"], ["maps"], ["analyse"], ["decode"], ["convert"], ["physics"], ["inspect"], ["models"], ["demo"],
    ["replay"], ["train"], ["train", "vae"], ["evaluate"], ["probe"], ["generate-patterns"], ["simulate"],
    ["simulate", "scan"], ["simulate", "potts"], ["simulate", "am"], ["voxelize"], ["segment"], ["grains"], ["export"],
    ["bench"], ["bench", "encode"], ["bench", "latency"], ["doctor"],
]  # fmt: skip


@pytest.mark.parametrize("command", [[], *COMMANDS], ids=" ".join)
def test_help_suffices(microrun: Microrun, command: list[str]) -> None:
    ran = microrun(*command, "--help")
    assert ran.code == 0
    assert ran.err == ""
    assert "Usage:" in ran.out
    assert len(ran.out.splitlines()) > 5


def test_every_command_is_listed(microrun: Microrun) -> None:
    listed = microrun("--help").out
    for command in COMMANDS:
        assert command[0] in listed


def test_options_of_encode_are_those_promised(microrun: Microrun) -> None:
    listed = microrun("encode", "--help").out
    for option in (
        "engine", "out", "follow", "grid", "step", "background", "device", "precision", "lanes", "batch", "resume",
    ):  # fmt: skip
        assert f"--{option}" in listed


def test_the_version_is_printed(microrun: Microrun) -> None:
    assert microrun("--version").out.startswith("microrun 0.")


@pytest.mark.parametrize(
    "arguments",
    [
        ["encode"],
        ["encode", "scan.up2", "--device", "gpu"],
        ["encode", "scan.up2", "--precision", "f8"],
        ["encode", "scan.up2", "--lanes", "two"],
        ["encode", "scan.up2", "--nonsense"],
        ["nonsense"],
        ["export", "checkpoint.safetensors", "--to", "plan"],
    ],
    ids=" ".join,
)
def test_a_command_line_that_makes_no_sense_is_one_line(microrun: Microrun, arguments: list[str]) -> None:
    check_refused(microrun(*arguments))
