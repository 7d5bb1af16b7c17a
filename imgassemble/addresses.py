"""Where a server listens, and how a client is told of it.

Knows: sockets that listen. Must not know: what is served there.
"""

from __future__ import annotations

import socket

from .errors import UsageError

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (what a client on this machine can connect to instead)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on `host`; port 0 takes a free one. Raises UsageError where it cannot be had."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError, UnicodeError) as cause:  # UnicodeError: a name that is none
        reason = getattr(cause, "strerror", None) or str(cause)
        raise UsageError(f"cannot listen on {host}:{port}: {reason}; choose another address or port") from cause


def url_of(listener: socket.socket) -> str:
    """Where a client on this machine finds it, without a path."""
    host, port = listener.getsockname()[:2]
    host = _ANY.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
