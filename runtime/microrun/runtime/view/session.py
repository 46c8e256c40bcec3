"""One page: what it asks for, and what it is sent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from microrun.runtime.array_types import Float32
from microrun.runtime.errors import LatentsError, MicrorunError
from microrun.runtime.view.desk import Desk
from microrun.runtime.view.layers import Layer, Shown, as_bytes
from microrun.runtime.view.looking import Look
from microrun.runtime.view.run_watch import RunWatch

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

HEAD = struct.Struct("<I")  # length of the JSON that follows; behind it are the numbers
ALIGNED = 4
STATE_S = 1.0


class Session:
    """A page that is open.

    Parameters
    ----------
    desk
        What all pages share.
    socket
        Accepted.
    """

    def __init__(self, desk: Desk, socket: WebSocket) -> None:
        self._desk, self._socket = desk, socket
        self._layer = Layer()
        self._shown: Shown | None = None
        self._number = 0  # of what is shown: values of another are thrown away by the page
        self._version, self._epoch, self._told = -1, -1, 0
        self._run: RunWatch | None = None
        self._watched, self._blocks = -1, 0
        self._point: tuple[int, int] = (0, 0)
        self._asked_point = asyncio.Event()
        self._state: dict[str, Any] = {}

    async def run(self) -> None:
        """Answer, and send what is new, until the page goes."""
        with self._desk.open_page() as changed:
            listening = asyncio.create_task(self._listen(changed))
            looking = asyncio.create_task(self._look())  # beside the map: its first answer opens scan and decoder
            try:
                while not listening.done():
                    changed.clear()
                    try:
                        await self._send_all()
                    except LatentsError as error:  # such as of a file that is replaced now
                        await self._send({"refused": str(error)})
                        self._shown = None
                    await self._wait(changed, listening)
            finally:
                listening.cancel()
                looking.cancel()

    async def _wait(self, changed: asyncio.Event, listening: asyncio.Task[None]) -> None:
        waiting = asyncio.create_task(changed.wait())
        await asyncio.wait({waiting, listening}, timeout=STATE_S, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    async def _listen(self, changed: asyncio.Event) -> None:
        from starlette.websockets import WebSocketDisconnect

        try:
            while True:
                message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                try:
                    await self._take(message.get("text"))
                except LatentsError as error:
                    await self._send({"refused": str(error)})
                changed.set()
        except WebSocketDisconnect:
            return

    async def _take(self, text: str | None) -> None:
        """Note what a page asks for; LatentsError for nonsense."""
        try:
            asked = json.loads(text or "")
        except (ValueError, RecursionError):
            raise LatentsError("messages must be JSON") from None
        if not isinstance(asked, dict):
            raise LatentsError("messages must be objects")
        if "show" in asked:
            await self._choose(asked["show"])
        elif "point" in asked:
            self._point = self._parse_point(asked["point"])
            self._asked_point.set()
        elif type(asked.get("recolour")) is bool:
            await asyncio.to_thread(self._desk.recolour, asked["recolour"])
            self._desk.wake()
        else:
            raise LatentsError("there is nothing like that to ask for")

    async def _choose(self, asked: object) -> None:
        """Show another layer from now on, unless it cannot be shown."""
        desk, points = self._desk, self._desk.points
        layer = Layer.parse(asked, points, desk.stored)
        if layer.kind == "distance":  # there may be no latent at the point
            await asyncio.to_thread(desk.show, layer)
        if desk.points is not points:
            raise LatentsError("the file was replaced just now; ask again")
        self._layer, self._shown = layer, None

    def _parse_point(self, point: object) -> tuple[int, int]:
        rows, cols = self._desk.points.shape
        if not isinstance(point, list) or len(point) != 2 or not all(type(place) is int for place in point):
            raise LatentsError("a point is a row and a column")
        row, col = point
        if not (0 <= row < rows and 0 <= col < cols):
            raise LatentsError(f"a point is on the map of {rows}×{cols}")
        return row, col

    async def _send_all(self) -> None:
        desk = self._desk
        if self._epoch != desk.epoch:
            if self._epoch >= 0 and self._layer.kind in ("distance", "stored"):
                self._layer = Layer()
            self._epoch = desk.epoch
            await self._send({"hello": desk.describe()})
        if self._shown is None or self._version != desk.version:
            await self._start()
        await self._send_news()
        await self._send_watch()
        state = desk.state()
        if state != self._state:
            self._state = state
            await self._send({"state": state})

    async def _send_watch(self) -> None:
        """Tell what the run measured since the last time, and all its alarms."""
        run = self._desk.run
        if run is not self._run:
            self._run, self._watched, self._blocks = run, -1, 0
        if self._watched != run.changed:
            self._watched = run.changed
            told = run.tell(self._blocks)
            self._blocks += len(told["blocks"])  # more may be there by now
            await self._send({"watch": told})

    async def _start(self) -> None:
        """Tell what is shown from now on, and show all that is there."""
        desk, layer = self._desk, self._layer
        self._version, self._number = desk.version, self._number + 1
        shown = await asyncio.to_thread(desk.show, layer)
        limits = await asyncio.to_thread(desk.limits, shown, self._version)
        if self._layer is not layer:  # another was asked for meanwhile
            return
        self._told, self._shown = len(shown.points.log), shown
        labels = desk.stored.get(layer.name) == "labels"
        about = {"kind": layer.kind, "numbers": list(layer.numbers), "name": layer.name, "number": self._number}
        message = {**about, "channels": layer.channels, "limits": limits, "labels": labels}
        await self._send({"layer": message, "stored": desk.stored})
        await self._send_points(0, shown.points.last + 1)

    async def _send_news(self) -> None:
        shown = self._shown
        if shown is None:
            return
        news, self._told = shown.points.log[self._told :], len(shown.points.log)
        for start, stop in _joined(news):
            await self._send_points(start, stop)

    async def _send_points(self, start: int, stop: int) -> None:
        shown, number = self._shown, self._number
        if shown is None:
            return
        for first, end in shown.points.slabs(start, stop):
            values = await asyncio.to_thread(shown.values, first, end)
            await self._send_numbers({"values": number, "start": first}, as_bytes(values))
            if self._shown is not shown:  # another layer was asked for meanwhile
                return

    async def _look(self) -> None:
        """Answer what is asked of points, the last one only where several were."""
        from starlette.websockets import WebSocketDisconnect

        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await self._asked_point.wait()
                self._asked_point.clear()
                try:
                    await self._answer_point(*self._point)
                except (MicrorunError, IndexError) as error:  # such as of a file that is replaced now
                    await self._send({"refused": str(error)})

    async def _answer_point(self, row: int, col: int) -> None:
        look = await asyncio.to_thread(self._desk.look, row, col)
        found = (look.pattern, look.reconstruction, look.difference)
        pictures = b"".join(_grey(picture) for picture in found if picture is not None)
        await self._send_numbers({"point": [row, col], **_describe(look)}, pictures)

    async def _send(self, message: dict[str, Any]) -> None:
        await self._socket.send_text(json.dumps(message))

    async def _send_numbers(self, about: dict[str, Any], numbers: bytes) -> None:
        text = json.dumps(about).encode()
        text += b" " * (-len(text) % ALIGNED)
        await self._socket.send_bytes(HEAD.pack(len(text)) + text + numbers)


def _joined(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Runs that follow each other or overlap, as one."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(runs):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return joined


def _grey(picture: Float32) -> bytes:
    """Bytes of a picture, 0 for −1 and 255 for 1."""
    levels = np.clip(np.rint((picture + 1) * 127.5), 0, 255).astype(np.uint8)
    return bytes(levels)


def _describe(look: Look) -> dict[str, Any]:
    return {
        "latent": [round(float(value), 4) for value in look.latent],
        "seen": look.seen,
        "informative": look.informative,
        "pattern": look.pattern is not None,
        "reconstruction": look.reconstruction is not None,
        "difference": look.difference is not None,
        "correlation": look.correlation,
        "notes": list(look.notes),
    }
