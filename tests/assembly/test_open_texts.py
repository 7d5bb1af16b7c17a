"""Pictures in the text of chats and responses are items, and the words around them are the answer."""

from typing import Any

import pytest
import samples

from imgassemble import Assembler, LimitError, Limits, Outcome

PICTURE = samples.png(colour=(1, 2, 3))
OTHER = samples.png(colour=(9, 8, 7))
LINK = "https://files.example.net/p/1.png"


def url(data: bytes = PICTURE) -> str:
    return f"data:image/png;base64,{samples.b64(data)}"


def delta(text: str, index: int = 0, **more: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": {"content": text}, "finish_reason": None, **more}
    return {"id": "gen-1", "object": "chat.completion.chunk", "choices": [choice]}


def whole(text: Any, **more: Any) -> dict[str, Any]:
    return {"object": "chat.completion", "choices": [{"index": 0, "message": {"content": text, **more}}]}


def assembled(*events: dict[str, Any], **options: Any) -> Assembler:
    assembler = Assembler(**options)
    for event in events:
        assembler.feed(event)
    assembler.close()
    return assembler


def pictures_of(assembler: Assembler) -> list[bytes]:
    assert assembler.result
    return [frame.data for frame in assembler.result.finals]


def test_a_picture_in_pieces_is_an_item_and_the_words_stay() -> None:
    text = f"Here you are: ![x]({url()}) enjoy"
    for size in (1, 7, 100):
        assembler = assembled(*(delta(text[at : at + size]) for at in range(0, len(text), size)))
        assert pictures_of(assembler) == [PICTURE]
        assert assembler.result
        assert assembler.result.text == "Here you are: ![x](data:image/png;base64,…) enjoy"
        assert assembler.result.outcome is Outcome.COMPLETED


def test_a_picture_is_reported_when_its_data_url_is_complete() -> None:
    assembler = Assembler()
    assembler.feed(delta(f"![x]({url()[:50]}"))
    assert not assembler.items
    assembler.feed(delta(f"{url()[50:]})"))
    assert assembler["image-0"].final


def test_a_picture_without_a_bracket_is_complete_with_the_end_of_its_choice() -> None:
    text = url(b"GIF").rstrip("=")  # no padding tells its end
    assembler = Assembler()
    assembler.feed(delta(text + "A" * 60))
    assert not assembler.items
    assembler.feed(delta("", finish_reason="stop"))
    assert assembler.items


def test_the_choices_of_a_chat_do_not_mix() -> None:
    first, second = url(), url(OTHER)
    events = [(delta(first[at : at + 40]), delta(second[at : at + 40], 1)) for at in range(0, 400, 40)]
    assert sorted(pictures_of(assembled(*(each for pair in events for each in pair)))) == sorted([PICTURE, OTHER])


def test_a_message_that_repeats_the_pieces_adds_no_picture() -> None:
    text = f"![x]({url()}) ![y]({LINK})"
    assembler = assembled(delta(text[:40]), delta(text[40:]), delta("", message={"content": text}), whole(text))
    assert len(assembler.items) == 2


def test_a_link_that_comes_again_is_one_item() -> None:
    assembler = assembled(delta(f"![x]({LINK})"), delta(f" ![x]({LINK})"))
    assert [item.url for item in assembler.items.values()] == [LINK]


def test_the_text_of_a_message_with_pictures_beside_it_adds_none() -> None:
    assembler = assembled(whole(f"![x]({LINK}) words", images=[{"image_url": {"url": url()}}]))
    assert pictures_of(assembler) == [PICTURE]
    assert len(assembler.items) == 1
    assert assembler.result
    assert "words" in (assembler.result.text or "")


def test_pictures_in_the_text_parts_of_a_message_are_found() -> None:
    assert pictures_of(assembled(whole([{"type": "text", "text": f"![x]({url()})"}]))) == [PICTURE]


def test_a_strict_assembler_that_raises_can_go_on_with_the_text() -> None:
    assembler = Assembler(strict=True)
    assembler.feed(delta(url()[:50]))
    broken = delta("AAAA")
    broken["choices"][0]["delta"]["images"] = [{"image_url": {"url": "data:image/png;base64,AAAA"}}]
    with pytest.raises(Exception, match="image"):
        assembler.feed(broken)
    assembler.feed(delta(f"{url()[50:]})"))
    assembler.close()
    assert pictures_of(assembler) == [PICTURE]


def test_a_data_url_beyond_the_limit_is_given_up() -> None:
    limits = Limits(max_event_bytes=1_000)
    assembler = assembled(delta("![x](data:image/png;base64,"), *[delta("A" * 90)] * 40, delta(") bye"), limits=limits)
    (anomaly,) = assembler.anomalies
    assert isinstance(anomaly.error, LimitError)
    assert not assembler.items
    assert assembler.result
    assert (assembler.result.text or "").endswith("bye")


def test_all_open_texts_share_the_limit() -> None:
    assembler = Assembler(limits=Limits(max_event_bytes=2_000))
    for index in range(50):
        assembler.feed(delta("data:image/png;base64," + "A" * 500, index))
    assert assembler._held.open_text_bytes <= 2_000
    assembler.close()
    assert assembler._held.open_text_bytes == 0


def test_a_picture_in_the_text_of_a_response_is_an_item() -> None:
    text = f"![x]({url()})"
    pieces = [
        {"type": "response.output_text.delta", "item_id": "msg_1", "delta": text[at : at + 30], "sequence_number": at}
        for at in range(0, len(text), 30)
    ]
    repeated = [each for piece in pieces for each in (piece, piece)]
    assert pictures_of(assembled(*pieces)) == [PICTURE]
    assert pictures_of(assembled(*repeated)) == [PICTURE]
