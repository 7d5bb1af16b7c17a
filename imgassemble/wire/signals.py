"""Finds the items in an event: a signal for each of them.

The place of the items in each shape of message is written here, once.
Must not know: pydantic, JSON, the facts that are stored of an item, the facts of a response.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from operator import attrgetter
from typing import Any, TypeVar

from ..errors import ProviderError, printable
from ..frames.base64_json import Decoded, Withheld, url_prefix, withheld_in_url
from ..frames.frame import Payload
from ..states import State, Witness
from .dialects import (
    CONTENT_TYPES,
    ITEM_TYPES,
    PARTS,
    SETTINGS,
    STATUSES,
    EventRow,
    Naming,
    Reading,
    Shape,
    Signal,
)
from .failures import has_content
from .fields import (
    ChatEventFields,
    ContentEventFields,
    EventFields,
    ImageCallFields,
    ImageDataFields,
    ImageEventFields,
    ImagesEventFields,
    ItemFields,
    OutputItemEventFields,
    PartEventFields,
    PartFields,
    PlacedEventFields,
    PlacedPictureFields,
    ResponseEventFields,
    RunEventFields,
    read_fields,
)

_T = TypeVar("_T")


def _call_signals(event: ImageCallFields, row: EventRow) -> Iterable[Signal]:
    index = event.partial_image_index
    return (_signal(event, row, event, item_id=event.item_id, output_index=event.output_index, index=index),)


def _item_signals(event: OutputItemEventFields, row: EventRow) -> Iterable[Signal]:
    if event.item and event.item.type in ITEM_TYPES:
        signal = _signal(event, row, event.item, item_id=event.item.id, output_index=event.output_index)
        yield signal if row.witness else signal._replace(naming=Naming.ANNOUNCED)


def _response_signals(event: ResponseEventFields, row: EventRow) -> Iterable[Signal]:
    if not (row.witness and event.response):
        return
    images = [(at, item) for at, item in enumerate(event.response.output) if item and item.type in ITEM_TYPES]
    # The usage is the sum for all images, so it belongs to an image only if there is one.
    usage = (event.response.tool_usage or {}).get("image_gen") if len(images) == 1 else None
    for output_index, item in images:
        yield _signal(event, row, item, item_id=item.id, output_index=output_index, usage=usage)


def _image_signals(event: ImageEventFields, row: EventRow) -> Iterable[Signal]:
    number = None if event.image_index is None else int(event.image_index)
    names_none = event.item_id is None and number is None and row.word is None
    if names_none and not (event.has_picture_field() or _has_failed(event, row)):
        return  # progress, or a total
    yield _signal(
        event,
        row,
        event,
        item_id=event.item_id,
        output_index=event.output_index,
        is_unnamed=event.item_id is None,
        number=number,
        index=event.partial_image_index,
    )


def _images_signals(event: ImagesEventFields, row: EventRow) -> Iterable[Signal]:
    usage = event.usage if len(event.data) == 1 else None
    for image in filter(None, event.data):
        if not (image.has_picture_field(counts_empty=False) or _has_failed(image, row)):
            continue
        claims = {"output_format": image.output_format or event.output_format, "size": image.size or event.size}
        claiming = read_fields(ImageDataFields, vars(image) | claims)
        yield _signal(event, row, claiming, is_unnamed=True, usage=usage)


def _numbered(first: float | None, images: Iterable[_T]) -> Iterator[tuple[int | None, _T]]:
    """Yield the images with their numbers, counted from `first`; with None if `first` is None."""
    for at, image in enumerate(images):
        yield None if first is None else int(first) + at, image


def _chat_signals(event: ChatEventFields, row: EventRow) -> Iterable[Signal]:
    choices = tuple(filter(None, event.choices))
    pieces = [image for choice in choices if choice.delta for image in choice.delta.pictures()]
    for number, image in _numbered(event.image_index, pieces):
        yield _signal(event, row, image, is_unnamed=True, number=number)
    # A whole message repeats the pictures of its pieces, so they are counted from 0.
    whole = [image for choice in choices if choice.message for image in choice.message.pictures()]
    for number, image in enumerate(whole):
        yield _signal(event, row, image, is_unnamed=True, number=number)


def _part_signals(event: PartEventFields, _row: EventRow) -> Iterable[Signal]:
    part = event.part
    row = PARTS.get((part and part.part_kind) or "")
    if part and row and (_is_picture(part) or part.tool_name == "image_generation"):
        yield _signal(event, row, part, item_id=part.id or part.tool_call_id)


def _run_signals(event: RunEventFields, row: EventRow) -> Iterable[Signal]:
    for part in filter(None, event.parts):
        if _is_picture(part):
            yield _signal(event, row, part, item_id=part.id)


def _is_picture(part: PartFields) -> bool:
    return part.part_kind == "file" and (part.media_type or "").startswith("image/")


def _content_signals(event: ContentEventFields, row: EventRow) -> Iterable[Signal]:
    for block in filter(None, event.content):
        if block.type in CONTENT_TYPES and (block.id is not None or any(block.picture_and_link())):
            yield _signal(event, row, block, item_id=block.id, is_unnamed=block.id is None)


def _placed_signals(event: PlacedEventFields, row: EventRow) -> Iterable[Signal]:
    draft = row._replace(is_partial=True, witness=None) if row.witness else row
    for picture in filter(None, event.pictures):
        yield _placed_signal(event, draft if picture.is_draft else row, picture)


def _placed_signal(event: PlacedEventFields, row: EventRow, said: PlacedPictureFields) -> Signal:
    layout = row.layout
    assert layout is not None
    picture, link = said.picture_and_link()
    link = link or (printable(said.link) if isinstance(said.link, str) else None)
    error = reported_error(said.error or layout.failure) if has_content(said.error or layout.failure) else None
    details = _details_of(said, row, None, said.usage, link)
    if layout.is_last_result:
        details["is_last_result"] = True
    if said.share is not None:
        details["percent"] = round(100 * min(said.share, 1), 1)
    payload = None
    if picture and (row.is_partial or row.witness):
        payload = _payload(event, row, said, picture, said.partial_image_index)
        if not layout.has_true_claims:
            payload = replace(payload, claimed_format=None)
    return Signal(
        details,
        said.item_id,
        said.item_id is None,
        None if said.number is None else int(said.number),
        None if said.track is None else int(said.track),
        _word_of(said, row, has_failed=error is not None and not (picture or link)),
        row.witness,
        payload,
        error,
        not row.is_numbered,
        Naming.KNOWN if layout.is_of_known else Naming.ANNOUNCED if row.witness is None else Naming.NAMED,
    )


SIGNALS: dict[Shape, Callable[[Any, EventRow], Iterable[Signal]]] = {
    Shape.CALL: _call_signals,
    Shape.ITEM: _item_signals,
    Shape.RESPONSE: _response_signals,
    Shape.IMAGE: _image_signals,
    Shape.IMAGES: _images_signals,
    Shape.CHAT: _chat_signals,
    Shape.PART: _part_signals,
    Shape.RUN: _run_signals,
    Shape.CONTENT: _content_signals,
    Shape.PLACED: _placed_signals,
    Shape.ERROR: lambda event, row: (),
    Shape.TEXT: lambda event, row: (),
}


def signals_in_text(reading: Reading, pictures: Iterable[str], *, first: int | None = None) -> Iterator[Signal]:
    """Yield a signal for each picture in the text of an answer: a data: URL, or a link.

    first: the number of the first picture; None if each is the next image.
    """
    for number, url in _numbered(first, pictures):
        is_data = url.startswith("data:")
        payload = Payload(
            base64=withheld_in_url(url) or url,
            event_type=reading.event_type,
            sequence_number=reading.sequence_number,
            is_final=True,
            claimed_format=_media_type(url),
        )
        yield Signal(
            {} if is_data else {"url": printable(url)},
            is_unnamed=True,
            number=number,
            witness=Witness.OWN,
            payload=payload if is_data else None,
            is_unnumbered=True,
        )


_settings_in: Callable[[ItemFields], tuple[Any, ...]] = attrgetter(*SETTINGS)


def _signal(
    event: EventFields,
    row: EventRow,
    said: ItemFields,
    *,
    item_id: str | None = None,
    output_index: float | None = None,
    is_unnamed: bool = False,
    number: int | None = None,
    index: float | None = None,
    usage: Mapping[str, Any] | None = None,
) -> Signal:
    error = reported_error(said.error) if said.error is not None and has_content(said.error) else None
    picture, link = said.picture_and_link(is_partial=row.is_partial)
    word = _word_of(said, row, has_failed=error is not None and not (picture or link))
    payload = None
    if row.is_partial or row.witness:  # other events bring no picture
        is_wanted = row.is_partial or is_unnamed or _is_left_empty(said, word)
        if picture or (is_wanted and not link):
            payload = _payload(event, row, said, picture, index)
    return Signal(
        _details_of(said, row, output_index, usage or said.usage, link),
        item_id,
        is_unnamed,
        number,
        None,
        word,
        row.witness,
        payload,
        error,
        not row.is_numbered,
    )


def _payload(
    event: EventFields, row: EventRow, said: ItemFields, picture: str | Decoded | Withheld | None, index: float | None
) -> Payload:
    return Payload(
        base64=picture or "",
        event_type=event.type or "",
        sequence_number=event.sequence_number,
        index=index,
        is_final=not row.is_partial,
        claimed_format=said.output_format or said.media_type or _media_type(picture),
        claimed_size=said.size,
    )


def _word_of(said: ItemFields, row: EventRow, *, has_failed: bool) -> State | None:
    """Return the state that the message reports. has_failed: it has an error in the place of a picture."""
    status = STATUSES.get(said.status) if said.status else None
    if row.witness is None:
        word = row.word or status
        return word if word is State.GENERATING else None
    word = status if status is State.FAILED else row.word or status
    return State.FAILED if has_failed and word is not State.INCOMPLETE else word


def _is_left_empty(said: ItemFields, word: State | None) -> bool:
    """Return whether a message that ends an item has an empty picture field. null is no field."""
    return word in (None, State.GENERATING, State.COMPLETED) and said.has_picture_field()


def _details_of(
    said: ItemFields, row: EventRow, output_index: float | None, usage: Mapping[str, Any] | None, link: str | None
) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if output_index is not None:
        details["output_index"] = output_index
    if said.revised_prompt is not None:
        details["revised_prompt"] = said.revised_prompt
    if usage is not None:
        details["usage"] = usage
    if link is not None:
        details["url"] = link
    if row.witness or row.is_partial or row.is_progress:
        settings = zip(SETTINGS, _settings_in(said), strict=True)
        details |= {name: value for name, value in settings if value is not None}
    return details


def _has_failed(said: ItemFields, row: EventRow) -> bool:
    """Return whether a message of a witness reports that its item failed."""
    if row.witness is None:
        return False
    return _word_of(said, row, has_failed=has_content(said.error) and not any(said.picture_and_link())) is State.FAILED


def _media_type(picture: str | Decoded | Withheld | None) -> str | None:
    """Return the media type of an image in a data: URL."""
    prefix = url_prefix(picture) if picture else ""
    return prefix[5:].partition(";")[0] if prefix[:11].lower() == "data:image/" else None


def reported_error(said: Any) -> ProviderError:
    """Return the error that a service reports, as an object or as a text."""
    details = said if isinstance(said, dict) else {"message": said}
    code = next((str(details[name]) for name in ("code", "type") if details.get(name) not in (None, "")), None)
    return ProviderError(str(details.get("message") or ""), code=code, details=details)
