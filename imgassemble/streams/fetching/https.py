"""Fetches a picture from a URL that a service sent. The URL comes from outside, so nothing about it is trusted.

Must not know: events, items, the driver that asks for the picture.
"""

from __future__ import annotations

import io
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse
from threading import Thread
from typing import Any
from urllib.parse import urljoin

from ...errors import FrameError, LimitError, UsageError, clean
from ...frames.containers import format_of
from ...limits import Limits
from ..decoding.file_kinds import START_BYTES, kind_of_file
from .url_checks import HTTPS_PORT, CheckedUrl, checked_url, is_public

_MOST_REDIRECTS = 5  # storage services use one or two
_CHUNK_BYTES = 64 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GONE = frozenset({401, 403, 404, 410})  # an expired signature is 403 or 401 at S3, Azure and Google
_HEADERS = {
    "User-Agent": "imgassemble",
    "Accept": "image/*",
    "Accept-Encoding": "identity",
    "Connection": "close",
}


def fetch_https(url: str, *, max_bytes: int = Limits().max_frame_bytes, timeout_s: float = 60.0) -> bytes:
    """Return the bytes of the picture at an https URL that a service sent.

    max_bytes: the largest picture, in bytes.
    timeout_s: the time for everything, redirects included, in seconds.

    The URL comes from outside. So it must be https on port 443, without a user name. The connection goes to a checked
    address: no private, loopback, link-local, multicast or IPv4-mapped one. Each redirect (at most 5) is checked again.
    No credentials, cookies or proxy are used. The bytes must be a picture; the Content-Type does not count.

    Raises FrameError if the picture cannot be fetched, or is none; LimitError if it is larger than `max_bytes`;
    UsageError if `url` is no text. It blocks; an async driver runs it in a thread.

        result = assemble(stream, fetch=fetch_https)
    """
    return fetch_through(Network(), url, max_bytes=max_bytes, timeout_s=timeout_s)


@dataclass
class Network:
    """The network: names become addresses, and addresses connections. Tests put another one in its place."""

    context: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    def resolve(self, host: str) -> list[str]:
        """Return the addresses of a host. Raises OSError."""
        found = socket.getaddrinfo(host, HTTPS_PORT, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    def connect(self, address: str, timeout_s: float) -> socket.socket:
        """Return a connection to port 443 of an address. Raises OSError."""
        return socket.create_connection((address, HTTPS_PORT), timeout_s)


def fetch_through(network: Network, url: str, *, max_bytes: int, timeout_s: float) -> bytes:
    """Return the bytes of the picture at `url`, as `fetch_https` does."""
    if not isinstance(url, str):
        raise UsageError(f"a URL is a text, not {type(url).__name__}")
    deadline = _Deadline(timeout_s)
    for _ in range(_MOST_REDIRECTS + 1):
        target = checked_url(url)
        try:
            data = _get(network, target, deadline, max_bytes)
        except ssl.SSLError as cause:
            reason = getattr(cause, "verify_message", "") or cause.reason or cause
            raise _failure(
                target, f"its certificate or connection is not accepted ({clean(str(reason), 100)})"
            ) from cause
        except TimeoutError as cause:
            raise _failure(target, f"it took more than {timeout_s:g} seconds") from cause
        except (OSError, HTTPException) as cause:
            reason = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
            raise _failure(target, clean(reason, 100)) from cause
        if isinstance(data, bytes):
            return _checked(data, target)
        url = urljoin(target.url, data)
    raise _failure(target, f"it has more than {_MOST_REDIRECTS} redirects")


class _Deadline:
    """The time at which everything must be done."""

    def __init__(self, timeout_s: float) -> None:
        self._end = time.monotonic() + timeout_s

    def left_s(self) -> float:
        """Return the seconds that are left. Raises TimeoutError if there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def _get(network: Network, target: CheckedUrl, deadline: _Deadline, max_bytes: int) -> bytes | str:
    """Return the body of the answer, or the URL of a redirect."""
    with _connected(network, target, deadline) as tls:
        connection = HTTPConnection(f"[{target.host}]" if ":" in target.host else target.host)
        connection.sock = _Timed(tls, deadline)  # it is never connected again: `auto_open` is off
        connection.auto_open = 0
        connection.request("GET", target.path, headers=_HEADERS)
        response = connection.getresponse()
        if response.status in _REDIRECTS and (location := response.getheader("Location")):
            return location
        if response.status != 200:
            words = "it is expired or gone" if response.status in _GONE else "the server refused"
            raise _failure(target, f"{words} (HTTP {response.status})")
        if response.getheader("Content-Encoding", "identity").lower() != "identity":
            raise _failure(target, "the server sent it compressed")
        return _body(response, target, max_bytes)


def _connected(network: Network, target: CheckedUrl, deadline: _Deadline) -> ssl.SSLSocket:
    """Return a connection to a public address of the host, after the handshake."""
    addresses = [address for address in _resolved(network, target.host, deadline) if is_public(address)]
    if not addresses:
        raise FrameError(
            f"the picture at {target.name} is not fetched: its host has no public address; the URL is kept"
        )
    plain = _first_connection(network, addresses, deadline)
    try:
        plain.settimeout(deadline.left_s())
        return network.context.wrap_socket(plain, server_hostname=target.host)
    except BaseException:
        plain.close()
        raise


def _resolved(network: Network, host: str, deadline: _Deadline) -> list[str]:
    """Return the addresses of a host. The system's resolver has no time limit, so it runs in a thread."""
    found: list[list[str] | OSError] = []

    def resolve() -> None:
        try:
            found.append(network.resolve(host))
        except (OSError, UnicodeError) as error:
            found.append(error if isinstance(error, OSError) else OSError("the name of its host is malformed"))

    thread = Thread(target=resolve, name="imgassemble-resolve", daemon=True)
    thread.start()
    thread.join(deadline.left_s())
    if not found:
        raise TimeoutError
    if isinstance(found[0], OSError):
        raise found[0]
    return found[0]


def _first_connection(network: Network, addresses: list[str], deadline: _Deadline) -> socket.socket:
    failed = OSError("its host has no address")
    for at, address in enumerate(addresses):
        try:
            return network.connect(address, deadline.left_s() / (len(addresses) - at))
        except OSError as error:
            failed = error
    raise failed


class _Timed:
    """A socket for http.client. Each of its waits ends at the deadline, so that single bytes cannot prolong it."""

    def __init__(self, tls: ssl.SSLSocket, deadline: _Deadline) -> None:
        self._tls, self._deadline = tls, deadline

    def sendall(self, data: bytes) -> None:
        self._tls.settimeout(self._deadline.left_s())
        self._tls.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._tls, self._deadline), _CHUNK_BYTES)

    def close(self) -> None:
        """Leave the socket open: its owner closes it."""


class _TimedReader(io.RawIOBase):
    def __init__(self, tls: ssl.SSLSocket, deadline: _Deadline) -> None:
        self._tls, self._deadline = tls, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._tls.settimeout(self._deadline.left_s())
        return self._tls.recv_into(buffer)


def _body(response: HTTPResponse, target: CheckedUrl, max_bytes: int) -> bytes:
    promised = response.length  # None if the server does not say
    if promised is not None and promised > max_bytes:
        raise _too_large(target, promised, max_bytes)
    pieces: list[bytes] = []
    size = 0
    for piece in _pieces(response):
        size += len(piece)
        if size > max_bytes:
            raise _too_large(target, size, max_bytes)
        pieces.append(piece)
    if promised is not None and size < promised:
        raise _failure(target, f"{size:,} of {promised:,} bytes came")
    return b"".join(pieces)


def _pieces(response: HTTPResponse) -> Iterator[bytes]:
    while piece := response.read1(_CHUNK_BYTES):
        yield piece


def _checked(data: bytes, target: CheckedUrl) -> bytes:
    if format_of(data) is None:
        kind = kind_of_file(data[:START_BYTES])
        raise _failure(target, f"the server sent {kind.name}" if kind else "the bytes are no picture")
    return data


def _too_large(target: CheckedUrl, size: int, max_bytes: int) -> LimitError:
    sentence = (
        f"the picture at {target.name} has {size:,} bytes or more, and {max_bytes:,} are allowed; the URL is kept"
    )
    return LimitError(sentence, limit="max_frame_bytes", actual=size)


def _failure(target: CheckedUrl, reason: str) -> FrameError:
    return FrameError(f"the picture at {target.name} cannot be fetched: {reason}; the URL is kept")
