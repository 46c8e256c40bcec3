"""The web site of a page: who may read it, and the few files that it has. Nothing on it changes anything."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from microrun.runtime.view.desk import Desk
from microrun.runtime.view.session import Session

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
    from starlette.websockets import WebSocket

PAGE = Path(__file__).parent / "page"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
EMBEDDERS = "http://localhost:* http://127.0.0.1:* vscode-webview:"  # notebooks on this machine
MOST_PAGES = 32
FORBIDDEN, BUSY = 1008, 1013  # codes that a socket is closed with


@dataclass(frozen=True)
class Visitors:
    """Who may read.

    Parameters
    ----------
    hosts
        What a browser may have in its address line, such as "127.0.0.1:8180": another name that leads here was made up
        by somebody else's page.
    token
        What the address must hold; empty for none.
    """

    hosts: frozenset[str]
    token: str = field(default="", repr=False)

    def may_ask(self, host: str, origin: str | None) -> bool:
        """Whether a request comes from a page of ours, or from an address line."""
        return host in self.hosts and (origin is None or origin == f"http://{host}")

    def knows(self, query: bytes) -> bool:
        """Whether a query holds the token."""
        given = parse_qs(query.decode("latin-1")).get("token", [""])[0]
        return secrets.compare_digest(given.encode(), self.token.encode())


def make_site(desk: Desk, visitors: Visitors) -> Starlette:
    """Make the site, which looks after the latents file as long as it runs.

    Parameters
    ----------
    desk
        Open.
    visitors
        Who may read.

    Raises
    ------
    ModuleNotFoundError
        If starlette is not installed.
    """
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.routing import Route, WebSocketRoute
    from starlette.websockets import WebSocketDisconnect

    @contextlib.asynccontextmanager
    async def watched(site: Starlette) -> AsyncIterator[None]:
        watching = asyncio.create_task(desk.watch())
        yield
        watching.cancel()

    async def talk(socket: WebSocket) -> None:
        if socket.headers.get("origin") is None:  # browsers always say it
            await socket.close(FORBIDDEN)
            return
        if desk.pages >= MOST_PAGES:
            await socket.close(BUSY)
            return
        await socket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            await Session(desk, socket).run()

    routes = [Route("/" if name == "index.html" else f"/{name}", _file(name)) for name in _names()]
    guard = Middleware(_Guard, visitors=visitors)
    return Starlette(routes=[*routes, WebSocketRoute("/data", talk)], middleware=[guard], lifespan=watched)


def _names() -> list[str]:
    return sorted(path.name for path in PAGE.iterdir() if path.suffix in TYPES)


def _file(name: str) -> Callable[[Request], Awaitable[Response]]:
    content, kind = (PAGE / name).read_bytes(), TYPES[Path(name).suffix]

    async def answer(request: Request) -> Response:
        from starlette.responses import Response

        return Response(content, headers={"Content-Type": kind})

    return answer


class _Guard:
    """Turns away whoever may not ask, and tells browsers what the page may do."""

    def __init__(self, app: ASGIApp, visitors: Visitors) -> None:
        self._app, self._visitors = app, visitors
        self._open = {f"/{name}" for name in _names() if name != "index.html"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1").lower()
        origin = headers.get(b"origin")
        may = self._visitors.may_ask(host, None if origin is None else origin.decode("latin-1").lower())
        # Routes take addresses that look a little different, so that only the page's own files, which tell nothing of
        # the scan, go without.
        needs_token = scope["type"] == "websocket" or scope["path"] not in self._open
        if may and (not needs_token or self._visitors.knows(scope["query_string"])):
            await self._app(scope, receive, _with_headers(send, host) if scope["type"] == "http" else send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": FORBIDDEN})
        else:
            from starlette.responses import PlainTextResponse

            text = "Not from here: open the address that microrun printed, with its token.\n"
            await PlainTextResponse(text, 403)(scope, receive, send)


def _with_headers(send: Send, host: str) -> Send:
    policy = (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        f"connect-src 'self' ws://{host}; base-uri 'none'; form-action 'none'; frame-ancestors 'self' {EMBEDDERS}"
    )
    added = {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
        "cross-origin-resource-policy": "same-origin",
    }

    async def send_with(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in added.items())]
        await send(message)

    return send_with
