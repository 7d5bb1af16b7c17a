"""The source for ComfyUI: the messages of a websocket, sync or async, as events.

Must not know: the form of a message, the assembler, how a URL is fetched.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, overload

from ...errors import UsageError
from .comfyui_messages import ComfyReader


@overload
def comfyui_events(messages: Iterable[Any], view_url: str | None = None) -> Iterator[Any]: ...
@overload
def comfyui_events(messages: AsyncIterable[Any], view_url: str | None = None) -> AsyncIterator[Any]: ...
def comfyui_events(
    messages: Iterable[Any] | AsyncIterable[Any], view_url: str | None = None
) -> Iterator[Any] | AsyncIterator[Any]:
    """Return an iterator of the events in the messages of a ComfyUI websocket, for `assemble` and the other drivers.

    messages: the text and binary messages of `/ws?clientId=…`, as str and bytes; an iterable, or an async iterable for
        the async drivers. A connection of the package websockets is one.
    view_url: the address of the server's `/view`, for example "http://127.0.0.1:8188/view". A saved picture then has a
        URL there, and the driver's `fetch` gets it. Without it the item of a saved picture is incomplete, and its
        reason names the file. A SaveImageWebsocket node sends its picture through the websocket and needs no URL.

    The item of a prompt has the prompt's id. Its previews are counted in the order of arrival. If a prompt makes
    several pictures, the first is that of the item; the others are the items PROMPT/1, PROMPT/2, …. The percent of the
    node that runs is in `item.settings`.

    The owner of the socket must send this message first, otherwise previews do not name their prompt (the current
    prompt then gets them):

        {"type": "feature_flags", "data": {"supports_preview_metadata": true}}

    Start the server with `--preview-method auto`: without it ComfyUI sends no previews. The server keeps the socket
    open, so end the loop yourself. Raises UsageError if `messages` is no iterable.

        with connect("ws://127.0.0.1:8188/ws?clientId=otter") as socket:
            socket.send('{"type": "feature_flags", "data": {"supports_preview_metadata": true}}')
            ...  # POST the workflow to /prompt, with "client_id": "otter"
            events = comfyui_events(socket, "http://127.0.0.1:8188/view")
            with iter_updates(events, fetch=lambda url: httpx.get(url).content) as updates:
                for update in updates:
                    print(update)
                    if isinstance(update, ItemEnded):
                        break
    """
    reader = ComfyReader(view_url)
    if isinstance(messages, AsyncIterable):
        return _aread_messages(messages, reader)
    if isinstance(messages, Iterable) and not isinstance(messages, (str, bytes, Mapping)):
        return _read_messages(messages, reader)
    raise UsageError(f"the messages of a websocket are an iterable of str and bytes, not {type(messages).__name__}")


def _read_messages(messages: Iterable[Any], reader: ComfyReader) -> Iterator[Any]:
    for message in messages:
        yield from reader.read(message)
    yield from reader.finish()


async def _aread_messages(messages: AsyncIterable[Any], reader: ComfyReader) -> AsyncIterator[Any]:
    async for message in messages:
        for event in reader.read(message):
            yield event
    for event in reader.finish():
        yield event
