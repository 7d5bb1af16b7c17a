"""The tiles that every screen shows: right for each item, even if a Refresher skips previews; and their pixels."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from typing import Any, cast

import pytest
import samples
import strategies as some
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imgassemble import (
    Assembler,
    FinalReady,
    FinalWithdrawn,
    Frame,
    FrameAdded,
    FrameDecodeError,
    Item,
    ItemEnded,
    State,
    Update,
    iter_updates,
)
from imgassemble.errors import is_blocked
from imgassemble.screens.tiles import (
    LONGEST_CAPTION,
    Kind,
    Painter,
    Shown,
    Tile,
    Tiles,
    append_note,
    fit_into,
    make_placeholder,
    paint_tile,
)

FINAL = samples.png(5, 4)
OWED = (FinalReady, FinalWithdrawn, ItemEnded)
UNDECODABLE = b"".join(  # its chunks are whole, its pixels are not
    [samples.png(3, 3)[:33], samples.png_chunk(b"IDAT", b"no pixels"), samples.png_chunk(b"IEND")]
)


def tiles_of(events: Iterable[samples.Wire]) -> list[Tile]:
    tiles = Tiles()
    return [tile for update in iter_updates(events) if (tile := tiles.take(update))]


def said(events: Iterable[samples.Wire]) -> list[tuple[Kind, str]]:
    return [(tile.kind, tile.caption) for tile in tiles_of(events)]


# ---- captions


def test_previews_are_counted_from_one_and_a_final_is_called_so() -> None:
    assert said([samples.partial(index=0), samples.partial(index=1), samples.done(content=FINAL)]) == [
        (Kind.PREVIEW, "preview 1"),
        (Kind.PREVIEW, "preview 2"),
        (Kind.FINAL, "final"),
    ]


def test_a_draft_is_called_a_draft() -> None:
    *_, last = tiles_of([samples.partial(), samples.call("completed")])
    assert (last.kind, last.caption) == (Kind.DRAFT, "draft: the last preview, because no final picture came")
    assert last.frame is not None
    assert last.frame.data == samples.shade(0)


def test_an_item_that_stays_incomplete_shows_its_last_preview_as_a_draft() -> None:
    *_, last = tiles_of([samples.partial(index=0), samples.partial(index=1)])
    assert last.kind is Kind.DRAFT
    assert last.caption == "draft: the stream ended before its final picture"
    assert last.frame is not None
    assert last.frame.index == 1


@pytest.mark.parametrize(
    ("events", "caption"),
    [
        (
            [samples.error("server_error", "not that")],
            "failed: the service failed (server_error): not that; only a draft is left",
        ),
        ([samples.error("server_error", "no" * 500)], "; only a draft is left"),
        ([samples.snapshot("incomplete", reason="content_filter")], "draft: content_filter"),
        (
            [
                samples.done(content=FINAL),
                samples.snapshot("completed", [samples.member(content=None, status="failed")]),
            ],
            "left",
        ),
    ],
)
def test_a_preview_without_a_final_is_called_a_draft(events: list[samples.Wire], caption: str) -> None:
    for last in [tile for tile in tiles_of([samples.partial(), *events]) if tile.kind in (Kind.DRAFT, Kind.FAILED)]:
        assert last.frame is not None
        assert "draft" in last.caption
        assert len(last.caption) <= 200
        assert last.caption.endswith(caption)


def test_without_a_picture_nothing_is_called_a_draft() -> None:
    *_, last = tiles_of([samples.call("generating")])
    assert last.caption == "incomplete: no usable picture came; nothing of it was kept, resume the stream for it"


def test_the_caption_of_a_failure_quotes_the_service() -> None:
    *_, last = tiles_of([samples.partial(), samples.error("server_error", "not that\x1b[2J")])
    assert last.kind is Kind.FAILED
    assert last.caption.startswith("failed: ")
    assert "not that [2J" in last.caption
    assert last.caption.isprintable()


def test_a_final_that_is_withdrawn_leaves_the_last_preview() -> None:
    snapshot = samples.snapshot("completed", [samples.member(content=None, status="failed")])
    *_, withdrawn, last = tiles_of([samples.partial(), samples.done(content=FINAL), snapshot])
    assert (withdrawn.kind, last.kind) == (Kind.FAILED, Kind.FAILED)
    assert withdrawn.caption.startswith("withdrawn")
    assert last.frame is not None
    assert last.frame.data == samples.shade(0)


@pytest.mark.parametrize(
    ("events", "words"),
    [([samples.created(), samples.snapshot("completed")], "no image"), ([samples.error()], "failed")],
)
def test_a_stream_without_an_item_is_a_failed_tile_of_no_item(events: list[samples.Wire], words: str) -> None:
    (tile,) = tiles_of(events)
    assert (tile.item_id, tile.kind, tile.frame) == ("", Kind.FAILED, None)
    assert tile.caption.startswith(words)


def kind_of(item: Item, *, was_blocked: bool) -> Kind:
    if item.final:
        return Kind.DRAFT if item.is_provisional else Kind.FINAL
    if was_blocked:
        return Kind.BLOCKED
    return Kind.DRAFT if item.state is State.INCOMPLETE and item.latest else Kind.FAILED


@given(some.responses_streams(indexed=False) | some.images_streams(), st.data())
def test_the_last_tile_of_an_item_is_right_after_any_previews_were_skipped(
    stream: list[samples.Wire], data: st.DataObject
) -> None:
    assembler, tiles, last = Assembler(), Tiles(), dict[str, Tile]()
    updates: list[Update] = [each for event in stream for each in assembler.feed(event)]
    updates += assembler.close()
    ends = {each.item_id: at for at, each in enumerate(updates) if isinstance(each, OWED)}
    blocked = {each.item_id for each in updates if isinstance(each, ItemEnded) and is_blocked(each.error)}
    for at, update in enumerate(updates):
        tiles.note(update)
        if isinstance(update, FrameAdded) and at < ends[update.item_id] and data.draw(st.booleans()):
            continue  # as a Refresher skips previews before the end of an item
        if tile := tiles.take(update):
            last[tile.item_id] = tile
    for item in assembler.items.values() if "" not in assembler else ():  # "" is also the tile of the stream
        tile, was_blocked = last[item.id], item.id in blocked
        assert tile.kind is kind_of(item, was_blocked=was_blocked)
        assert tile.frame == (None if tile.kind is Kind.BLOCKED else item.latest)


BLOCKED = samples.error("moderation_blocked", "not that")


def test_the_previews_of_a_blocked_image_are_hidden_and_the_caption_says_so() -> None:
    first, last = tiles_of([samples.partial(), BLOCKED, samples.partial(index=1)])
    assert (first.kind, last.kind, last.frame) == (Kind.PREVIEW, Kind.BLOCKED, None)
    assert last.caption == "blocked (moderation_blocked): not that; its previews are hidden"


def test_without_a_preview_none_is_called_hidden() -> None:
    (tile,) = tiles_of([samples.added(), BLOCKED])
    assert (tile.kind, tile.caption) == (Kind.BLOCKED, "blocked (moderation_blocked): not that")


def test_a_preview_that_waits_when_its_image_is_blocked_is_not_shown() -> None:
    tiles, updates = Tiles(), list(iter_updates([samples.partial(), samples.partial(index=1), BLOCKED]))
    for update in updates:
        tiles.note(update)
    assert [tile.kind for update in updates if (tile := tiles.take(update))] == [Kind.BLOCKED]


def test_a_blocked_image_stays_hidden_after_many_others() -> None:
    painter = Painter((10, 10))
    assembler = Assembler(keep="latest")
    assembler.subscribe(painter.note)
    assembler.subscribe(painter)
    blocked = samples.done("ig_bad", content=None, status="failed")
    blocked["item"]["error"] = {"code": "moderation_blocked", "message": "not that"}
    for event in (samples.partial("ig_bad"), blocked):
        assembler.feed(event)
    large = FINAL[:33] + samples.png_chunk(b"tEXt", bytes(1_000_000)) + FINAL[33:]
    for at in range(70):
        assembler.feed(samples.partial(f"ig_{at}", content=large + bytes([at])))
    (late,) = (each for each in Assembler().feed(samples.partial("ig_bad", 5)) if isinstance(each, FrameAdded))
    painter.note(late)
    assert painter(late) is None


def test_a_result_that_follows_a_block_is_shown() -> None:
    ended = samples.snapshot("completed", [samples.member(content=FINAL)])
    failed = samples.done(content=None, status="failed")
    failed["item"]["error"] = {"code": "moderation_blocked", "message": "no"}
    *_, last = tiles_of([samples.partial(), failed, ended])
    assert last.kind is Kind.FINAL


def test_a_stream_that_is_blocked_before_its_first_image_says_why() -> None:
    (tile,) = tiles_of([BLOCKED])
    assert (tile.item_id, tile.kind) == ("", Kind.BLOCKED)
    assert tile.caption == "blocked (moderation_blocked): not that"


def test_the_last_preview_of_a_failed_image_has_no_colours() -> None:
    *_, last = painted([samples.partial(content=samples.png(4, 4, (200, 0, 0))), samples.error("server_error", "no")])
    assert last.tile.kind is Kind.FAILED
    assert last.image.getcolors() == [(16, (60, 60, 60))]


# ---- the end of a stream


def test_the_sentence_of_an_exception_is_shown_if_no_item_shows_it() -> None:
    tiles, assembler = Tiles(), Assembler()
    shown = [tiles.take(update) for update in assembler.feed(samples.created())]
    shown += [tiles.take(update) for update in assembler.close(TimeoutError("no answer for 30 s"))]
    (tile,) = (each for each in shown if each)
    assert (tile.item_id, tile.kind) == ("", Kind.FAILED)
    assert tile.caption == "incomplete: the stream was cut: TimeoutError: no answer for 30 s; what came is kept"


def test_a_draft_says_what_cut_the_stream() -> None:
    tiles, assembler = Tiles(), Assembler()
    updates = [*assembler.feed(samples.partial()), *assembler.close(TimeoutError("no answer for 30 s"))]
    *_, last = (tile for update in updates if (tile := tiles.take(update)))
    assert (last.item_id, last.kind) == ("ig_1", Kind.DRAFT)
    assert last.caption == "draft: the stream was cut: TimeoutError: no answer for 30 s"


def test_an_error_that_a_tile_shows_is_not_shown_twice() -> None:
    for event in (samples.error("server_error", "it broke"), BLOCKED):
        assert [tile.item_id for tile in tiles_of([samples.partial(), event])] == ["ig_1", "ig_1"]
    assert [tile.item_id for tile in tiles_of([samples.partial()])] == ["ig_1", "ig_1"]


def test_the_failure_of_a_second_stream_is_shown() -> None:
    tiles, shown = Tiles(), []
    for events in ([samples.done(content=FINAL)], [samples.error("rate_limit_exceeded", "slow down")]):
        shown += [tile for update in iter_updates(events) if (tile := tiles.take(update))]
    assert [tile.kind for tile in shown] == [Kind.FINAL, Kind.FAILED]
    assert shown[-1].caption == "failed: the service failed (rate_limit_exceeded): slow down"


@pytest.mark.parametrize("first", [samples.error("server_error", "it broke"), BLOCKED])
def test_an_item_of_a_second_stream_begins_anew_although_the_first_had_its_id(first: samples.Wire) -> None:
    tiles = Tiles()

    def show(*events: samples.Wire) -> list[Tile]:
        updates = list(iter_updates(events))
        for update in updates:
            tiles.note(update)
        return [tile for update in updates if (tile := tiles.take(update))]

    shown = [show(samples.partial(), first), show(samples.added(), samples.partial()), show(samples.added())]
    assert shown[0][-1].kind.has_failed
    assert [tile.kind for tile in shown[1]] == [Kind.PREVIEW, Kind.DRAFT]
    assert [(tile.kind, tile.frame) for tile in shown[2]] == [(Kind.FAILED, None)]


def test_a_failed_response_after_a_whole_image_is_shown() -> None:
    whole = [samples.created("resp_1"), samples.done(content=FINAL), samples.snapshot("completed")]
    final, failed = tiles_of([*whole, samples.created("resp_2"), samples.error("rate_limit_exceeded", "slow down")])
    assert (final.kind, failed.kind, failed.item_id) == (Kind.FINAL, Kind.FAILED, "")


@given(some.responses_streams())
def test_a_tile_never_shows_an_earlier_preview_again(stream: list[samples.Wire]) -> None:
    shown: dict[str, float] = {}
    tiles = Tiles()
    for update in iter_updates(stream):
        tiles.note(update)
        tile = tiles.take(update)
        if tile and tile.kind is Kind.PREVIEW and tile.frame and tile.frame.index is not None:
            assert tile.frame.index >= shown.get(tile.item_id, 0)
            shown[tile.item_id] = tile.frame.index


# ---- pixels


def painted(events: Iterable[samples.Wire], size: tuple[int, int] = (100, 100)) -> list[Shown]:
    painter = Painter(size)
    return [shown for update in iter_updates(events) if (shown := painter(update))]


def test_a_picture_is_painted_no_larger_than_asked_with_its_aspect() -> None:
    (shown,) = painted([samples.done(content=samples.png(400, 200))])
    assert shown.image.size == (100, 50)
    assert shown.image.getpixel((0, 0)) == (200, 60, 20)
    assert shown.frame is shown.tile.frame


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
def test_every_format_is_painted_in_colours(form: str) -> None:
    (shown,) = painted([samples.done(content=samples.picture(form))])
    assert shown.image.mode in ("RGB", "RGBA")


def test_a_picture_that_cannot_be_decoded_leaves_the_one_before_it_and_is_named() -> None:
    first, second = painted([samples.partial(index=0), samples.done(content=UNDECODABLE)])
    assert second.image.tobytes() == first.image.tobytes()
    assert (first.frame, second.frame) == (first.tile.frame, first.tile.frame)
    assert second.tile.caption == "final; it cannot be decoded"


def test_a_skipped_preview_is_shown_if_the_final_cannot_be_decoded() -> None:
    painter = Painter((100, 100))
    told = list(iter_updates([samples.partial(), samples.done(content=UNDECODABLE)]))
    for update in told:
        painter.note(update)
    (shown,) = (shown for update in told if isinstance(update, FinalReady) and (shown := painter(update)))
    assert shown.frame is not None
    assert shown.frame.data == samples.shade(0)


def drawing(size: tuple[int, int] | None = None) -> FinalReady:
    """Return a final that is an SVG drawing, with a size or without one."""
    frame = Frame(data=b"<svg xmlns='http://www.w3.org/2000/svg'/>", format="SVG", size=cast(Any, size), is_final=True)
    return FinalReady("ig_1", frame, is_provisional=False)


@pytest.mark.parametrize("size", [None, (30, 20)])
def test_an_svg_drawing_is_a_placeholder_with_a_sentence(size: tuple[int, int] | None) -> None:
    painter = Painter((100, 80))
    for update in iter_updates([samples.partial()]):
        painter(update)
    shown = painter(drawing(size))
    assert shown is not None
    assert (shown.image.size, shown.frame, shown.tile.kind) == ((100, 80), None, Kind.FINAL)
    assert shown.tile.caption == "final; an SVG drawing is not shown here: save it and open it in a browser"


def test_a_note_keeps_a_caption_within_its_length() -> None:
    caption = append_note(Tile(caption="words " * 40), "; a note").caption
    assert len(caption) <= LONGEST_CAPTION
    assert caption.endswith("; a note")


def test_without_a_picture_before_it_there_is_a_placeholder() -> None:
    (shown,) = painted([samples.done(content=UNDECODABLE)])
    assert (shown.image.size, shown.frame) == ((100, 100), None)


def test_a_skipped_preview_is_painted_if_it_was_the_last() -> None:
    painter = Painter((10, 10))
    added, *_, ended = (each for each in iter_updates([samples.partial()]) if isinstance(each, (FrameAdded, ItemEnded)))
    painter.note(added)
    shown = painter(ended)
    assert shown is not None
    assert shown.frame is not None
    assert shown.frame.data == samples.shade(0)


def painter_of_many() -> Painter:
    """Return a painter of a hundred items of a megabyte each, to which only the painter refers."""
    painter, assembler = Painter((50, 50)), Assembler()
    large = FINAL[:33] + samples.png_chunk(b"tEXt", bytes(500_000)) + FINAL[33:]
    assembler.subscribe(painter.note)
    assembler.subscribe(painter)
    for at in range(100):
        for event in (samples.partial(f"ig_{at}", content=large), samples.done(f"ig_{at}", large + b"\n")):
            assembler.feed(event)
        assembler.discard(f"ig_{at}")
    return painter


def all_alive(kind: type) -> list[Any]:
    gc.collect()
    return [each for each in gc.get_objects() if issubclass(type(each), kind)]


def test_no_painted_picture_is_kept() -> None:
    before = len(all_alive(Image.Image))
    painter = painter_of_many()
    assert len(all_alive(Image.Image)) == before, painter


def test_the_kept_frames_do_not_grow_with_the_number_of_items() -> None:
    before = sum(len(frame.data) for frame in all_alive(Frame))
    painter = painter_of_many()
    assert sum(len(frame.data) for frame in all_alive(Frame)) - before <= 64 * 2**20, painter


def test_an_update_that_changes_nothing_paints_nothing() -> None:
    painter = Painter((10, 10))
    updates = list(iter_updates([samples.done(content=FINAL)]))
    assert [type(each) for each in updates if painter(each)] == [FinalReady]


@pytest.mark.parametrize("size", [(2, 2), (100, 100)])
def test_damaged_pixels_are_found_when_they_are_painted(size: tuple[int, int]) -> None:
    with pytest.raises(FrameDecodeError):
        paint_tile(tiles_of([samples.done(content=UNDECODABLE)])[0], size)


def test_a_tile_without_a_frame_is_a_placeholder_of_exactly_that_size() -> None:
    assert paint_tile(Tile(), (7, 9)).size == (7, 9)
    assert make_placeholder((1, 1)).size == (1, 1)


def test_a_placeholder_is_quiet() -> None:
    image = make_placeholder((4, 64))
    colours: list[Any] = [image.getpixel((0, y)) for y in range(64)]
    assert colours == sorted(colours, reverse=True)
    assert isinstance(image, Image.Image)
    assert (colours[0], colours[-1]) == ((0xE8,) * 3, (0xD4,) * 3)


sides = st.integers(1, 5_000)


@given(st.tuples(sides, sides), st.tuples(sides, sides))
def test_the_fitted_size_fits_and_fills_one_side(aspect: tuple[int, int], room: tuple[int, int]) -> None:
    width, height = fit_into(aspect, room)
    assert 1 <= width <= room[0]
    assert 1 <= height <= room[1]
    assert width == room[0] or height == room[1]
