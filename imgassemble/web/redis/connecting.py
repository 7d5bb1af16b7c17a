"""Connect to Redis or Valkey. The only module that imports redis-py, of the extra `redis`.

Must not know: keys, scripts, what is read or written.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from ...arguments import check_text
from ...errors import UsageError

try:
    from redis import Redis
    from redis.backoff import ExponentialBackoff
    from redis.exceptions import (
        AuthenticationError,
        MovedError,
        NoPermissionError,
        OutOfMemoryError,
        ReadOnlyError,
        RedisError,
        ResponseError,
    )
    from redis.retry import Retry
except ModuleNotFoundError as _missing:
    raise UsageError("a gallery on Redis needs redis: pip install 'imgassemble[redis]'") from _missing

__all__ = [
    "AuthenticationError",
    "MovedError",
    "NoPermissionError",
    "OutOfMemoryError",
    "ReadOnlyError",
    "Redis",
    "RedisError",
    "ResponseError",
    "check_url",
    "connect",
]

_SCHEMES = ("redis", "rediss", "unix")
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 0.5  # before a command is sent again


def check_url(url: object) -> None:
    """Raise UsageError unless `url` is the address of a server."""
    check_text("url", url)
    if urlsplit(str(url)).scheme not in _SCHEMES:  # the address may hold a password, so it is not shown
        raise UsageError("url is the address of Redis or Valkey: redis://host:6379/0, rediss://… or unix:///path")


def connect(url: str, *, timeout_s: float = 5.0, retries: int = 3) -> Redis:
    """Return a client of the server at `url`; it connects at its first command. Safe in any thread, and after a fork.

    timeout_s: seconds for a connection and for each answer; above the time for which a command may block.
    retries: how often a command is sent again after the connection was lost; 0: never.
    """
    retry = Retry(ExponentialBackoff(_LONGEST_PAUSE_S, _SHORTEST_PAUSE_S), retries)
    try:
        client = Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=min(timeout_s, 5.0), retry=retry)
        client.connection_pool.connection_kwargs["decode_responses"] = False  # frames are bytes
        client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)  # refuses unknown options
    except (ValueError, TypeError, RedisError) as error:
        raise UsageError(f"the address of Redis cannot be read: {error}") from None
    return client
