"""Sends an answer over a connection: each chunk when it is due. Then the answer ends, is cut, or hangs.

Must not know: routes, the content of an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .answers import Answer, Pace

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[object]]


class PacedResponse(Response):
    """Sends an answer at its pace; then ends it, cuts the connection, or keeps it open, as the answer says."""

    def __init__(
        self, answer: Answer, *, pace: Pace, seed: int, clock: Clock, sleep: Sleep, released: asyncio.Event
    ) -> None:
        self._answer, self._pace, self._seed = answer, pace, seed
        self._clock, self._sleep, self._released = clock, sleep, released

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until everything is sent, the client has disconnected, or the server releases the answer."""
        sending = (self._send(send), _wait_for_disconnect(receive), self._released.wait())
        tasks = [asyncio.ensure_future(each) for each in sending]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        if isinstance(results[0], Exception):
            raise results[0]

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self._answer.status, "headers": self._raw_headers()})
        due_s = self._clock()
        for wait_s, chunk in self._pace.chunks(self._answer.body, seed=self._seed):
            due_s += wait_s
            if wait_s:
                await self._sleep(max(0.0, due_s - self._clock()))
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await asyncio.sleep(0)  # `send` waits only for a full buffer; other tasks need a turn too
        if self._answer.ending == "closed":
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        elif self._answer.ending == "hanging":
            await asyncio.Event().wait()
        # "disconnected": the server closes the connection at once if this returns before the body is complete.

    def _raw_headers(self) -> list[tuple[bytes, bytes]]:
        headers = {name.lower(): value for name, value in self._answer.headers.items()}
        if self._answer.ending == "closed" and not headers.get("content-type", "").startswith("text/event-stream"):
            headers["content-length"] = str(sum(map(len, self._answer.body)))
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
