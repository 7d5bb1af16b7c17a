"""A result as a strip of small pictures with captions: HTML for the output of a notebook.

Must not know: notebooks, pixels, streams.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator
from html import escape

from ..errors import FrameDecodeError, ImgassembleError, clean, is_blocked
from ..frames.frame import Frame
from ..states import State
from .items import Item

_SIDE = 256  # pixels of a picture; its WebP has a hundredth of the bytes of a received PNG
_MOST_PICTURES = 100  # of a strip; a notebook's file must stay small
_PAGE = '<div style="display:flex;flex-wrap:wrap;gap:8px;align-items:flex-start">{figures}</div>'
_FIGURE = """\
<figure style="margin:0;max-width:{side}px">{picture}\
<figcaption style="overflow-wrap:anywhere;{style}">{caption}</figcaption></figure>"""
_PICTURE = '<img alt="{caption}" src="{source}" style="display:block;max-width:{side}px;max-height:{side}px{filter}">'
_RED, _ORANGE = "color:#c62828", "color:#b35900"  # readable on white and on black
_PLAIN = ""


def strip_of(items: Iterable[Item], error: ImgassembleError | None) -> str:
    """Return the pictures of `items` as HTML, each with its caption, and the error of the stream if no item has one.

    The previews of a blocked image are left out. Base64 is in the addresses of the pictures only.
    """
    items = tuple(items)
    figures = [figure for item in items for figure in _figures_of(item)]
    if len(figures) > _MOST_PICTURES:
        left_out = len(figures) - _MOST_PICTURES
        figures = [*figures[:_MOST_PICTURES], _figure(None, f"{left_out} more pictures: see result.items", _PLAIN)]
    if error is not None and not any(item.error for item in items):
        figures.append(_figure(None, str(error), _RED))
    return _PAGE.format(figures="".join(figures))


def _figures_of(item: Item) -> Iterator[str]:
    if is_blocked(item.error):
        hidden = "; its previews are hidden" if item.partials else ""
        yield _figure(None, f"blocked: {item.error.message}{hidden}", _RED)
        return
    has_failed = item.state is State.FAILED
    previews = item.partials[:-1] if item.state is State.INCOMPLETE or item.is_provisional else item.partials
    for frame in previews:
        yield _figure(frame, _name(frame), _PLAIN, is_grey=has_failed)
    if has_failed:
        yield _figure(None, f"failed: {item.error}", _RED)
    elif item.final is not None and not item.is_provisional:
        yield _figure(item.final, "final", _PLAIN)
    elif item.is_provisional:
        yield _figure(item.final, "draft: the last preview, because no final picture came", _ORANGE)
    elif item.state is State.INCOMPLETE and item.partials:
        yield _figure(item.partials[-1], f"draft: {item.reason}", _ORANGE)
    elif item.error is not None:
        yield _figure(None, f"incomplete: {item.error}", _RED)


def _name(frame: Frame) -> str:
    return "preview" if frame.index is None else f"preview {frame.index + 1:g}"


def _figure(frame: Frame | None, caption: str, style: str, *, is_grey: bool = False) -> str:
    source, note = _source(frame)
    caption = escape(clean(caption, 300) + note)
    greyscale = ";filter:grayscale(1)" if is_grey else ""
    picture = _PICTURE.format(caption=caption, source=source, side=_SIDE, filter=greyscale) if source else ""
    return _FIGURE.format(picture=picture, caption=caption, style=style, side=_SIDE)


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
