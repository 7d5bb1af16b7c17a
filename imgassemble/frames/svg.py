"""Reads the size of SVG drawings and whether they are whole, without an XML parser.

Must not know: other formats, how a drawing is drawn. Sources: SVG 2; CSS 2.2, section 10.3.2; CSS Values 4 (units);
C2PA 2.4, annex A.3 (the element c2pa:manifest).
"""

from __future__ import annotations

import re
from base64 import b64decode

from .binary import HeaderError, Size
from .c2pa import is_manifest_store

# The parts before the root. An internal subset of a DOCTYPE (entities) is refused.
_PROLOGUE = re.compile(
    rb"\xef\xbb\xbf|\s+|<\?[^>]{0,2000}\?>|<!--.{0,20000}?-->|<!DOCTYPE svg[^>\[]{0,400}>", re.DOTALL
)
_MAX_PROLOGUE = 20  # parts; real ones have three or so
_MAX_TAGS, _MAX_COMMENTS = 2_000_000, 100_000  # real drawings have some thousands and some tens
_NAME = rb"(?:[A-Za-z_][\w.-]{0,30}:)?svg"
_ROOT = re.compile(rb"<" + _NAME + rb"(?=[\s>/])([^>]{0,8000})>")
_OPENED = re.compile(rb"<" + _NAME + rb"(?=[\s>/])([^<>]{0,8000})>")
_CLOSED = re.compile(rb"</" + _NAME + rb"\s{0,100}>")
# Comments and CDATA sections, in which tags are only text. If one has no end, the first group is its beginning.
_TEXT = re.compile(rb"<!--.*?-->|<!\[CDATA\[.*?\]\]>|(<!)(?:--|\[CDATA\[).*", re.DOTALL)
_ATTRIBUTE = re.compile(rb"""\s(width|height|viewBox)\s*=\s*["']([^"']{0,100})["']""")
# A manifest in base64: its first 48 bytes.
_MANIFEST = re.compile(rb"<c2pa:manifest(?:\s[^<>]{0,1000})?>\s{0,100}([A-Za-z0-9+/]{64})")
_LENGTH = re.compile(rb"\s*\+?([0-9]{0,9}\.?[0-9]{0,20})(px|in|cm|mm|q|pt|pc|)\s*", re.IGNORECASE)
_PIXELS_PER = {
    b"": 1,
    b"px": 1,
    b"in": 96,
    b"cm": 96 / 2.54,
    b"mm": 96 / 25.4,
    b"q": 96 / 101.6,
    b"pt": 4 / 3,
    b"pc": 16,
}


def is_svg(data: bytes) -> bool:
    """Return whether `data` begins as an SVG drawing does."""
    return _root(data) is not None


def read_svg_size(data: bytes) -> Size | None:
    """Return the size that a browser gives the drawing in an <img>; None if the drawing tells none.

    Raises HeaderError if the drawing is not whole.
    """
    root = _root(data)
    if root is None or not (root[1].endswith(b"/") or _is_closed(data)):
        raise HeaderError("is cut short")
    attributes: dict[bytes, bytes] = {}
    for name, value in _ATTRIBUTE.findall(root[1]):
        attributes.setdefault(name, value)
    width, height = (_pixels(attributes.get(name, b"")) for name in (b"width", b"height"))
    box = [_pixels(each) for each in attributes.get(b"viewBox", b"").replace(b",", b" ").split()[2:]]
    if len(box) == 2 and box[0] and box[1]:
        if width and not height:
            height = width * box[1] / box[0]
        elif height and not width:
            width = height * box[0] / box[1]
        elif not width:
            width, height = box
    return (max(1, int(width)), max(1, int(height))) if width and height else None


def has_svg_manifest(data: bytes) -> bool:
    """Return whether an element c2pa:manifest, outside of comments, holds a C2PA manifest."""
    found = _MANIFEST.search(_TEXT.sub(rb"\1", data))
    return found is not None and is_manifest_store(b64decode(found[1]), 0, 48)


def _root(data: bytes) -> re.Match[bytes] | None:
    at = 0
    for _ in range(_MAX_PROLOGUE):
        if not (part := _PROLOGUE.match(data, at)):
            break
        at = part.end()
    return _ROOT.match(data, at)


def _is_closed(data: bytes) -> bool:
    if data.count(b"<") > _MAX_TAGS or data.count(b"<!") > _MAX_COMMENTS:
        raise HeaderError("has too many tags to be a picture")
    drawn = _TEXT.sub(rb"\1", data)
    last = drawn.rstrip()[-140:]
    ends = list(_CLOSED.finditer(last))
    opened = sum(not tag.endswith(b"/") for tag in _OPENED.findall(drawn))
    return bool(ends) and ends[-1].end() == len(last) and opened == len(_CLOSED.findall(drawn))


def _pixels(length: bytes) -> float:
    """Return a length as pixels; 0 if it is relative (%, em), or no length."""
    found = _LENGTH.fullmatch(length)
    if not found or not found[1].strip(b"."):
        return 0
    return float(found[1]) * _PIXELS_PER[found[2].lower()]
