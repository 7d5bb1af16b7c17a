"""Reads the messages that have a layout: their pictures, words and facts, from the places that the layout names.

Must not know: the services, pydantic, what the pictures mean for their items.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..frames.base64_json import Decoded, Withheld, decode_base64, url_prefix
from ..frames.containers import format_of
from .event_rows import Layout, Place, Ways
from .failures import has_content
from .fields import PlacedEventFields, PlacedPictureFields, fields_of_values
from .paths import Chain, ends_of, value_at
from .values import read_text

_START = 4 * 256  # characters of base64 that show the format of a picture
_PICTURE_LINK = re.compile(r"https?://[^?#]+\.(png|jpe?g|webp|gif|avif|svg)([?#].*)?", re.IGNORECASE | re.DOTALL)


def read_placed(layout: Layout, kind: str, message: Any) -> PlacedEventFields:
    """Return the fields of a message of the type `kind`, which has this layout."""
    start = Chain((message,))
    facts = {name: _first(ways, start) for name, ways in layout.facts.items()}
    words = "".join(_words_in(start, layout))
    fields = fields_of_values(PlacedEventFields, {"type": kind, "words": words or None, **facts})
    found = [each for place in layout.places for each in _pictures_in(start, place)]
    if len(layout.places) > 1:
        found.sort(key=lambda each: each[0])  # in their order in the message
    vars(fields)["pictures"] = tuple(_with_own_names(picture for _, picture in found))
    return fields


def _pictures_in(start: Chain, place: Place) -> Iterator[tuple[tuple[int, ...], PlacedPictureFields]]:
    """Yield each picture with the positions of its holder."""
    for holder in ends_of(place.at, start):
        if not _is_one_of(place.where, holder):
            continue
        found = {name: _first(ways, holder) for name, ways in place.fields.items()}
        picture = fields_of_values(PlacedPictureFields, {"is_draft": place.is_draft or None, **_chosen(found)})
        is_named = not (picture.item_id is None and picture.number is None and picture.track is None)
        if _is_picture(picture, place) or (place.is_item and is_named):
            yield holder.positions, picture


def _with_own_names(pictures: Iterator[PlacedPictureFields]) -> Iterator[PlacedPictureFields]:
    """Yield the pictures. The second one with the same item id in a message is another image, `ID-1`."""
    seen: dict[str, int] = {}
    for picture in pictures:
        item_id = picture.item_id
        if item_id is not None:
            again = seen[item_id] = seen.get(item_id, -1) + 1
            if again:
                vars(picture)["item_id"] = f"{item_id}-{again}"
        yield picture


def _words_in(start: Chain, layout: Layout) -> Iterator[str]:
    for place in layout.words:
        for holder in ends_of(place.at, start):
            is_other = place.unless is not None and value_at(place.unless, holder) is True
            if not is_other and _is_one_of(place.where, holder):
                yield read_text(value_at(place.text, holder)) or ""


def _is_one_of(where: tuple[str, ...], holder: Chain) -> bool:
    return not where or read_text(value_at(where[0], holder)) in where[1:]


def _first(ways: Ways, holder: Chain) -> Any:
    """Return the first value that is found and not empty."""
    if ways == "#":
        return holder.positions[-1] if holder.positions else None
    found = None
    for way in (ways,) if isinstance(ways, str) else ways:
        found = value_at(way, holder)
        if found not in (None, "", b""):
            break
    return found


def _chosen(found: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of a picture. A text that can be a picture or a link becomes one of both."""
    text, link = found.get("b64"), found.get("link")
    if link is None or text not in (None, "", link):
        return found
    is_picture = _begins_like_picture(link) if text else _is_data(link)
    return {**found, "b64": link if is_picture else None, "link": None if is_picture else link}


def _is_data(link: Any) -> bool:
    return bool(url_prefix(link)) if isinstance(link, (str, Decoded, Withheld)) else False


def _is_picture(picture: PlacedPictureFields, place: Place) -> bool:
    text, media_type = picture.b64 or picture.link, picture.media_type
    if media_type and not media_type.lower().startswith("image/"):
        return False
    if not text:
        return has_content(picture.error)
    return place.is_sure or bool(media_type) or _begins_like_picture(text)


def _begins_like_picture(text: Any) -> bool:
    """Return whether `text` is base64 that begins like a picture, a data: URL of one, or a link to one."""
    if not isinstance(text, (str, Decoded)):  # a reference to a picture that was left out
        return True
    if prefix := url_prefix(text[:_START] if isinstance(text, str) else text):
        return prefix[:11].lower() == "data:image/"
    if isinstance(text, Decoded):
        return format_of(text.data) is not None
    if _PICTURE_LINK.fullmatch(text):
        return True
    start = text[:_START]
    try:
        return format_of(decode_base64(start[: len(start) // 4 * 4])) is not None
    except (ValueError, IndexError):
        return False
