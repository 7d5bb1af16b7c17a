"""Read the contents that earlier producers of a stream have left in Redis.

They are untrusted: each is checked, and those that are no facts are skipped.
Must not know: connections, when a producer takes a stream.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from ...assembly.items import Cursor
from ...assembly.updates import Outcome
from ...storage.item_json import described_frames
from ...storage.saved_items import SavedItem
from ...wire.dialects import GREATEST_NUMBER
from ..production import EarlierStream, in_order_of_responses
from .entries import MalformedEntryError, decode_entry
from .stored_stream import StoredStream

_LONGEST_ID = 1_000  # characters of a response id
_LONGEST_RECORD = 4 * 2**20  # bytes: a thousand partials take 400 KB


class EarlierFacts:
    """The facts of a stream in Redis, as its earlier producers have written them.

    texts: by field, as `StoredStream.facts` returns them. cursor: the text of the last position.
    items: the facts of the items that viewers have. frame_numbers: of the frames that viewers have.
    """

    def __init__(self, texts: Mapping[str, bytes], cursor: str, stored: StoredStream) -> None:
        self.is_new: bool = not texts
        self.items: list[dict[str, Any]] = []
        self.frame_numbers: list[int] = []
        self._stored, self._cursor = stored, _read_cursor(cursor)
        self._stream: dict[str, Any] = {}
        self._records: list[tuple[int, SavedItem]] = []
        self._item_keys: set[str] = set()
        for field, text in texts.items():
            kind, _, key = field.partition("\0")
            if kind == "frame" and key.isascii() and key.isdecimal():
                self.frame_numbers.append(int(key))
            elif kind == "record":
                self._add_record(key, text)
            elif kind in ("stream", "item"):
                self._add_facts(kind, text)
            if kind == "item":
                self._item_keys.add(key)

    def _add_facts(self, kind: str, text: bytes) -> None:
        with suppress(MalformedEntryError):
            change = decode_entry(text).change
            if change.kind == kind == "item":
                self.items.append(change.facts)
            elif change.kind == kind:
                self._stream = change.facts

    def _add_record(self, key: str, text: bytes) -> None:
        with suppress(ValueError, RecursionError):
            facts = json.loads(text) if len(text) <= _LONGEST_RECORD else None
            if isinstance(facts, dict) and isinstance(facts.get("id"), str):
                frames = described_frames(facts)
                self._records.append((int(key), SavedItem(folder=Path(key), facts=facts, frames=frames)))

    @property
    def title(self) -> str | None:
        """The words that the page shows for the stream; None if there are none."""
        return self._stream.get("title")

    @property
    def size(self) -> tuple[int, int] | None:
        """The requested (width, height) in pixels."""
        size = self._stream.get("size")
        return cast("tuple[int, int]", tuple(size)) if size else None

    def stream(self) -> EarlierStream:
        """Load the pictures, and return the contents for the next producer.

        If the record of an item or the bytes of a result are gone, the stream goes on from its start: the service sends
        it once more, and makes nothing again.
        """
        position, is_over = self._cursor
        loaded = [(item, self._load(item)) for _, item in sorted(self._records, key=lambda record: record[0])]
        has_all_records = self._item_keys <= {str(number) for number, _ in self._records}
        if position.response_id is not None and not (has_all_records and all(_has_result(*each) for each in loaded)):
            position, is_over = replace(position, sequence_number=None), False
        items = in_order_of_responses(replace(item, load=_taking_from(pictures)) for item, pictures in loaded)
        error = self._stream.get("error") if self._stream.get("outcome") == Outcome.FAILED else None
        return EarlierStream(items=items, cursor=position, is_over=is_over, error=error)

    def _load(self, item: SavedItem) -> dict[str, bytes]:
        """Return the pictures of an item that are there, by file name."""
        found = {name: self._stored.load_frame(frame["sha256"], frame["bytes"]) for name, frame in item.frames.items()}
        return {name: data for name, data in found.items() if data is not None}


def _has_result(item: SavedItem, pictures: Mapping[str, bytes]) -> bool:
    """Return whether the result of an item is there, if it has one."""
    final = item.facts.get("final")
    has_one = isinstance(final, dict) and final.get("is_final") is True
    return not has_one or any(frame["is_final"] and name in pictures for name, frame in item.frames.items())


def _taking_from(pictures: dict[str, bytes]) -> Callable[[str], bytes | None]:
    """Return a function that takes a picture, so that it is not held twice."""
    return lambda name: pictures.pop(name, None)


def _read_cursor(text: str) -> tuple[Cursor, bool]:
    """Return the last position, and whether the stream has ended there."""
    with suppress(ValueError, RecursionError):
        facts = json.loads(text) if text else None
        if isinstance(facts, dict):
            response_id, number = (facts.get(name) for name in ("response_id", "sequence_number"))
            has_id = isinstance(response_id, str) and 0 < len(response_id) <= _LONGEST_ID
            has_number = isinstance(number, int | float) and 0 <= number <= GREATEST_NUMBER
            cursor = Cursor(response_id if has_id else None, number if has_id and has_number else None)
            return cursor, facts.get("is_over") is True
    return Cursor(), False
