"""What is shown of many streams: their items as facts, and their frames as the bytes received.

A fact that an update tells has the name and the form that `Item.as_dict` and `Frame.as_dict` give it, in `item.json`
and in `--json`, too; beside these stands what only the page needs.

Knows: what each update changed, which change a viewer has not seen yet, and what is let go of. Must not know: HTTP,
event loops, who may see what. It is told by the threads that feed, and asked by those that serve; a timer wakes it when
something has been kept for long enough, also where nobody asks.
"""

from __future__ import annotations

import json
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from secrets import token_urlsafe
from threading import TIMEOUT_MAX, Lock, Timer
from typing import Any

from ..assembly.assembler import Assembler, updates_so_far
from ..assembly.updates import (
    Anomaly,
    FinalReady,
    FinalWithdrawn,
    FrameAdded,
    ItemEnded,
    StateChanged,
    StreamEnded,
    Update,
)
from ..errors import ImgassembleError, UsageError, clean
from ..frames.frame import Frame
from ..screens.tiles import Tile, Tiles
from ..states import State

_MOST_FRAMES = 32  # of an item: what a scrubber can show; of more, the newest
_MOST_ANOMALIES = 20  # of a stream: the newest
_MOST_LETTERS = 2_000  # of a sentence from outside


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a viewer is told: `kind` is the name of the event, `facts` are JSON-able.

    "stream" and "item" tell how it stands now; "gone" that a stream is let go of, with its items; "anew" that what the
    viewer has is nothing worth: all that is shown follows.
    """

    stream: str
    kind: str
    facts: dict[str, Any]
    _json: list[str] = field(default_factory=list, init=False, compare=False, repr=False)

    @property
    def json(self) -> str:
        """The facts and the name of their stream, in ASCII; made once for all viewers."""
        if not self._json:
            self._json.append(json.dumps({"stream": self.stream} | self.facts))
        return self._json[0]


ANEW = Change(stream="", kind="anew", facts={})
_KINDS = ("anew", "gone", "stream", "item")  # in this order they are told, so that an item comes after its stream


@dataclass(slots=True, kw_only=True)
class _Shown:
    """One item, as a viewer has it."""

    id: str
    facts: dict[str, Any]
    frames: list[Frame] = field(default_factory=list)  # partials by index, then the final


@dataclass(slots=True, kw_only=True, eq=False)
class _Stream:
    name: str
    number: int
    began_at: float | None  # None where it had begun before it was added: nobody knows when
    size: tuple[int, int] | None
    key: str = field(default_factory=lambda: token_urlsafe(18))  # of its frames' addresses: nobody can guess it
    items: dict[str, _Shown] = field(default_factory=dict)
    tiles: Tiles = field(default_factory=Tiles)
    anomalies: list[dict[str, Any]] = field(default_factory=list)
    known: tuple[Update, ...] = ()  # told when it was added; the thread that feeds may be about to tell it, too
    outcome: str | None = None
    error: dict[str, Any] | None = None


class Gallery:
    """What viewers see: streams under their names, each with its items and frames; safe in any thread.

    keep_s: seconds for which a stream that has ended stays, whether or not anybody looks. max_bytes: of all frames
    together; over it the oldest previews go, never the newest picture of an item, and where that is not enough the
    streams that ended first. max_streams: over it the oldest that have ended go. clock: seconds, as `time.monotonic`
    has them.
    """

    def __init__(
        self,
        *,
        keep_s: float = 3_600.0,
        max_bytes: int = 256 * 2**20,
        max_streams: int = 1_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.epoch = token_urlsafe(6)  # another process counts anew
        self._keep_s, self._max_bytes, self._max_streams, self._clock = keep_s, max_bytes, max_streams, clock
        self._lock = Lock()
        self._version = 0
        # Of each stream, item and name that went: what was told last of it, and when. The newest stands at the end, so
        # that a viewer who has nearly all is told the rest at once, however much is shown.
        self._news: dict[tuple[str, str, str], tuple[int, Change]] = {}
        self._gone: dict[str, int] = {}  # the names among them, and when they went
        self._forgotten = 0  # the last time that a name went of which nothing is known any more
        self._numbers = 0
        self._streams: dict[str, _Stream] = {}
        self._ended: dict[str, float] = {}  # the names of those that have ended, and when
        self._frames: dict[str, tuple[str, Frame]] = {}  # by address; with the name of its stream
        self._n_bytes = 0
        self._thick: dict[tuple[int, str], tuple[_Stream, _Shown]] = {}  # items that have frames to spare
        self._watchers: dict[object, Callable[[], object]] = {}
        self._timers: list[Timer] = []  # at most one, for when the stream that ended first has been kept long enough
        weakref.finalize(self, _cancel, self._timers).atexit = False

    def add(
        self, name: str, assembler: Assembler | None = None, *, size: tuple[int, int] | None = None
    ) -> Callable[[Update], None]:
        """A listener that shows a stream under `name`; it is subscribed where an `assembler` is given.

        What the assembler holds already is shown at once, also where it is closed. How long that took is not known, and
        so of such a stream no seconds are told.
        size: (width, height) in pixels that were asked for, so that a tile has its shape before the first frame.
        Raises UsageError where a stream of this name is shown already, or there are too many that have not ended.
        """
        for frame in _frames_of(assembler) if assembler else ():
            _ = frame.sha256  # it takes milliseconds, for which nobody else need wait
        with self._lock:
            self._prune()
            if name in self._streams:
                raise UsageError(f"a stream {clean(name, 60)!r} is shown already: choose another name, or remove() it")
            self._prune(new_streams=1)
            if len(self._streams) >= self._max_streams:
                raise UsageError(f"{self._max_streams:,} streams are under way, the most that max_streams allows")
            stream = _Stream(name=name, number=self._numbers, began_at=self._clock(), size=size)
            self._numbers += 1
            self._streams[name] = stream
            self._publish("stream", name, _facts(stream))
            listen = self._listener(stream)
            if assembler is not None:
                assembler.subscribe(listen)  # what it hears meanwhile waits for the lock, and is told after this
                self._catch_up(stream, assembler)
                self._prune()
        self._ring()
        return listen

    def _listener(self, stream: _Stream) -> Callable[[Update], None]:
        def listen(update: Update) -> None:
            if isinstance(update, FrameAdded | FinalReady):
                _ = update.frame.sha256  # here, so that neither the others nor a viewer's event loop wait for it
            with self._lock:
                if self._streams.get(stream.name) is not stream:
                    return  # it was let go of
                if not (isinstance(update, Anomaly) and any(update is each for each in stream.known)):
                    self._tell(stream, update)
                self._prune()
            self._ring()

        return listen

    def _catch_up(self, stream: _Stream, assembler: Assembler) -> None:
        """Tell what is so already. To be told of a state or of a frame twice does no harm; of an anomaly it would."""
        updates = list(updates_so_far(assembler))
        if updates:
            stream.began_at = None
        stream.known = tuple(update for update in updates if isinstance(update, Anomaly))
        for update in updates:
            self._tell(stream, update)

    def remove(self, name: str) -> None:
        """Let go of a stream and its frames; nothing where there is none."""
        with self._lock:
            self._let_go(name)
        self._ring()

    @property
    def names(self) -> tuple[str, ...]:
        """The streams that are shown, the oldest first."""
        with self._lock:
            self._prune()
            return tuple(self._streams)

    def changes(self, since: int) -> tuple[int, list[Change]]:
        """What a viewer does not have yet who has seen `since` (0: nothing), and what it has then seen.

        An item that changed many times meanwhile is told once, as it is now: a slow viewer skips what was between.
        What has gone comes first, then the streams, then the items, each in the order of the changes. Where nobody
        knows any more what has changed `since`, all is told anew.
        """
        with self._lock:
            self._prune()
            is_known = self._forgotten <= since <= self._version
            seen = since if is_known else 0
            changes = [] if is_known or not since else [ANEW]
            for version, change in reversed(self._news.values()):
                if version <= seen:
                    break
                if seen or change.kind != "gone":
                    changes.append(change)
            changes.reverse()
            return self._version, sorted(changes, key=lambda change: _KINDS.index(change.kind))

    def frame(self, key: str, name: str) -> tuple[str, Frame] | None:
        """The stream and the frame of an address; None where there is none."""
        with self._lock:
            self._prune()
            return self._frames.get(f"frames/{key}/{name}")

    def watch(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Have `callback` called after each change, in whatever thread made it. Returns a function that ends it."""
        key = object()

        def stop() -> None:
            with self._lock:
                self._watchers.pop(key, None)

        with self._lock:
            self._watchers[key] = callback
        return stop

    def _ring(self) -> None:
        with self._lock:
            callbacks = tuple(self._watchers.values())
        for callback in callbacks:
            callback()

    def _publish(self, kind: str, stream: str, facts: dict[str, Any], item_id: str = "") -> None:
        self._version += 1
        self._news.pop((kind, stream, item_id), None)
        self._news[kind, stream, item_id] = self._version, Change(stream=stream, kind=kind, facts=facts)

    def _tell(self, stream: _Stream, update: Update) -> None:
        match update:
            case StreamEnded(outcome=outcome, error=error):
                stream.outcome, stream.error = str(outcome), _error_facts(error)
                self._ended.pop(stream.name, None)
                self._ended[stream.name] = self._clock()
            case Anomaly(item_id=None):
                stream.anomalies = _newest(stream.anomalies, update)
            case _:
                self._tell_item(stream, update, update.item_id or "")
                return
        self._publish("stream", stream.name, _facts(stream))

    def _tell_item(self, stream: _Stream, update: Update, item_id: str) -> None:
        item = stream.items.get(item_id) or _Shown(id=item_id, facts=_blank(stream, item_id))
        stream.items[item_id] = item
        seconds = None if stream.began_at is None else round(self._clock() - stream.began_at, 3)
        facts = item.facts
        match update:
            case StateChanged(state=state):
                facts |= {"state": str(state), "has_ended": state.is_end, "error": None}
            case FrameAdded(frame=frame):
                self._hold(stream, item, _placed(item.frames, frame))
                facts["preview_s"] = seconds if facts["preview_s"] is None else facts["preview_s"]
            case FinalReady(frame=frame, is_provisional=is_draft):
                self._hold(stream, item, _placed(_partials(item), frame))
                facts |= {
                    "is_provisional": is_draft,
                    "has_final": not is_draft,
                    "final_s": None if is_draft else seconds,
                }
            case FinalWithdrawn():
                self._hold(stream, item, _partials(item))
                facts |= {"is_provisional": False, "has_final": False, "final_s": None}
            case ItemEnded(error=error):
                facts["error"] = _error_facts(error)
            case Anomaly():
                facts["anomalies"] = _newest(facts["anomalies"], update)
        if tile := _tile(stream, update):
            facts |= {"kind": str(tile.kind), "caption": tile.caption}
        self._publish_item(stream, item)

    def _publish_item(self, stream: _Stream, item: _Shown) -> None:
        facts, frames = item.facts, [_frame_facts(stream, item, frame) for frame in item.frames]
        facts["partials"] = [frame for frame in frames if not frame["is_final"]]
        facts["final"] = frames[-1] if facts["has_final"] or facts["is_provisional"] else None
        facts["shown"] = frames[-1]["url"] if frames else None
        self._publish("item", stream.name, dict(item.facts), item.id)  # what viewers were given stays as it is

    def _hold(self, stream: _Stream, item: _Shown, frames: list[Frame]) -> None:
        """Have `frames` be those of the item; no other one can be had any more."""
        for frame in item.frames:
            if self._frames.pop(_address(stream, item, frame), None):
                self._n_bytes -= len(frame.data)
        for frame in frames:
            address = _address(stream, item, frame)
            if address not in self._frames:  # the last partial and the final may be one
                self._n_bytes += len(frame.data)
                self._frames[address] = stream.name, frame
        item.frames = frames
        if len(frames) > 1:
            self._thick.setdefault((stream.number, item.id), (stream, item))
        else:
            self._thick.pop((stream.number, item.id), None)

    def _prune(self, *, new_streams: int = 0) -> None:
        """Let go of what ended long ago, and of what is too much with so many streams more."""
        now = self._clock()
        while self._ended:
            name, ended_at = next(iter(self._ended.items()))
            if now - ended_at < self._keep_s and len(self._streams) + new_streams <= self._max_streams:
                break
            self._let_go(name)
        while self._thick and self._n_bytes > self._max_bytes:
            stream, item = next(iter(self._thick.values()))
            while len(item.frames) > 1 and self._n_bytes > self._max_bytes:
                self._hold(stream, item, item.frames[1:])
            self._publish_item(stream, item)
        while self._ended and self._n_bytes > self._max_bytes:
            self._let_go(next(iter(self._ended)))
        if self._ended and not self._timers and self._keep_s < TIMEOUT_MAX:
            self._wake_in(next(iter(self._ended.values())) + self._keep_s - now)

    def _wake_in(self, seconds: float) -> None:
        """Prune after so many seconds. The timer keeps neither the gallery nor the process alive."""
        gallery = weakref.ref(self)

        def wake() -> None:
            if found := gallery():
                found._wake()

        timer = Timer(seconds, wake)
        timer.daemon = True
        with suppress(RuntimeError):  # there are no threads here, or no more: it is pruned when somebody asks
            timer.start()
            self._timers.append(timer)

    def _wake(self) -> None:
        with self._lock:
            self._timers.clear()
            self._prune()
        self._ring()

    def _let_go(self, name: str) -> None:
        stream = self._streams.pop(name, None)
        if stream is None:
            return
        self._ended.pop(name, None)
        for item in stream.items.values():
            self._hold(stream, item, [])
            del self._news["item", name, item.id]
        del self._news["stream", name, ""]
        stream.items.clear()  # its listener still holds the stream
        self._publish("gone", name, {})
        self._gone.pop(name, None)
        self._gone[name] = self._version
        while len(self._gone) > self._max_streams:
            oldest = next(iter(self._gone))
            self._forgotten = self._gone.pop(oldest)
            del self._news["gone", oldest, ""]


def _cancel(timers: list[Timer]) -> None:
    for timer in timers:
        timer.cancel()


def _frames_of(assembler: Assembler) -> Iterator[Frame]:
    for item in assembler.items.values():
        yield from item.partials
        if item.final:
            yield item.final


def _blank(stream: _Stream, item_id: str) -> dict[str, Any]:
    tile = Tile()
    return {
        # As `Item.as_dict` has it, as far as updates tell.
        "id": item_id,
        "state": str(State.IN_PROGRESS),
        "is_provisional": False,
        "final": None,
        "partials": [],
        "error": None,
        "anomalies": [],
        # What only the page needs.
        "number": len(stream.items),
        "kind": str(tile.kind),
        "caption": tile.caption,
        "size": list(stream.size) if stream.size else None,
        "shown": None,
        "has_final": False,
        "has_ended": False,
        "preview_s": None,
        "final_s": None,
    }


def _tile(stream: _Stream, update: Update) -> Tile | None:
    """What a tile says after `update`; None where it says what it said."""
    if isinstance(update, FrameAdded | FinalReady | FinalWithdrawn):
        update = replace(update, frame=replace(update.frame, data=b""))  # its words need no bytes that would be kept
    return stream.tiles.take(update)


def _placed(frames: list[Frame], frame: Frame) -> list[Frame]:
    """`frames` with one more: partials by index, the final last; another for the same place goes."""
    others = [each for each in frames if (each.is_final, each.index) != (frame.is_final, frame.index)]
    return sorted([*others, frame], key=lambda each: (each.is_final, each.index or 0))[-_MOST_FRAMES:]


def _partials(item: _Shown) -> list[Frame]:
    return [frame for frame in item.frames if not frame.is_final]


def _newest(anomalies: list[dict[str, Any]], anomaly: Anomaly) -> list[dict[str, Any]]:
    facts = {"code": anomaly.code, "message": clean(anomaly.message, _MOST_LETTERS)}
    return [*anomalies, facts][-_MOST_ANOMALIES:]


def _address(stream: _Stream, item: _Shown, frame: Frame) -> str:
    return f"frames/{stream.key}/{item.facts['number']}-{frame.sha256}{frame.suffix}"


def _frame_facts(stream: _Stream, item: _Shown, frame: Frame) -> dict[str, Any]:
    return frame.as_dict() | {"url": _address(stream, item, frame), "suffix": frame.suffix}


def _facts(stream: _Stream) -> dict[str, Any]:
    return {
        "name": stream.name,
        "number": stream.number,
        "size": list(stream.size) if stream.size else None,
        "outcome": stream.outcome,
        "error": stream.error,
        "anomalies": stream.anomalies,
    }


def _error_facts(error: ImgassembleError | None) -> dict[str, Any] | None:
    """What went wrong, in few words: the lists in it, and all that the service said, have no end."""
    if error is None:
        return None
    words = {name: value for name, value in error.as_dict().items() if not isinstance(value, dict | list)}
    return {name: clean(value, _MOST_LETTERS) if isinstance(value, str) else value for name, value in words.items()}
