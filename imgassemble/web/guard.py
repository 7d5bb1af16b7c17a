"""Protect a page that is served on its own: check the host name, the viewer's token, and the size of a request.

A page on a loopback address needs no token, because only programs of this machine reach it. The host name is checked
there too: another site's name that points at this machine (DNS rebinding) is refused.
Must not know: the application that is served.
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

MAX_TARGET_BYTES = 2_048  # path and query; the longest address of the page has 130
MAX_HEADER_BYTES = 16_384  # all headers; a browser sends about 1,000
_MAX_SESSIONS = 64  # cookies that are valid at once; a new one replaces the oldest
_NO_STORE = SECURITY_HEADERS | {"cache-control": "no-store"}
_REFUSED = _NO_STORE | {"connection": "close"}  # the rest of the connection is not read
# A document leads to the page instead of a redirect: browsers send no SameSite=Strict cookie with a redirect that
# began on another site.
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
    """Return whether `host` is an address that only this machine can reach."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """An application that passes valid requests of known viewers on to `app`, and refuses all others.

    host: the address that the server listens on.
    link: called with each new one-time token, which is to be shown to the next viewer; None if no token is needed.
    """

    def __init__(self, app: ASGIApp, *, host: str, link: Callable[[str], object] | None) -> None:
        self._app, self._host, self._link = app, host.lower(), link
        self._token = ""
        self._sessions: deque[str] = deque(maxlen=_MAX_SESSIONS)
        self._new_token()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        for is_so, status, sentence in (
            (scope["method"] not in ("GET", "HEAD"), 405, "Only GET and HEAD are allowed here."),
            (_has_body(headers), 413, "Requests must have no body."),
            (len(scope["raw_path"]) + len(scope["query_string"]) > MAX_TARGET_BYTES, 414, "The address is too long."),
            (sum(len(k) + len(v) for k, v in scope["headers"]) > MAX_HEADER_BYTES, 431, "The headers are too long."),
            (not self._is_own_name(headers), 421, "This page is not served under this host name."),
        ):
            if is_so:
                headers_of_refusal = _REFUSED | ({"allow": "GET, HEAD"} if status == 405 else {})
                return PlainTextResponse(f"{sentence}\n", status, headers_of_refusal)
        return None if self._link is None or self._is_known(scope, headers) else self._admission(scope)

    def _is_known(self, scope: Scope, headers: Headers) -> bool:
        given = _cookies(headers, _cookie_name(scope))
        return any(compare_digest(cookie, known) for cookie in given for known in self._sessions)

    def _admission(self, scope: Scope) -> Response:
        """Return the answer to an unknown viewer: a cookie in exchange for the token, else a refusal."""
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if not compare_digest(given.encode(), self._token.encode()):
            sentence = "Open the address that the terminal shows. Its token is valid for one viewer.\n"
            return PlainTextResponse(sentence, 401, _NO_STORE)
        response = HTMLResponse(_WELCOME, headers=_WELCOME_HEADERS)
        if scope["method"] == "HEAD":
            return response  # a program that checks the link does not use up the token
        self._new_token()
        session = token_urlsafe(24)
        self._sessions.append(session)
        response.set_cookie(_cookie_name(scope), session, httponly=True, samesite="strict", path="/")
        return response

    def _new_token(self) -> None:
        if self._link is not None:
            self._token = token_urlsafe(24)
            self._link(self._token)

    def _is_own_name(self, headers: Headers) -> bool:
        given = _HOST.fullmatch(headers.get("host", "").lower())
        name = (given[1] or given[2]) if given else ""
        if is_loopback(name) or (name and name == self._host):
            return True
        if self._link is None:
            return False
        return _is_address(name) or name in (socket.gethostname().lower(), f"{socket.gethostname().lower()}.local")


def _cookie_name(scope: Scope) -> str:
    return f"imgassemble-{(scope['server'] or ('', 0))[1]}"  # with the port: a host's cookies are sent to all its ports


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
