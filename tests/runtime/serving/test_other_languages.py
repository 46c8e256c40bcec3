"""The clients for other languages: compiled where there is a compiler, run against a service."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from encode_runs import SIG_SHAPE, SPEC
from numpy.testing import assert_array_equal
from services import COUNT, LONG_S, NAV_SHAPE, GatedEngine, Running, check_kept, encode_here, running, some_patterns
from streams import wait_until

from microrun.runtime.scans.scan import Scan
from microrun.runtime.serving import wire
from microrun.runtime.serving.client_export import FILES, NAMES, export_client
from microrun.runtime.serving.kept_latents import KeptLatents
from microrun.runtime.serving.ring_source import RingSource
from microrun.runtime.testing import ProjectionEngine

STRICT = ("-std=c99", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
WINDOWS = "x86_64-w64-mingw32-gcc"
SIZES = [*map(str, NAV_SHAPE), *map(str, SIG_SHAPE)]
HEADER = (FILES / "microrun_client.h").read_text(encoding="utf-8")
RECORD = np.dtype([("index", "<u8"), ("latent", "<f4", SPEC.latent_size)])


def compile_example(folder: Path, compiler: str, *libraries: str) -> Path:
    """Export the client, and build the example with all warnings as errors."""
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    export_client(folder)
    program = folder / ("example.exe" if compiler == WINDOWS else "example")
    words = [compiler, *STRICT, "example.c", "microrun_client.c", "-o", program.name, *libraries]
    subprocess.run(words, cwd=folder, check=True, timeout=120)
    return program


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_example(tmp_path_factory.mktemp("client") / "c", "gcc", "-lpthread")


@pytest.fixture
def patterns(tmp_path: Path) -> np.ndarray:
    made = some_patterns()
    made.tofile(tmp_path / "patterns.raw")
    return made


def run(service: Running, *command: object, timeout_ms: int = -1) -> subprocess.CompletedProcess[str]:
    folder = service.folder
    words = [*command, folder / "patterns.raw", *SIZES, folder / "latents.raw", timeout_ms, service.service.token_file]
    return subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=300)


def check_latents(folder: Path, patterns: np.ndarray) -> None:
    records = np.fromfile(folder / "latents.raw", RECORD)
    assert_array_equal(records["index"], np.arange(COUNT))
    assert_array_equal(records["latent"], encode_here(patterns, ProjectionEngine(SPEC)).latents)


def test_the_c_example_gives_what_encode_gives_bit_by_bit(
    example: Path, service: Running, patterns: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.name == "nt" or Path("/proc/self/fd").exists():  # through the ring: nothing comes over TCP
        monkeypatch.delattr(RingSource, "put")
    ran = run(service, example)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [
        f"latents go to {service.folder / 'scan-1.latents.h5'}",
        f"{COUNT} accepted, 0 dropped, {COUNT} encoded",
    ]
    assert not service.warnings()
    check_latents(service.folder, patterns)


def test_the_c_example_counts_every_drop(
    example: Path, patterns: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, finish = GatedEngine(), RingSource.finish

    def finish_and_open(source: RingSource) -> None:  # the camera has gone on without the engine
        finish(source)
        engine.gate.set()

    monkeypatch.setattr(RingSource, "finish", finish_and_open)
    with running(tmp_path, engine) as service:
        ran = run(service, example, timeout_ms=0)
    assert (ran.returncode, ran.stderr) == (0, "")
    accepted, dropped, encoded = map(int, re.findall(r"\d+", ran.stdout.splitlines()[-1]))
    assert encoded == accepted and accepted + dropped == COUNT and dropped > 20
    assert len(np.fromfile(tmp_path / "latents.raw", RECORD)) == encoded


@pytest.mark.skipif(os.name == "nt", reason="needs named pipes")
def test_a_program_that_is_killed_leaves_a_file_up_to_there(
    example: Path, service: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patterns, encoded, add = some_patterns(), list[int](), KeptLatents.add

    def add_and_count(kept: KeptLatents, indices: np.ndarray, latents: np.ndarray) -> None:
        encoded.extend(indices)
        add(kept, indices, latents)

    monkeypatch.setattr(KeptLatents, "add", add_and_count)
    camera = tmp_path / "camera"
    os.mkfifo(camera)
    words = [example, camera, *SIZES, tmp_path / "latents.raw", "-1", service.service.token_file]
    with subprocess.Popen([*map(str, words)]) as process, camera.open("wb", buffering=0) as file:
        file.write(patterns[:25].tobytes())
        wait_until(lambda: len(encoded) == 25)
        process.kill()
    wait_until(lambda: "interrupted, its client is gone" in service.warnings())
    check_kept(tmp_path / "scan-1.latents.h5", patterns, 25)


def test_the_c_client_says_what_is_wrong(example: Path, service: Running, patterns: np.ndarray, tmp_path: Path) -> None:
    def refusal(*words: object) -> str:
        ran = subprocess.run([example, *map(str, words)], capture_output=True, text=True, timeout=60)
        assert ran.returncode == 1 and len(ran.stderr.splitlines()) == 1
        return ran.stderr

    raw, out, token_file = tmp_path / "patterns.raw", tmp_path / "out.raw", service.service.token_file
    assert "start microrun serve first" in refusal(raw, *SIZES, out, -1, tmp_path / "none.token")
    assert "is no token file" in refusal(raw, *SIZES, out, -1, raw)
    assert "a size makes no sense" in refusal(raw, 6, 10, 0, 24, out, -1, token_file)
    assert "too small" in refusal(raw, 6, 10, 3, 3, out, -1, token_file)
    text = token_file.read_text()
    (tmp_path / "wrong.token").write_text(text[:-10] + "0" * 9 + "\n")
    assert "not this service's" in refusal(raw, *SIZES, out, -1, tmp_path / "wrong.token")
    with service.client():
        assert "another client's scan" in refusal(raw, *SIZES, out, -1, token_file)


def test_the_python_example_needs_no_library(service: Running, patterns: np.ndarray) -> None:
    spec = importlib.util.spec_from_file_location("example", FILES / "example.py")
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    folder = service.folder
    example.main(str(folder / "patterns.raw"), *SIZES, str(folder / "latents.raw"), str(service.service.token_file))
    check_latents(folder, patterns)
    assert "over TCP" in dict(service.said)["scan"]


def test_the_client_compiles_for_windows(tmp_path: Path) -> None:
    assert compile_example(tmp_path / "c", WINDOWS, "-lws2_32").exists()


@pytest.mark.slow
def test_the_client_runs_on_windows_as_far_as_wine_goes(service: Running, patterns: np.ndarray) -> None:
    if shutil.which("wine") is None:
        pytest.skip("needs wine")
    ran = run(service, "wine", compile_example(service.folder / "c", WINDOWS, "-lws2_32", "-static"))
    assert ran.returncode == 0, ran.stderr
    assert f"{COUNT} accepted, 0 dropped, {COUNT} encoded" in ran.stdout
    check_latents(service.folder, patterns)


SHARE = """
#include <windows.h>
#include <stdio.h>
int main(int count, char **words) {
    HANDLE file = CreateFileA(words[1], GENERIC_READ | GENERIC_WRITE, 3, NULL, OPEN_EXISTING, 0, NULL);
    HANDLE mapping = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, 0, words[count - 1]);
    puts(mapping ? "shared" : "not shared"), fflush(stdout), getchar();
    return 0;
}
"""


@pytest.mark.slow
def test_the_ring_is_mapped_as_on_windows_as_far_as_wine_goes(
    service: Running, patterns: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux's memory gets a name under wine by a helper, as Windows' own has one: then nothing goes over TCP."""
    if shutil.which("wine") is None:
        pytest.skip("needs wine")
    program = compile_example(service.folder / "c", WINDOWS, "-lws2_32", "-static")
    (program.parent / "share.c").write_text(SHARE)
    subprocess.run([WINDOWS, "share.c", "-o", "share.exe"], cwd=program.parent, check=True, timeout=120)
    helpers, make = list[subprocess.Popen[str]](), RingSource.__init__

    def share(path: str, name: str) -> str:
        words = ["wine", str(program.with_name("share.exe")), path, name]
        helpers.append(
            subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        )
        assert helpers[-1].stdout is not None
        return helpers[-1].stdout.readline().strip()

    def make_and_share(source: RingSource, scan: Scan, shared: bool) -> None:
        make(source, scan, shared)
        name = source.memory.name
        assert share("Z:" + name.replace("/", "\\"), name) == "shared"

    share("none", "none")  # what wine starts with its first program keeps that one's output open, not the example's
    monkeypatch.setattr(RingSource, "__init__", make_and_share)
    monkeypatch.delattr(RingSource, "put")
    ran = run(service, "wine", program)
    for helper in helpers:
        assert helper.stdin is not None
        helper.stdin.close()
        helper.wait(LONG_S)
    assert ran.returncode == 0, ran.stderr
    assert f"{COUNT} accepted, 0 dropped, {COUNT} encoded" in ran.stdout
    check_latents(service.folder, patterns)


def test_c_sharp_knows_every_function() -> None:
    functions = re.findall(r"^MR_API .*?(mr_\w+)\(", HEADER, re.MULTILINE)
    assert len(functions) == 10
    declared = re.findall(r"static extern \w+ (mr_\w+)\(", (FILES / "Example.cs").read_text(encoding="utf-8"))
    assert set(declared) == set(functions)


def test_the_header_has_the_codes_of_the_service() -> None:
    codes = {name: int(value) for name, value in re.findall(r"MR_(\w+) = (-\d+)", HEADER)}
    assert codes == {code.name: code.value for code in wire.Code if code}
    counts = re.findall(r"^    MR_(\w+),? ", HEADER, re.MULTILINE)
    assert [name.lower() for name in counts if name not in codes] == [*wire.Status._fields[:-1]]  # the last is text


def test_the_exported_client_is_whole(tmp_path: Path) -> None:
    assert sorted(path.name for path in FILES.iterdir() if path.is_file()) == sorted(NAMES)
    assert [path.name for path in export_client(tmp_path / "new")] == [*NAMES]


def test_sizes_of_messages_are_those_of_the_client() -> None:
    source = (FILES / "microrun_client.c").read_text(encoding="utf-8")
    sizes = dict(re.findall(r"(\w+_BYTES) = (\d+)", source))
    for name in ("HEADER", "HELLO", "WELCOME"):
        assert sizes[f"{name}_BYTES"] == str(getattr(wire, name).size)
