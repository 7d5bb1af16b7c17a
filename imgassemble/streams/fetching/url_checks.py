"""Checks a URL that a service sent, and the addresses of its host, before anything is fetched.

Must not know: connections, pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from urllib.parse import quote, urlsplit

from ...errors import FrameError, clean

HTTPS_PORT = 443
_LONGEST_URL = 8_192  # characters, the most that servers take
# Characters that browsers send as they are: a signature counts for the URL as it was sent.
_KEPT_IN_PATH = "/%:@!$&'()*+,;=~-._[]|"
_KEPT_IN_QUERY = "/%:@!$&()*+,;=~-._[]|?{}^`"
# Public addresses of IPv6 begin with 001. The others, also mapped and translated ones of IPv4, lead elsewhere.
_PUBLIC_IPV6 = ip_network("2000::/3")
_NOT_PUBLIC = tuple(
    map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
)


@dataclass(frozen=True)
class CheckedUrl:
    """A URL after the check of its parts."""

    url: str
    host: str
    path: str  # with the query

    @property
    def name(self) -> str:
        """The URL without its query, which can hold a signature."""
        return f"'{clean(self.url.partition('?')[0], 200)}'"


def checked_url(url: str) -> CheckedUrl:
    """Return the parts of a URL. Raises FrameError if it is not accepted."""
    shown = clean(url.partition("?")[0], 200)

    def refuse(reason: str) -> FrameError:
        return FrameError(f"the picture at '{shown}' is not fetched: {reason}; the URL is kept")

    if len(url) > _LONGEST_URL or any(letter <= " " or letter in '\\\x7f"<>' for letter in url):
        raise refuse("the URL is too long, or has white space or control characters")
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname or ""
        host = host if ":" in host else host.encode("idna").decode("ascii")
    except ValueError as cause:
        raise refuse("the URL is malformed") from cause
    if parts.scheme != "https":
        raise refuse("only https is fetched")
    if "@" in parts.netloc:
        raise refuse("the URL has a user name")
    if port not in (None, HTTPS_PORT):
        raise refuse(f"only port {HTTPS_PORT} is fetched")
    if not host or "%" in host:
        raise refuse("the URL names no host")
    path = quote(parts.path or "/", safe=_KEPT_IN_PATH)
    query = f"?{quote(parts.query, safe=_KEPT_IN_QUERY)}" if parts.query else ""
    return CheckedUrl(url, host, path + query)


def is_public(address: str) -> bool:
    """Return whether an IP address belongs to the public internet."""
    try:
        ip = ip_address(address)
    except ValueError:  # it has a zone, so it is link-local
        return False
    if ip.version == 6 and ip not in _PUBLIC_IPV6:
        return False
    is_special = ip.is_multicast or ip.is_reserved or not ip.is_global
    return not is_special and not any(ip in network for network in _NOT_PUBLIC if network.version == ip.version)
