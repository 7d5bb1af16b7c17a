"""Fetching a picture: real TLS servers on this machine, reached through names and addresses that a test chooses."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from samples import picture, png

from imgassemble import FrameError, LimitError, UsageError
from imgassemble.streams import fetch_https
from imgassemble.streams.fetching.https import Network, fetch_through
from imgassemble.streams.fetching.url_checks import is_public

PUBLIC = "93.184.215.14"
HOST = "pictures.example"
PICTURE = png(4, 4)

Answer = bytes | Callable[[ssl.SSLSocket], None]


def answer(body: bytes = PICTURE, status: str = "200 OK", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    if "Content_Length" not in headers and "Transfer_Encoding" not in headers:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body


def redirect(location: str, status: str = "302 Found") -> bytes:
    return answer(b"", status, Location=location)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for HOST and other.example, with its key, in one file."""
    if not shutil.which("openssl"):
        pytest.skip("openssl makes the certificate of the server")
    folder = tmp_path_factory.mktemp("tls")
    names = f"subjectAltName=DNS:{HOST},DNS:other.example,DNS:xn--bcher-kva.example,IP:{PUBLIC}"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
               "-days", "2", "-subj", "/CN=test", "-addext", names,
               "-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return folder


class TlsServer:
    """Answers each path with bytes, or with a function that is called with the connection."""

    def __init__(self, folder: Path) -> None:
        self.answers: dict[str, Answer] = {}
        self.requests: list[str] = []
        self.is_closing = Event()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            Thread(target=self._answer, args=(plain,), daemon=True).start()

    def _answer(self, plain: socket.socket) -> None:
        try:
            with self._context.wrap_socket(plain, server_side=True) as tls:
                request = b""
                while b"\r\n\r\n" not in request and (piece := tls.recv(4_096)):
                    request += piece
                self.requests.append(request.decode("latin-1"))
                reply = self.answers[self.requests[-1].split(" ")[1]]
                if callable(reply):
                    reply(tls)
                else:
                    tls.sendall(reply)
        except OSError:
            pass  # the client has left

    def close(self) -> None:
        self.is_closing.set()
        self._listener.close()


@pytest.fixture
def server(certificate: Path) -> Iterator[TlsServer]:
    running = TlsServer(certificate)
    yield running
    running.close()


class LocalNetwork(Network):
    """Names and public addresses that lead to a server of this machine. It notes where connections go."""

    def __init__(self, server: TlsServer, folder: Path, **names: list[str]) -> None:
        super().__init__(ssl.create_default_context(cafile=str(folder / "certificate.pem")))
        self.names = {HOST: [PUBLIC], "xn--bcher-kva.example": [PUBLIC], PUBLIC: [PUBLIC], **names}
        self.port = server.port
        self.connected: list[str] = []
        self.unreachable: set[str] = set()

    def resolve(self, host: str) -> list[str]:
        if host not in self.names:
            return super().resolve(host)  # numbers in any spelling, as the system reads them
        return self.names[host]

    def connect(self, address: str, timeout_s: float) -> socket.socket:
        self.connected.append(address)
        if address in self.unreachable:
            raise ConnectionRefusedError("refused")
        return socket.create_connection(("127.0.0.1", self.port), timeout_s)


@pytest.fixture
def network(server: TlsServer, certificate: Path) -> LocalNetwork:
    return LocalNetwork(server, certificate)


def fetched(network: Network, url: str, **bounds: Any) -> bytes:
    return fetch_through(network, url, **{"max_bytes": 100_000, "timeout_s": 10.0, **bounds})


def test_a_picture_is_fetched_as_it_is(server: TlsServer, network: LocalNetwork) -> None:
    server.answers["/a.png?sig=x%2B1&b=2"] = answer(Content_Type="text/html")  # the bytes decide
    assert fetched(network, f"https://{HOST}/a.png?sig=x%2B1&b=2#part") == PICTURE
    assert network.connected == [PUBLIC]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
def test_any_format_is_fetched(server: TlsServer, network: LocalNetwork, form: str) -> None:
    server.answers["/"] = answer(picture(form))
    assert fetched(network, f"https://{HOST}") == picture(form)


def test_the_characters_of_a_signature_stay(server: TlsServer, network: LocalNetwork) -> None:
    url = "/a%20b/(c)[d]?X-Sig=a%2Bb+c/d==&e[0]={f}|g^h`&~"
    server.answers[url] = answer()
    assert fetched(network, f"https://{HOST}{url}") == PICTURE


def test_a_body_in_chunks_and_one_until_the_end_are_fetched(server: TlsServer, network: LocalNetwork) -> None:
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(PICTURE), PICTURE)
    server.answers["/chunked"] = answer(chunks, Transfer_Encoding="chunked")
    server.answers["/until-end"] = b"HTTP/1.0 200 OK\r\n\r\n" + PICTURE
    assert fetched(network, f"https://{HOST}/chunked") == fetched(network, f"https://{HOST}/until-end") == PICTURE


def test_a_request_carries_no_credentials_and_no_cookies(
    server: TlsServer, network: LocalNetwork, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text(f"machine {HOST} login otter password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    server.answers["/a"] = answer(b"", "302 Found", Location="/b", Set_Cookie="a=b")
    server.answers["/b"] = answer()
    assert fetched(network, f"https://{HOST}/a") == PICTURE
    names = {line.partition(":")[0] for request in server.requests for line in request.split("\r\n")[1:-2]}
    assert names == {"Host", "User-Agent", "Accept", "Accept-Encoding", "Connection"}


def test_a_name_in_other_letters_is_found(server: TlsServer, network: LocalNetwork) -> None:
    server.answers["/%C3%BC.png"] = answer()
    assert fetched(network, "https://bücher.example/ü.png") == PICTURE


def test_the_next_address_is_tried(server: TlsServer, network: LocalNetwork) -> None:
    network.names[HOST] = ["93.184.215.13", PUBLIC]
    network.unreachable.add("93.184.215.13")
    server.answers["/"] = answer()
    assert fetched(network, f"https://{HOST}/") == PICTURE
    assert network.connected == ["93.184.215.13", PUBLIC]


def test_only_public_addresses_of_a_host_are_used(server: TlsServer, network: LocalNetwork) -> None:
    network.names[HOST] = ["10.0.0.1", "::1", PUBLIC]
    server.answers["/"] = answer()
    assert fetched(network, f"https://{HOST}/") == PICTURE
    assert network.connected == [PUBLIC]


@pytest.mark.parametrize(
    "url",
    [
        f"http://{HOST}/",
        f"ftp://{HOST}/",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        f"//{HOST}/",
        "",
        "https://",
        "https:///a.png",
        f"https://user@{HOST}/",
        f"https://user:secret@{HOST}/",
        f"https://@{HOST}/",
        f"https://{HOST}:8443/",
        f"https://{HOST}:80/",
        f"https://{HOST}:99999/",
        f"https://{HOST}:a/",
        f"https://{HOST}\\@127.0.0.1/",
        f"https://{HOST}/a b",
        f"https://{HOST}/a\r\nX-Injected: 1",
        f"https://{HOST}/\x00",
        f"https://{HOST}%2f@127.0.0.1/",
        "https://[::1%25lo]/",
        "https://[::1/",
        "https://a..b/",
        f"https://{'a' * 300}.example/",
        f"https://{HOST}/{'a' * 9_000}",
    ],
)
def test_an_unsafe_url_is_refused_before_anything_is_resolved(network: LocalNetwork, url: str) -> None:
    network.names.clear()
    with pytest.raises(FrameError, match="URL is kept"):
        fetched(network, url)
    assert not network.connected


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "127.1",
        "0",
        "0.0.0.0",
        "localhost",
        "LOCALHOST",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:93.184.215.14]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "[fc00::1]",
        "[ff02::1]",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "１２７.0.0.1",
        "127。0。0。1",
    ],
)
def test_a_private_host_in_any_spelling_is_refused(network: LocalNetwork, host: str) -> None:
    network.names.clear()
    with pytest.raises(FrameError):
        fetched(network, f"https://{host}/")
    assert not network.connected


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fe80::1%eth0", "::ffff:10.0.0.1"]
)
def test_a_name_of_a_private_address_is_refused(network: LocalNetwork, address: str) -> None:
    network.names[HOST] = [address]
    with pytest.raises(FrameError, match="no public address"):
        fetched(network, f"https://{HOST}/")
    assert not network.connected


@pytest.mark.parametrize(
    ("address", "expected"),
    [("8.8.8.8", True), ("2606:2800:220:1:248:1893:25c8:1946", True), ("2001:db8::1", False), ("3fff::1", False),
     ("2001::1", False), ("192.0.0.8", False), ("198.18.0.1", False), ("240.0.0.1", False), ("fec0::1", False),
     ("64:ff9b::808:808", False), ("no address", False)],
)  # fmt: skip
def test_public_addresses(address: str, *, expected: bool) -> None:
    assert is_public(address) is expected


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_followed(server: TlsServer, network: LocalNetwork, status: str) -> None:
    network.names["other.example"] = ["93.184.215.15"]
    server.answers["/a"] = redirect("https://other.example/b", status)
    server.answers["/b"] = answer()
    assert fetched(network, f"https://{HOST}/a") == PICTURE
    assert network.connected == [PUBLIC, "93.184.215.15"]


@pytest.mark.parametrize(
    "location",
    ["https://127.0.0.1/", "https://[::1]/", "https://2130706433/", "https://private.example/", f"http://{HOST}/",
     f"https://{HOST}:8443/", f"https://user@{HOST}/", "//169.254.169.254/latest/meta-data/", "file:///etc/passwd",
     "https://a b/"],
)  # fmt: skip
def test_a_redirect_is_checked_again(server: TlsServer, network: LocalNetwork, location: str) -> None:
    network.names["private.example"] = ["192.168.0.1"]
    server.answers["/a"] = redirect(location)
    with pytest.raises(FrameError):
        fetched(network, f"https://{HOST}/a")
    assert network.connected == [PUBLIC]


def test_a_name_that_turns_private_is_refused_at_the_redirect(server: TlsServer, network: LocalNetwork) -> None:
    def turn(tls: ssl.SSLSocket) -> None:
        network.names[HOST] = ["127.0.0.1"]
        tls.sendall(redirect("/b"))

    server.answers["/a"] = turn
    with pytest.raises(FrameError, match="no public address"):
        fetched(network, f"https://{HOST}/a")
    assert network.connected == [PUBLIC]


def test_redirects_are_bounded(server: TlsServer, network: LocalNetwork) -> None:
    server.answers["/a"] = redirect("/a")
    with pytest.raises(FrameError, match="redirects"):
        fetched(network, f"https://{HOST}/a")
    assert len(network.connected) == 6


@pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found", "410 Gone"])
def test_an_expired_url_is_named(server: TlsServer, network: LocalNetwork, status: str) -> None:
    server.answers["/a?X-Amz-Signature=secret"] = answer(b"<Error>Request has expired</Error>", status)
    with pytest.raises(FrameError, match=r"expired or gone .*URL is kept") as refused:
        fetched(network, f"https://{HOST}/a?X-Amz-Signature=secret")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (answer(b"<!doctype html><title>Sign in</title>", Content_Type="image/png"), "an HTML page"),
        (answer(b"plain words", Content_Type="image/png"), "no picture"),
        (answer(b""), "no picture"),
        (answer(Content_Encoding="gzip"), "compressed"),
        (answer(Content_Length="900"), "of 900 bytes"),
        (answer(status="204 No Content", body=b""), "204"),
        (answer(status="302 Found", body=b""), "302"),
        (answer(status="500 Oops"), "500"),
        (b"not http at all\r\n\r\n", "cannot be fetched"),
        (b"", "cannot be fetched"),
    ],
)
def test_a_wrong_answer_is_refused(server: TlsServer, network: LocalNetwork, reply: bytes, words: str) -> None:
    server.answers["/"] = reply
    with pytest.raises(FrameError, match=words):
        fetched(network, f"https://{HOST}/")


def test_a_picture_that_says_it_is_too_large_is_not_read(server: TlsServer, network: LocalNetwork) -> None:
    server.answers["/"] = answer(Content_Length="100001")
    with pytest.raises(LimitError) as refused:
        fetched(network, f"https://{HOST}/")
    assert (refused.value.limit, refused.value.actual) == ("max_frame_bytes", 100_001)


@pytest.mark.parametrize("head", [b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"])
def test_an_endless_body_is_cut(server: TlsServer, network: LocalNetwork, head: bytes) -> None:
    def pour(tls: ssl.SSLSocket) -> None:
        tls.sendall(head)
        while not server.is_closing.is_set():
            tls.sendall(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")

    server.answers["/"] = pour
    with pytest.raises(LimitError):
        fetched(network, f"https://{HOST}/")


@pytest.mark.parametrize(
    "drop",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: ",
        b"",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
def test_a_slow_drip_ends_at_the_deadline(server: TlsServer, network: LocalNetwork, drop: bytes) -> None:
    def drip(tls: ssl.SSLSocket) -> None:
        tls.sendall(drop)
        while not server.is_closing.wait(0.02):
            tls.sendall(drop if b"100" in drop else b"x")

    server.answers["/"] = drip
    began = time.monotonic()
    with pytest.raises(FrameError, match=r"more than 0\.3 seconds"):
        fetched(network, f"https://{HOST}/", timeout_s=0.3)
    assert time.monotonic() - began < 5


def test_a_server_that_shakes_no_hands_ends_at_the_deadline(certificate: Path, server: TlsServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        network = LocalNetwork(server, certificate)
        network.port = silent.getsockname()[1]
        with pytest.raises(FrameError, match="seconds"):
            fetched(network, f"https://{HOST}/", timeout_s=0.2)


def test_a_resolver_that_hangs_ends_at_the_deadline(certificate: Path, server: TlsServer) -> None:
    class Hanging(LocalNetwork):
        def resolve(self, _host: str) -> list[str]:
            server.is_closing.wait(30)
            return []

    with pytest.raises(FrameError, match="seconds"):
        fetched(Hanging(server, certificate), f"https://{HOST}/", timeout_s=0.2)


def test_a_certificate_for_another_name_is_refused(server: TlsServer, network: LocalNetwork) -> None:
    network.names["third.example"] = [PUBLIC]
    with pytest.raises(FrameError, match="certificate"):
        fetched(network, "https://third.example/")
    assert not server.requests


def test_an_unknown_authority_is_refused(server: TlsServer, network: LocalNetwork) -> None:
    network.context = ssl.create_default_context()
    with pytest.raises(FrameError, match="certificate"):
        fetched(network, f"https://{HOST}/")


def test_a_host_without_an_address_is_named(server: TlsServer, network: LocalNetwork) -> None:
    network.names[HOST] = []
    with pytest.raises(FrameError):
        fetched(network, f"https://{HOST}/")
    network.names[HOST] = [PUBLIC]
    network.unreachable.add(PUBLIC)
    with pytest.raises(FrameError, match="refused"):
        fetched(network, f"https://{HOST}/")


def test_the_real_network_reaches_no_private_address() -> None:
    for url in ("https://127.0.0.1/", "https://localhost/", "https://2130706433/"):
        with pytest.raises(FrameError, match="no public address"):
            fetch_https(url)
    with pytest.raises(UsageError):
        fetch_https(7)  # type: ignore[arg-type]
