"""The form of facts in Redis: every change of a stream survives it, and nothing else is let in."""

from __future__ import annotations

import json
from typing import Any

import pytest
import samples
from hypothesis import given
from hypothesis import strategies as st

from imgassemble import Assembler
from imgassemble.web.changes import PageChange
from imgassemble.web.shown_streams import ShownStream

pytest.importorskip("redis", reason="a gallery on Redis needs the extra: pip install 'imgassemble[redis]'")

from imgassemble.web.redis.entries import MalformedEntryError, decode_entry, encode_change

ADDRESS, SHA256 = "a" * 24, "0" * 64
STREAM = "otter"


def shown() -> list[PageChange]:
    """Every kind of change: of items with previews and results, of failures, and of frames that were dropped."""
    stream = ShownStream(name=STREAM, title="an otter", number=3, began_s=1.25, size=(64, 32), key=ADDRESS)
    changes = [stream.change()]
    assembler = Assembler()
    assembler.subscribe(lambda update: changes.extend(stream.take(update, 2.5)))
    for event in (
        samples.created(),
        samples.partial("ig_1", 0, samples.png()),
        samples.partial("ig_1", 0, samples.png(2, 2)),
        samples.partial("ig_1", 1, "no picture"),
        samples.done("ig_1", samples.picture("WEBP")),
        samples.partial("ig_2", 0, samples.picture("JPEG"), output_index=1),
        samples.partial("ig_3", 0, samples.picture("JPEG", 9), output_index=2),
        samples.snapshot("failed", error={"code": "server_error", "message": "it broke"}),
    ):
        assembler.feed(event)
    assembler.close()
    return [*changes, *stream.changes(), PageChange(stream=STREAM, kind="gone")]


def changed(kind: str, /, **facts: Any) -> bytes:
    """The entry of a change of this kind with other facts. An Ellipsis leaves a fact out."""
    change = [change for change in shown() if change.kind == kind][-1]
    text = encode_change(change, address=ADDRESS, sha256=SHA256)
    name, stream, key, given = json.loads(text)
    given = {fact: value for fact, value in (given | facts).items() if value is not ...}
    return json.dumps([name, stream, key, given]).encode()


def test_every_change_of_a_stream_survives() -> None:
    changes = shown()
    assert {change.kind for change in changes} == {"stream", "item", "frame", "dropped", "gone"}
    for change in changes:
        decoded = decode_entry(encode_change(change, address=ADDRESS, sha256=SHA256).encode())
        assert decoded.change == change


def test_a_frame_has_the_place_of_its_bytes_and_its_facts() -> None:
    stored = decode_entry(changed("frame")).stored
    assert stored is not None
    assert (stored.stream, stored.address, stored.sha256) == (STREAM, ADDRESS, SHA256)
    assert (stored.frame.format, stored.frame.data) == ("JPEG", b"")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b'["reset","otter","",{}]',
        b'["record","otter","0",{}]',
        b'["gone","","",{}]',
        b'["gone","otter","7",{}]',
        b'["gone","\\ud800","",{}]',
        b'["gone",7,"",{}]',
        b'["dropped","otter","-1",{}]',
        b'["dropped","otter","01",{}]',
        b'["dropped","otter",1e999,{}]',
        b'["stream","otter","",{}]',
        b'["stream","otter","",[]]',
        b'[[],"otter","",{}]',
        b"[" * 100_000,
        b'["gone","' + b"x" * 2_000 + b'","",{}]',
    ],
    ids=range(19),
)
def test_a_text_that_is_no_change_is_refused(text: bytes) -> None:
    with pytest.raises(MalformedEntryError, match="is no change of a gallery"):
        decode_entry(text)


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        ("frame", {"address": "../../etc/passwd-and-more"}),
        ("frame", {"address": "short"}),
        ("frame", {"sha256": "0" * 63}),
        ("frame", {"sha256": "0" * 63 + "\n"}),
        ("frame", {"number": 2**31 + 1}),
        ("frame", {"number": True}),
        ("frame", {"number": 77}),
        ("frame", {"bytes": 2**30}),
        ("frame", {"bytes": 0}),
        ("frame", {"size": [1, 2, 3]}),
        ("frame", {"size": [0, 2]}),
        ("frame", {"format": "HTML"}),
        ("frame", {"index": float("nan")}),
        ("frame", {"is_final": 1}),
        ("item", {"frames": "0"}),
        ("item", {"frames": list(range(100))}),
        ("item", {"state": "done"}),
        ("item", {"kind": ["final"]}),
        ("item", {"preview_s": float("inf")}),
        ("item", {"error": {"type": {}}}),
        ("item", {"error": {"<b>": "x"}}),
        ("item", {"anomalies": [{"code": "x"}]}),
        ("item", {"id": ...}),
        ("stream", {"name": "another"}),
        ("stream", {"outcome": "won"}),
        ("stream", {"title": None}),
    ],
    ids=str,
)
def test_a_fact_that_is_none_is_refused(kind: str, facts: dict[str, Any]) -> None:
    with pytest.raises(MalformedEntryError):
        decode_entry(changed(kind, **facts))


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([STREAM, "0", ADDRESS, SHA256]),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=8,
)


@given(data=st.data())
def test_any_text_is_a_change_or_is_refused(data: st.DataObject) -> None:
    kind, stream, key, facts = json.loads(changed(data.draw(st.sampled_from(["stream", "item", "frame"]))))
    kind = data.draw(st.just(kind) | st.sampled_from(["dropped", "gone"]))
    replaced = {name: data.draw(JSON_VALUES) for name in data.draw(st.sets(st.sampled_from(sorted(facts))))}
    text = json.dumps([kind, stream, data.draw(st.just(key) | JSON_VALUES), facts | replaced])
    try:
        entry = decode_entry(text.encode())
    except MalformedEntryError:
        return
    assert entry.change.facts.keys() <= facts.keys() | {"url", "small_url"}
    json.dumps(entry.change.facts, allow_nan=False)


@pytest.mark.parametrize("item_id", ["", "ig_\ud800", 1_000 * "x-"], ids=["empty", "surrogate", "long"])
def test_an_item_keeps_its_id_also_if_it_can_be_no_name(item_id: str) -> None:
    assert decode_entry(changed("item", id=item_id)).change.facts["id"] == item_id
    assert len(decode_entry(changed("item", id=2 * item_id)).change.facts["id"]) <= 2_000


def test_texts_are_cleaned_and_unknown_facts_are_left_out() -> None:
    caption = "a\x1b[2J" + "b" * 500
    facts = decode_entry(changed("item", caption=caption, url="javascript:alert(1)", is_orphaned=True)).change.facts
    assert "\x1b" not in facts["caption"]
    assert len(facts["caption"]) <= 200
    assert not {"url", "is_orphaned"} & facts.keys()
