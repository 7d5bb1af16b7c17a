"""A result as a strip of small pictures with captions: HTML for the output of a notebook.

Must not know: notebooks, pixels, streams.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from html import escape
from typing import NamedTuple

from ..errors import FrameDecodeError, ImgassembleError, clean, is_blocked
from ..frames.frame import Frame
from ..states import State
from .items import Item
from .wording import DRAFT_CAPTION, name_preview

_SIDE = 256  # pixels of a picture; its WebP has a hundredth of the bytes of a received PNG
_MOST_PICTURES = 100  # of a strip; a notebook's file must stay small
_PAGE = '<div style="display:flex;flex-wrap:wrap;gap:8px;align-items:flex-start">{figures}</div>'
_FIGURE = """\
<figure style="margin:0;max-width:{side}px">{picture}\
<figcaption style="overflow-wrap:anywhere;{style}">{caption}</figcaption></figure>"""
_PICTURE = '<img alt="{caption}" src="{source}" style="display:block;max-width:{side}px;max-height:{side}px{filter}">'


class Look(Enum):
    """How a caption or its picture differs from that of a preview or a final."""

    PLAIN = "plain"
    GREY = "grey"  # a preview of an image that failed
    DRAFT = "draft"
    FAILED = "failed"


_STYLES = {Look.DRAFT: "color:#b35900", Look.FAILED: "color:#c62828"}  # readable on white and on black


class Captioned(NamedTuple):
    """One picture of an item for people, and its caption; or a caption alone, which says what went wrong."""

    frame: Frame | None
    caption: str
    look: Look = Look.PLAIN


def strip_of(items: Iterable[Item], error: ImgassembleError | None) -> str:
    """Return the pictures of `items` as HTML, each with its caption, and the error of the stream if no item has one.

    The previews of a blocked image are left out. Base64 is in the addresses of the pictures only.
    """
    items = tuple(items)
    figures = [_figure(picture) for pictures in numbered_pictures(items) for picture in pictures]
    if len(figures) > _MOST_PICTURES:
        left_out = len(figures) - _MOST_PICTURES
        figures = [*figures[:_MOST_PICTURES], _figure(Captioned(None, f"{left_out} more pictures: see result.items"))]
    if error is not None and not any(item.error for item in items):
        figures.append(_figure(Captioned(None, str(error), Look.FAILED)))
    return _PAGE.format(figures="".join(figures))


def numbered_pictures(items: Sequence[Item]) -> Iterator[list[Captioned]]:
    """Yield the pictures of each item; if there are several items, the captions have their numbers, from 1."""
    for number, item in enumerate(items, 1):
        prefix = f"image {number}: " if len(items) > 1 else ""
        yield [picture._replace(caption=f"{prefix}{picture.caption}") for picture in captioned_pictures(item)]


def captioned_pictures(item: Item) -> Iterator[Captioned]:
    """Yield the previews of an item in their order, and then its end: the final, a draft, or the reason in words.

    The previews of a blocked image are left out.
    """
    if is_blocked(item.error):
        reason = f"{item.error.message.rstrip('.')}; its previews are hidden" if item.partials else item.error.message
        yield Captioned(None, f"blocked: {reason}", Look.FAILED)
        return
    has_failed = item.state is State.FAILED
    previews = item.partials[:-1] if item.state is State.INCOMPLETE or item.is_provisional else item.partials
    for frame in previews:
        yield Captioned(frame, name_preview(frame), Look.GREY if has_failed else Look.PLAIN)
    if has_failed:
        yield Captioned(None, f"failed: {item.error}", Look.FAILED)
    elif item.final is not None and not item.is_provisional:
        yield Captioned(item.final, "final")
    elif item.is_provisional:
        yield Captioned(item.final, DRAFT_CAPTION, Look.DRAFT)
    elif item.state is State.INCOMPLETE and item.partials:
        yield Captioned(item.partials[-1], f"draft: {item.reason}", Look.DRAFT)
    elif item.error is not None:
        yield Captioned(None, f"incomplete: {item.error}", Look.FAILED)


def _figure(picture: Captioned) -> str:
    source, note = _source(picture.frame)
    caption = escape(clean(picture.caption, 300) + note)
    greyscale = ";filter:grayscale(1)" if picture.look is Look.GREY else ""
    image = _PICTURE.format(caption=caption, source=source, side=_SIDE, filter=greyscale) if source else ""
    return _FIGURE.format(picture=image, caption=caption, style=_STYLES.get(picture.look, ""), side=_SIDE)


def _source(frame: Frame | None) -> tuple[str, str]:
    """Return the address of a small copy of a picture, and a note for its caption if there is no copy."""
    if frame is None:
        return "", ""
    if frame.format == "SVG":  # in <img> a browser runs none of its scripts
        return frame.data_url, ""
    try:
        return f"data:image/webp;base64,{b64encode(frame.encode((_SIDE, _SIDE), 'WEBP')).decode('ascii')}", ""
    except FrameDecodeError:
        return "", "; it cannot be decoded"
