"""Finds pictures in the text of an answer: data: URLs anywhere, and links of Markdown and HTML images.

A text arrives in pieces that are cut at any character. `scan` takes one piece after the other; the base64 that it has
taken is not read again. A link in prose is text: only `![…](https://…)` and `<img src="https://…">` are pictures.
Must not know: events, what the pictures show, the response to which a text belongs.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_SHORTEST = 32  # characters of base64: fewer are a placeholder of an explanation. The smallest GIF has 36
_LINE_LENGTHS = (64, 76)  # of base64 in lines: PEM, MIME. No picture is as short as one line
_LONGEST_CANDIDATE = 11_000  # characters that can wait for a decision; above the sum of the bounds below
_WHITE_SPACE = " \t\r\n"

# The bounds in these patterns keep the text that is read again with the next piece short.
_ALT = r"(?:[^\[\]\\]|\\.|\[[^\[\]]{0,200}\]){0,1000}+"
_LINK = r"(?:[^\s()<>]|\([^\s()<>]{0,200}\))"
_SOURCE = r"""[\s"'/]src\s{0,8}=\s{0,8}"""
_PICTURE = re.compile(
    r"data:(?P<media_type>image/[^\s;,<>()\[\]\"'`]{1,60}+)[^,<>()\[\]\r\n`]{0,200}?;[ \t]{0,8}base64[ \t]{0,8},"
    r"|(?P<reference>data:image/[\w.+-]{1,60};sha256,[0-9a-f]{64})"
    rf"|!\[{_ALT}\]\(\s{{0,8}}<?(?P<markdown>https?://{_LINK}{{1,8192}}+)[\s)>]"
    rf"|<img\b[^<>]{{0,500}}?{_SOURCE}(?:"
    r'"(?P<double>https?://[^\s"<>]{1,8192}+)"'
    r"|'(?P<single>https?://[^\s'<>]{1,8192}+)'"
    r"""|(?P<bare>https?://[^\s"'<>]{1,8192}+)[\s>])""",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
_STARTS = ("data:image/", "![", "<img")
_START = re.compile("|".join(map(re.escape, _STARTS)), re.IGNORECASE | re.ASCII)


def _beginning_of(*words: str) -> str:
    """Return a pattern for each beginning of these words, the longest first."""
    beginnings = {word[:end] for word in words for end in range(1, len(word) + 1)}
    return "|".join(map(re.escape, sorted(beginnings, key=len, reverse=True)))


# The same pictures as above, as far as they have come by the end of the text.
_OPEN_PICTURE = re.compile(
    r"data:image/[^,<>()\[\]\r\n`]{0,280}\Z"
    rf"|!\[{_ALT}(?:\\|\[[^\[\]]{{0,200}})?(?:\](?:\(\s{{0,8}}<?"
    rf"(?:https?://{_LINK}{{0,8192}}+(?:\([^\s()<>]{{0,200}})?|{_beginning_of('https://', 'http://')})?)?)?\Z"
    rf"|<img(?:[^<>]{{0,500}}|[^<>]{{0,500}}?{_SOURCE}[\"']?https?://[^\s\"'<>]{{0,8192}}+)\Z",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
_OPEN_START = re.compile(
    rf"(?:{_beginning_of(*(word[:-1] for word in _STARTS))})\Z",
    re.IGNORECASE | re.ASCII,
)
_BEGINNINGS = tuple(word[:end] for word in _STARTS for end in range(1, len(word)))
_LONGEST_START = max(map(len, _STARTS)) - 1

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
_PADDING = re.compile(r"={0,2}")
_SPACES = re.compile(r"[ \t\r\n]*")


class OpenUrl(NamedTuple):
    """A data: URL whose end has not come. All states of one URL share `base64`, and the newest uses all of it."""

    media_type: str
    base64: bytearray | None = None  # None: it is too long, and is skipped
    size: int = 0  # the part of `base64` that belongs to this state
    line_length: int = 0  # characters since the last white space


class TextState(NamedTuple):
    """The end of a text, as far as the next piece can continue it."""

    undecided: str = ""  # the beginning of a picture or of other text
    url: OpenUrl | None = None

    @property
    def n_bytes(self) -> int:
        """Return how many bytes are held. A text as short as a cut start, for example "data:", counts as 0."""
        if self.url is not None:
            return self.url.size
        n_characters = len(self.undecided)
        return n_characters if n_characters > _LONGEST_START else 0


NEW_TEXT = TextState()


class Scanned(NamedTuple):
    """One piece of a text after its scan."""

    state: TextState  # for the next piece
    words: str  # the piece, with "…" in the place of base64
    pictures: tuple[str, ...] = ()  # whole data: URLs, references in place of them, and links
    too_long: int = 0  # the bytes of a data: URL that was given up, beyond the limit


_STATES_AT_START = {start: TextState(start) for start in _BEGINNINGS}


def state_after_words(state: TextState, piece: str) -> TextState | None:
    """Return the state after a piece without a picture, and None if `scan` must read the piece.

    This is quick, and NEW_TEXT for nearly all pieces. The words of the piece are all of it.
    """
    if state.url is not None:
        return None
    folded = (state.undecided + piece).lower()
    if "data:image/" in folded or "![" in folded or "<img" in folded:
        return None
    return _STATES_AT_START[_open_start(folded, 0)] if folded.endswith(_BEGINNINGS) else NEW_TEXT


def scan(state: TextState, piece: str, *, max_bytes: int) -> Scanned:
    """Return the pictures that are complete with this piece of a text, its words, and the state for the next piece.

    state: that of the pieces before, NEW_TEXT for the first one. After a scan, an earlier state can be used again only
        in place of the later ones.
    max_bytes: the base64 of one data: URL. A longer one is skipped up to its end.
    """
    text = state.undecided + piece
    at, words_from = 0, len(state.undecided)
    url = state.url
    words: list[str] = []
    pictures: list[str] = []
    too_long = 0
    while True:
        if url is not None:
            taken = _take_base64(url, text, at, max_bytes)
            too_long = too_long or taken.too_long
            if not taken.is_complete:
                return Scanned(TextState(url=taken.url), "".join(words), tuple(pictures), too_long)
            pictures += _picture_of(taken.url)
            url, at = None, taken.end
            words_from = at
        found = _PICTURE.search(text, at)
        if found is None:
            words.append(text[words_from:])
            return Scanned(TextState(_undecided(text, at)), "".join(words), tuple(pictures), too_long)
        at = found.end()
        if found["reference"]:
            pictures.append(found["reference"])
        elif media_type := found["media_type"]:
            words += text[words_from:at], "…"
            url = OpenUrl(media_type.lower(), bytearray())
        else:
            link = found["markdown"] or found["double"] or found["single"] or found["bare"]
            pictures.append(link if found["markdown"] else link.replace("&amp;", "&"))


def finish(state: TextState) -> tuple[str, ...]:
    """Return the picture that is complete if the text ends now: a data: URL without a bracket behind it."""
    return _picture_of(state.url) if state.url else ()


class _Taken(NamedTuple):
    """The base64 of one piece."""

    url: OpenUrl
    end: int  # its place in the piece
    is_complete: bool
    too_long: int = 0


def _take_base64(url: OpenUrl, text: str, at: int, max_bytes: int) -> _Taken:
    """Add to `url` the base64 that begins at `at`, up to its end or the end of the piece."""
    kind, base64, size, line_length = url
    too_long = 0
    if base64 is not None:
        del base64[size:]  # of a later state that was taken back
    while True:
        if not line_length:
            at = _SPACES.match(text, at).end()  # type: ignore[union-attr] # it matches the empty text
        has_padding = base64 is not None and base64.endswith(b"=")
        end = (_PADDING if has_padding else _BASE64).match(text, at).end()  # type: ignore[union-attr] # as above
        if base64 is not None and size + end - at > max_bytes:
            base64, too_long, size = None, size + end - at, 0
        if base64 is not None:
            base64 += text[at:end].encode("ascii")
            size = len(base64)
        line_length += end - at
        at = end
        is_complete = base64 is not None and base64.endswith(b"=") and size % 4 == 0
        if is_complete or at == len(text):
            break
        if text[at] not in _WHITE_SPACE or line_length not in _LINE_LENGTHS:
            is_complete = True
            break
        line_length = 0
    return _Taken(OpenUrl(kind, base64, size, line_length), at, is_complete, too_long)


def _picture_of(url: OpenUrl) -> tuple[str, ...]:
    if url.base64 is None or url.size < _SHORTEST:
        return ()
    return (f"data:{url.media_type};base64,{url.base64[: url.size].decode('ascii')}",)


def _undecided(text: str, at: int) -> str:
    """Return the end of `text` that can be the beginning of a picture."""
    for start in _START.finditer(text, max(at, len(text) - _LONGEST_CANDIDATE)):
        if _OPEN_PICTURE.match(text, start.start()):
            return text[start.start() :]
    return _open_start(text, at)


def _open_start(text: str, at: int) -> str:
    """Return the end of `text` that is a cut start, for example "da" of a data: URL."""
    found = _OPEN_START.search(text, max(at, len(text) - _LONGEST_START))
    return found[0] if found else ""
