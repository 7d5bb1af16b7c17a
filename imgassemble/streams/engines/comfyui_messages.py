"""Turns the messages of ComfyUI's websocket into events, one after the other.

Must not know: the websocket, the assembler, how a URL is fetched.
Sources: comfyanonymous/ComfyUI, server.py, protocol.py, comfy_execution/progress.py; script_examples/ for the node that
sends its pictures through the websocket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from struct import unpack_from
from typing import Any, NamedTuple
from urllib.parse import urlencode

from ...errors import EventError
from ...frames.base64_json import Decoded, load_json
from ...frames.containers import format_of
from ...wire.values import read_number

_PREVIEW, _TEXT, _PREVIEW_WITH_METADATA = 1, 3, 4  # BinaryEventTypes of protocol.py
_SAVING_NODE = "save_image_websocket_node"  # its id in ComfyUI's own example
_MOST_PROMPTS = 100  # that are remembered at the same time
_MOST_WAITING = 100  # previews that arrive before the first message that names a prompt
_UNKNOWN_PROMPT = "comfyui"


class _Preview(NamedTuple):
    """A picture of a binary message, and the facts about it."""

    data: bytes
    prompt_id: str | None = None
    node: str | None = None


class _Prompt:
    """The state of one prompt."""

    def __init__(self, prompt_id: str) -> None:
        self.id = prompt_id
        self.node: str | None = None  # that runs now
        self.previewing: set[str | None] = set()  # the nodes that have sent a JPEG
        self.n_previews = 0
        self.n_results = 0
        self.files: list[Mapping[str, Any]] = []  # results that are only shown: of PreviewImage nodes
        self.missing: str | None = None  # the name of a saved picture that has no URL
        self.is_over = False

    def event(self, kind: str, **facts: Any) -> dict[str, Any]:
        """Return an event about the item of this prompt, or about the one that `facts` name."""
        return {"type": kind, "response_id": self.id, "item_id": self.id, **facts}

    def end(self, kind: str, **facts: Any) -> dict[str, Any]:
        """Return the event that ends the response of this prompt."""
        self.is_over = True
        return {"type": kind, "response": {"id": self.id, **facts}}

    def next_result(self) -> str:
        """Return the item of the next result."""
        self.n_results += 1
        return self.id if self.n_results == 1 else f"{self.id}/{self.n_results - 1}"


class ComfyReader:
    """Turns one message after the other into events."""

    def __init__(self, view_url: str | None) -> None:
        self._view_url = view_url
        self._prompts: dict[str, _Prompt] = {}
        self._current: _Prompt | None = None
        self._waiting: list[_Preview] = []

    def read(self, message: Any) -> Iterator[Any]:
        """Yield the events of one message."""
        message = getattr(message, "data", message) if not isinstance(message, memoryview) else bytes(message)
        if isinstance(message, (bytes, bytearray)):
            yield from self._read_binary(bytes(message))
        elif isinstance(message, str):
            yield from self._read_text(message)

    def finish(self) -> Iterator[Any]:
        """Yield the events that the end of the messages completes."""
        if self._waiting:
            yield from self._begin(_UNKNOWN_PROMPT)
            yield from self._give_waiting()

    # Binary messages

    def _read_binary(self, message: bytes) -> Iterator[Any]:
        try:
            preview = _preview_in(message)
        except (ValueError, EventError) as cause:
            sentence = f"a binary message of {len(message):,} bytes is none that ComfyUI sends ({cause}); it is skipped"
            yield EventError(sentence, event_type="comfyui")
            return
        if preview is None:
            return
        if preview.prompt_id is not None:
            yield from self._turn_to(preview.prompt_id)
            yield from self._give_waiting()
        if self._current is None:
            self._waiting = [*self._waiting, preview][-_MOST_WAITING:]
            return
        yield from self._picture(self._current, preview)

    def _picture(self, prompt: _Prompt, preview: _Preview) -> Iterator[Any]:
        node = preview.node or prompt.node
        if node == _SAVING_NODE or (format_of(preview.data) == "PNG" and node not in prompt.previewing):
            yield prompt.event("picture.final", item_id=prompt.next_result(), b64=Decoded(preview.data))
            return
        prompt.previewing.add(node)
        yield prompt.event("picture", index=prompt.n_previews, b64=Decoded(preview.data))
        prompt.n_previews += 1

    def _give_waiting(self) -> Iterator[Any]:
        waiting, self._waiting = self._waiting, []
        for preview in waiting:
            assert self._current is not None
            yield from self._picture(self._current, preview)

    # Text messages

    def _read_text(self, message: str) -> Iterator[Any]:
        try:
            value = load_json(message)
        except EventError as error:
            yield error
            return
        kind, data = (value.get("type"), value.get("data")) if isinstance(value, dict) else (None, None)
        data = data if isinstance(data, dict) else {}
        prompt_id = data.get("prompt_id")
        if isinstance(prompt_id, str) and prompt_id and isinstance(kind, str) and kind in _HANDLERS:
            yield from self._turn_to(prompt_id)
            yield from self._give_waiting()
            assert self._current is not None
            yield from _HANDLERS[kind](self, self._current, data)
        else:
            yield {"type": f"comfyui.{kind}"}  # it is counted, and names the kind of stream if no image comes

    def _turn_to(self, prompt_id: str) -> Iterator[Any]:
        """Make this prompt the current one; begin it if it is new."""
        if prompt_id not in self._prompts:
            yield from self._begin(prompt_id)
        self._current = self._prompts[prompt_id]

    def _begin(self, prompt_id: str) -> Iterator[Any]:
        self._current = self._prompts[prompt_id] = _Prompt(prompt_id)
        if len(self._prompts) > _MOST_PROMPTS:
            del self._prompts[next(iter(self._prompts))]
        yield {"type": "response.created", "response": {"id": prompt_id}}
        item = {"type": "image_generation_call", "id": prompt_id, "status": "in_progress"}
        yield {"type": "response.output_item.added", "response_id": prompt_id, "item": item}

    def _executing(self, prompt: _Prompt, data: Mapping[str, Any]) -> Iterator[Any]:
        node = data.get("node")
        prompt.node = str(node) if node is not None else None
        if node is not None and not prompt.is_over:
            yield prompt.event("picture.progress")

    def _progress(self, prompt: _Prompt, data: Mapping[str, Any]) -> Iterator[Any]:
        percent = _percent_of(data)
        for node in _members(data.get("nodes")).values():
            percent = _percent_of(node) if _members(node).get("state") == "running" else percent
        if percent is not None and not prompt.is_over:
            yield prompt.event("picture.progress", percent=percent)

    def _executed(self, prompt: _Prompt, data: Mapping[str, Any]) -> Iterator[Any]:
        images = _members(data.get("output")).get("images")
        for image in images if isinstance(images, list) else ():
            if not _members(image).get("filename"):
                continue
            if image.get("type") == "temp":  # a PreviewImage node shows it; a saved picture comes first
                prompt.files.append(image)
            else:
                yield from self._file(prompt, image)

    def _file(self, prompt: _Prompt, image: Mapping[str, Any]) -> Iterator[Any]:
        if self._view_url is None:
            prompt.missing = prompt.missing or str(image["filename"])
            return
        query = {name: str(image.get(name) or "") for name in ("filename", "subfolder", "type")}
        url = f"{self._view_url}?{urlencode(query)}"
        yield prompt.event("picture.final", item_id=prompt.next_result(), url=url)

    def _success(self, prompt: _Prompt, _data: Mapping[str, Any]) -> Iterator[Any]:
        if prompt.is_over:
            return
        if not (prompt.n_results or prompt.missing):
            for image in prompt.files:
                yield from self._file(prompt, image)
        if prompt.missing and not prompt.n_results:
            reason = f"the result is the file {prompt.missing!r} of the server's /view: pass view_url to comfyui_events"
            yield prompt.end("response.incomplete", incomplete_details={"reason": reason})
            return
        if not prompt.n_results:
            yield prompt.event("response.image_generation_call.completed")
        yield prompt.end("response.completed")

    def _error(self, prompt: _Prompt, data: Mapping[str, Any]) -> Iterator[Any]:
        if prompt.is_over:
            return
        kind, words = (data.get(name) for name in ("exception_type", "exception_message"))
        error = {"code": kind, "message": words, "node_id": data.get("node_id"), "node_type": data.get("node_type")}
        yield prompt.end("response.failed", error=error)

    def _interrupted(self, prompt: _Prompt, _data: Mapping[str, Any]) -> Iterator[Any]:
        if not prompt.is_over:
            yield prompt.end("response.incomplete", incomplete_details={"reason": "interrupted"})

    def _nothing(self, _prompt: _Prompt, _data: Mapping[str, Any]) -> Iterator[Any]:
        return iter(())


_HANDLERS: dict[str, Callable[[ComfyReader, _Prompt, Mapping[str, Any]], Iterator[Any]]] = {
    "execution_start": ComfyReader._nothing,
    "execution_cached": ComfyReader._nothing,
    "executing": ComfyReader._executing,
    "progress": ComfyReader._progress,
    "progress_state": ComfyReader._progress,
    "executed": ComfyReader._executed,
    "execution_success": ComfyReader._success,
    "execution_error": ComfyReader._error,
    "execution_interrupted": ComfyReader._interrupted,
}


def _preview_in(message: bytes) -> _Preview | None:
    """Return the picture of a binary message; None for a text. Raises ValueError if it is cut short or unknown."""
    if len(message) < 8:
        raise ValueError("it is cut short")
    kind, size = unpack_from(">II", message)
    if kind == _TEXT:
        return None
    if kind == _PREVIEW:
        return _Preview(message[8:])
    if kind != _PREVIEW_WITH_METADATA:
        raise ValueError(f"its type is {kind}")
    if len(message) < 8 + size:
        raise ValueError("it is cut short")
    facts = load_json(message[8 : 8 + size])
    prompt_id, node = (_members(facts).get(name) for name in ("prompt_id", "node_id"))
    return _Preview(message[8 + size :], str(prompt_id) if prompt_id else None, None if node is None else str(node))


def _members(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _percent_of(value: Any) -> float | None:
    done, most = (read_number(_members(value).get(name)) for name in ("value", "max"))
    return round(100 * done / most, 1) if done is not None and most and done <= most else None
