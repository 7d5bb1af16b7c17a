"""Recognises a C2PA manifest store by its first bytes.

Must not know: formats, the contents of a manifest, how one is verified. Sources: C2PA 2.4, section 11.1 (manifest
store); ISO 19566-5 (JUMBF boxes).
"""

from __future__ import annotations

_STORE = b"c2pa\x00\x11\x00\x10\x80\x00\x00\xaa\x00\x38\x9b\x71"  # the type in the description of the box
_HEADS_BYTES = 16 + 8 + len(_STORE)  # a long head, the head of the description, and the type


def is_manifest_store(data: bytes, start: int, end: int) -> bool:
    """Return whether a manifest store begins at `start`. Nothing from `end` on is read, and at most 40 bytes."""
    heads = data[start : min(end, start + _HEADS_BYTES)]
    inner = 16 if heads[:4] == b"\0\0\0\1" else 8  # a length of 1 is followed by one of eight bytes
    return heads[4:8] == b"jumb" and heads[inner + 4 : inner + 8 + len(_STORE)] == b"jumd" + _STORE
