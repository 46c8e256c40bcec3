"""What the server of `microrun view` says to a page, taken apart as the page does."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.testclient import TestClient, WebSocketTestSession

from microrun.runtime.view.desk import Desk
from microrun.runtime.view.looking import Looker
from microrun.runtime.view.site import Visitors, make_site

HOST = "127.0.0.1:8180"
ORIGIN = {"host": HOST, "origin": f"http://{HOST}"}
TOKEN = "0123456789abcdef"


class Pages:
    """Browsers of a latents file, without a browser."""

    def __init__(self, desk: Desk, client: TestClient) -> None:
        self.desk, self.client = desk, client

    @contextmanager
    def open(self, address: str = "/data") -> Iterator[Page]:
        with self.client.websocket_connect(address, headers=ORIGIN) as socket:
            yield Page(socket)


class Page:
    """An open page; it keeps what it was sent, as long as it listens."""

    def __init__(self, socket: WebSocketTestSession) -> None:
        self.socket = socket
        self.heard: dict[str, Any] = {}
        self.values: NDArray[np.float32] | None = None
        self.pictures: NDArray[np.uint8] | None = None

    def ask(self, **message: Any) -> None:
        self.socket.send_text(json.dumps(message))

    def listen(self, name: str) -> Any:
        """Wait for a message of this name, and return it."""
        while True:
            found = self._take(self.socket.receive())
            if found == name:
                return self.heard[name]

    def fill(self) -> NDArray[np.float32]:
        """Values of what is shown, once the state that follows them says that all is there."""
        self.listen("layer")
        while self.values is None or self.heard.get("state", {}).get("done", -1) != self.written():
            self._take(self.socket.receive())
        return self.values

    def written(self) -> int:
        assert self.values is not None
        return int((~np.isnan(self.values[..., 0])).sum())

    def _take(self, message: dict[str, Any]) -> str:
        if message.get("text") is not None:
            heard = json.loads(message["text"])
            self.heard.update(heard)
            name = next(iter(heard))
            if name == "layer":
                self._begin()
            return str(name)
        assert message["type"] == "websocket.send", message
        (length,) = struct.unpack_from("<I", message["bytes"])
        about, numbers = json.loads(message["bytes"][4 : 4 + length]), message["bytes"][4 + length :]
        if "point" in about:
            self.pictures = np.frombuffer(numbers, np.uint8)
            self.heard["point"] = about
            return "point"
        self._put(about, np.frombuffer(numbers, "<f4"))
        return "values"

    def _begin(self) -> None:
        hello, layer = self.heard["hello"], self.heard["layer"]
        self.values = np.full((hello["rows"], hello["cols"], layer["channels"]), np.nan, np.float32)

    def _put(self, about: dict[str, Any], numbers: NDArray[np.float32]) -> None:
        assert self.values is not None
        if about["values"] == self.heard["layer"]["number"]:
            flat = self.values.reshape(-1, self.values.shape[2])
            flat[about["start"] : about["start"] + len(numbers) // flat.shape[1]] = numbers.reshape(-1, flat.shape[1])


@contextmanager
def serve_pages(path: Path, token: str = "", scan: Path | None = None, decoder: str | None = None) -> Iterator[Pages]:
    """The site of a latents file, in this process."""
    with Looker(scan, decoder) as looker, Desk(path, looker) as desk:
        site = make_site(desk, Visitors(frozenset([HOST]), token))
        with TestClient(site, base_url=f"http://{HOST}") as client:
            yield Pages(desk, client)
