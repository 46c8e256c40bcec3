"""Fixtures that all rooms share."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import h5py
import numpy as np
import pytest
from compiled_once import exchange
from hypothesis import settings
from made_once import keep_in
from numpy.typing import NDArray
from write_up2 import Header, write_up

import microrun.kernels.compiling  # noqa: F401 (before a test imports orix)

if TYPE_CHECKING:
    from microrun.runtime.maps.indexing import Indexer, Orientations
    from microrun.runtime.scans.truth import Truth
    from microrun.runtime.scans.up_source import FileSource

DATA = Path(__file__).parent / "data"
COMPILED = Path(__file__).parents[1] / ".pytest_cache" / "numba"

# No test is large enough for several threads of PyTorch, which are slow where others use the cores, too.
os.environ["OMP_NUM_THREADS"] = "1"  # until a benchmark takes all

# Tracing and compiling make millions of objects that live on: looking for cycles in between took a third of the time.
gc.set_threshold(100_000, 20, 10)

# Processes that compile orix's gufuncs into one cache at once leave it broken: who loads it dies (numba#10128).
if WORKER := os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ["NUMBA_CACHE_DIR"] = str(COMPILED / WORKER)

# A busy machine must not fail a test, and a run leaves nothing in the working tree.
settings.register_profile("microrun", deadline=None, max_examples=60, database=None, print_blob=True)
settings.load_profile("microrun")


def pytest_collection_finish() -> None:
    """What was imported by now stays, so that no search for cycles goes through it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def made_for_all(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Workers share what takes long to make: each has a folder of its own in one of the run."""
    folder = tmp_path_factory.getbasetemp()
    keep_in(folder.parent if WORKER else folder)


@pytest.fixture(scope="module", autouse=True)
def compiled_for_all() -> Iterator[None]:
    """Workers share what they compile, which for indexing alone takes a minute in a new environment."""
    yield
    if WORKER:
        exchange(COMPILED / WORKER, COMPILED / "shared")


@pytest.fixture(autouse=True)
def silent_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine must not make a command say how far it is, where a test looks at all that it says."""
    monkeypatch.setattr("microrun.cli.plain_progress.FIRST_S", threading.TIMEOUT_MAX)


@pytest.fixture(autouse=True)
def own_cache() -> Iterator[None]:
    """PyEBSDIndex points all processes at one cache; a worker that loads what two of them wrote there dies."""
    before = os.environ.get("NUMBA_CACHE_DIR")
    yield
    assert os.environ.get("NUMBA_CACHE_DIR") == before


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Benchmarks take all cores; the next test shall not."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


class Measured(NamedTuple):
    """Patterns of a camera: (n, rows, cols) uint8, their static background (rows, cols) uint8, and their file."""

    patterns: NDArray[np.uint8]
    background: NDArray[np.uint8]
    path: Path


def _load(name: str) -> Measured:
    path = DATA / name
    with h5py.File(path) as file:
        ebsd = file["Scan 1/EBSD"]
        return Measured(ebsd["Data/patterns"][()], ebsd["Header/static_background"][()], path)


@pytest.fixture(scope="session")
def nickel() -> Measured:
    """Nine nickel patterns of 60×60 pixels, a 3×3 scan."""
    return _load("nickel_ebsd_small.h5")


@pytest.fixture(scope="session")
def diamond() -> Measured:
    """One pattern of 480×480 pixels of a crystal with the diamond structure; it is simulated."""
    return _load("diamond_ebsd.h5")


@pytest.fixture
def nickel_up1(nickel: Measured, tmp_path: Path) -> Path:
    """The nickel scan as a version 3 file."""
    return write_up(tmp_path / "nickel.up1", nickel.patterns, Header(sig_shape=(60, 60), nav_shape=(3, 3)))


@pytest.fixture(scope="session")
def simulated_scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty nickel patterns of 120×120 pixels, a 6×10 scan, each of another orientation; the truth lies beside."""
    from microrun.runtime.progress import finish
    from microrun.training.simulate.patterns import Exposure, PatternSimulator
    from microrun.training.simulate.sample import Recipe, random_sample
    from microrun.training.simulate.scan import simulate_scan

    path = tmp_path_factory.mktemp("simulated") / "random.up2"
    sample = random_sample((6, 10), 0, Recipe(blur_px=(0.8, 0.8)))
    simulator, exposure = PatternSimulator((120, 120)), Exposure(electrons=9600, gain=3)
    finish(simulate_scan(path, sample, simulator, exposure, seed=1, step_um=0.5))
    return path


class Indexed(NamedTuple):
    """A simulated scan, its prepared patterns (60, 120, 120), the mask, and what indexing says."""

    source: FileSource
    patterns: NDArray[np.float32]
    pixel_keep: NDArray[np.bool_]
    truth: Truth
    indexer: Indexer
    orientations: Orientations


@pytest.fixture(scope="session")
def indexed(simulated_scan: Path) -> Indexed:
    """The simulated scan, indexed once for all tests: PyEBSDIndex compiles for a minute in a new environment."""
    from microrun.runtime.maps.indexing import Geometry, Indexer
    from microrun.runtime.patterns.background import mean_background
    from microrun.runtime.patterns.prepared import prepare_patterns
    from microrun.runtime.patterns.preprocess import Preprocessor
    from microrun.runtime.scans.truth import load_truth
    from microrun.runtime.scans.up_source import FileSource
    from microrun.runtime.spec import Preprocessing

    source, truth = FileSource(simulated_scan), load_truth(simulated_scan)
    assert truth is not None
    preprocessor = Preprocessor(Preprocessing(), source.scan.sig_shape)
    batches = prepare_patterns(source, preprocessor, mean_background(source, preprocessor), np.arange(60))
    patterns = np.concatenate([batch.patterns for batch in batches])
    indexer = Indexer(Geometry(truth.pattern_centre), source.scan.sig_shape, preprocessor.input_shape)
    return Indexed(source, patterns, preprocessor.pixel_keep, truth, indexer, indexer.index(patterns))


@pytest.fixture
def on_the_cpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only there is training bitwise the same; tests with the mark `gpu` are for the rest."""
    import torch

    if request.node.get_closest_marker("gpu") is None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture(scope="session")
def banded_scans(tmp_path_factory: pytest.TempPathFactory) -> list[FileSource]:
    """Two scans of 3×8 patterns to train on."""
    from training_runs import write_bands

    from microrun.runtime.scans.up_source import FileSource

    folder = tmp_path_factory.mktemp("scans")
    return [FileSource(write_bands(folder / f"{number}.up2", (3, 8), number)) for number in range(2)]
