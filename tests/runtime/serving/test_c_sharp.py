"""The client as C# programs use it: compiled by Mono, which needs neither a project nor the network."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from encode_runs import SIG_SHAPE, SPEC
from numpy.testing import assert_array_equal
from services import COUNT, NAV_SHAPE, Running, check_kept, encode_here, running, some_patterns

from microrun.runtime.serving.client_export import export_client
from microrun.runtime.testing import ProjectionEngine

NEEDED = ("gcc", "mcs", "mono")
MISSING = [program for program in NEEDED if shutil.which(program) is None]
SIZES = [*map(str, NAV_SHAPE), *map(str, SIG_SHAPE)]
RECORD = np.dtype([("index", "<u8"), ("latent", "<f4", SPEC.latent_size)])
WAYS = """
using System;
using System.IO;
using System.Runtime.InteropServices;

static class Ways
{
    static void Refused(Action action) {
        try { action(); } catch (Exception error) { Console.WriteLine(error.Message); return; }
        Console.WriteLine("was not refused");
    }

    static void Main(string[] words) {
        byte[] raw = File.ReadAllBytes(words[0]);
        int bytes = 2 * HEIGHT * WIDTH, most = 0;
        var pinned = Marshal.AllocHGlobal(bytes);
        var scan = new Scan(words[1], "ways", ROWS, COLS, HEIGHT, WIDTH, 2, 0.5);
        Refused(() => scan.Push(0, new ushort[HEIGHT * WIDTH - 1], -1));
        Refused(() => scan.Push(0, new byte[HEIGHT * WIDTH], -1));
        Refused(() => scan.Push(ROWS * COLS, new byte[bytes], -1));
        for (int i = 0; i < ROWS * COLS; i++) {
            var pattern = new byte[bytes];
            var pixels = new ushort[bytes / 2];
            Buffer.BlockCopy(raw, i * bytes, pattern, 0, bytes);
            Buffer.BlockCopy(raw, i * bytes, pixels, 0, bytes);
            Marshal.Copy(pattern, 0, pinned, bytes);
            if (i % 4 == 0) scan.Push((ulong)i, pattern, -1);
            if (i % 4 == 1) scan.Push((ulong)i, pixels, -1);
            if (i % 4 == 2) scan.Push((ulong)i, pinned, -1);
            if (i % 4 == 3) {
                Marshal.Copy(pattern, 0, scan.Slot(-1), bytes);
                scan.Commit((ulong)i);
            }
            GC.Collect(0); // what was pushed may move and go
        }
        scan.Finish();
        var indices = new ulong[100];
        var latents = new float[7 * scan.LatentSize + 1]; // the smaller of the two arrays says how many
        for (int got; (got = scan.Latents(indices, latents, 1000)) >= 0; ) most = Math.Max(most, got);
        Console.WriteLine(most <= 7);
        scan.Dispose();
        Refused(() => scan.Finish());
    }
}
"""

pytestmark = pytest.mark.skipif(os.name == "nt" or bool(MISSING), reason=f"needs {', '.join(MISSING)}")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Builds library and programs, and runs one of them."""
    folder = tmp_path_factory.mktemp("client") / "c"
    export_client(folder)
    shape = {"ROWS": NAV_SHAPE[0], "COLS": NAV_SHAPE[1], "HEIGHT": SIG_SHAPE[0], "WIDTH": SIG_SHAPE[1]}
    ways = WAYS
    for name, size in shape.items():
        ways = ways.replace(name, str(size))
    (folder / "Ways.cs").write_text(ways)
    library = ("-shared", "-fPIC", "microrun_client.c", "-o", "libmicrorun_client.so", "-lpthread")
    for words in (
        ("gcc", "-std=c99", *library),
        ("mcs", "-warnaserror", "Example.cs"),
        ("mcs", "-warnaserror", "-main:Ways", "Ways.cs", "Example.cs"),
    ):
        subprocess.run(words, cwd=folder, check=True, timeout=120)

    def run_program(program: str, *words: object) -> subprocess.CompletedProcess[str]:
        command = ["mono", str(folder / program), *map(str, words)]
        return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=300)

    return run_program


@pytest.fixture
def patterns(tmp_path: Path) -> np.ndarray:
    made = some_patterns()
    made.tofile(tmp_path / "patterns.raw")
    return made


def test_the_example_gives_what_encode_gives_bit_by_bit(run: Run, patterns: np.ndarray, tmp_path: Path) -> None:
    folder = tmp_path / "Proben Größe 日本"
    with running(folder, ProjectionEngine(SPEC, 2, 7)) as service:
        out, token_file = tmp_path / "latents.raw", service.service.token_file
        ran = run("Example.exe", tmp_path / "patterns.raw", *SIZES, out, -1, token_file)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [
        f"latents go to {folder / 'scan-1.latents.h5'}",
        f"{COUNT} accepted, 0 dropped, {COUNT} encoded",
    ]
    assert not service.warnings()
    records = np.fromfile(out, RECORD)
    assert_array_equal(records["index"], np.arange(COUNT))
    assert_array_equal(records["latent"], encode_here(patterns, ProjectionEngine(SPEC)).latents)


def test_all_ways_to_push_and_what_is_refused_before_it_is_read(
    run: Run, service: Running, patterns: np.ndarray, tmp_path: Path
) -> None:
    ran = run("Ways.exe", tmp_path / "patterns.raw", service.service.token_file)
    assert (ran.returncode, ran.stderr) == (0, "")
    too_short, too_small, out_of_range, few, disposed = ran.stdout.splitlines()
    assert too_short == "a pattern has 1152 bytes; got 1150" and too_small == "a pattern has 1152 bytes; got 576"
    assert out_of_range == "the number of a pattern must be 0 to 59; got 60"
    assert few == "True" and disposed != "was not refused"
    check_kept(tmp_path / "ways.latents.h5", patterns, COUNT)


def test_errors_are_the_clients_own_words(run: Run, tmp_path: Path) -> None:
    missing = tmp_path / "Größe 日本.token"
    ran = run("Example.exe", os.devnull, *SIZES, tmp_path / "latents.raw", -1, missing)
    assert (ran.returncode, ran.stderr) == (1, f"{missing}: cannot be read; start microrun serve first\n")
