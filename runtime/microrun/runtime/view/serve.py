"""The page served on this machine: its address, its process, and when that ends."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from microrun.runtime.errors import LatentsError, MicrorunError
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.view.desk import Desk
from microrun.runtime.view.looking import Looker
from microrun.runtime.view.site import Visitors, make_site

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from uvicorn import Server

PORT, HTTP_PORT = 8180, 80
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
MESSAGE_BYTES = 4096  # that a page may send at once
LEAST_TOKEN = 16  # characters
LINGER_S = 60.0


@dataclass(frozen=True)
class ViewRequest:
    """What to show, and where.

    Parameters
    ----------
    latents
        The latents file, finished or growing.
    scan
        Its scan; None for the one beside it.
    decoder
        An .onnx file or the name of a built-in model; None for the one of the encoder.
    host
        Name or address of this machine that pages are asked from.
    port
        None for 8180, or any that is free where that is taken; 0 for any.
    token
        That the address must hold; needed where other machines may ask.
    with_run
        True waits for the file, and ends with its run: a minute after that is over and no page was open.
    scan_name
        Which scan of an HDF5 file that holds several.

    Raises
    ------
    MicrorunError
        If the host is open to others and there is no token, or it is short.
    """

    latents: Path
    scan: Path | None = None
    decoder: str | None = None
    host: str = "127.0.0.1"
    port: int | None = None
    token: str = field(default="", repr=False)
    with_run: bool = False
    scan_name: str | None = None

    def __post_init__(self) -> None:
        if self.port is not None and not 0 <= self.port < 1 << 16:
            raise MicrorunError(f"--port must be 0 to 65535; got {self.port}")
        if self.token and (len(self.token) < LEAST_TOKEN or not self.token.isascii() or not self.token.isalnum()):
            raise MicrorunError(f"--token must have {LEAST_TOKEN} letters or digits at least, without any others")
        if not self.is_local and not self.token:
            raise MicrorunError(
                f"--host {self.host} lets other machines ask: give a token, such as --token {secrets.token_hex(16)}"
            )
        if self.name in ("", "0.0.0.0", "[::]", "*"):
            raise MicrorunError(f"--host must be one name or address of this machine; got {self.host!r}")

    @property
    def name(self) -> str:
        """The host as addresses have it, IPv6 in brackets."""
        bare = self.host.strip("[]")
        return f"[{bare}]" if ":" in bare else bare

    @property
    def is_local(self) -> bool:
        """Whether only this machine may ask."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False


def serve(request: ViewRequest, say_address: Callable[[str], None], is_over: Callable[[], bool] = lambda: True) -> None:
    """Serve the page until Ctrl-C, or until the run has ended and the last page is closed.

    Parameters
    ----------
    request
        What to show, and where.
    say_address
        Called once with the address; it answers as soon as the file is there.
    is_over
        Whether the run has ended: a file that is not there will never be.

    Raises
    ------
    LatentsError
        If the latents file cannot be used.
    MicrorunError
        If the port is taken, or the host is none of this machine's.
    ModuleNotFoundError
        If starlette, uvicorn or websockets are not installed.
    """
    import uvicorn  # noqa: F401
    import websockets  # noqa: F401  # else uvicorn starts without

    looking = Looker(request.scan, request.decoder, request.scan_name)
    with contextlib.closing(bind(request)) as listening, looking as looker:
        port = listening.getsockname()[1]
        address = f"http://{request.name}:{port}/" + (f"?token={request.token}" if request.token else "")
        if request.with_run:
            say_address(address)
            wait_for(request.latents, is_over)
        with Desk(request.latents, looker) as desk:
            server = _make_server(make_site(desk, _visitors(request, port)))
            with _heeding_signals(server):
                if not request.with_run:
                    say_address(address)
                asyncio.run(_run(server, listening, desk, is_over if request.with_run else None))


def _make_server(site: Starlette) -> Server:
    import uvicorn

    config = uvicorn.Config(
        site, log_level="critical", access_log=False, server_header=False, ws_max_size=MESSAGE_BYTES,
        ws_per_message_deflate=False, timeout_graceful_shutdown=1, lifespan="on",
    )  # fmt: skip
    return uvicorn.Server(config)


def _visitors(request: ViewRequest, port: int) -> Visitors:
    names = {*LOOPBACK, request.name} if request.is_local else {request.name}
    hosts = {f"{name}:{port}".lower() for name in names}
    if port == HTTP_PORT:  # browsers leave it out
        hosts |= {name.lower() for name in names}
    return Visitors(frozenset(hosts), request.token)


async def _run(server: Server, listening: socket.socket, desk: Desk, is_over: Callable[[], bool] | None) -> None:
    server.capture_signals = contextlib.nullcontext  # type: ignore[assignment]
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    idle_since = time.monotonic()
    while not serving.done():
        await asyncio.wait({serving}, timeout=1)
        if is_over is None or desk.pages or desk.follower.state == "live" or not is_over():
            idle_since = time.monotonic()
        if time.monotonic() - idle_since > LINGER_S:
            server.should_exit = True
    await serving


@contextlib.contextmanager
def _heeding_signals(server: Server) -> Iterator[None]:
    """Let Ctrl-C end the server, and that is all: uvicorn's own way raises it again, as an error of the server."""
    before = {number: signal.signal(number, server.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def bind(request: ViewRequest) -> socket.socket:
    """Take a port.

    Raises
    ------
    MicrorunError
        If it is taken, or the host is none of this machine's.
    """
    wanted = [PORT, 0] if request.port is None else [request.port]
    for port in wanted:
        try:
            return _bind(request.host.strip("[]"), port)
        except (socket.gaierror, UnicodeError):
            raise MicrorunError(f"--host {request.host}: no such name; give one of this machine's") from None
        except OSError as error:
            if port == wanted[-1]:
                reason = error.strerror or str(error)
                advice = "give another --port, or 0 for any that is free" if port else "give one of this machine's"
                raise MicrorunError(f"{request.host}:{port}: cannot be served ({reason}); {advice}") from None
    raise AssertionError


def _bind(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return socket.create_server(address[:2], family=family, backlog=16)


def wait_for(latents: Path, is_over: Callable[[], bool]) -> None:
    """Wait until a latents file is there and can be read, or no more is to come of it.

    Parameters
    ----------
    latents
        The file.
    is_over
        Whether to give up.

    Raises
    ------
    LatentsError
        If it was given up.
    """
    while True:
        try:
            open_latents(latents).close()
            return
        except LatentsError:
            if is_over():
                raise
        time.sleep(0.1)
