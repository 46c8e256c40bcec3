"""The service: it listens on loopback, lets clients in, and encodes one scan at a time."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from microrun.runtime.encoding.request import BadPixels
from microrun.runtime.engines.engine import Engine
from microrun.runtime.errors import MicrorunError, RefusedOutputError, ScanError, first_line
from microrun.runtime.files.closing import Closing
from microrun.runtime.files.destination import check_folder, made_folder
from microrun.runtime.patterns.preprocess import Preprocessor
from microrun.runtime.serving.refusals import Refusals, Say
from microrun.runtime.serving.served_scan import KEYWORDS, Preparation, ServedScan
from microrun.runtime.serving.session import House, Session
from microrun.runtime.serving.token_file import (
    LOOPBACK,
    Address,
    check_unused,
    default_token_file,
    forget_token_file,
    write_token_file,
)
from microrun.runtime.serving.wire import VERSIONS, Channel, Code, GoneError, Hello, RefusedError

MOST_CLIENTS = 16  # connections at once
USUAL_SHAPE = (480, 480)  # of patterns: what is compiled before the first scan
LOOK_S = 0.25


@dataclass(frozen=True)
class ServeRequest:
    """How to serve.

    Parameters
    ----------
    folder
        Where latents files go.
    port
        On loopback; 0 for any that is free.
    token_file
        Where clients read port and token; None for the usual place.
    background
        "running", "none", or a file.
    pattern_centre, invert, bad_pixels
        As of `Preparation`, the same for all scans.
    idle_timeout_s
        Seconds without a sign of a client that end its scan.

    Raises
    ------
    MicrorunError
        If the port is none, there is no such background, or the token file is a folder.
    """

    folder: Path
    port: int = 0
    token_file: Path | None = None
    background: str = "running"
    idle_timeout_s: float = 60.0
    pattern_centre: tuple[float, float, float] | None = None
    invert: bool | None = None
    bad_pixels: BadPixels = "fill"

    @property
    def preparation(self) -> Preparation:
        """What is done to the patterns of all scans."""
        return Preparation(self.background, self.pattern_centre, self.invert, self.bad_pixels)

    def __post_init__(self) -> None:
        if not 0 <= self.port < 1 << 16:
            raise MicrorunError(f"--port must be 0 to 65535; got {self.port}")
        if self.background not in KEYWORDS and not Path(self.background).is_file():
            raise ScanError(f"--background must be running, none or a file; there is no {self.background}")
        if self.token_file is not None and (not self.token_file.name or self.token_file.is_dir()):
            raise RefusedOutputError(f"--token-file: {self.token_file} is a folder; expected the name of a file")
        check_folder(self.folder)


class Service(Closing):
    """A service that listens; `run` answers.

    Parameters
    ----------
    request
        How to serve.
    engine
        An open encoder; it stays the caller's.
    say
        Tells the operator what happens, a line at a time, from any thread.

    Attributes
    ----------
    address : Address
        Port and token.
    token_file : pathlib.Path
        Where clients find them.

    Raises
    ------
    MicrorunError
        If the port is taken, another service has the token file, the engine is no encoder, or states no pattern centres
        where one is given.
    """

    def __init__(self, request: ServeRequest, engine: Engine, say: Say) -> None:
        engine.spec.require("encoder", source=engine.info.path.name, task="encoding")
        request.preparation.make(engine, engine.spec.preprocessing.input_shape)  # what can never be is said at once
        self._request, self._engine = request, engine
        self.token_file = request.token_file or default_token_file()
        check_unused(self.token_file)
        self._listening = _listen(request.port)
        self.address = Address(self._listening.getsockname()[1], secrets.token_hex(32))
        self._house = House(self.address.token, self._open_scan, say, Refusals(say), request.idle_timeout_s)
        self._clients: list[threading.Thread] = []
        try:
            write_token_file(self.token_file, self.address)
        except BaseException:
            self._listening.close()
            raise

    def run(self) -> None:
        """Answer clients until `close` is called, or Ctrl-C; scans that are going on then end with what they have."""
        _warm(self._engine)
        self._listening.settimeout(LOOK_S)  # on Windows, Ctrl-C is not seen within a wait
        trouble = ""
        while not self._house.closing.is_set():
            self._house.refusals.tell_counted()
            try:
                self._let_in(Channel(self._listening.accept()[0], VERSIONS))
                trouble = ""
            except TimeoutError:
                continue
            except (OSError, RuntimeError) as error:  # such as no more open files, or no more threads
                if self._house.closing.is_set():
                    return
                if trouble != (trouble := first_line(error)):  # said once
                    self._house.say("warning", f"clients cannot be let in for the moment ({trouble})")
                self._house.closing.wait(LOOK_S)

    def _let_in(self, channel: Channel) -> None:
        self._clients = [client for client in self._clients if client.is_alive()]
        if len(self._clients) >= MOST_CLIENTS:
            refusal = RefusedError(Code.BUSY, f"{MOST_CLIENTS} connections are open, more cannot be; close one")
            self._house.refusals.tell(refusal)
            with contextlib.suppress(GoneError):
                channel.refuse(refusal)
            channel.close()
            return
        client = threading.Thread(target=Session(channel, self._house).run, name="client", daemon=True)
        client.start()
        self._clients.append(client)

    def close(self) -> None:
        """End all scans, and forget the token."""
        self._house.closing.set()
        self._listening.close()
        for client in self._clients:
            client.join()
        self._house.refusals.tell_counted(0)
        forget_token_file(self.token_file, self.address)

    def _open_scan(self, hello: Hello) -> ServedScan:
        with made_folder(self._request.folder):
            return ServedScan(self._engine, hello, self._request.folder, self._request.preparation)


def serve(request: ServeRequest, engine: Engine, say: Say, say_address: Callable[[Service], None]) -> None:
    """Serve until Ctrl-C.

    Parameters
    ----------
    request, engine, say
        As `Service` takes them.
    say_address
        Called once the service answers.

    Raises
    ------
    MicrorunError
        As of `Service`.
    """
    with Service(request, engine, say) as service:
        say_address(service)
        service.run()


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((LOOPBACK, port), backlog=MOST_CLIENTS)
    except OSError as error:
        reason = error.strerror or error
        raise MicrorunError(f"port {port} cannot be served ({reason}); give another --port, or 0 for any") from None


def _warm(engine: Engine) -> None:
    """Compile kernels and touch the engine, so that the first scan begins at once."""
    if min(USUAL_SHAPE) * 2 >= max(engine.spec.preprocessing.input_shape):
        preprocessor = Preprocessor(engine.spec.preprocessing, USUAL_SHAPE)
        for dtype in ("uint8", "uint16"):
            preprocessor.warm(dtype)
    engine.lane().run(np.zeros((1, *engine.spec.input_shape), np.float32))
