"""The guard of a page that is served on its own, tested with a real server over raw sockets; and attacks on it."""

from __future__ import annotations

import json
import logging
import re
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import samples

from imgassemble import Assembler
from imgassemble.web import Gallery

pytest.importorskip("starlette", reason="the live page needs the extra web: pip install 'imgassemble[web]'")
pytest.importorskip("uvicorn", reason="the live page needs the extra web: pip install 'imgassemble[web]'")

from imgassemble.serving import listen
from imgassemble.web import server as server_module
from imgassemble.web.guard import is_loopback
from imgassemble.web.server import guarded_page, page_server

PATIENCE_S = 30  # how long a test waits for an expected event; the machine may be busy


@dataclass(slots=True)
class Running:
    port: int
    gallery: Gallery
    tokens: list[str] = field(default_factory=list)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)

    def send(self, *pieces: bytes) -> bytes:
        """Everything that the server sends until it closes the connection."""
        with self.connect() as connection:
            return told(connection, *pieces)

    def get(self, target: str = "/", **headers: str) -> Answer:
        return read(self.send(request(target, connection="close", **headers)))

    def update(self, name: str) -> None:
        """Add a stream, which every viewer then receives."""
        assembler = Assembler()
        self.gallery.add(name, assembler)
        assembler.feed(samples.partial())


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    head: str
    body: bytes

    def header(self, name: str) -> str | None:
        found = re.search(rf"(?im)^{name}: ([^\r\n]*)\r$", self.head)
        return found[1] if found else None


def request(target: str = "/", method: str = "GET", host: str = "127.0.0.1", **headers: str) -> bytes:
    named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"{method} {target} HTTP/1.1\r\nhost: {host}\r\n{named}\r\n".encode("latin-1")


def told(connection: socket.socket, *pieces: bytes) -> bytes:
    answer = b""
    try:
        for piece in pieces:
            connection.sendall(piece)
        while chunk := connection.recv(65_536):
            answer += chunk
    except ConnectionError:
        pass  # the server closed it before everything was sent
    return answer


def one_answer(connection: socket.socket) -> Answer:
    """One answer; the connection may stay open."""
    received = b""
    while True:
        head, _, body = received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        if body and length and len(body) >= int(length[1]):
            return read(received)
        chunk = connection.recv(65_536)
        assert chunk, "the connection was closed"
        received += chunk


def read(answer: bytes) -> Answer:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 "), answer[:200]
    return Answer(int(head[9:12]), head.decode("latin-1") + "\r\n", body)


@contextmanager
def serving(host: str = "127.0.0.1") -> Iterator[Running]:
    """The page for `host`; it listens on this machine only, although it is told otherwise."""
    running = Running(0, Gallery())
    listener = listen("127.0.0.1", 0)
    running.port = listener.getsockname()[1]
    server = page_server(guarded_page(running.gallery, host, link=running.tokens.append), patience_s=1)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield running
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        listener.close()
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def page() -> Iterator[Running]:
    with serving() as running:
        yield running


@pytest.fixture(scope="module")
def public() -> Iterator[Running]:
    with serving("0.0.0.0") as running:
        yield running


class Watching:
    """A viewer that reads all the time."""

    def __init__(self, running: Running, **headers: str) -> None:
        self._connection = running.connect()
        self._connection.sendall(request("/events", **headers))
        self._lines = self._connection.makefile("rb")
        while (line := self._lines.readline()) != b"event: seen\n":  # skip the streams that are shown already
            assert line, "the connection was closed"

    def until(self, name: str) -> None:
        """Wait until a stream of this name arrives."""
        while line := self._lines.readline():
            if line.startswith(b"data: ") and json.loads(line[6:]).get("name") == name:
                return
        raise AssertionError("the connection was closed")

    def close(self) -> None:
        self._lines.close()
        self._connection.close()


@contextmanager
def undisturbed(running: Running, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Check that another viewer receives everything meanwhile, and that nothing is logged."""
    watching = Watching(running)
    name = f"stream {len(running.gallery.names)}"
    try:
        with caplog.at_level(logging.DEBUG):
            yield
        running.update(name)
        watching.until(name)
        assert running.get().status == 200
    finally:
        watching.close()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


# ---- tokens


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.1.2.3"])
def test_only_this_machine_reaches_a_loopback_address(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "::", "192.168.1.2", "example.com", "127.0.0.1.example.com", "LOCALHOST."]
)
def test_other_names_and_addresses_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_a_page_on_this_machine_needs_no_token(page: Running) -> None:
    assert page.get().status == 200
    assert page.tokens == []


def test_a_page_for_other_machines_needs_a_token(public: Running) -> None:
    for target in (
        "/",
        "/events",
        "/static/page.css",
        "/frames/a/b.png",
        "/?token=",
        "/?token=x",
        "/?token=%ff",
        "/?x",
    ):
        answer = public.get(target)
        assert answer.status == 401
        assert b"Open the address that the terminal shows" in answer.body
        assert answer.header("set-cookie") is None


def test_a_token_is_exchanged_once_for_a_cookie(public: Running) -> None:
    token = public.tokens[-1]
    answer = public.get(f"/?token={token}")
    assert (answer.status, answer.header("location")) == (200, None)
    assert b'http-equiv="refresh" content="0; url=./"' in answer.body
    assert b"script" not in answer.body
    assert token.encode() not in answer.body
    assert str(answer.header("content-security-policy")).startswith("default-src 'none'; base-uri 'none'")
    cookie = answer.header("set-cookie")
    assert cookie is not None
    assert {"HttpOnly", "Path=/", "SameSite=strict"} <= set(cookie.split("; "))
    assert token not in cookie
    assert answer.header("referrer-policy") == "no-referrer"
    assert answer.header("cache-control") == "no-store"
    assert public.get("/", cookie=cookie.partition(";")[0]).status == 200
    assert public.get(f"/?token={token}").status == 401
    assert public.tokens[-1] != token


def test_a_head_request_does_not_use_up_the_token(public: Running) -> None:
    token = public.tokens[-1]
    answer = read(public.send(request(f"/?token={token}", "HEAD", connection="close")))
    assert (answer.status, answer.header("set-cookie"), answer.body) == (200, None, b"")
    assert public.tokens[-1] == token
    assert public.get(f"/?token={token}").header("set-cookie")
    assert read(public.send(request(f"/?token={token}", "HEAD", connection="close"))).status == 401


def test_the_next_viewer_gets_another_token(public: Running) -> None:
    cookies = {str(public.get(f"/?token={public.tokens[-1]}").header("set-cookie")).partition(";")[0] for _ in range(2)}
    assert len(cookies) == 2
    for cookie in cookies:
        assert public.get("/static/page.css", cookie=f"theme=dark; {cookie}").status == 200


def test_a_viewer_with_a_cookie_receives_changes(public: Running) -> None:
    cookie = str(public.get(f"/?token={public.tokens[-1]}").header("set-cookie")).partition(";")[0]
    watching = Watching(public, cookie=cookie)
    public.update("otter")
    watching.until("otter")
    watching.close()


def test_the_cookies_of_pages_on_two_ports_have_two_names() -> None:
    names = set()
    for _ in range(2):
        with serving("0.0.0.0") as running:
            names.add(str(running.get(f"/?token={running.tokens[-1]}").header("set-cookie")).partition("=")[0])
            port = running.port
        assert any(name.endswith(str(port)) for name in names)
    assert len(names) == 2


def test_a_new_cookie_replaces_the_oldest_of_many(public: Running) -> None:
    cookies = [
        str(public.get(f"/?token={public.tokens[-1]}").header("set-cookie")).partition(";")[0] for _ in range(65)
    ]
    assert public.get("/", cookie=cookies[0]).status == 401
    assert public.get("/", cookie=cookies[1]).status == 200


@pytest.mark.parametrize("value", ["", "x", "\xff\xfe", '"', "=", "\u00e9" * 50, "a" * 5_000])
def test_an_unknown_cookie_is_refused(public: Running, value: str) -> None:
    name = f"imgassemble-{public.port}"
    assert public.get("/", cookie=f"{name}={value}; {name}").status == 401


# ---- host names


NAMES_OF_THIS_MACHINE = ("127.0.0.1", "localhost", "[::1]", "127.0.0.1:8080", "LocalHost:1", "[::1]:65535", "127.9.9.9")
NO_NAMES = (
    "",
    "evil.example",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "evil.example:127.0.0.1",
    "127.0.0.1:80@evil.example",
    "127.0.0.1:evil",
    "evil@127.0.0.1",
    "[::1",
    "[::1]evil.example",
    "::1",
    "[evil.example]",
    "127.0.0.1, evil.example",
    "127.0.0.1/evil.example",
    "0.0.0.0",
    "192.168.1.2",
    "\xff",
)


@pytest.mark.parametrize("host", NAMES_OF_THIS_MACHINE)
def test_a_page_on_this_machine_is_served_under_its_names(page: Running, host: str) -> None:
    assert page.get(host=host).status == 200


@pytest.mark.parametrize("host", NO_NAMES)
def test_a_foreign_name_of_this_machine_is_refused(page: Running, host: str) -> None:
    for target in ("/", "/events", "/events/"):
        answer = page.get(target, host=host)
        assert answer.status == 421
        assert b"not served under this host name" in answer.body


@pytest.mark.parametrize("host", [*NAMES_OF_THIS_MACHINE, "192.168.1.2:80", "[2001:db8::1]", socket.gethostname()])
def test_a_page_for_other_machines_is_served_under_its_addresses_and_host_name(public: Running, host: str) -> None:
    assert public.get(host=host).status == 401


@pytest.mark.parametrize("host", ["", "evil.example", "127.0.0.1.evil.example", "[::1", "\xff"])
def test_a_page_for_other_machines_is_refused_under_other_names(public: Running, host: str) -> None:
    assert public.get(host=host).status == 421


def test_the_host_that_it_listens_on_is_a_valid_name() -> None:
    with serving("Machine.Example") as running:
        assert running.get(host="machine.example:80").status == 401
        assert running.get(host="other.example").status == 421


def test_a_page_of_another_origin_is_refused(page: Running) -> None:
    assert page.get("/events", origin="https://evil.example").status == 403
    assert page.get("/events", sec_fetch_site="cross-site").status == 403


# ---- attacks

LONG = "x" * 3_000
ATTACKS: dict[str, tuple[bytes, set[int]]] = {
    "a long address": (request("/" + LONG, connection="close"), {414}),
    "a long query": (request("/?" + LONG, connection="close"), {414}),
    "an address beyond all bounds": (request("/" + LONG * 40), {400, 414}),
    "a long header": (request(connection="close", x=LONG * 6), {431}),
    "a header beyond all bounds": (request(x=LONG * 100), {400, 431}),
    "many headers": (request(connection="close", **{f"x{n}": "y" for n in range(4_000)}), {400, 431}),
    "headers without number": (request(**{f"x{n}": "y" for n in range(50_000)}), {400, 431}),
    "a whole address": (request("http://127.0.0.1/events", connection="close"), {404}),
    "a whole address elsewhere": (request("http://evil.example/", connection="close"), {404}),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", {400}),
    "no host in HTTP/1.0": (b"GET / HTTP/1.0\r\n\r\n", {421}),
    "two hosts": (b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nhost: evil.example\r\n\r\n", {400}),
    "CONNECT": (request("evil.example:443", "CONNECT"), {405}),
    "OPTIONS": (request("*", "OPTIONS"), {405}),
    "TRACE": (request("/", "TRACE"), {405}),
    "POST": (request("/", "POST", content_length="5") + b"hello", {405}),
    "a method without a name": (b" / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n", {400}),
    "a method of its own": (request("/", "EVIL"), {405}),
    "a body": (request(content_length="5") + b"hello", {413}),
    "a body without end": (request(content_length="999999999999"), {413}),
    "a body of pieces": (request(transfer_encoding="chunked") + b"5\r\nhello\r\n0\r\n\r\n", {413}),
    "a body of pieces that are none": (request(transfer_encoding="chunked") + b"hello\r\n" * 9, {413, 400}),
    "a body of both kinds": (request(transfer_encoding="chunked", content_length="3") + b"0\r\n\r\n", {413, 400}),
    "another encoding": (request(transfer_encoding="gzip, chunked"), {501, 400, 413}),
    "a length below zero": (request(content_length="-1"), {400}),
    "two lengths": (b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", {400}),
    "a body that waits for a word": (request(content_length="5", expect="100-continue"), {413}),
    "bad percent signs": (request("/%zz%", connection="close"), {404}),
    "percent signs that are no letters": (request("/%ff%fe%00", connection="close"), {404}),
    "a way up": (request("/static/../../../../etc/passwd", connection="close"), {404}),
    "a coded way up": (request("/static/..%2f..%2f..%2fetc%2fpasswd", connection="close"), {404}),
    "a way up from the frames": (request("/frames/%2e%2e/%2e%2e", connection="close"), {404}),
    "letters beyond ASCII": (b"GET /\xc3\xa9 HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n", {400}),
    "a cookie beyond ASCII": (request(connection="close", cookie="imgassemble=\xff\xfe"), {200}),
    "a garbled id": (request("/nothing", connection="close", last_event_id="\xff" * 99), {404}),
    "a header without a colon": (b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nevil\r\n\r\n", {400}),
    "a header in two lines": (
        b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx: a\r\n b\r\nconnection: close\r\n\r\n",
        {200, 400},
    ),
    "a NUL": (b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx: \0\r\n\r\n", {400}),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 405}),
    "HTTP/0.9": (b"GET /\r\n\r\n", {400}),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2, {400}),
    "noise": (bytes(range(256)) * 200, {400}),
    "empty lines": (b"\r\n" * 50, {400}),
    "a bare carriage return": (b"GET / HTTP/1.1\rhost: 127.0.0.1\r\r", set()),
    "half a request": (b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx: ", set()),
    "nothing at all": (b"", set()),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused_and_other_viewers_are_served(
    page: Running, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    sent, statuses = ATTACKS[name]
    with undisturbed(page, caplog):
        answer = page.send(sent)
        assert not answer or not statuses or read(answer).status in statuses, answer[:300]
        assert b"Traceback" not in answer
        assert statuses or not answer or read(answer).status == 400


@pytest.mark.parametrize("name", ATTACKS)
def test_no_attack_passes_without_a_token(public: Running, name: str) -> None:
    answer = public.send(ATTACKS[name][0])
    assert not answer or 400 <= read(answer).status < 502


@pytest.mark.parametrize(
    "refused",
    [request(method="POST", content_length="5"), request(transfer_encoding="chunked")],
    ids=["POST", "chunked"],
)
def test_a_request_after_a_refusal_is_not_read(page: Running, refused: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with undisturbed(page, caplog), page.connect() as connection:
        connection.sendall(refused)
        assert one_answer(connection).header("connection") == "close"
        assert told(connection, b"zzz\r\n" * 99, request("/events")) == b""


def test_pipelined_requests_are_answered_in_order(page: Running, caplog: pytest.LogCaptureFixture) -> None:
    with undisturbed(page, caplog):
        answer = page.send(request("/static/icon.svg") * 50 + request(connection="close"))
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 51


def test_bytes_after_a_request_for_events_are_ignored(page: Running, caplog: pytest.LogCaptureFixture) -> None:
    with undisturbed(page, caplog), page.connect() as connection:
        connection.sendall(request("/events") + b"\0garbage\r\n\r\n" * 99)
        assert connection.recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize("target", ["/", "/events"])
def test_a_request_to_upgrade_is_answered_normally(
    page: Running, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    upgrade = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec_websocket_key": "AAAA",
        "sec_websocket_version": "13",
    }
    with undisturbed(page, caplog), page.connect() as connection:
        connection.sendall(request(target, **upgrade))
        assert connection.recv(12) == b"HTTP/1.1 200"


def test_a_request_that_arrives_too_slowly_is_closed(page: Running, caplog: pytest.LogCaptureFixture) -> None:
    with undisturbed(page, caplog), page.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n")
        end = time.monotonic() + PATIENCE_S
        while not select.select([connection], [], [], 0.05)[0]:
            assert time.monotonic() < end, "it is still listened to"
            connection.send(b"x")
        assert told(connection) == b""


def test_a_second_request_that_arrives_too_slowly_is_closed(page: Running) -> None:
    with page.connect() as connection:
        connection.sendall(request("/static/icon.svg"))
        assert one_answer(connection).status == 200
        connection.sendall(b"GET ")
        assert told(connection) == b""


def test_a_viewer_that_only_receives_is_not_closed(page: Running) -> None:
    watching = Watching(page)
    assert page.send(b"GET ") == b""  # takes as long as a silent request may
    assert page.send(b"GET ") == b""
    page.update("after a long silence")
    watching.until("after a long silence")
    watching.close()


def test_many_unfinished_requests_block_no_viewer(page: Running, caplog: pytest.LogCaptureFixture) -> None:
    with undisturbed(page, caplog):
        idle = [page.connect() for _ in range(100)]
        try:
            for connection in idle:
                connection.sendall(b"GET / HTTP/1.1\r\nx: ")
            assert page.get().status == 200
            for connection in idle:
                assert told(connection) == b""
        finally:
            for connection in idle:
                connection.close()


@pytest.mark.parametrize("said", [request(), request("/events"), b"", b"\x16\x03\x01 no HTTP", b"GET / HTTP/1.1\r\n"])
def test_a_connection_above_the_maximum_gets_a_refusal(
    page: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, said: bytes
) -> None:
    with undisturbed(page, caplog):
        with monkeypatch.context() as patch:
            patch.setattr(server_module, "_MAX_CONNECTIONS", 0)
            answer = read(page.send(said))
        assert (answer.status, answer.header("connection"), answer.header("retry-after")) == (503, "close", "10")
        assert answer.header("content-length") == str(len(answer.body))
        assert b"Try again later." in answer.body


def test_only_some_of_the_connections_above_the_maximum_get_an_answer(
    page: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with undisturbed(page, caplog):
        with monkeypatch.context() as patch:
            patch.setattr(server_module, "_MAX_CONNECTIONS", 0)
            patch.setattr(server_module, "_MAX_REFUSALS", 0)
            assert page.send(request()) == b""


def test_a_refused_connection_that_stays_is_closed(
    page: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with undisturbed(page, caplog):
        with monkeypatch.context() as patch:
            patch.setattr(server_module, "_MAX_CONNECTIONS", 0)
            with page.connect() as connection:
                assert read(told(connection)).status == 503
                end = time.monotonic() + PATIENCE_S
                with pytest.raises(ConnectionError):
                    while time.monotonic() < end:
                        connection.sendall(b"more")
                        time.sleep(0.05)


def test_viewers_that_read_nothing_or_leave_do_not_disturb_others(
    page: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with undisturbed(page, caplog):
        stuck = [page.connect() for _ in range(20)]
        for connection in stuck:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            connection.sendall(request("/events"))
        assembler = Assembler()
        page.gallery.add("many", assembler)
        for number in range(300):
            assembler.feed(samples.partial(f"ig_{number}", output_index=number))
        for connection in stuck:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closes with a reset
            connection.close()
        page.gallery.remove("many")


def test_the_server_stops_although_a_viewer_is_connected() -> None:
    with serving() as running:
        watching = Watching(running)
    watching.close()


def test_invalid_requests_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), serving() as running:
        running.send(b"noise\r\n\r\n")
        watching = Watching(running)
        running.update("otter")
        watching.until("otter")
    watching.close()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
