"""Makes the answer of the simulated service to an order: pictures, calls, scenarios, events, bytes.

Must not know: sockets, time, the assembler. An answer is a value; the sender does the waiting.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from types import MappingProxyType
from typing import Any, Literal, get_args

from ..errors import UsageError
from .apis import APIS, ApiMessages, write_stream, write_whole
from .choices import unknown_name
from .dialects import DIALECTS, Dialect, DialectName, dialect_named
from .error_forms import HttpError, router_error_body
from .event_changes import interleaved
from .faults import FAULTS, ChosenFaults, choose_faults
from .framing import PLAIN, ConnectionEnd, Container, Framing, cut_pieces, frame_events, json_body
from .image_series import ImageFiles, ImagePlan, make_image_files
from .landscapes import draw_svg
from .messages import Event, ImageCall, base64_text, identifier, picture_bytes
from .pace import Pace
from .pictures import Format
from .scenarios import Api, Scenario, ServiceError

__all__ = ["DIALECTS", "FAULTS", "Answer", "Api", "Order", "Pace", "pictures_of", "play", "resumed"]

_MAX_PARTIALS = 3  # the limit of the services
_MAX_ITEMS = 10  # the limit of the services
_MAX_PIXELS = 3840 * 2160  # the limit of the services
_MAX_FRAMES = 30
_MAX_TURNS = 8
_MAX_LANES = 16  # the limit of OpenAI for one socket
_GIF_FRAMES = 9  # the default of the services
_JSON = "application/json"
_CONTENT_TYPES: Mapping[Container, str] = {
    "sse": "text/event-stream; charset=utf-8",
    "lines": "application/x-ndjson",
    "array": f"{_JSON}; charset=utf-8",
    "messages": "application/octet-stream",  # only for `body`; a socket has no content type
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order for pictures from the simulated service.

    api: the API that answers: "responses", "images", "chat", "gemini" and others.
    dialect: a row of DIALECTS.
    prompt: selects the picture, with `seed`.
    format: "PNG", "JPEG", "WEBP", "GIF" or "SVG" (no SVG in chats, and none in a stream of the Images API).
    size: (width, height) in pixels, together at most 3840x2160 pixels.
    frames: the pictures of an animation, 1 to 30, for GIF and WEBP; None: 9 for GIF, 1 for WEBP.
    partials: 0 to 3. The Responses API sends one more, which is the result already, so that 2 give three
        (`ends_with_result` of the dialect). A chat, Seedream, a GIF and an SVG have none.
    items: 1 to 10 images.
    seed: any whole number.
    faults: names of FAULTS, each "name" or "name=value".
    picture: a picture file to show in place of a drawn one.
    turns: 1 to 8 responses one after the other in one stream, as an agent sends them (Responses API).
    lanes: 1 to 16 of these series side by side, their events marked with `stream_id`, as on a socket of OpenAI.
    is_streamed: False for one whole answer.
    is_background: whether the response is one that can be resumed.
    is_portable: PNGs that do not depend on zlib.
    provenance: the text of their C2PA metadata (WebP and GIF have none).

        Order(prompt="a lake at night", size=(256, 256), faults=("no-final",))
    """

    api: Api = "responses"
    dialect: DialectName = "openai"
    prompt: str = "an otter on a lake at dusk"
    format: Format | Literal["SVG"] = "PNG"
    size: tuple[int, int] = (1024, 1024)
    frames: int | None = None
    partials: int = 2
    items: int = 1
    seed: int = 0
    faults: tuple[str, ...] = ()
    picture: bytes | None = field(default=None, repr=False)
    turns: int = 1
    lanes: int = 1
    is_streamed: bool = True
    is_background: bool = False
    is_portable: bool = False
    provenance: str = "imgassemble simulator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer of the service.

    status: the HTTP status.
    headers: the HTTP headers.
    events: all events of the stream, even if a fault cuts the body before its end; none if the answer is no stream.
    body: the bytes, in the pieces in which they are sent.
    ending: how the connection ends after them: "closed", "disconnected" or "hanging".
    response_id: the id of the first response; None if it has none.
    own_delay_s: seconds between the events of a recording.
    files: pictures that the service sends at addresses of their own, by their names (ComfyUI).
    """

    status: int = 200
    headers: Mapping[str, str]
    events: tuple[Event, ...] = ()
    body: tuple[bytes, ...]
    ending: ConnectionEnd = "closed"
    response_id: str | None = None
    framing: Framing = PLAIN
    own_delay_s: float = 0.0
    files: Mapping[str, bytes] = field(default_factory=dict)

    def __repr__(self) -> str:
        size = sum(map(len, self.body))
        return f"<Answer {self.status}, {len(self.events)} events, {size:,} bytes, {self.ending}>"


def play(order: Order) -> Answer:
    """Return the answer to `order`; equal orders have equal answers.

    Raises UsageError (a ValueError), which lists the known values, for an unknown API, dialect, format or fault, a
    number out of range, or a picture that cannot be read.

        result = assemble(play(Order(faults=("cut-picture",))).body)
    """
    api, row, faults = _check(order), dialect_named(order.dialect), _faults(order)
    refused = faults.apply("http", None)
    if refused:
        return _refuse(refused, order, row)
    lanes = [faults.apply("responses", _lane_scenarios(order, row, faults, lane)) for lane in range(order.lanes)]
    framing: Framing = faults.apply("framing", api.framing or row.framing)
    if not order.is_streamed:
        return _whole_answer(order, api, row, lanes[0][-1], framing)
    streams = [list(chain.from_iterable(write_stream(each, row) for each in scenarios)) for scenarios in lanes]
    events: list[Event] = faults.apply("events", _join_lanes(streams))
    return Answer(
        headers=_headers(order, row, _CONTENT_TYPES[framing.container]),
        events=tuple(events),
        body=frame_events(events, framing),
        ending=framing.ending,
        response_id=first_response_id(events),
        framing=framing,
        files={name: picture_bytes(text) for name, text in api.files(lanes[0][-1]).items()} if api.files else {},
    )


def pictures_of(order: Order) -> tuple[ImageFiles, ...]:
    """Return the pictures that `play` sends for `order`, as files: for each lane, turn and image. Raises as `play`."""
    _check(order)
    row, faults = dialect_named(order.dialect), _faults(order)
    responses = range(order.lanes * order.turns)
    return tuple(files for at in responses for files in _image_files(order, row, faults, at))


def resumed(answer: Answer, starting_after: float, response_id: str | None = None) -> Answer:
    """Return the rest of a stream as an answer. It does not break again.

    answer: the whole answer.
    starting_after: the sequence number behind which the rest begins.
    response_id: the response to resume if the stream has several; None: all events are considered.
    """
    whole = replace(answer.framing, last_event=None, last_byte=None, ending="closed")
    events = answer.events if response_id is None else _events_of_response(answer.events, response_id)
    rest = tuple(event for event in events if event.get("sequence_number", -1) > starting_after)
    return replace(answer, events=rest, body=frame_events(rest, whole), ending="closed", framing=whole)


def response_ids(events: Iterable[Event]) -> tuple[str, ...]:
    """Return the ids of the responses that begin in these events, in their order."""
    begun = [event["response"]["id"] for event in events if event.get("type") == "response.created"]
    return tuple(dict.fromkeys(begun))


def first_response_id(events: Iterable[Event]) -> str | None:
    """Return the id of the first response in these events; None if none has an id."""
    for event in events:
        if isinstance(event.get("response"), dict):
            name = event["response"].get("id")
            return name if isinstance(name, str) else None
    return None


def _events_of_response(events: Iterable[Event], response_id: str) -> list[Event]:
    """Return the events from the response's beginning to the next beginning in its lane."""
    found, current = list[Event](), dict[Any, str]()
    for event in events:
        lane = event.get("stream_id")
        if event.get("type") == "response.created":
            current[lane] = event["response"]["id"]
        found += [event] if current.get(lane) == response_id else []
    return found


# ---- from the order to scenarios


def _check(order: Order) -> ApiMessages:
    width, height = order.size
    api = APIS.get(order.api)
    formats = (*get_args(Format), "SVG") if api and api.has_svg else get_args(Format)
    frames = order.frames or 1
    is_svg_stream = order.format == "SVG" and order.api in ("images", "edits") and order.is_streamed
    has_several = order.turns > 1 or order.lanes > 1
    for is_good, problem in (
        (api, unknown_name("there is no API", order.api, APIS)),
        (order.format in formats, f"there is no format {order.format!r} here; there are {', '.join(formats)}"),
        (not is_svg_stream, "the Images API does not stream an SVG; ask for a whole answer"),
        (min(order.size) > 0, f"a picture has at least one pixel a side, not {width}x{height}"),
        (width * height <= _MAX_PIXELS, f"a picture has at most 3840x2160 pixels, not {width}x{height}"),
        (max(order.size) <= 16_383, f"a picture has at most 16383 pixels a side, not {width}x{height}"),
        (0 <= order.partials <= _MAX_PARTIALS, f"there are 0 to {_MAX_PARTIALS} partials, not {order.partials}"),
        (1 <= order.items <= _MAX_ITEMS, f"there are 1 to {_MAX_ITEMS} items, not {order.items}"),
        (1 <= frames <= _MAX_FRAMES, f"an animation has 1 to {_MAX_FRAMES} frames, not {order.frames}"),
        (frames == 1 or order.format in ("GIF", "WEBP"), f"only GIF and WEBP have several frames, not {order.format}"),
        (1 <= order.turns <= _MAX_TURNS, f"there are 1 to {_MAX_TURNS} turns, not {order.turns}"),
        (1 <= order.lanes <= _MAX_LANES, f"there are 1 to {_MAX_LANES} lanes, not {order.lanes}"),
        (not has_several or order.api == "responses", "turns and lanes belong to the Responses API"),
        (
            order.is_streamed or (api and api.whole),
            f"the API {order.api!r} only streams; leave out `is_streamed=False`",
        ),
        (not has_several or order.is_streamed, "a whole answer holds one response: turns and lanes need a stream"),
    ):
        if not is_good:
            raise problem if isinstance(problem, UsageError) else UsageError(problem)
    return APIS[order.api]


def _faults(order: Order) -> ChosenFaults:
    return choose_faults(order.faults, seed=order.seed)


def _id_seed(order: Order, response: int = 0) -> str:
    """Return the seed of all ids, so that another order and another response have other ids."""
    seed = f"{order.api}/{order.dialect}/{_prompt(order)}/{order.seed}"
    return f"{seed}/response {response}" if response else seed


def _prompt(order: Order) -> str:
    """Return the prompt as UTF-8 can write it; JSON can contain half a surrogate pair."""
    return order.prompt.encode("utf-8", "replace").decode()


def _lane_scenarios(order: Order, row: Dialect, faults: ChosenFaults, lane: int) -> list[Scenario]:
    """Return the scenarios of one lane, one for each turn."""
    responses = range(lane * order.turns, (lane + 1) * order.turns)
    return [faults.apply("scenario", _scenario(order, row, faults, at)) for at in responses]


def _scenario(order: Order, row: Dialect, faults: ChosenFaults, response: int) -> Scenario:
    seed, picture_seeds = _id_seed(order, response), _picture_seeds(order, response)
    is_vector = order.format == "SVG"
    svgs = tuple(draw_svg(_prompt(order), seed=at, size=order.size) for at in picture_seeds) if is_vector else ()
    payloads: list[tuple[tuple[bytes, ...], bytes, str]] = [((), svg.encode(), "svg") for svg in svgs]
    images = _image_files(order, row, faults, response)
    payloads += [(files.partials, files.result, files.format.lower()) for files in images]
    calls = [_call(order, row, f"{seed}/{at}", payload) for at, payload in enumerate(payloads)]
    return Scenario(
        calls=tuple(faults.apply("calls", call) for call in calls),
        api=order.api,
        seed=seed,
        is_background=order.is_background,
        has_keepalives=row.has_keepalives,
        svgs=svgs,
    )


def _picture_seeds(order: Order, response: int) -> range:
    first = order.seed + response * order.items
    return range(first, first + order.items)


def _image_files(order: Order, row: Dialect, faults: ChosenFaults, response: int) -> Iterable[ImageFiles]:
    if order.format == "SVG":
        return
    api, has_partials = APIS[order.api], _has_partials(order, row)
    ends_with_result = has_partials and api.ends_with_result and row.ends_with_result
    form = api.result_format or order.format
    for seed in _picture_seeds(order, response):
        plan = ImagePlan(
            prompt=_prompt(order),
            seed=seed,
            format=form,
            size=order.size,
            frames=1 if api.result_format else order.frames or (_GIF_FRAMES if form == "GIF" else 1),
            drafts=order.partials if has_partials else 0,
            result_as_partial="one more" if ends_with_result else "no",
            source=order.picture,
            provenance=order.provenance,
            is_portable=order.is_portable,
            partial_format=api.partial_format,
        )
        yield make_image_files(faults.apply("pictures", plan))


def _has_partials(order: Order, row: Dialect) -> bool:
    is_left_out = any(name.endswith(".partial_image") for name in row.left_out)
    return APIS[order.api].has_partials and not is_left_out and order.format not in ("GIF", "SVG")


def _call(order: Order, row: Dialect, seed: str, payload: tuple[tuple[bytes, ...], bytes, str]) -> ImageCall:
    partials, result, form = payload
    return ImageCall(
        id=identifier("ig", seed),
        partials=tuple(map(base64_text, partials)),
        result=base64_text(result),
        format=form,
        size=f"{order.size[0]}x{order.size[1]}",
        revised_prompt=f"A quiet landscape: {_prompt(order)}.",
        status=row.done_status,
    )


def _join_lanes(streams: list[list[Event]]) -> list[Event]:
    """Return one event of each lane in turn, marked with the lane's name; a single lane has no name."""
    if len(streams) == 1:
        return streams[0]
    lanes = ([event | {"stream_id": f"lane-{n}"} for event in events] for n, events in enumerate(streams, 1))
    return interleaved(*lanes)


# ---- answers


def _headers(order: Order, row: Dialect, content_type: str) -> Mapping[str, str]:
    own = {"content-type": content_type, "x-request-id": identifier("req", _id_seed(order))[:36]}
    return MappingProxyType(own | ({} if APIS[order.api].framing else dict(row.headers)))


def _refuse(refused: HttpError, order: Order, row: Dialect) -> Answer:
    headers = {**_headers(order, row, _JSON), **refused.headers}
    body = _error_body(refused.error, order, row) if refused.body is None else json_body(dict(refused.body))
    return Answer(status=refused.error.status, headers=headers, body=(body,))


def _error_body(error: ServiceError, order: Order, row: Dialect) -> bytes:
    """Return the error as the service writes it."""
    is_router = row.name.startswith("openrouter")
    return json_body(router_error_body(error) if is_router else APIS[order.api].error_body(error))


def _whole_answer(order: Order, api: ApiMessages, row: Dialect, scenario: Scenario, framing: Framing) -> Answer:
    """Return the content of a stream in one piece. An error that ends the stream is an HTTP error here."""
    errors = [error for error in scenario.errors if not (error.form == "in data" and api.has_data)]
    error = errors[0] if errors else None if scenario.errors else scenario.failure
    if error and not (scenario.failure and error.code in api.reported_failures):
        return _refuse(HttpError(error=error, headers={}), order, row)
    return Answer(
        headers=_headers(order, row, _JSON),
        body=cut_pieces([json_body(write_whole(scenario, row))], framing),
        ending=framing.ending,
        response_id=first_response_id(write_stream(scenario, row)),
        framing=framing,
    )
