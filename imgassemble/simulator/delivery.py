"""How an answer goes over a connection: each chunk when it is due; then it ends, is cut, or is held.

Knows: ASGI messages, clocks. Must not know: routes, what is in an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .answers import Pace, Play

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[object]]


class Sending(Response):
    """Sends a play as its pace has it; then ends it, cuts the connection, or holds it, as the play says."""

    def __init__(
        self, made: Play, *, pace: Pace, seed: int, clock: Clock, sleep: Sleep, released: asyncio.Event
    ) -> None:
        self._play, self._pace, self._seed = made, pace, seed
        self._clock, self._sleep, self._released = clock, sleep, released

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until all is sent, the client has gone, or the server lets go of it, whatever comes first."""
        tasks = [asyncio.ensure_future(each) for each in (self._send(send), _gone(receive), self._released.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        if isinstance(results[0], Exception):
            raise results[0]

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self._play.status, "headers": self._raw_headers()})
        due_s = self._clock()
        for wait_s, chunk in self._pace.chunks(self._play.body, seed=self._seed):
            due_s += wait_s
            if wait_s:
                await self._sleep(max(0.0, due_s - self._clock()))
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await asyncio.sleep(0)  # `send` waits only for a full buffer; the others are to have their turn
        if self._play.ending == "closed":
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        elif self._play.ending == "hanging":
            await asyncio.Event().wait()
        # "disconnected": to return without having finished makes the server close the connection there and then.

    def _raw_headers(self) -> list[tuple[bytes, bytes]]:
        headers = {name.lower(): value for name, value in self._play.headers.items()}
        if self._play.ending == "closed" and not headers.get("content-type", "").startswith("text/event-stream"):
            headers["content-length"] = str(sum(map(len, self._play.body)))
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
