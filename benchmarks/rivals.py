"""The alternatives of a user on the same chunks; each returns the bytes of the frames, in order."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from importlib.metadata import distributions, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image
from pybase64 import b64decode
from pydantic import BaseModel
from pydantic_core import from_json


def with_bare_loop(chunks: list[bytes]) -> list[bytes]:
    """Split lines, parse JSON and decode base64, each once and by the fastest parsers there are.

    This is the floor. It keeps no state, and holds nothing longer than it must: memory that is used again is several
    times as fast as new memory.
    """
    frames: list[bytes] = []
    pieces: list[bytes] = []
    for chunk in chunks:
        if b"\n" not in chunk:
            pieces.append(chunk)
            continue
        *ends, begun = chunk.split(b"\n")
        for end in ends:
            pieces.append(end)
            _decode(_parsed(pieces), frames)
            pieces.clear()
        pieces.append(begun)
    return frames


def _parsed(pieces: list[bytes]) -> dict[str, Any]:
    """Return the event in a line, and release the line."""
    while len(pieces) > 1 and len(pieces[0]) < 6:
        pieces[:2] = [pieces[0] + pieces[1]]
    if not pieces[0].startswith(b"data: "):
        return {}
    pieces[0] = pieces[0][6:]
    line = b"".join(pieces)
    pieces.clear()
    event: dict[str, Any] = from_json(line)
    return event


def _decode(event: dict[str, Any], frames: list[bytes]) -> None:
    if text := event.get("partial_image_b64") or (event.get("item") or {}).get("result"):
        frames.append(b64decode(text, validate=True))
    for item in (event.get("response") or {}).get("output") or ():
        b64decode(item["result"], validate=True)


class PlainEvent(BaseModel):
    """The fields of an event without a picture, as a user would write them."""

    type: str
    item_id: str
    output_index: int
    sequence_number: int


def validated(events: list[bytes]) -> list[PlainEvent]:
    """Return the events as one plain model each: the least work that gives typed fields."""
    return [PlainEvent.model_validate(from_json(event)) for event in events]


def with_openai(chunks: list[bytes]) -> list[bytes]:
    """Run the loop that the documentation shows: the SDK's stream, its decoder and its types, and base64.b64decode."""
    return [base64.b64decode(text) for text in _pictures_in(openai_events(chunks))]


def openai_events(chunks: list[bytes]) -> Iterator[Any]:
    """Yield the events as openai's SDK gives them: version 3 uses httpx2, version 2 httpx."""
    from openai import OpenAI

    http = import_module("httpx2" if int(version("openai").partition(".")[0]) > 2 else "httpx")
    client = OpenAI(
        api_key="-", base_url="http://localhost/v1", http_client=http.Client(transport=_played(http, chunks))
    )
    yield from client.responses.create(model="gpt-5", input="an otter", stream=True)


def with_openrouter(chunks: list[bytes]) -> list[bytes]:
    """Run the same loop over the events of OpenRouter's SDK."""
    return [base64.b64decode(text) for text in _pictures_in(openrouter_events(chunks))]


def openrouter_events(chunks: list[bytes]) -> Iterator[Any]:
    """Yield the events as OpenRouter's SDK gives them."""
    http, openrouter = import_module("httpx"), import_module("openrouter")
    client = http.Client(transport=_played(http, chunks))
    with openrouter.OpenRouter(api_key="-", server_url="http://localhost", client=client) as sdk:
        yield from sdk.responses.send(model="openai/gpt-5", input="an otter", stream=True)


def _pictures_in(events: Iterable[Any]) -> Iterator[str]:
    for event in events:
        if event.type == "response.image_generation_call.partial_image":
            yield event.partial_image_b64
        elif event.type == "response.output_item.done" and event.item.type == "image_generation_call":
            yield event.item.result or ""


def with_httpx_sse(chunks: list[bytes]) -> list[bytes]:
    """Use httpx-sse for the lines, json for the events, base64 for the pictures."""
    connect_sse = import_module("httpx_sse").connect_sse
    http = import_module("httpx")
    frames = []
    client = http.Client(transport=_played(http, chunks))
    with connect_sse(client, "POST", "http://localhost/") as source:
        for each in source.iter_sse():
            event = json.loads(each.data)
            if event["type"] == "response.image_generation_call.partial_image":
                frames.append(base64.b64decode(event["partial_image_b64"]))
            elif event["type"] == "response.output_item.done" and event["item"]["type"] == "image_generation_call":
                frames.append(base64.b64decode(event["item"]["result"]))
    return frames


def _played(http: Any, chunks: list[bytes]) -> Any:
    """Return a transport that answers with these chunks, so that no socket is measured."""
    headers = {"content-type": "text/event-stream"}
    return http.MockTransport(lambda _: http.Response(200, headers=headers, content=iter(chunks)))


def copied(chunks: list[bytes]) -> bytes:
    """Return the bytes once more, in one piece: the cost of memory alone."""
    return b"".join(chunks)


# The name, the required package, and the loop. The first is part of every run.
RIVALS: tuple[tuple[str, str, Callable[[list[bytes]], list[bytes]]], ...] = (
    ("openai", "openai", with_openai),
    ("httpx-sse", "httpx_sse", with_httpx_sse),
    ("openrouter", "openrouter", with_openrouter),
)


def version_in(folder: str) -> str:
    """Return the version of openai in a folder that `pip install --target` has filled."""
    (found,) = distributions(name="openai", path=[folder])
    return found.version


def is_here(module: str) -> bool:
    return find_spec(module) is not None


# ---- pixels and files


def with_pillow(frames: list[bytes]) -> int:
    return sum(decoded(data).width for data in frames)


def pixels_with_bare_loop(chunks: list[bytes]) -> int:
    return with_pillow(with_bare_loop(chunks))


def decoded(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def written(frames: list[bytes], folder: Path, *, is_synced: bool = False) -> None:
    """Write each frame to a file, as a simple loop does it.

    is_synced: sync the last file, and a second one that describes it, and then their folder and the two above it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(frames):
        (folder / f"{number}.png").write_bytes(data)
    if is_synced:
        (folder / "facts.json").write_bytes(b"{}")
        files = (folder / f"{len(frames) - 1}.png", folder / "facts.json")
        for path in (*files, folder, folder.parent, folder.parent.parent):
            handle = os.open(path, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
