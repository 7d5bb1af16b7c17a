"""Where a server listens, and how a client is told of it.

Knows: sockets that listen. Must not know: what is served there.
"""

from __future__ import annotations

import socket
from contextlib import suppress

from .errors import UsageError

# What "anywhere" is called, and an address far away that is nobody's: nothing is ever sent to it.
_FAR = {"0.0.0.0": "192.0.2.1", "::": "2001:db8::1"}  # noqa: S104


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on `host`; port 0 takes a free one. Raises UsageError where it cannot be had."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError, UnicodeError) as cause:  # UnicodeError: a name that is none
        reason = getattr(cause, "strerror", None) or str(cause)
        raise UsageError(f"cannot listen on {host}:{port}: {reason}; choose another address or port") from cause


def url_of(listener: socket.socket) -> str:
    """Where clients find it, without a path: on other machines too where it listens for them."""
    host, port = listener.getsockname()[:2]
    if host in _FAR:
        host = _own_address(listener.family, _FAR[host])
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _own_address(family: int, far: str) -> str:
    """What this machine is called towards the network: its address there, else its name."""
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((far, 9))  # no packet: it only finds the way out
        return str(probe.getsockname()[0])
    return socket.gethostname()
