"""The live page as an application: events, frames, permissions. No socket is opened here."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, TypeVar
from urllib.parse import unquote, urljoin

import pytest
import samples

from imgassemble import Assembler, Limits, UsageError
from imgassemble.web import Gallery

pytest.importorskip("starlette", reason="the live page needs the extra web: pip install 'imgassemble[web]'")

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Mount

from imgassemble.web import create_app, everyone
from imgassemble.web import viewer as viewer_module

PATIENCE_S = 30  # how long a test waits for an expected event; the machine may be busy
HOSTILE = (
    "</script><script>alert(1)</script>",
    "a\u2028b\u2029c",
    "\ud800",
    "a\n\nevent: gone\ndata: {}\n\n",
    "\r\nid: 7",
    "\0\x1b[2J\x7f",
    '"\\',
    "<img src=x onerror=alert(1)>",
    "\u202egnp.exe",
)

T = TypeVar("T")
Headers = dict[str, str]
Application = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: Headers
    body: bytes


def scope_of(path: str, method: str, headers: Headers) -> dict[str, Any]:
    target, _, query = path.partition("?")
    named = {"host": "testserver", **{name.lower(): value for name, value in headers.items()}}
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("testserver", 80),
        "client": ("127.0.0.1", 50_000),
        "scheme": "http",
        "method": method,
        "root_path": "",
        "path": unquote(target),
        "raw_path": target.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in named.items()],
    }


class Connection:
    """One request to an application, and the messages it sends. `gate` blocks the sending to a slow viewer."""

    def __init__(self, app: Application, path: str, method: str = "GET", headers: Headers | None = None) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._is_gone = asyncio.Event()
        scope = scope_of(path, method, headers or {})
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.put_nowait(message)
        await self.gate.wait()

    async def _receive(self) -> dict[str, Any]:
        await self._is_gone.wait()
        return {"type": "http.disconnect"}

    async def leave(self) -> None:
        self._is_gone.set()
        self.gate.set()
        await asyncio.wait_for(self.task, PATIENCE_S)

    async def message(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.sent.get(), PATIENCE_S)


async def asked(app: Application, path: str, method: str = "GET", headers: Headers | None = None) -> Answer:
    connection = Connection(app, path, method, headers)
    await asyncio.wait_for(connection.task, PATIENCE_S)
    messages = [connection.sent.get_nowait() for _ in range(connection.sent.qsize())]
    named = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
    assert len(named) == len(messages[0]["headers"])
    body = b"".join(message.get("body", b"") for message in messages[1:])
    return Answer(status=messages[0]["status"], headers=named, body=body)


def ask(app: Application, path: str, method: str = "GET", headers: Headers | None = None) -> Answer:
    return run(asked(app, path, method, headers))


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One server-sent event; a comment has the kind ":"."""

    kind: str
    id: str | None = None
    facts: Any = None
    wire: bytes = b""


def event_of(block: bytes) -> Event:
    if block.startswith(b":"):
        return Event(kind=":", wire=block)
    fields = dict(line.split(": ", 1) for line in block.decode("ascii").removesuffix("\n\n").split("\n"))
    return Event(kind=fields["event"], id=fields.get("id"), facts=json.loads(fields["data"]), wire=block)


class Viewer:
    """A client that receives the events."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._blocks: list[bytes] = []

    async def next(self) -> Event:
        if not self._blocks:
            message = await self.connection.message()
            assert message["type"] == "http.response.body"
            assert message["body"].endswith(b"\n\n")
            self._blocks = [block + b"\n\n" for block in message["body"].split(b"\n\n")[:-1]]
        return event_of(self._blocks.pop(0))

    async def until(self, kind: str) -> list[Event]:
        events = [await self.next()]
        while events[-1].kind != kind:
            events.append(await self.next())
        return events

    async def batch(self) -> list[Event]:
        """The next batch of changes, without the `hello` before it and the `seen` after it."""
        return [event for event in await self.until("seen") if event.kind not in ("hello", "seen")]


@asynccontextmanager
async def viewing(app: Application, path: str = "/events", **headers: str) -> AsyncIterator[Viewer]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection = Connection(app, path, headers=named)
    try:
        start = await connection.message()
        assert start["status"] == 200, start
        yield Viewer(connection)
    finally:
        await connection.leave()


def shown(gallery: Gallery, *events: samples.Wire, name: str = "otter", limits: Limits | None = None) -> Assembler:
    assembler = Assembler(limits=limits)
    gallery.add(name, assembler)
    for event in events:
        assembler.feed(event)
    return assembler


def page_of(*events: samples.Wire, **options: Any) -> tuple[Gallery, Application]:
    gallery = Gallery()
    if events:
        shown(gallery, *events)
    return gallery, create_app(gallery, **({"authorize": everyone} | options))


def address_in(gallery: Gallery, stream: str = "otter") -> str:
    """The address of the newest frame of a stream."""
    return f"/{frames_in(gallery, stream)[-1]['url']}"


def frames_in(gallery: Gallery, stream: str = "otter") -> list[dict[str, Any]]:
    return [change.facts for change in gallery.changes()[1] if (change.kind, change.stream) == ("frame", stream)]


# ---- the arguments


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"authorize": None}, "pass authorize=everyone to show all streams to every viewer"),
        ({"authorize": True}, "authorize is a function, and bool cannot be called"),
        ({"title": 7}, "title is a str, not 7"),
        ({"max_viewers": 0}, "max_viewers is a whole number from 1, not 0"),
        ({"keep_alive_s": "15"}, "keep_alive_s is a number of seconds from 0, not '15'"),
        ({"keep_alive_s": 0}, "a number of seconds above 0"),
        ({"frame_ancestors": "https://app.example.com"}, r"a list of origins, not 'https://app.example.com': \['https"),
        ({"frame_ancestors": ["app.example.com"]}, "write scheme, host and port, such as 'https://"),
        ({"frame_ancestors": ["https://app.example.com/"]}, "'https://app.example.com/' is not one"),
        ({"frame_ancestors": ["https://a.example; script-src *"]}, "is not one"),
        ({"frame_ancestors": ["*"]}, r"'\*' is not one"),
        ({"frame_ancestors": [7]}, "7 is not one"),
        ({"frame_ancestors": None}, "a list of origins, not None"),
    ],
)
def test_a_wrong_argument_is_a_usage_error_that_says_what_works(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        create_app(Gallery(), **({"authorize": everyone} | options))


def test_something_else_than_a_gallery_is_a_usage_error() -> None:
    other: Any = Starlette()
    with pytest.raises(UsageError, match="create_app shows a Gallery, not Starlette"):
        create_app(other, authorize=everyone)


# ---- the page


def test_the_title_is_text_on_the_page() -> None:
    _, app = page_of(title="Otters & <script>alert(1)</script>")
    body = ask(app, "/").body.decode()
    assert body.count("Otters &amp; &lt;script&gt;alert(1)&lt;/script&gt;") == 2
    assert "<script>alert" not in body
    assert "<title>imgassemble</title>" in ask(page_of()[1], "/").body.decode()


def test_the_origins_that_may_frame_the_page_are_in_its_policy() -> None:
    _, app = page_of(frame_ancestors=["self", "https://app.example.com:8443", "http://[::1]:3000"])
    policy = ask(app, "/").headers["content-security-policy"]
    assert policy.endswith("; frame-ancestors 'self' https://app.example.com:8443 http://[::1]:3000")
    framed = {"sec-fetch-site": "cross-site", "sec-fetch-dest": "iframe"}
    assert ask(app, "/", headers=framed).status == 200
    assert ask(app, "/events", "HEAD", headers=framed).status == 403


def test_no_origin_may_frame_the_page_by_default() -> None:
    _, app = page_of()
    assert ask(app, "/").headers["content-security-policy"].endswith("; frame-ancestors 'none'")
    assert ask(app, "/", headers={"sec-fetch-site": "cross-site", "sec-fetch-dest": "iframe"}).status == 403


def test_the_page_and_all_files_that_it_names_are_served() -> None:
    _, app = page_of()
    page = ask(app, "/")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    names = set(re.findall(r'(?:src|href)="([^"]+)"', page.body.decode()))
    assert "static/page.js" in names
    for name in names:
        assert ask(app, f"/{name}").status == 200, name
    for name in (name for name in names if name.endswith(".js")):
        for other in re.findall(r'from "(\./[^"]+)"', ask(app, f"/{name}").body.decode()):
            assert ask(app, urljoin(f"/{name}", other)).status == 200, other


def test_the_page_has_no_inline_script_or_style_and_no_absolute_address() -> None:
    _, app = page_of()
    html = ask(app, "/").body.decode()
    assert not re.search(r"<style|<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=", html)
    assert not re.search(r'(?:src|href)="(?:/|\w+:)', html)


@pytest.mark.parametrize(
    "path",
    [
        "/static/page.html",
        "/static/../app.py",
        "/static/%2e%2e%2fapp.py",
        "/static/..%2fapp.py",
        "/static/",
        "/static/page.css%00",
        "/static/page.css%0a",
        "/nothing",
        "/events/",
        "/frames/",
        "//",
        "/%ff",
    ],
)
def test_an_unknown_path_is_a_404(path: str) -> None:
    _, app = page_of(samples.partial())
    assert ask(app, path).status == 404


@pytest.mark.parametrize("path", ["/", "/static/page.css", "/static/page.js", "/events", "/nothing", "/frames/a/b.png"])
@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS", "DELETE"])
def test_every_answer_has_the_security_headers(path: str, method: str) -> None:
    _, app = page_of()
    headers = ask(app, path, method).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize("path", ["/", "/static/page.css", "/events"])
def test_only_get_and_head_are_allowed(path: str) -> None:
    _, app = page_of()
    assert ask(app, path, "POST").status == 405


def test_a_head_of_the_events_ends() -> None:
    _, app = page_of(samples.partial())
    answer = ask(app, "/events", "HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")


# ---- events


def test_a_late_viewer_receives_the_present_state_at_once() -> None:
    gallery, app = page_of(
        *(samples.partial(index=index) for index in range(3)), samples.done(content=samples.png(2, 2))
    )

    async def scene() -> None:
        async with viewing(app) as viewer:
            hello, stream, *frames, item, seen = await viewer.until("seen")
        assert (hello.kind, hello.facts["is_new"]) == ("hello", True)
        assert (stream.kind, stream.facts["stream"], stream.facts["name"]) == ("stream", "otter", "otter")
        assert (item.kind, item.facts["kind"]) == ("item", "final")
        assert [(each.kind, each.facts["number"]) for each in frames] == [("frame", at) for at in item.facts["frames"]]
        assert [each.facts["is_final"] for each in frames] == [False, False, False, True]
        assert seen.id == gallery.changes()[0]

    run(scene())


def test_events_contain_addresses_and_no_pictures() -> None:
    _, app = page_of(
        samples.partial(content=samples.picture("JPEG", 64, 48)), samples.done(content=samples.picture("PNG", 64, 48))
    )

    async def scene() -> None:
        async with viewing(app) as viewer:
            events = await viewer.until("seen")
        for event in events:
            assert not re.search(rb"base64|data:\w+/|[A-Za-z0-9+/=]{100}", event.wire)
        frames = [event.facts for event in events if event.kind == "frame"]
        assert len(frames) == 2
        for frame in frames:
            assert re.fullmatch(r"frames/[\w-]{24}/\d+\.(png|jpg)", frame["url"])
            assert re.fullmatch(r"frames/[\w-]{24}/\d+-small", frame["small_url"])
            for name in ("url", "small_url"):
                assert (await asked(app, "/" + frame[name])).status == 200

    run(scene())


def test_an_update_sends_a_viewer_at_most_800_bytes() -> None:
    item_id = "ig_" + "68b7e1f2a9c4" * 4 + "00"  # as long as those of OpenAI
    gallery, app = page_of()
    assembler = shown(gallery, name="8c1f9a52-6f0e-4d0c-9a51-0f5c3a2f7b11")

    async def scene() -> None:
        async with viewing(app) as viewer:
            await viewer.until("seen")
            for index in range(32):
                assembler.feed(samples.partial(item_id, index))
                events = await viewer.until("seen")
                assert [event.kind for event in events] == ["frame", "item", "seen"]
                assert sum(len(event.wire) for event in events) <= 800
            assembler.feed(samples.done(item_id, samples.png(2, 2)))
            assert sum(len(event.wire) for event in await viewer.until("seen")) <= 800

    run(scene())


def test_changes_are_sent_as_they_happen() -> None:
    gallery, app = page_of()

    async def scene() -> None:
        async with viewing(app) as viewer:
            await viewer.until("seen")
            assembler = shown(gallery)
            assert [event.kind for event in await viewer.batch()] == ["stream"]
            assembler.feed(samples.partial())
            frame, item = await viewer.batch()
            assert (frame.kind, item.facts["kind"], item.facts["frames"]) == ("frame", "preview", [0])
            gallery.remove("otter")
            (gone,) = await viewer.batch()
            assert (gone.kind, gone.facts) == ("gone", {"stream": "otter"})

    run(scene())


def test_a_viewer_that_connects_again_receives_only_later_changes() -> None:
    gallery, app = page_of(samples.partial("ig_1"))
    shown(gallery, samples.partial("ig_2"), name="lighthouse").feed(samples.partial("ig_3"))

    async def scene() -> None:
        async with viewing(app) as viewer:
            last = (await viewer.until("seen"))[-1].id
        assert last
        shown(gallery, samples.partial("ig_4"), name="pines")
        async with viewing(app, last_event_id=last) as viewer:
            hello, *news = await viewer.until("seen")
        assert hello.facts["is_new"] is False
        assert [(event.kind, event.facts.get("stream")) for event in news[:-1]] == [
            ("stream", "pines"),
            ("frame", "pines"),
            ("item", "pines"),
        ]

    run(scene())


@pytest.mark.parametrize(
    "last",
    [
        *("", "7", "{}", "{}.0", "{}.{}.0-0-999999", "{}.{}.0-0--1", "{}.{}.0-0-x", "{}.{}.0-0-1.5", "{}.{}.0-0-٣"),
        *("other.1", "other.other.0-0-1", "{}.{}.0-0-" + "9" * 400, "\xff\xfe"),
    ],
)
def test_a_viewer_with_a_foreign_or_invalid_event_id_receives_everything(last: str) -> None:
    gallery, app = page_of(samples.partial())
    epoch = gallery.changes()[0].split(".")[0]
    last = last.encode().decode("latin-1").format(epoch, epoch)

    async def scene() -> None:
        async with viewing(app, last_event_id=last) as viewer:
            events = await viewer.until("seen")
        hellos = [event for event in events if event.kind == "hello"]
        assert hellos[-1].facts["is_new"] is True
        assert [event.kind for event in events[events.index(hellos[-1]) + 1 :]] == ["stream", "frame", "item", "seen"]

    run(scene())


def test_an_event_id_of_another_process_means_nothing() -> None:
    first, _ = page_of(samples.partial())
    second, app = page_of(samples.partial())
    position = first.changes()[0]
    assert first.is_known(position)
    assert not second.is_known(position)

    async def scene() -> None:
        async with viewing(app, last_event_id=position) as viewer:
            assert (await viewer.next()).facts["is_new"] is True

    run(scene())


def test_a_viewer_of_an_empty_gallery_receives_the_end_of_the_batch() -> None:
    _, app = page_of()

    async def scene() -> None:
        async with viewing(app) as viewer:
            assert [event.kind for event in await viewer.until("seen")] == ["hello", "seen"]

    run(scene())


def test_a_long_batch_is_sent_in_pieces_between_which_other_tasks_run() -> None:
    _, app = page_of(*(samples.partial(f"ig_{number}") for number in range(1_000)))

    async def scene() -> None:
        connection = Connection(app, "/events")
        pieces: list[bytes] = []
        while not pieces or b"event: seen" not in pieces[-1]:
            pieces.append((await connection.message()).get("body", b""))
        await connection.leave()
        assert len(pieces) > 3
        assert max(map(len, pieces)) < 256 * 1024
        assert b"".join(pieces).count(b"event: item") == 1_000

    run(scene())


def test_a_viewer_that_leaves_during_a_long_batch_is_sent_no_more_of_it() -> None:
    _, app = page_of(*(samples.partial(f"ig_{number}") for number in range(5_000)))

    async def scene() -> None:
        connection = Connection(app, "/events")
        await connection.message()
        await connection.message()
        await connection.leave()
        told = [connection.sent.get_nowait() for _ in range(connection.sent.qsize())]
        assert not any(b"event: seen" in message["body"] for message in told)

    run(scene())


def test_a_stream_whose_name_is_empty_needs_a_permission_like_any_other() -> None:
    gallery, app = page_of(authorize=only("mine"))
    shown(gallery, samples.partial(), name="")

    async def scene() -> None:
        async with viewing(app) as viewer:
            assert await viewer.batch() == []

    run(scene())


def test_a_slow_viewer_skips_previews_and_gets_the_final() -> None:
    gallery, app = page_of()

    async def scene() -> None:
        assembler = shown(gallery)
        async with viewing(app) as viewer, viewing(app) as other:
            await viewer.until("seen")
            viewer.connection.gate.clear()
            for index in range(30):
                assembler.feed(samples.partial(index=index))
                await other.batch()
            assembler.feed(samples.done(content=samples.png(2, 2)))
            await other.batch()
            viewer.connection.gate.set()
            told: list[Event] = []
            while not told or told[-1].facts.get("kind") != "final":
                told.append(await viewer.next())
        assert len([event for event in told if event.kind == "item"]) <= 2

    run(scene())


def test_neither_the_stream_nor_another_viewer_waits_for_a_slow_viewer() -> None:
    gallery, app = page_of()

    async def scene() -> None:
        assembler = shown(gallery)
        async with viewing(app) as viewer, viewing(app) as other:
            await viewer.until("seen")
            viewer.connection.gate.clear()
            for index in range(30):
                assembler.feed(samples.partial(index=index))
                await other.batch()
            assert viewer.connection.sent.qsize() == 1

    run(scene())


def test_a_viewer_that_is_too_far_behind_receives_everything() -> None:
    gallery = Gallery(max_streams=2)
    app = create_app(gallery, authorize=everyone)

    async def scene() -> None:
        gallery.add("first")
        async with viewing(app) as viewer:
            await viewer.until("seen")
            viewer.connection.gate.clear()
            gallery.add("second")
            await viewer.next()  # it blocks in this one
            for name in ("first", "second", "third", "fourth"):
                if name not in gallery.names:
                    gallery.add(name)
                gallery.remove(name)
            shown(gallery, samples.partial(), name="new")
            viewer.connection.gate.set()
            await viewer.until("seen")
            hello, *news = await viewer.until("seen")
        assert (hello.kind, hello.facts["is_new"]) == ("hello", True)
        assert [event.facts.get("stream") for event in news] == ["new", "new", "new", None]

    run(scene())


def test_a_quiet_connection_is_kept_alive_by_comments() -> None:
    _, app = page_of(keep_alive_s=0.01)

    async def scene() -> None:
        async with viewing(app) as viewer:
            await viewer.until(":")
            await viewer.until(":")

    run(scene())


def test_viewers_leave_when_the_gallery_is_closed_and_receive_the_last_changes() -> None:
    gallery, app = page_of()

    async def scene() -> None:
        async with viewing(app) as viewer:
            await viewer.batch()
            shown(gallery, name="last")
            gallery.close()
            assert [event.facts["stream"] for event in await viewer.batch()] == ["last"]
            await asyncio.wait_for(viewer.connection.task, PATIENCE_S)
            assert (await viewer.connection.message())["more_body"] is False
        answer = await asked(app, "/events")
        assert (answer.status, answer.body) == (503, b"The gallery is closed.\n")
        assert not gallery._watchers

    run(scene())


def test_a_connected_viewer_is_sent_the_removal_of_an_old_stream() -> None:
    now = [0.0]
    gallery = Gallery(keep_s=60, clock=lambda: now[0])
    app = create_app(gallery, authorize=everyone, keep_alive_s=0.01)

    async def scene() -> None:
        shown(gallery, samples.done(content=samples.png())).close()
        async with viewing(app) as viewer:
            await viewer.until("seen")
            now[0] = 60
            assert (await viewer.until("gone"))[-1].facts == {"stream": "otter"}

    run(scene())


def test_many_items_and_streams_are_sent_in_one_batch() -> None:
    gallery, app = page_of()

    async def scene() -> None:
        async with viewing(app) as viewer:
            await viewer.until("seen")
            assemblers = [shown(gallery, name=str(number)) for number in range(50)]
            for item in range(10):
                for assembler in assemblers:
                    assembler.feed(samples.partial(f"ig_{item}"))
            told: set[tuple[str, str]] = set()
            while len(told) < 500:
                event = await viewer.next()
                if event.kind == "item":
                    told.add((event.facts["stream"], event.facts["id"]))

    run(scene())


@pytest.mark.parametrize("text", HOSTILE)
def test_text_from_outside_cannot_break_the_event_format(text: str) -> None:
    gallery, app = page_of()
    assembler = shown(
        gallery, samples.partial(text), samples.error(text, text), samples.partial(text, 1, "%"), name=text
    )
    assembler.close()

    async def scene() -> None:
        async with viewing(app) as viewer:
            events = await viewer.until("seen")
        assert [event.kind for event in events] == ["hello", "stream", "frame", "item", "seen"]
        _, stream, frame, item, _ = events
        assert stream.facts["name"] == stream.facts["stream"] == item.facts["stream"] == text
        assert item.facts["id"] == text
        for event in (stream, frame, item):
            assert event.wire.count(b"\n") == 3
            assert not re.search(rb"[^\n\x20-\x7e]", event.wire)

    run(scene())


# ---- the number of viewers


def test_a_viewer_above_the_maximum_is_refused_until_later() -> None:
    _, app = page_of(max_viewers=2)

    async def scene() -> None:
        async with viewing(app), viewing(app):
            answer = await asked(app, "/events")
            assert (answer.status, answer.headers["retry-after"]) == (503, "10")
            assert b"Try again later" in answer.body
            assert (await asked(app, "/")).status == 200
        async with viewing(app), viewing(app):
            pass

    run(scene())


def test_viewers_that_connect_at_the_same_time_are_all_counted() -> None:
    _, app = page_of(max_viewers=3)

    async def scene() -> None:
        connections = [Connection(app, "/events") for _ in range(10)]
        statuses = [(await connection.message())["status"] for connection in connections]
        assert sorted(statuses) == [200] * 3 + [503] * 7
        for connection in connections:
            await connection.leave()

    run(scene())


def test_a_viewer_that_leaves_before_the_first_event_is_no_longer_counted() -> None:
    _, app = page_of(max_viewers=1)

    async def scene() -> None:
        for _ in range(3):
            connection = Connection(app, "/events")
            connection.gate.clear()
            assert (await connection.message())["status"] == 200
            await connection.leave()

    run(scene())


def test_a_viewer_whose_request_is_cancelled_is_no_longer_counted() -> None:
    gallery, app = page_of(max_viewers=1)

    async def scene() -> None:
        for _ in range(3):
            connection = Connection(app, "/events")
            assert (await connection.message())["status"] == 200
            connection.task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connection.task

    run(scene())
    assert not gallery._watchers


def test_the_gallery_has_one_watcher_for_all_viewers_of_a_loop_and_none_after_them() -> None:
    gallery, app = page_of()

    async def scene() -> None:
        async with viewing(app) as first, viewing(app) as second:
            await first.until("seen")
            await second.until("seen")
            assert len(gallery._watchers) == 1
        assert not gallery._watchers

    run(scene())


def test_viewers_on_several_loops_receive_the_changes_of_several_threads() -> None:
    gallery, app = page_of()
    gate = threading.Barrier(6)
    troubles: list[BaseException] = []

    def careful(work: Callable[[], object]) -> threading.Thread:
        def work_on() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - it is reported below
                troubles.append(error)

        return threading.Thread(target=work_on)

    async def scene() -> None:
        async with viewing(app) as one, viewing(app) as two:
            for viewer in (one, two):
                await viewer.until("seen")
            gate.wait()
            for viewer in (one, two):
                finals: set[str] = set()
                while len(finals) < 3 * 20:
                    event = await viewer.next()
                    if event.kind == "item" and event.facts["has_final"]:
                        finals.add(f"{event.facts['stream']} {event.facts['id']}")

    def feed(name: str) -> None:
        gate.wait()
        assembler = shown(gallery, name=name)
        for number in range(20):
            assembler.feed(samples.partial(f"ig_{number}"))
            assembler.feed(samples.done(f"ig_{number}", samples.png(2, 2)))

    threads = [careful(lambda: asyncio.run(scene())) for _ in range(3)]
    threads += [careful(lambda name=name: feed(name)) for name in "abc"]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not troubles
    assert not gallery._watchers


# ---- permissions


def only(*names: str) -> Callable[[Request, str], bool]:
    return lambda _request, stream: stream in names


async def only_mine(_request: Request, stream: str) -> bool:
    await asyncio.sleep(0)
    return stream == "mine"


@pytest.mark.parametrize("authorize", [only("mine"), only_mine], ids=["sync", "async"])
def test_a_viewer_receives_nothing_of_a_stream_that_it_may_not_see(authorize: Any) -> None:
    gallery, app = page_of(authorize=authorize)
    shown(gallery, samples.partial("ig_secret"), name="yours")
    shown(gallery, samples.partial("ig_mine"), name="mine")

    async def scene() -> None:
        async with viewing(app) as viewer:
            told = await viewer.batch()
            gallery.remove("yours")
            told += await viewer.batch()
            gallery.remove("mine")
            told += await viewer.batch()
        assert [(event.kind, event.facts["stream"]) for event in told] == [
            ("stream", "mine"),
            ("frame", "mine"),
            ("item", "mine"),
            ("gone", "mine"),
        ]

    run(scene())


def test_a_frame_of_a_stream_that_a_viewer_may_not_see_is_a_404() -> None:
    gallery, app = page_of(authorize=only("mine"))
    shown(gallery, samples.done(content=samples.png()), name="yours")
    address = address_in(gallery, "yours")
    forbidden, missing = ask(app, address), ask(app, "/frames/a/b.png")
    assert (forbidden.status, forbidden.headers, forbidden.body) == (404, missing.headers, missing.body)
    for etag in ("*", f'"{address.split("/")[2]}-0.png"'):
        assert ask(app, address, headers={"if-none-match": etag}).status == 404
    assert ask(app, f"/{frames_in(gallery, 'yours')[-1]['small_url']}").status == 404


def test_authorize_is_called_with_the_request_of_the_viewer() -> None:
    def by_cookie(request: Request, stream: str) -> bool:
        return request.cookies.get("user") == stream

    gallery, app = page_of(authorize=by_cookie)
    shown(gallery, samples.done(content=samples.png()), name="mine")
    assert ask(app, address_in(gallery, "mine"), headers={"cookie": "user=mine"}).status == 200
    assert ask(app, address_in(gallery, "mine"), headers={"cookie": "user=other"}).status == 404


def test_a_withdrawn_permission_takes_effect_at_the_next_change() -> None:
    allowed = {"otter"}
    gallery, app = page_of(authorize=lambda _request, stream: stream in allowed)

    async def scene() -> None:
        assembler = shown(gallery, samples.partial())
        async with viewing(app) as viewer:
            assert await viewer.batch()
            allowed.clear()
            assembler.feed(samples.partial(index=1))
            assert await viewer.batch() == []

    run(scene())


class Gatekeeper:
    """An `authorize` that refuses, or raises, until a test changes it."""

    def __init__(self, *, is_failing: bool = False) -> None:
        self.closed: set[str] = set()
        self.is_failing = is_failing

    def __call__(self, _request: Request, stream: str) -> bool:
        if stream in self.closed and self.is_failing:
            raise ConnectionError("the store of sessions is away for a moment")
        return stream not in self.closed


@pytest.mark.parametrize("is_failing", [False, True], ids=["no", "fails"])
@pytest.mark.parametrize("way", ["waits", "hears more of it", "is connected again"])
def test_changes_that_were_withheld_for_a_moment_are_sent_once_allowed(is_failing: bool, way: str) -> None:
    gate = Gatekeeper(is_failing=is_failing)
    gallery, app = page_of(authorize=gate, keep_alive_s=0.05 if way == "waits" else 60)
    other = shown(gallery, samples.partial("ig_2"), name="lighthouse")
    assembler = shown(gallery, samples.partial(), name="otter")

    async def scene() -> None:
        async with viewing(app) as viewer:
            assert len(await viewer.batch()) == 6
            gate.closed.add("otter")
            assembler.feed(samples.done(content=samples.png()))
            other.feed(samples.partial("ig_2", index=1))
            *news, seen = await viewer.until("seen")
            assert "otter" not in {event.facts.get("stream") for event in news}
            gate.closed.clear()
            if way == "is connected again":
                assert seen.id == ""  # it begins again
                async with viewing(app, last_event_id=seen.id) as again:
                    told = await again.batch()
            else:
                if way == "hears more of it":
                    assembler.close()  # the item itself does not change
                told = [event for event in await viewer.batch() if event.kind != ":"]
                assert {event.facts["stream"] for event in told} == {"otter"}
        assert ("otter", True) in {(event.facts["stream"], event.facts.get("has_final")) for event in told}

    run(scene())


def test_a_stream_that_is_allowed_later_is_sent_whole() -> None:
    gate = Gatekeeper()
    gate.closed.add("otter")
    gallery, app = page_of(authorize=gate)
    assembler = shown(gallery, samples.partial("ig_1"), samples.partial("ig_2"), name="otter")

    async def scene() -> None:
        async with viewing(app) as viewer:
            assert await viewer.batch() == []
            gate.closed.clear()
            assembler.feed(samples.partial("ig_2", index=1))
            told = await viewer.batch()
            assert [(event.kind, event.facts.get("id")) for event in told] == [
                ("stream", None),
                *[("frame", None)] * 3,
                ("item", "ig_1"),
                ("item", "ig_2"),
            ]
            assembler.feed(samples.partial("ig_2", index=2))
            _frame, again = await viewer.batch()
            assert again.facts["id"] == "ig_2"

    run(scene())


def test_the_removal_of_a_withheld_stream_is_sent_only_to_viewers_that_have_it() -> None:
    gate = Gatekeeper()
    gate.closed.add("secret")
    gallery, app = page_of(authorize=gate)
    shown(gallery, samples.partial(), name="otter")
    shown(gallery, samples.partial(), name="secret")

    async def scene() -> None:
        async with viewing(app) as viewer:
            assert {event.facts["stream"] for event in await viewer.batch()} == {"otter"}
            gate.closed.add("otter")
            gallery.remove("secret")
            gallery.remove("otter")
            *gone, seen = await viewer.until("seen")
            assert [(event.kind, event.facts["stream"]) for event in gone] == [("gone", "otter")]
            assert seen.id
            assert seen.id == gallery.changes()[0]  # no stream is withheld any more

    run(scene())


def test_changes_of_shown_streams_wait_for_one_question_at_most() -> None:
    many = 20

    async def scene() -> None:
        permits, is_asked = asyncio.Semaphore(many), asyncio.Event()

        async def authorize(request: Request, stream: str) -> bool:
            if stream != "mine" and "x-quick" not in request.headers:
                is_asked.set()
                await permits.acquire()
            return stream == "mine"

        gallery, app = page_of(authorize=authorize)
        foreign = [shown(gallery, name=str(number)) for number in range(many)]
        mine = shown(gallery, samples.partial(), name="mine")
        async with viewing(app) as viewer, viewing(app, x_quick="") as quick:
            for each in (viewer, quick):
                assert (await each.until("item"))[-1].facts["kind"] == "preview"
                await each.until("seen")
            is_asked.clear()
            for assembler in foreign:
                assembler.feed(samples.partial())
            await is_asked.wait()
            mine.feed(samples.done(content=samples.png()))
            await quick.until("item")
            permits.release()
            assert (await viewer.until("item"))[-1].facts["kind"] == "final"

    run(scene())


def test_allowed_streams_are_sent_before_all_questions_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer_module, "_ASKING_S", 0)

    async def scene() -> None:
        permits = asyncio.Semaphore(1)

        async def authorize(_request: Request, stream: str) -> bool:
            if stream != "mine":
                await permits.acquire()
            return stream == "mine"

        gallery, app = page_of(authorize=authorize)
        for name in ("one", "two", "three", "mine"):
            shown(gallery, samples.partial(), name=name)
        async with viewing(app) as viewer:
            assert {event.facts["stream"] for event in await viewer.batch()} == {"mine"}

    run(scene())


@pytest.mark.parametrize("way", ["while it was away", "after it is back"])
def test_a_stream_that_is_removed_with_its_permission_disappears_from_earlier_viewers(way: str) -> None:
    gate = Gatekeeper()
    gallery, app = page_of(authorize=gate)
    shown(gallery, samples.partial(), name="otter")
    shown(gallery, samples.partial(), name="lighthouse")

    async def scene() -> None:
        async with viewing(app) as viewer:
            last = (await viewer.until("seen"))[-1].id
        assert last
        if way == "while it was away":
            gate.closed.add("otter")
            gallery.remove("otter")
        async with viewing(app, last_event_id=last) as viewer:
            told = await viewer.until("seen")
            if way == "after it is back":
                gate.closed.add("otter")
                gallery.remove("otter")
                told = await viewer.until("seen")
        assert [event.facts["is_new"] for event in told if event.kind == "hello"][-1]
        assert {event.facts.get("stream") for event in told} == {"lighthouse", None}

    run(scene())


def test_a_stream_that_was_removed_during_an_absence_disappears() -> None:
    gallery, app = page_of(samples.partial())

    async def scene() -> None:
        async with viewing(app) as viewer:
            last = (await viewer.until("seen"))[-1].id
        assert last
        gallery.remove("otter")
        async with viewing(app, last_event_id=last) as viewer:
            hello, gone, _ = await viewer.until("seen")
        assert (hello.facts["is_new"], gone.kind, gone.facts) == (False, "gone", {"stream": "otter"})

    run(scene())


def test_an_exception_of_authorize_is_logged_once_and_withholds_the_stream(caplog: pytest.LogCaptureFixture) -> None:
    def authorize(_request: Request, stream: str) -> bool:
        if stream == "broken":
            raise RuntimeError("the password of the database is 1234")
        return True

    gallery, app = page_of(authorize=authorize)
    shown(gallery, samples.partial(), name="broken")
    shown(gallery, samples.partial(), name="whole")

    async def scene() -> None:
        async with viewing(app) as viewer:
            told = await viewer.batch()
            assert {event.facts["stream"] for event in told} == {"whole"}
            shown(gallery, name="later")
            assert [event.facts["stream"] for event in await viewer.batch()] == ["later"]
        for _ in range(3):
            answer = await asked(app, address_in(gallery, "broken"))
            assert (answer.status, answer.body) == (500, b"The permission could not be checked.\n")

    with caplog.at_level(logging.ERROR):
        run(scene())
    (record,) = caplog.records
    assert record.getMessage() == "authorize raised RuntimeError: its streams are not shown (logged once per type)"
    assert record.exc_info


def test_each_type_of_exception_of_authorize_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    errors = iter([RuntimeError("a"), OSError("b"), RuntimeError("c"), OSError("d")])

    async def authorize(_request: Request, _stream: str) -> bool:
        raise next(errors)

    gallery, app = page_of(samples.partial(), authorize=authorize)
    with caplog.at_level(logging.ERROR):
        assert {ask(app, address_in(gallery)).status for _ in range(4)} == {500}
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [RuntimeError, OSError]


def test_an_http_exception_of_authorize_means_no_and_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    def authorize(_request: Request, _stream: str) -> bool:
        raise HTTPException(403, "not yours")

    gallery, app = page_of(samples.partial(), authorize=authorize)
    with caplog.at_level(logging.DEBUG):
        assert ask(app, address_in(gallery)).status == 404
    assert [record for record in caplog.records if record.name == "imgassemble"] == []


@pytest.mark.parametrize("answer", [None, 0, "", []])
def test_every_false_answer_of_authorize_means_no(answer: Any) -> None:
    gallery, app = page_of(samples.done(content=samples.png()), authorize=lambda _request, _stream: answer)
    assert ask(app, address_in(gallery)).status == 404


@pytest.mark.parametrize("path", ["/", "/events", "frame"])
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://testserver.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://testserver", "sec-fetch-site": "cross-site"},
    ],
)
def test_a_page_of_another_origin_is_refused(path: str, headers: Headers) -> None:
    gallery, app = page_of(samples.done(content=samples.png()))
    answer = ask(app, address_in(gallery) if path == "frame" else path, headers=headers)
    assert answer.status == 403
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://testserver"},
        {"origin": "https://testserver", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none", "sec-fetch-dest": "document"},
        {"sec-fetch-site": "same-origin", "sec-fetch-dest": "image"},
    ],
)
def test_the_page_itself_is_allowed(headers: Headers) -> None:
    gallery, app = page_of(samples.done(content=samples.png()))
    assert ask(app, "/", headers=headers).status == 200
    assert ask(app, address_in(gallery), headers=headers).status == 200


def test_a_link_on_another_site_may_open_only_the_page() -> None:
    gallery, app = page_of(samples.done(content=samples.png()))
    link = {"sec-fetch-site": "cross-site", "sec-fetch-dest": "document"}
    assert ask(app, "/", headers=link).status == 200
    assert ask(app, address_in(gallery), headers=link).status == 403
    assert ask(app, "/events", headers=link).status == 403
    assert ask(app, "/", headers=link | {"sec-fetch-dest": "iframe"}).status == 403


@pytest.mark.parametrize("host", ["", "[", "[::1", "a b", "\xff", "x" * 5_000, "evil:port", "@", "//"])
@pytest.mark.parametrize("path", ["/", "/events/", "/static/page.css", "/nothing"])
def test_the_application_answers_under_any_host_name(host: str, path: str) -> None:
    _, app = page_of()
    answer = ask(app, path, headers={"host": host, "sec-fetch-site": "cross-site"})
    assert answer.status in (200, 403, 404)
    assert "location" not in answer.headers


# ---- frames


@pytest.mark.parametrize(
    ("form", "media_type"),
    [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp"), ("GIF", "image/gif")],
)
def test_a_frame_is_served_as_it_was_received(form: str, media_type: str) -> None:
    gallery, app = page_of(samples.done(content=samples.picture(form)))
    answer = ask(app, address_in(gallery))
    assert (answer.status, answer.body) == (200, samples.picture(form))
    assert answer.headers["content-type"] == media_type
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_large_frame_is_sent_in_pieces_and_one_waits_for_a_slow_viewer() -> None:
    picture = samples.png(700, 700)
    big = picture[:-12] + samples.png_chunk(b"tEXt", bytes(2_000_000)) + picture[-12:]
    gallery, app = page_of(samples.done(content=big))

    async def scene() -> None:
        connection = Connection(app, address_in(gallery))
        start = await connection.message()
        assert dict(start["headers"])[b"content-length"] == str(len(big)).encode()
        pieces = [await connection.message()]
        while pieces[-1].get("more_body"):
            pieces.append(await connection.message())
        await connection.leave()
        assert b"".join(piece["body"] for piece in pieces) == big
        assert max(len(piece["body"]) for piece in pieces) <= 256 * 1024

    run(scene())


@pytest.mark.parametrize("given", ["{}", "W/{}", '"other", {}', "*", '"other",W/{}'])
def test_a_frame_that_a_viewer_has_is_not_sent_again(given: str) -> None:
    gallery, app = page_of(samples.done(content=samples.png()))
    etag = ask(app, address_in(gallery)).headers["etag"]
    answer = ask(app, address_in(gallery), headers={"if-none-match": given.format(etag)})
    assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", etag)


@pytest.mark.parametrize("given", ["", '"other"', "W/", "garbage", '""'])
def test_a_frame_that_a_viewer_does_not_have_is_sent(given: str) -> None:
    gallery, app = page_of(samples.done(content=samples.png()))
    assert ask(app, address_in(gallery), headers={"if-none-match": given}).status == 200


def test_different_frames_have_different_tags() -> None:
    gallery, app = page_of(samples.partial(), samples.done("ig_1", samples.png(2, 2)))
    addresses = [each[name] for each in frames_in(gallery) for name in ("url", "small_url")]
    assert len({ask(app, f"/{address}").headers["etag"] for address in addresses}) == 4


def test_an_svg_opened_alone_is_a_download_that_may_run_nothing() -> None:
    drawing = b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><script>alert(1)</script></svg>'
    gallery = Gallery()
    shown(gallery, samples.done(content=drawing), limits=Limits(formats=("PNG", "SVG")))
    app = create_app(gallery, authorize=everyone)
    answer = ask(app, address_in(gallery))
    assert (answer.status, answer.body) == (200, drawing)
    assert answer.headers["content-type"].startswith("image/svg+xml")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"


def test_the_small_picture_of_a_frame_is_a_webp() -> None:
    picture = samples.picture("PNG", 700, 700)
    picture = picture[:-12] + samples.png_chunk(b"tEXt", bytes(30_000)) + picture[-12:]
    gallery, app = page_of(samples.done(content=picture))
    (frame,) = frames_in(gallery)
    small, original = (ask(app, f"/{frame[name]}") for name in ("small_url", "url"))
    assert original.body == picture
    assert small.headers["content-type"] == "image/webp"
    assert len(small.body) < len(picture)
    for name in ("cache-control", "content-security-policy", "x-content-type-options"):
        assert small.headers[name] == original.headers[name]
    assert ask(app, f"/{frame['small_url']}", headers={"if-none-match": small.headers["etag"]}).status == 304


def test_a_frame_of_a_removed_stream_is_a_404() -> None:
    gallery, app = page_of(samples.done(content=samples.png()))
    address = address_in(gallery)
    gallery.remove("otter")
    assert ask(app, address).status == 404


@pytest.mark.parametrize(
    "changed",
    [
        "/frames/{key}/",
        "/frames/{key}/..",
        "/frames/{key}/../{name}",
        "/frames/{key}/%2e%2e%2f{name}",
        "/frames/{key}/{name}%00",
        "/frames/{key}/%00{name}",
        "/frames/{key}/{name}/",
        "/frames/{key}/{name}%0a",
        "/frames/{key}/./{name}",
        "/frames//{name}",
        "/frames/{key}/x{name}",
        "/frames/{upper}/{name}",
        "/frames/{key}/%252e%252e",
        "/frames/{key}/\u2025",
        "/{key}/{name}",
    ],
)
def test_no_path_leads_out_of_the_frames(changed: str) -> None:
    gallery, app = page_of(samples.done(content=samples.png()))
    _, _, key, name = address_in(gallery).split("/")
    path = changed.format(key=key, upper=key.swapcase(), name=name)
    assert ask(app, path.encode().decode("latin-1")).status == 404


def test_the_key_of_one_stream_with_the_frame_of_another_is_a_404() -> None:
    gallery, app = page_of()
    shown(gallery, samples.done(content=samples.png()), name="mine")
    shown(gallery, samples.partial(), samples.done(content=samples.png(2, 2)), name="yours")
    key = address_in(gallery, "mine").split("/")[2]
    name = address_in(gallery, "yours").split("/")[3]
    assert name == "1.png"
    assert ask(app, f"/frames/{key}/{name}").status == 404


@pytest.mark.parametrize(
    "name", ["0.jpg", "0", "-small", "0-Small", "0-small.png", "00-small-small", "٠.png", "9" * 13]
)
def test_a_name_that_no_frame_has_is_a_404(name: str) -> None:
    gallery, app = page_of(samples.done(content=samples.png()))
    key = address_in(gallery).split("/")[2]
    assert ask(app, f"/frames/{key}/{name}".encode().decode("latin-1")).status == 404


# ---- mounted under a prefix


def mounted_in_starlette(app: Any) -> Application:
    return Starlette(routes=[Mount("/pictures", app)])


def mounted_in_fastapi(app: Any) -> Application:
    fastapi = pytest.importorskip("fastapi", reason="FastAPI is not installed: pip install fastapi")
    host = fastapi.FastAPI()
    host.mount("/pictures", app)
    return host  # type: ignore[no-any-return]


HOSTS = pytest.mark.parametrize("mounted", [mounted_in_starlette, mounted_in_fastapi])


@HOSTS
def test_under_a_prefix_every_address_is_relative_to_the_page(mounted: Callable[[Any], Application]) -> None:
    host = mounted(page_of(samples.done(content=samples.png()))[1])

    async def scene() -> None:
        html = (await asked(host, "/pictures/")).body.decode()
        for name in re.findall(r'(?:src|href)="([^"]+)"', html):
            assert (await asked(host, urljoin("/pictures/", name))).status == 200, name
        async with viewing(host, urljoin("/pictures/", "events")) as viewer:
            _, frame, _item = await viewer.batch()
        for name in ("url", "small_url"):
            answer = await asked(host, urljoin("/pictures/", frame.facts[name]))
            assert answer.body == samples.png()

    run(scene())


@HOSTS
def test_under_a_prefix_a_link_on_another_site_may_open_the_page(mounted: Callable[[Any], Application]) -> None:
    host = mounted(page_of()[1])
    link = {"sec-fetch-site": "cross-site", "sec-fetch-dest": "document"}
    assert ask(host, "/pictures/", headers=link).status == 200
    assert ask(host, "/pictures/events", headers=link).status == 403


@HOSTS
def test_under_a_prefix_an_unknown_path_is_a_404(mounted: Callable[[Any], Application]) -> None:
    host = mounted(page_of()[1])
    assert ask(host, "/pictures/nothing").status == ask(host, "/events").status == 404


def test_every_exported_name_exists() -> None:
    web = importlib.import_module("imgassemble.web")
    assert set(dir(web)) == set(web.__all__) == {"Gallery", "RedisGallery", "create_app", "everyone"}
    assert all(getattr(web, name) for name in web.__all__ if name != "RedisGallery" or find_spec("redis"))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = web.nothing
