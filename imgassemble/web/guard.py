"""Who may speak to a page that is served on its own: the right host, a known viewer, a modest request.

Knows: hosts, tokens, cookies, ASGI. Must not know: what is served behind it.
A page on a loopback address asks for no token: whoever reaches it is on this machine. `Host` is checked all the same,
so that a name that somebody else points at this machine leads nowhere.
"""

from __future__ import annotations

import re
import socket
from collections import deque
from collections.abc import Callable
from ipaddress import ip_address
from secrets import compare_digest, token_urlsafe
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from .app import SECURITY_HEADERS

MAX_TARGET_BYTES = 2_048  # of path and query; the longest address here has 130
MAX_HEADER_BYTES = 16_384  # of all headers; a browser sends about 1,000
_MOST_SESSIONS = 64  # cookies that are valid at once; the oldest goes
_NO_STORE = SECURITY_HEADERS | {"cache-control": "no-store"}
_REFUSED = _NO_STORE | {"connection": "close"}  # whatever follows on this connection is not read
# The page comes after this one and not by a redirect: one that began on another site is sent no SameSite=Strict cookie.
_WELCOME = """<!doctype html>
<html lang="en">
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <meta http-equiv="refresh" content="0; url=./">
  <title>imgassemble</title>
  <p><a href="./">Go on to the page</a></p>
</html>
"""
_WELCOME_HEADERS = _NO_STORE | {
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\s\[\]:/@]+))(?::\d{1,5})?")  # [address] or name, and a port


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """An application that lets modest requests of known viewers through to `app`.

    host: where it listens. link: called with each new one-time token, to be shown to who may see the page; None on a
    loopback address, where no token is asked for.
    """

    def __init__(self, app: ASGIApp, *, host: str, link: Callable[[str], object] | None) -> None:
        self._app, self._host, self._link = app, host.lower(), link
        self._token = ""
        self._sessions: deque[str] = deque(maxlen=_MOST_SESSIONS)
        self._new_token()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        for is_so, status, sentence in (
            (scope["method"] not in ("GET", "HEAD"), 405, "This page is only read: GET."),
            (_has_body(headers), 413, "This page takes no bodies."),
            (len(scope["raw_path"]) + len(scope["query_string"]) > MAX_TARGET_BYTES, 414, "The address is too long."),
            (sum(len(k) + len(v) for k, v in scope["headers"]) > MAX_HEADER_BYTES, 431, "The headers are too long."),
            (not self._is_our_name(headers), 421, "This page is not served under this name."),
        ):
            if is_so:
                return PlainTextResponse(
                    f"{sentence}\n", status, _REFUSED | ({"allow": "GET, HEAD"} if status == 405 else {})
                )
        return None if self._link is None else self._unknown(scope, headers)

    def _unknown(self, scope: Scope, headers: Headers) -> Response | None:
        """What somebody gets who is not known; None for who is."""
        cookie = f"imgassemble-{(scope['server'] or ('', 0))[1]}"  # browsers send a host's cookies to all of its ports
        if any(compare_digest(given, known) for given in _cookies(headers, cookie) for known in self._sessions):
            return None
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if not compare_digest(given.encode(), self._token.encode()):
            sentence = "Open the address that the terminal shows: it has a token that is good for one viewer.\n"
            return PlainTextResponse(sentence, 401, _NO_STORE)
        response = HTMLResponse(_WELCOME, headers=_WELCOME_HEADERS)
        if scope["method"] == "HEAD":
            return response  # whoever only looks what the link leads to uses nothing up
        self._new_token()  # it was good for one viewer
        session = token_urlsafe(24)
        self._sessions.append(session)
        response.set_cookie(cookie, session, httponly=True, samesite="strict", path="/")
        return response

    def _new_token(self) -> None:
        if self._link is not None:
            self._token = token_urlsafe(24)
            self._link(self._token)

    def _is_our_name(self, headers: Headers) -> bool:
        given = _HOST.fullmatch(headers.get("host", "").lower())
        name = (given[1] or given[2]) if given else ""
        if is_loopback(name) or (name and name == self._host):
            return True
        if self._link is None:
            return False
        return _is_address(name) or name in (socket.gethostname().lower(), f"{socket.gethostname().lower()}.local")


def _cookies(headers: Headers, wanted: str) -> list[str]:
    pairs = (pair.strip().partition("=") for line in headers.getlist("cookie") for pair in line.split(";"))
    return [value for name, _, value in pairs if name == wanted and value.isascii()][:8]


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0").strip("0") != "" or "transfer-encoding" in headers


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
