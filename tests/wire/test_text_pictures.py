"""Pictures in the text of an answer are found at any cut of the text, in time that grows with its length alone."""

import time
from base64 import b64encode

import pytest
import samples

from imgassemble.wire.text_pictures import NEW_TEXT, TextState, finish, scan, state_after_words

BASE64 = samples.b64(samples.png(colour=(1, 2, 3)))
URL = f"data:image/png;base64,{BASE64}"
LINK = "https://files.example.net/p/1.png"
LINES = "\n".join(BASE64[at : at + 76] for at in range(0, len(BASE64), 76))

TEXTS: dict[str, tuple[str, list[str]]] = {
    "Markdown": (f"Here: ![x]({URL}) enjoy", [URL]),
    "HTML": (f'<img src="{URL}"/>', [URL]),
    "without a bracket": (f"![x]({URL}", [URL]),
    "a character set and spaces": (f"![x](data:image/png; charset=utf-8 ;base64,  {BASE64})", [URL]),
    "capitals": (f"look ![x](DATA:IMAGE/PNG;BASE64,{BASE64})", [URL]),
    "base64 in lines": (f"data:image/png;base64,\n{LINES}\nend", [URL]),
    "two": (f"![a]({URL}) and ![b]({URL})", [URL, URL]),
    "after a false start": (f"ddata data:image/ foo, ![ <img data:image/png;x ![x]({URL})", [URL]),
    "a Markdown link": (f"![a [b]]( {LINK} )", [LINK]),
    "a Markdown link with a title": (f'[![a](<{LINK}> "title")](https://example.net)', [LINK]),
    "a Markdown link with brackets": ("![a](https://a.example/b_(1).png?c=1&d=2)", ["https://a.example/b_(1).png?c=1&d=2"]),
    "an HTML link": (f"<IMG alt='x' SRC = '{LINK}?a=1&amp;b=2'>", [f"{LINK}?a=1&b=2"]),
    "a link without quotes": (f"<img src={LINK} >", [LINK]),
    "links in prose": (f"see {LINK}, [there]({LINK}) <a href='{LINK}'>", []),
    "an explanation of data: URLs": ("use data:image/png;base64,YOUR_DATA or data:image/svg+xml,<svg>", []),
}  # fmt: skip


def found_in(pieces: list[str]) -> tuple[list[str], str]:
    """Return the pictures in a text that comes in these pieces, and its words."""
    pictures: list[str] = []
    state, words = NEW_TEXT, ""
    for piece in pieces:
        scanned = scan(state, piece, max_bytes=10**6)
        state = scanned.state
        pictures += scanned.pictures
        words += scanned.words
    return pictures + list(finish(state)), words


@pytest.mark.parametrize("name", TEXTS)
def test_a_picture_is_found_wherever_its_text_is_cut(name: str) -> None:
    text, pictures = TEXTS[name]
    whole = found_in([text])
    assert whole[0] == pictures
    assert BASE64[:20] not in whole[1]
    for at in range(len(text) + 1):
        assert found_in([text[:at], text[at:]]) == whole
    for size in (1, 2, 3, 5, 7):
        assert found_in([text[at : at + size] for at in range(0, len(text), size)]) == whole


def test_the_words_around_a_picture_stay() -> None:
    assert found_in([f"Here: ![x]({URL}) enjoy"])[1] == "Here: ![x](data:image/png;base64,…) enjoy"


def test_a_picture_is_reported_with_the_bracket_behind_it() -> None:
    scanned = scan(NEW_TEXT, f"![x]({URL})", max_bytes=10**6)
    assert (scanned.pictures, scanned.state) == ((URL,), NEW_TEXT)


def test_a_data_url_beyond_the_limit_is_given_up_once() -> None:
    state, reports = NEW_TEXT, []
    for piece in ("![x](data:image/png;base64,", *["A" * 100] * 30, f") ![y]({URL})"):
        scanned = scan(state, piece, max_bytes=len(BASE64))
        state = scanned.state
        reports += [scanned.too_long] if scanned.too_long else []
        assert state.n_bytes <= len(BASE64) + 100
    assert len(reports) == 1
    assert scanned.pictures == (URL,)


def test_an_earlier_state_takes_the_place_of_later_ones() -> None:
    earlier = scan(NEW_TEXT, URL[:60], max_bytes=10**6).state
    scan(earlier, "AAAA", max_bytes=10**6)
    scanned = scan(earlier, f"{URL[60:]})", max_bytes=10**6)
    assert scanned.pictures == (URL,)


def test_words_without_a_picture_need_no_scan() -> None:
    for text in ("a plain answer", "and d", "oh!", "a <", "DATA:IMA", "dada", "İd", ""):
        assert state_after_words(NEW_TEXT, text) == lowered(scan(NEW_TEXT, text, max_bytes=10).state)
    for text in ("![", "<IMG ", "Data:image/", f"data:image/png;base64,{BASE64}"):
        assert state_after_words(NEW_TEXT, text) is None


def test_a_start_that_is_cut_needs_a_scan_when_it_is_complete() -> None:
    for start in ("data:image/", "![", "<img"):
        state: TextState | None = NEW_TEXT
        for character in start:
            assert state is not None
            state = state_after_words(state, character)
        assert state is None


def test_an_open_data_url_needs_a_scan() -> None:
    assert state_after_words(scan(NEW_TEXT, URL[:60], max_bytes=10**6).state, " hand") is None


def lowered(state: TextState) -> TextState:
    return state._replace(undecided=state.undecided.lower())


def test_a_long_data_url_in_short_pieces_is_read_once() -> None:
    pieces = [b64encode(bytes(75)).decode()] * 50_000  # 5 MB
    began = time.perf_counter()
    state = scan(NEW_TEXT, "![x](data:image/png;base64,", max_bytes=10**8).state
    for piece in pieces:
        state = scan(state, piece, max_bytes=10**8).state
    (picture,) = scan(state, ")", max_bytes=10**8).pictures
    assert len(picture) > 5_000_000
    assert time.perf_counter() - began < 5  # reading all of it with each piece takes a minute


@pytest.mark.parametrize(
    "start", ["![", "<img ", "<img src=", "data:image/", "![a](https://x", "![\\", "![[a]", "!", "<"]
)
def test_false_starts_take_linear_time(start: str) -> None:
    began = time.perf_counter()
    scan(NEW_TEXT, start * 50_000, max_bytes=10**6)
    assert time.perf_counter() - began < 5
