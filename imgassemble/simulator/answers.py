"""What is asked of the simulated service, and what it answers.

Knows: the way from an order to an answer: pictures, calls, scene, events, bytes; and where faults come in. Must not
know: sockets, time, the assembler. An answer is a value: whoever sends it does the waiting.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, cast, get_args

from ..errors import UsageError
from .apis import APIS, Manner, Scene, Trouble, error_object
from .dialects import DIALECTS, Dialect, dialect_named
from .faults import FAULTS, Chosen, Refused, chosen
from .framing import PLAIN, Ending, Framing, delivered, event_in, framed, json_body, pieces_of, read_event, read_json
from .image_series import Shot, Sketch, shoot
from .messages import Call, Event, base64_text, identifier
from .pace import Pace
from .pictures import Format, draw_svg

__all__ = ["DIALECTS", "FAULTS", "Api", "Order", "Pace", "Play", "pictures_of", "play", "replay", "resumed"]

Api = Literal["responses", "images", "edits", "router-images", "chat"]

_MAX_PARTIALS = 3  # the services' own limit
_MAX_ITEMS = 10  # the services' own limit
_MAX_PIXELS = 3840 * 2160  # what the services make at most
_EVENT_STREAM = "text/event-stream; charset=utf-8"
_JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked of the simulated service.

    `api`: which API answers. `dialect`: a row of DIALECTS. `prompt`, `seed`: what is drawn. `format`: "PNG", "JPEG",
    "WEBP", or "SVG" of OpenRouter's images. `size`: (width, height) in pixels, 3840x2160 pixels at most. `partials`:
    0 to 3; most dialects of the Responses API send one more, which is the result already (`ends_with_result` of the
    row), and a chat sends none. `items`: 1 to 10 images. `faults`: of FAULTS, each "name" or "name=value".
    `picture`: a picture file that is shown in place of a drawn one. `is_portable`: PNGs that do not depend on zlib.
    `provenance`: what their C2PA metadata says (no WebP has it).
    """

    api: Api = "responses"
    dialect: str = "openai"
    prompt: str = "an otter on a lake at dusk"
    format: Format | Literal["SVG"] = "PNG"
    size: tuple[int, int] = (1024, 1024)
    partials: int = 2
    items: int = 1
    seed: int = 0
    faults: tuple[str, ...] = ()
    picture: bytes | None = None
    is_streamed: bool = True
    is_background: bool = False
    is_portable: bool = False
    provenance: str = "imgassemble simulator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """What the service answers.

    `events`: all that belong to the stream, also where a fault cuts the body before its end; none where the answer is
    no stream. `body`: the bytes in the pieces in which they are sent. `ending`: what the connection does behind them.
    """

    status: int = 200
    headers: Mapping[str, str]
    events: tuple[Event, ...] = ()
    body: tuple[bytes, ...]
    ending: Ending = "closed"
    response_id: str | None = None
    framing: Framing = PLAIN
    own_delay_s: float = 0.0  # what a recording tells of its pace: seconds from event to event


def play(order: Order) -> Play:
    """The answer to `order`, the same one for an equal order.

    Raises UsageError (a ValueError), which names the known ones, for an unknown API, dialect, format or fault, a number
    out of range, or a picture that cannot be read.
    """
    manner, row, faults = _checked(order), dialect_named(order.dialect), _faults(order)
    refused = faults.applied("http", None)
    if refused:
        return _refused(refused, order, row)
    scene: Scene = faults.applied("scene", _scene(order, manner, row, faults))
    framing: Framing = faults.applied("framing", manner.framing or row.framing)
    if not order.is_streamed:
        return _whole(order, manner, row, scene, framing)
    events: list[Event] = faults.applied("events", manner.stream(scene, row))
    return Play(
        headers=_headers(order, row, _EVENT_STREAM),
        events=tuple(events),
        body=framed(events, framing),
        ending=framing.ending,
        response_id=_response_id(events),
        framing=framing,
    )


def pictures_of(order: Order) -> tuple[Shot, ...]:
    """The pictures that `play` would send for `order`, one shot for each image, as files. Raises as `play` does."""
    return tuple(_shots(order, _checked(order), dialect_named(order.dialect), _faults(order)))


def resumed(play: Play, starting_after: float) -> Play:
    """The rest of a stream, all events whose number is above `starting_after`; its connection does not break again."""
    whole = replace(play.framing, last_event=None, last_byte=None, ending="closed")
    rest = tuple(event for event in play.events if event.get("sequence_number", -1) > starting_after)
    return replace(play, events=rest, body=framed(rest, whole), ending="closed", framing=whole)


# ---- recorded streams


def replay(recorded: bytes) -> Play:
    """A recorded stream as it was, one piece for each event.

    Arguments: `recorded`: server-sent events, which are sent byte for byte; JSON Lines or a JSON array of events, which
    become server-sent events; or one whole answer.
    Raises UsageError where it is none of these.
    """
    events = _json_events(recorded)
    if events is not None:
        framing = Framing(event_lines=all("type" in event for event in events))
        return _replayed(events, framed(events, framing), framing)
    if read_event(_text(recorded)) is not None:
        return Play(headers={"content-type": _JSON}, body=(recorded,))
    pieces = pieces_of(recorded)
    found = [event for event in map(event_in, pieces) if event is not None]
    if not found:
        raise UsageError("the recording cannot be replayed: there is no event in it")
    return _replayed(found, tuple(pieces), _recorded_framing(recorded))


def _text(recorded: bytes) -> str:
    return recorded.decode("utf-8", "replace").removeprefix("\ufeff")


def _json_events(recorded: bytes) -> list[Event] | None:
    """The events of a JSON array or of JSON Lines; None where it is neither."""
    text = _text(recorded).strip()
    found: Any = read_json(text) if text.startswith("[") else None
    if found is None and text.startswith("{") and "\n" in text:
        found = [read_event(line) for line in text.splitlines() if line.strip()]
    is_good = isinstance(found, list) and found and all(isinstance(event, dict) for event in found)
    return cast("list[Event]", found) if is_good else None


def _recorded_framing(recorded: bytes) -> Framing:
    newline = "\r\n" if b"\r\n" in recorded else "\n"
    has_done = b"data: [DONE]" in recorded[-64:]
    return Framing(event_lines=b"event:" in recorded[:64], newline=newline, done=has_done)


def _replayed(events: Iterable[Event], body: tuple[bytes, ...], framing: Framing) -> Play:
    told = tuple(events)
    return Play(
        headers={"content-type": _EVENT_STREAM},
        events=told,
        body=body,
        response_id=_response_id(told),
        framing=framing,
        own_delay_s=_own_delay_s(told),
    )


def _own_delay_s(events: Sequence[Event]) -> float:
    """The time from `created_at` to `completed_at` of the response, as far as they are told, in equal parts."""
    last = events[-1].get("response")
    times: list[Any] = [last.get(key) for key in ("created_at", "completed_at")] if isinstance(last, dict) else []
    if not all(isinstance(moment, int | float) and 1e9 < moment < 1e10 for moment in times) or not times:
        return 0.0  # a moment that is no date of our days was made up
    begun_at, done_at = map(float, times)
    return max(0.0, done_at - begun_at) / len(events)


# ---- from the order to the scene


def _checked(order: Order) -> Manner:
    width, height = order.size
    known = (*get_args(Format), *(["SVG"] if order.api == "router-images" else []))
    for is_good, trouble in (
        (order.api in APIS, f"there is no API {order.api!r}; there are {', '.join(APIS)}"),
        (order.format in known, f"there is no format {order.format!r} here; there are {', '.join(known)}"),
        (min(order.size) > 0, f"a picture has at least one pixel a side, not {width}x{height}"),
        (width * height <= _MAX_PIXELS, f"a picture has at most 3840x2160 pixels, not {width}x{height}"),
        (max(order.size) <= 16_383, f"a picture has at most 16383 pixels a side, not {width}x{height}"),
        (0 <= order.partials <= _MAX_PARTIALS, f"there are 0 to {_MAX_PARTIALS} partials, not {order.partials}"),
        (1 <= order.items <= _MAX_ITEMS, f"there are 1 to {_MAX_ITEMS} items, not {order.items}"),
    ):
        if not is_good:
            raise UsageError(trouble)
    return APIS[order.api]


def _faults(order: Order) -> Chosen:
    return chosen(order.faults, seed=order.seed)


def _seed(order: Order) -> str:
    """What ids are made from: another order has other ids."""
    return f"{order.api}/{order.dialect}/{_prompt(order)}/{order.seed}"


def _prompt(order: Order) -> str:
    """The prompt as UTF-8 can write it: JSON may bring half a surrogate pair."""
    return order.prompt.encode("utf-8", "replace").decode()


def _scene(order: Order, manner: Manner, row: Dialect, faults: Chosen) -> Scene:
    is_vector = order.format == "SVG"
    shots = () if is_vector else _shots(order, manner, row, faults)
    svgs = tuple(_svg(order, at) for at in range(order.items)) if is_vector else ()
    calls = [_call(order, shot, row, at) for at, shot in enumerate(shots)]
    calls += [_svg_call(order, svg) for svg in svgs]
    return Scene(
        calls=tuple(faults.applied("calls", call) for call in calls),
        seed=_seed(order),
        is_background=order.is_background,
        has_keepalives=row.has_keepalives,
        svgs=svgs,
    )


def _shots(order: Order, manner: Manner, row: Dialect, faults: Chosen) -> Iterable[Shot]:
    for at in range(order.items):
        sketch = Sketch(
            prompt=_prompt(order),
            seed=order.seed + at,
            format=cast("Format", order.format),
            size=order.size,
            drafts=order.partials if _has_partials(manner, row) else 0,
            result_as_partial="one more" if _ends_with_result(manner, row) else "no",
            source=order.picture,
            provenance=order.provenance,
            is_portable=order.is_portable,
        )
        yield shoot(faults.applied("pictures", sketch))


def _has_partials(manner: Manner, row: Dialect) -> bool:
    return manner.has_partials and not any(name.endswith(".partial_image") for name in row.left_out)


def _ends_with_result(manner: Manner, row: Dialect) -> bool:
    return manner.ends_with_result and row.ends_with_result and _has_partials(manner, row)


def _call(order: Order, shot: Shot, row: Dialect, at: int) -> Call:
    return Call(
        id=identifier("ig", f"{_seed(order)}/{at}"),
        partials=tuple(map(base64_text, shot.partials)),
        result=base64_text(shot.result),
        format=shot.format.lower(),
        size=f"{order.size[0]}x{order.size[1]}",
        revised_prompt=f"A quiet landscape: {_prompt(order)}.",
        status=row.done_status,
    )


def _svg(order: Order, at: int) -> str:
    return draw_svg(_prompt(order), seed=order.seed + at, size=order.size)


def _svg_call(order: Order, svg: str) -> Call:
    return Call(id="", result=base64_text(svg.encode()), format="svg")


# ---- answers


def _headers(order: Order, row: Dialect, content_type: str) -> Mapping[str, str]:
    own = {"content-type": content_type, "x-request-id": identifier("req", _seed(order))[:36]}
    return MappingProxyType(own | dict(row.headers))


def _response_id(events: Iterable[Event]) -> str | None:
    for event in events:
        if isinstance(event.get("response"), dict):
            name = event["response"].get("id")
            return name if isinstance(name, str) else None
    return None


def _refused(refused: Refused, order: Order, row: Dialect) -> Play:
    headers = {**_headers(order, row, _JSON), **refused.headers}
    return Play(status=refused.trouble.status, headers=headers, body=(_error_body(refused.trouble, order, row),))


def _error_body(trouble: Trouble, order: Order, row: Dialect) -> bytes:
    """The error as the service writes it: OpenRouter's code is the HTTP status."""
    is_router = order.api == "router-images" or row.name.startswith("openrouter")
    short = {"message": trouble.message, "code": trouble.status}
    return json_body({"error": short if is_router else error_object(trouble)})


def _whole(order: Order, manner: Manner, row: Dialect, scene: Scene, framing: Framing) -> Play:
    """The answer in one piece: what the stream comes to. What ends with an error there is an HTTP error here."""
    trouble = scene.errors[0] if scene.errors else scene.failure
    if trouble and not (manner.tells_failure and scene.failure):
        return _refused(Refused(trouble=trouble, headers={}), order, row)
    events = manner.stream(scene, row)
    return Play(
        headers=_headers(order, row, _JSON),
        body=delivered([json_body(manner.whole(events))], framing),
        ending=framing.ending,
        response_id=_response_id(events),
        framing=framing,
    )
