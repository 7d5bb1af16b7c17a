"""Join a stream to the run that an earlier process saved.

The stream may begin at its start, or at the place where it broke. Its events are given after the saved ones. Images
with ids are joined by their ids. Images without ids are counted: `image_counter` finds their numbers.
Must not know: files, sinks, the effect of an event on an item.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256

from ..assembly.assembler import Assembler, put_response_last
from ..assembly.repeats import frame_in
from ..errors import ImgassembleError, quoted
from ..frames.base64_json import load_decoded
from ..frames.frame import Frame
from ..limits import Limits
from ..wire.dialects import Reading
from ..wire.members import member_of
from ..wire.reader import read_event
from ..wire.readings import read
from .changed_events import with_members
from .image_counter import ImageCounter
from .saved import Event, item_events
from .saved_items import SavedItem

_TEXTS = (str, bytes, bytearray, memoryview)
_RESPONSE_BEGINNINGS = frozenset({"response.created", "response.queued", "response.in_progress", "response"})


class EarlierRun:
    """A run that was saved, and that a stream continues.

    items: the saved items, in the order of `read_items`.
    drops_partials: whether partials of an image that has ended can be missing.
    response_id: the response at whose place the stream was opened; None if it is unknown.
    """

    def __init__(self, items: Sequence[SavedItem], *, drops_partials: bool, response_id: str | None = None) -> None:
        self._items = items
        self._drops_partials = drops_partials
        self._same_stream = _SameStreamCheck(items, response_id)
        self._responses: _CurrentResponses | None = None
        self._counter: ImageCounter | None = None

    @property
    def contradiction(self) -> str | None:
        """The reason why the stream must be another one; None if there is none."""
        return self._same_stream.contradiction or (self._counter.contradiction if self._counter else None)

    @property
    def is_joined(self) -> bool:
        """Whether the rest of the stream needs no change."""
        return self._is_settled and self._responses is not None and not self._responses.are_saved

    @property
    def _is_settled(self) -> bool:
        return self._same_stream.is_settled and self._counter is not None and self._counter.is_settled

    def events(self) -> Iterator[Event]:
        """Yield the saved items as events."""
        return item_events(self._items, {}, is_finished=False)

    def join(self, event: object, assembler: Assembler) -> object:
        """Return an event of the stream as the assembler needs it, after it was fed with `events()`.

        Raises nothing: an event that cannot be read is returned unchanged.
        """
        if self._counter is None or self._responses is None:
            self._responses = _CurrentResponses(self._items, assembler.limits)
            self._counter = ImageCounter(self._items, assembler, drops_partials=self._drops_partials)
        if isinstance(event, ImgassembleError) or self.is_joined:
            return event
        try:
            reading = read(read_event(event, load_decoded))
            loaded = load_decoded(event) if isinstance(event, _TEXTS) else event
        except ImgassembleError:
            return event
        self._same_stream.check(reading, loaded)
        return self._responses.name_in(self._counter.with_number(loaded, reading), reading, assembler)


class _SameStreamCheck:
    """Compares the ids in a stream with the saved ones, until it is known whether the stream is the same."""

    def __init__(self, items: Sequence[SavedItem], response_id: str | None) -> None:
        self._response_ids = {response_id, *(item.response_id for item in items)} - {None}
        self._item_ids = {item.wire_id for item in items if item.number is None}
        self._unsaved_response_id: str | None = None  # of the response that began last, if none of it was saved
        self.is_settled = not self._response_ids
        self.contradiction: str | None = None

    def check(self, reading: Reading, event: object) -> None:
        if self.is_settled:
            return
        if any(signal.item_id in self._item_ids for signal in reading.signals if signal.item_id is not None):
            self.is_settled = True
        elif reading.response_id is not None:
            is_beginning = reading.begins or reading.event_type in _RESPONSE_BEGINNINGS
            self._check_response(reading.response_id, event, is_beginning=is_beginning)
        elif reading.event_type.startswith("response.") and self._unsaved_response_id is None:
            self.is_settled = True  # the stream continues in the middle of a response
        has_picture = any(signal.payload for signal in reading.signals)
        if has_picture and self._unsaved_response_id is not None and not self.is_settled:
            saved = ", ".join(quoted(str(each)) for each in sorted(map(str, self._response_ids))[:3])
            self.contradiction = (
                f"the new images belong to the response {quoted(self._unsaved_response_id)}, "
                f"and the saved ones to {saved}"
            )
            self.is_settled = True

    def _check_response(self, response_id: str, event: object, *, is_beginning: bool) -> None:
        if response_id in self._response_ids or _previous_response_of(event) in self._response_ids:
            self.is_settled = True
        elif is_beginning:
            # Not an error yet: the response may have no images, so that nothing of it was saved.
            self._unsaved_response_id = response_id
        elif self._unsaved_response_id is None:
            # The stream continues in the middle of a response; some services change the id with every event.
            self.is_settled = True


def _previous_response_of(event: object) -> str | None:
    found = member_of(member_of(event, "response") or event, "previous_response_id")
    return found if isinstance(found, str) else None


class _CurrentResponses:
    """Adds the response id to events that have none.

    The saved events leave responses open. Without this class, an event without a response id would go to the last one
    of them. A stream that begins at its start brings earlier responses first, another response can follow, and the
    next response can use an item id again.
    """

    def __init__(self, items: Sequence[SavedItem], limits: Limits) -> None:
        self._limits = limits
        self._last = items[-1].response_id if items else None
        self._items: dict[tuple[str, str], SavedItem] = {  # by response id and the id of the service
            (item.response_id, item.wire_id): item for item in items if item.response_id and item.wire_id
        }
        self._current: dict[object, str] = {}  # by lane
        self.are_saved = self._last is not None

    def name_in(self, event: object, reading: Reading, assembler: Assembler) -> object:
        kind, lane = member_of(event, "type"), reading.lane
        if not self.are_saved or not isinstance(kind, str) or not (kind.startswith("response.") or kind == "error"):
            return event
        if kind in _RESPONSE_BEGINNINGS:
            if reading.response_id is not None:
                self._current[lane] = reading.response_id
                self._begin(reading.response_id, assembler)
                put_response_last(assembler, reading.response_id)
            return event
        if member_of(event, "response_id") or member_of(event, "response"):
            return event
        response_id = self._response_of(reading, assembler)
        return event if response_id is None else with_members(event, response_id=response_id)

    def _response_of(self, reading: Reading, assembler: Assembler) -> str | None:
        """Return the id of the response that has the event; None if the assembler finds it itself."""
        current = self._current.get(reading.lane)
        item_id = next((signal.item_id for signal in reading.signals if signal.item_id is not None), None)
        owners = [response_id for response_id, wire_id in self._items if wire_id == item_id]
        if current is None and len(owners) == 1:
            saved = self._items[owners[0], str(item_id)]
            if reading.lane is not None or saved.id not in assembler:  # saved events have no lanes, and need a picture
                self._current[reading.lane] = owners[0]
                return owners[0]
        if current is None:
            if self._last in owners and self._is_of_another_response(str(item_id), reading, assembler):
                self._leave_last(assembler)
            return None
        if current == self._last:
            return None if reading.lane is None else current
        is_open = self._last in owners and not self._items[str(self._last), str(item_id)].has_ended
        return None if is_open and current not in owners else current

    def _is_of_another_response(self, item_id: str, reading: Reading, assembler: Assembler) -> bool:
        """Return whether the event brings a picture that contradicts the saved item, which has its result."""
        item = self._items[str(self._last), item_id]
        if not item.has_ended or item.drops_partials:
            return False
        pictures = (frame_in(signal.payload, self._limits) for signal in reading.signals)
        held = assembler.items.get(item.id)
        frames = [frame for frame in (*held.partials, held.final) if frame] if held else []
        return any(frame is not None and not _is_saved(frame.data, item, frames) for frame in pictures)

    def _begin(self, response_id: str, assembler: Assembler) -> None:
        """Begin a response whose `response.created` was lost: otherwise its id is another name of the last one."""
        are_over = all(item.has_ended for (owner, _), item in self._items.items() if owner == self._last)
        if are_over and response_id not in {owner for owner, _ in self._items}:
            assembler.feed({"type": "response.created", "response": {"id": response_id}})

    def _leave_last(self, assembler: Assembler) -> None:
        """End the last saved response: the next one has begun, and its first events were lost."""
        assembler.feed({"type": "response.completed", "response": {"id": self._last}})
        assembler.feed({"type": "response.created", "response": {}})
        self.are_saved = False


def _is_saved(data: bytes, item: SavedItem, frames: Sequence[Frame]) -> bool:
    """Return whether a picture of `item` was saved. `frames`: those of its pictures that the assembler holds.

    item.json has no digests of partials: for one that is not held its size stands for it.
    """
    if any(frame.data == data for frame in frames):
        return True
    indices = {frame.index for frame in frames}
    others = [each for each in item.frames.values() if each["bytes"] == len(data) and each["index"] not in indices]
    return any(each.get("sha256") in (None, sha256(data).hexdigest()) for each in others)
