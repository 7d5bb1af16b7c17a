"""Writes the messages of ComfyUI's websocket as frames: JSON texts, and binary frames with big-endian numbers.

Source: ComfyUI `server.py` (`encode_bytes`, `send_image`, `send_image_with_metadata`, `send_progress_text`).
Must not know: sockets, the course of a prompt.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Mapping

from .messages import BINARY_FIELD, Event, json_text, picture_bytes

_PREVIEW, _TEXT, _PREVIEW_WITH_METADATA = 1, 3, 4
_FORMATS = {"image/jpeg": 1, "image/png": 2}


def comfyui_frame(event: Event) -> bytes:
    """Return one message as it is sent: UTF-8 text, or a binary frame (see `is_binary`)."""
    kind = event.get(BINARY_FIELD)
    return _BINARY[kind](event) if kind else json_text(event).encode()


def is_binary(frame: bytes) -> bool:
    """Return whether `comfyui_frame` made a binary frame: that begins with a small number, a text with a brace."""
    return not frame.startswith(b"{")


def without_metadata(frame: bytes) -> bytes:
    """Return a frame for a client that has not asked for metadata: a preview of type 1 for one of type 4."""
    if not frame.startswith(struct.pack(">I", _PREVIEW_WITH_METADATA)):
        return frame
    end = 8 + int.from_bytes(frame[4:8], "big")
    about: dict[str, str] = json.loads(frame[8:end])
    return struct.pack(">II", _PREVIEW, _FORMATS[about["image_type"]]) + frame[end:]


def socket_messages(frames: Iterable[bytes], *, has_metadata: bool = True) -> list[str | bytes]:
    """Return the messages that a client of the websocket reads; `has_metadata`: whether it asked for metadata."""
    sent = (frame if has_metadata else without_metadata(frame) for frame in frames)
    return [frame if is_binary(frame) else frame.decode() for frame in sent]


def plain_picture(picture: bytes) -> bytes:
    """Return the frame with which a SaveImageWebsocket node sends its picture, a PNG."""
    return struct.pack(">II", _PREVIEW, _FORMATS["image/png"]) + picture


def _preview(event: Event) -> bytes:
    about = json_text(event["metadata"]).encode()
    return struct.pack(">II", _PREVIEW_WITH_METADATA, len(about)) + about + picture_bytes(event["picture"])


def _text(event: Event) -> bytes:
    node: bytes = event["node_id"].encode()
    text: str = event["text"]
    return struct.pack(">II", _TEXT, len(node)) + node + text.encode()


_BINARY: Mapping[str, Callable[[Event], bytes]] = {"preview": _preview, "text": _text}
