"""The openai client, 3.x and 2.x: its events as they are, and its bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import pytest

from clients.laws import CHAT, IMAGE, RESPONSE, ClientLaws, Route, how_failed, raw_of, run, shown
from imgassemble import Assembler, FinalReady, assemble, resuming
from imgassemble.simulator import draw, encode

openai: Any = pytest.importorskip("openai", reason="the openai client is not installed: pip install openai")

PICTURE = encode(draw("a barn", size=(32, 32)), "PNG")


@contextmanager
def client(server: Any) -> Iterator[Any]:
    with openai.OpenAI(base_url=server.base_url, api_key="-", max_retries=0) as made:
        yield made


def async_client(server: Any) -> Any:
    return openai.AsyncOpenAI(base_url=server.base_url, api_key="-", max_retries=0)


def responses_create(server: Any) -> Iterator[Any]:
    with client(server) as made:
        yield from made.responses.create(**RESPONSE, stream=True)


async def async_responses_create(server: Any) -> AsyncIterator[Any]:
    async with async_client(server) as made:
        async for event in await made.responses.create(**RESPONSE, stream=True):
            yield event


def responses_stream(server: Any) -> Iterator[Any]:
    with client(server) as made, made.responses.stream(**RESPONSE) as stream:
        yield from stream


async def async_responses_stream(server: Any) -> AsyncIterator[Any]:
    async with async_client(server) as made, made.responses.stream(**RESPONSE) as stream:
        async for event in stream:
            yield event


def images_generate(server: Any) -> Iterator[Any]:
    with client(server) as made:
        yield from made.images.generate(**IMAGE, stream=True)


async def async_images_generate(server: Any) -> AsyncIterator[Any]:
    async with async_client(server) as made:
        async for event in await made.images.generate(**IMAGE, stream=True):
            yield event


def images_edit(server: Any) -> Iterator[Any]:
    with client(server) as made:
        picture = ("barn.png", BytesIO(PICTURE), "image/png")
        yield from made.images.edit(image=picture, **IMAGE, stream=True)


def chat(server: Any) -> Iterator[Any]:
    with client(server) as made:
        yield from made.chat.completions.create(**CHAT, stream=True)


def bytes_of_a_stream(server: Any) -> Iterator[bytes]:
    with client(server) as made, made.responses.create(**RESPONSE, stream=True) as stream:
        yield from stream.response.iter_bytes()


async def async_bytes_of_a_stream(server: Any) -> AsyncIterator[bytes]:
    async with async_client(server) as made:
        stream = await made.responses.create(**RESPONSE, stream=True)
        async for chunk in stream.response.aiter_bytes():
            yield chunk


def bytes_of_a_response(server: Any) -> Iterator[bytes]:
    with client(server) as made, made.responses.with_streaming_response.create(**RESPONSE, stream=True) as response:
        yield from response.iter_bytes()


MAJOR = openai.__version__.partition(".")[0]


class TestOpenAI(ClientLaws):
    client = f"openai-{MAJOR}"
    packages = ("openai",)
    routes = (
        Route(name="responses.create(stream=True)", open=responses_create),
        Route(name="responses.create(stream=True), async", open=async_responses_create),
        Route(name="responses.stream()", open=responses_stream),
        Route(name="responses.stream(), async", open=async_responses_stream),
        Route(name="images.generate(stream=True)", open=images_generate, api="images"),
        Route(name="images.generate(stream=True), async", open=async_images_generate, api="images"),
        Route(name="images.edit(stream=True)", open=images_edit, api="edits"),
        Route(name="chat.completions.create(stream=True)", open=chat, api="chat"),
        Route(name="bytes: stream.response.iter_bytes()", open=bytes_of_a_stream),
        Route(name="bytes: stream.response.aiter_bytes()", open=async_bytes_of_a_stream),
        Route(name="bytes: with_streaming_response.create()", open=bytes_of_a_response),
    )


def test_a_stream_that_broke_is_gone_on_with_by_retrieve(image_server: Any) -> None:
    image_server.use(size=(64, 48), faults=["disconnect-after-event=6"])
    assembler = Assembler()
    with client(image_server) as made:
        with pytest.raises(Exception, match=r"peer closed|incomplete|[Cc]onnection"):
            stream = made.responses.create(**RESPONSE, stream=True, background=True)
            assemble(stream, assembler=assembler, keep_open=True)
        whole = assemble([{**event} for event in image_server.sent[-1].events])
        at = assembler.cursor
        rest = made.responses.retrieve(at.response_id, stream=True, starting_after=at.sequence_number)
        result = assemble(rest, assembler=assembler)
    assert shown(result.items) == shown(whole.items)
    assert result.outcome is whole.outcome


def test_a_stream_that_breaks_at_any_event_gives_what_the_uncut_one_gives(image_server: Any) -> None:
    image_server.use(size=(24, 16))
    with client(image_server) as made:

        def open_stream(cursor: Any) -> Any:
            if cursor.response_id is None:
                return made.responses.create(**RESPONSE, stream=True, background=True)
            return made.responses.retrieve(cursor.response_id, stream=True, starting_after=cursor.sequence_number)

        whole = assemble(made.responses.create(**RESPONSE, stream=True, background=True))
        for at in range(2, len(image_server.sent[-1].events)):
            image_server.use(faults=[f"disconnect-after-event={at}"])
            assert shown(assemble(resuming(open_stream, sleep=lambda _: None)).items) == shown(whole.items), at
            assert image_server.requests[-1].query["starting_after"] == str(at - 1)


def test_a_stream_is_replayed_from_its_start_without_telling_twice(image_server: Any) -> None:
    image_server.use(size=(64, 48))
    assembler = Assembler()
    finals: list[Any] = []
    assembler.subscribe(finals.append, FinalReady)
    with client(image_server) as made:
        for event in made.responses.create(**RESPONSE, stream=True, background=True):
            assembler.feed(event)
        again = made.responses.retrieve(assembler.cursor.response_id, stream=True)
        result = assemble(again, assembler=assembler)
    assert len(finals) == 1
    assert shown(result.items) == shown(raw_of(image_server).items)


def test_a_whole_response_is_read_too(image_server: Any) -> None:
    image_server.use(size=(64, 48))
    with client(image_server) as made:
        result = assemble([made.responses.create(**RESPONSE)])
    assert result.final is not None
    assert shown(result.items) == shown(raw_of(image_server).items)


def test_too_many_requests_are_the_clients_own_error(image_server: Any) -> None:
    image_server.use(faults=["rate-limit"])
    got = run(Route(name="", open=responses_create), image_server)
    assert isinstance(got.error, openai.RateLimitError)
    assert how_failed(got) == "openai.RateLimitError"
