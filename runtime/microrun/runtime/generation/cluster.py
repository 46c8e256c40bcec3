"""The client's side of a Dask cluster: connecting to it, asking its workers, and its errors in our words."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from functools import partial
from typing import Any

from microrun.runtime.engines.engine import EngineInfo
from microrun.runtime.errors import EngineError
from microrun.runtime.generation.workshops import RemoteEngine, describe_engine
from microrun.runtime.spec import ModelSpec

TIMEOUT_S = 20.0  # until a scheduler answers and has a worker
TICK_S = 0.2  # between looks at the workers
SCHEMES = ("tcp", "tls")
INSTALLED = "microrun must be installed, in this version, where the scheduler and the workers run"


@contextmanager
def connect(address: str, timeout_s: float = TIMEOUT_S) -> Iterator[Any]:
    """Connect to a scheduler that has a worker.

    Parameters
    ----------
    address
        Such as tcp://host:8786.
    timeout_s
        How long to wait for it, and then for a worker.

    Raises
    ------
    EngineError
        If it does not answer, or no worker comes.
    """
    from distributed import Client

    try:
        _hear(address, timeout_s)
        open_client = partial(Client, address, timeout=timeout_s, set_as_default=False)
        client = _within(2 * timeout_s, open_client)
    except (OSError, TimeoutError, ValueError) as error:
        raise EngineError(
            f"{address}: no Dask scheduler answers there within {timeout_s:g} s ({error or 'half a greeting'})"
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=timeout_s)
        except TimeoutError:
            raise EngineError(f"{address}: the scheduler has no worker; start one with `dask worker`") from None
        yield client


def describe(client: Any, engine: RemoteEngine) -> tuple[ModelSpec, EngineInfo]:
    """What a denoiser is, and how a worker runs it.

    Raises
    ------
    EngineError, SpecError
        As `open_denoiser`; or if workers end instead of an answer.
    """
    with plain_errors():
        future = client.submit(describe_engine, engine, pure=False)
        while not future.done():
            if not client.nthreads():
                raise EngineError(f"the last Dask worker ended: see its log. {INSTALLED}")
            time.sleep(TICK_S)
        described: tuple[ModelSpec, EngineInfo] = future.result()
    return described


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn Dask's own errors into ours."""
    from distributed.comm.core import CommClosedError
    from distributed.scheduler import KilledWorker

    try:
        yield
    except KilledWorker:
        raise EngineError("worker after worker died at one block; see their logs, then run again to go on") from None
    except RuntimeError as error:  # of pickle, far away
        if "deserializ" not in str(error):
            raise
        raise EngineError(f"the Dask scheduler or a worker cannot read what it is given. {INSTALLED}") from None
    except (CancelledError, CommClosedError):
        raise EngineError("the Dask scheduler was lost; start it and run again to go on") from None


def _within(timeout_s: float, work: Callable[[], Any]) -> Any:
    """Do something in a thread, and give it up after a time: Dask waits without end for half a greeting."""
    done: Future[Any] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return done.result(timeout_s)


def _hear(address: str, timeout_s: float) -> None:
    """Wait for the first word of a scheduler; OSError or ValueError if none comes.

    A client waits for it without end, and one that failed at what is no address hangs when it is deleted.
    """
    from distributed.comm.addressing import get_address_host_port, parse_address
    from distributed.security import Security

    scheme, _ = parse_address(address)
    if scheme not in SCHEMES:
        raise ValueError(f"an address begins with {' or '.join(f'{known}://' for known in SCHEMES)}")
    security: Any = Security
    if scheme == "tls" and security().get_connection_args("client")["ssl_context"] is None:
        raise ValueError("Dask's settings name no certificates: see distributed.comm.tls")
    with socket.create_connection(get_address_host_port(address), timeout_s) as peer:
        # An encrypted one waits for the client's word.
        if scheme == "tcp" and not peer.recv(1):
            raise OSError("it hung up")
