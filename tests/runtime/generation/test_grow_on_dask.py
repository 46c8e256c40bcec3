"""Volumes grown by the processes of a Dask cluster equal those grown here, whoever is killed."""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from growth import a_request, watch
from make_denoisers import write_block_denoiser
from make_models import write_encoder

from microrun.runtime.engines.engine import EngineRequest
from microrun.runtime.engines.open import open_denoiser
from microrun.runtime.errors import EngineError, SpecError, VolumeError
from microrun.runtime.generation.block_folder import BlockFolder
from microrun.runtime.generation.cluster import TIMEOUT_S, connect, describe, plain_errors
from microrun.runtime.generation.grow import Grown, grow
from microrun.runtime.generation.grow_on_dask import grow_on_dask
from microrun.runtime.generation.sampling import Sampling
from microrun.runtime.generation.workshops import RemoteEngine, Run, Workshops, end_run, make_block, workshops_of

distributed = pytest.importorskip("distributed")
BLOCKS = 8
ROW: dict[str, Any] = {"shape": (32, 32, 300), "sampling": Sampling(24)}
THREADS = 2
ROOTS = 7  # blocks of a row that wait for no other
ENDLESS: dict[str, Any] = {"shape": (32, 32, 56), "sampling": Sampling(24, n_resample=10_000)}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,
    ) as started:  # fmt: skip
        yield started


@pytest.fixture
def client(cluster: Any) -> Iterator[Any]:
    with connect(cluster.scheduler_address) as connected:
        yield connected


@pytest.fixture
def client_here() -> Iterator[Any]:
    """A worker with two threads in this process, so that tests see what it keeps."""
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=THREADS, processes=False, dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        ) as started,
        distributed.Client(started, set_as_default=False) as connected,
    ):  # fmt: skip
        yield connected
        for path in folders_at_work(connected):
            kept_by(connected).forget(path)


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_block_denoiser(tmp_path_factory.mktemp("denoisers") / "tiny.onnx")


def kept_by(client: Any) -> Workshops:
    """What the only worker, of this process, keeps."""
    (worker,) = client.cluster.workers.values()
    return workshops_of(worker)


def folders_at_work(client: Any) -> list[Path]:
    return kept_by(client).folders


def engine_of(denoiser: Path) -> RemoteEngine:
    return RemoteEngine(str(denoiser), "cpu", "f32")


def open_folder(client: Any, denoiser: Path, folder: Path, **changes: Any) -> BlockFolder:
    return a_request(folder, **changes).open_folder(*describe(client, engine_of(denoiser)))


def left_by_killed(client: Any, denoiser: Path, folder: BlockFolder, number: int) -> Any:
    """A block that a client asked for that was killed then: nobody gives it up."""
    return client.submit(make_block, Run(engine_of(denoiser), folder.path, folder.blueprint), number, pure=False)


def begin_endless(client: Any, denoiser: Path, folder: Path) -> tuple[BlockFolder, Any]:
    """A volume whose second block takes an hour, and that block in the making."""
    endless = open_folder(client, denoiser, folder, **ENDLESS)
    endless.store(0, np.zeros((4, 32, 32, 32), np.float32))
    left = left_by_killed(client, denoiser, endless, 1)
    wait_for(lambda: folders_at_work(client) and kept_by(client).evaluations > 0)
    return endless, left


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def blocks_of(folder: BlockFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.path.glob("block-*")}


def grown_here(denoiser: Path, folder: Path, **changes: Any) -> dict[str, bytes]:
    folder.mkdir()
    with open_denoiser(denoiser, "cpu", EngineRequest("f32")) as opened:
        made = a_request(folder, **changes).open_folder(opened.spec, opened.info)
        watch(grow(made, opened))
    return blocks_of(made)


def one_line(error: pytest.ExceptionInfo[Exception], *parts: object) -> None:
    text = str(error.value)
    assert "\n" not in text
    for part in parts:
        assert str(part) in text


# --- the volume


@pytest.mark.slow
def test_workers_grow_the_same_volumes_in_the_same_folder_one_after_another(
    client: Any, denoiser: Path, tmp_path: Path
) -> None:
    for seed in (1, 2):  # workers must not take the second for the first
        folder, seen = open_folder(client, denoiser, tmp_path, seed=seed), list[Grown]()
        watch(grow_on_dask(client, engine_of(denoiser), folder), seen.append)
        assert blocks_of(folder) == grown_here(denoiser, tmp_path / str(seed), seed=seed)
        assert [now.blocks for now in seen] == list(range(BLOCKS + 1))
        assert len({now.total for now in seen}) == 1 and seen[-1].done == seen[-1].total
        folder.remove()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_killed_worker_changes_nothing(client: Any, denoiser: Path, tmp_path: Path) -> None:
    folder, killed = open_folder(client, denoiser, tmp_path), list[int]()

    def progress(now: Grown) -> None:
        if now.blocks == 1 and not killed:
            killed.append(next(iter(client.run(os.getpid).values())))
            os.kill(killed[0], signal.SIGKILL)

    watch(grow_on_dask(client, engine_of(denoiser), folder), progress)
    assert killed
    assert blocks_of(folder) == grown_here(denoiser, tmp_path / "here")


def test_a_run_that_was_interrupted_goes_on(client: Any, denoiser: Path, tmp_path: Path) -> None:
    folder = open_folder(client, denoiser, tmp_path)

    def interrupt(now: Grown) -> None:
        if now.blocks == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch(grow_on_dask(client, engine_of(denoiser), folder), interrupt)
    kept = folder.finished().sum()
    assert kept >= 2
    seen: list[Grown] = []
    watch(grow_on_dask(client, engine_of(denoiser), folder), seen.append)
    assert seen[0].blocks >= kept
    assert blocks_of(folder) == grown_here(denoiser, tmp_path / "here")


def test_no_block_is_begun_after_an_interruption(client_here: Any, denoiser: Path, tmp_path: Path) -> None:
    folder = open_folder(client_here, denoiser, tmp_path, **ROW)

    def interrupt(now: Grown) -> None:
        if now.blocks > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as interrupted:
        watch(grow_on_dask(client_here, engine_of(denoiser), folder), interrupt)
    wait_for(lambda: not any(client_here.processing().values()))
    assert 0 < len(blocks_of(folder)) < ROOTS
    assert not folders_at_work(client_here) and not client_here.cluster.scheduler.tasks
    assert interrupted.tb  # as long as it lives, so do the futures


def test_tasks_that_come_in_after_the_end_of_their_run_make_nothing(
    client_here: Any, denoiser: Path, tmp_path: Path
) -> None:
    folder = open_folder(client_here, denoiser, tmp_path)
    run = Run(engine_of(denoiser), folder.path, folder.blueprint)
    client_here.run(end_run, run)
    with pytest.raises(EngineError, match="this run has ended; run again to go on"):
        client_here.submit(make_block, run, 0, pure=False).result()
    assert not blocks_of(folder) and not folders_at_work(client_here)


# --- what workers keep


def test_an_engine_that_was_replaced_is_opened_anew(client_here: Any, denoiser: Path, tmp_path: Path) -> None:
    engine = tmp_path / "tiny.onnx"
    for end in (b"", b"\x1a\x00"):  # an unknown empty field: another file, the same model
        engine.write_bytes(denoiser.read_bytes() + end)
        folder = open_folder(client_here, engine, tmp_path, shape=(32, 32, 32))
        watch(grow_on_dask(client_here, engine_of(engine), folder))
        assert folder.finished().all()
        folder.remove()
    assert not folders_at_work(client_here)


def test_what_killed_clients_leave_is_cleared_up_but_for_what_is_in_use(
    client_here: Any, denoiser: Path, tmp_path: Path
) -> None:
    endless, busy = begin_endless(client_here, denoiser, tmp_path)
    for seed in range(4):
        out = tmp_path / f"{seed}.h5"
        folder = open_folder(client_here, denoiser, tmp_path, out=out, seed=seed, shape=(32, 32, 32))
        left_by_killed(client_here, denoiser, folder, 0).result()
        assert folder.has(0)
    assert [path.name for path in folders_at_work(client_here)] == ["out.h5.blocks", "2.h5.blocks", "3.h5.blocks"]
    assert sum(thread.name.endswith("(_work)") for thread in threading.enumerate()) == 3 * THREADS
    assert not busy.done()
    kept_by(client_here).forget(endless.path)
    with pytest.raises(EngineError, match="closed before this block was finished"):
        busy.result(TIMEOUT_S)


def test_what_a_killed_client_left_does_not_come_into_another_volume(
    client_here: Any, denoiser: Path, tmp_path: Path
) -> None:
    old, left = begin_endless(client_here, denoiser, tmp_path)
    old.remove()
    new, open_at = open_folder(client_here, denoiser, tmp_path), list[int]()
    watch(
        grow_on_dask(client_here, engine_of(denoiser), new), lambda _: open_at.append(len(folders_at_work(client_here)))
    )
    assert open_at[:2] == [0, 1]  # before the first block, and after it
    with pytest.raises(EngineError, match="closed before this block was finished"):
        left.result(TIMEOUT_S)
    assert blocks_of(new) == grown_here(denoiser, tmp_path / "here")


# --- what is refused


def test_a_folder_that_became_another_one_is_refused(client_here: Any, denoiser: Path, tmp_path: Path) -> None:
    folder = open_folder(client_here, denoiser, tmp_path)
    folder.remove()
    other = open_folder(client_here, denoiser, tmp_path, seed=8)
    with pytest.raises(VolumeError, match="sees another folder of this name") as error:
        watch(grow_on_dask(client_here, engine_of(denoiser), folder))
    one_line(error, folder.path)
    assert not blocks_of(other)


def test_another_precision_or_file_is_refused(client: Any, denoiser: Path, tmp_path: Path) -> None:
    folder = open_folder(client, denoiser, tmp_path)
    other = tmp_path / "other.onnx"
    other.write_bytes(denoiser.read_bytes() + b"\x1a\x00")  # an unknown empty field: another file, the same model
    with pytest.raises(EngineError, match="Give all workers the same") as error:
        watch(grow_on_dask(client, engine_of(other), folder))
    one_line(error, folder.path)
    with pytest.raises(VolumeError, match="another denoiser"):
        open_folder(client, other, tmp_path)
    with open_denoiser(denoiser, "cpu", EngineRequest("f32")) as opened:
        info = dataclasses.replace(opened.info, precision="bf16")
        bf16 = a_request(tmp_path, out=tmp_path / "bf16.npy").open_folder(opened.spec, info)
    with pytest.raises(EngineError, match=r"in bf16; a worker has .* in f32"):
        watch(grow_on_dask(client, engine_of(denoiser), bf16))
    assert not blocks_of(folder) and not blocks_of(bf16)


def test_errors_of_blocks_come_through_and_the_next_run_is_well(client: Any, denoiser: Path, tmp_path: Path) -> None:
    folder = open_folder(client, denoiser, tmp_path)
    damaged = folder.path / "block-0000000.npy"
    folder.store(0, np.zeros((4, 32, 32, 32), np.float32))
    damaged.write_bytes(bytes(damaged.stat().st_size))
    with pytest.raises(VolumeError, match="delete it and run again") as error:
        watch(grow_on_dask(client, engine_of(denoiser), folder))
    one_line(error, damaged)
    damaged.unlink()
    watch(grow_on_dask(client, engine_of(denoiser), folder))
    assert blocks_of(folder) == grown_here(denoiser, tmp_path / "here")


def test_engines_that_workers_cannot_open_are_refused(client: Any, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no such file"):
        describe(client, RemoteEngine(str(tmp_path / "none.onnx"), "cpu"))
    with pytest.raises(SpecError, match="generation needs a denoiser"):
        describe(client, RemoteEngine(str(write_encoder(tmp_path / "encoder.onnx")), "cpu"))


@pytest.mark.parametrize("word", [None, b"", b"x"], ids=["silent", "hangs up", "half a greeting"])
def test_a_peer_that_is_no_scheduler_is_one_line(word: bytes | None) -> None:
    peers = []

    def say() -> None:
        for _ in range(2 if word else 1):  # that it is there, and the client's own
            peers.append(silent.accept()[0])
            peers[-1].sendall(word) if word else peers[-1].close()

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        if word is not None:
            threading.Thread(target=say, daemon=True).start()
        with (
            pytest.raises(EngineError, match=r"no Dask scheduler answers there within 0\.5 s") as error,
            connect(address, 0.5),
        ):
            pass
    one_line(error, address)


def test_a_client_is_not_that_of_other_libraries(client: Any) -> None:
    """Else what kikuchipy computes by Dask in this process would go to the cluster, or wait for one that is gone."""
    import dask

    assert distributed.client._get_global_client() is None
    assert dask.config.get("scheduler", None) is None


def test_no_scheduler_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with (
            pytest.raises(EngineError, match=r"no Dask scheduler answers there within 0\.5 s") as error,
            connect(address, 0.5),
        ):
            pass
    one_line(error, address)


@pytest.mark.parametrize(
    "address", ["nonsense://here", "tcp://", ":::", "http://127.0.0.1:8787", "inproc://1", "tls://127.0.0.1:9"]
)
def test_an_address_that_is_none_is_one_line(address: str) -> None:
    with pytest.raises(EngineError, match="no Dask scheduler answers") as error, connect(address, 0.5):
        pass
    one_line(error, address)


def test_a_scheduler_without_workers_is_one_line() -> None:
    with distributed.LocalCluster(
        n_workers=0, processes=True, dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL, host="127.0.0.1"
    ) as empty:
        address = empty.scheduler_address
        with (
            pytest.raises(EngineError, match="no worker; start one with `dask worker`") as error,
            connect(address, 0.5),
        ):
            pass
    one_line(error, address)


def test_workers_that_end_instead_of_an_answer_are_one_line(denoiser: Path) -> None:
    """As they do where microrun is not installed."""
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        ) as started,
        distributed.Client(started, set_as_default=False) as connected,
    ):  # fmt: skip
        busy = connected.submit(time.sleep, 3, pure=False)
        threading.Timer(0.5, lambda: started.scale(0)).start()
        with pytest.raises(EngineError, match=r"the last Dask worker ended.*microrun must be installed") as error:
            describe(connected, engine_of(denoiser))
        busy.cancel()
    one_line(error, "see its log")


def test_errors_of_dask_say_what_to_do() -> None:
    from concurrent.futures import CancelledError

    from distributed.comm.core import CommClosedError
    from distributed.scheduler import KilledWorker

    killed = KilledWorker("a block", None, 3)
    with pytest.raises(EngineError, match="microrun must be installed"), plain_errors():
        raise RuntimeError("Error during deserialization of the task graph. This frequently occurs if …")
    with pytest.raises(RuntimeError, match="another"), plain_errors():
        raise RuntimeError("another")
    for error, said in ((killed, "worker after worker"), (CancelledError(), "lost"), (CommClosedError(), "lost")):
        with pytest.raises(EngineError, match=f"{said}.*run again to go on"), plain_errors():
            raise error
