"""Write objects of a store on conditions: no object is replaced that another program has written.

A new object is put with "create only", and a known one with the version (ETag, generation) of the last write.
Must not know: items, frames, the names of objects.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from errno import EACCES, EEXIST, ENOENT, ENOTSUP
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import HTTPStore, LocalStore

from ..arguments import shorten
from ..errors import SinkError, UsageError, clean, printable, quoted

if TYPE_CHECKING:
    from obstore.store import ObjectStore

Version = dict[str, str]
"""The ETag or the generation of an object, as obstore takes it for a conditional put."""

_FAILURES = (BaseError, OSError, NotImplementedError, ValueError)  # the exceptions of obstore
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "specified bucket does not exist")  # S3, Azure, GCS
_ADVICE: dict[type[Exception] | tuple[type[Exception], ...], tuple[str, int | None]] = {
    (PermissionDeniedError, UnauthenticatedError): (
        "check the credentials, and the rights to list, read, write and delete",
        EACCES,
    ),
    FileNotFoundError: ("make the bucket or the container first", ENOENT),
    (NotSupportedError, NotImplementedError): ("the store must support conditional writes", ENOTSUP),
    Exception: ("check its address (http:// needs allow_http) and the network; retry_config sets its retries", None),
}


class StoredObject(NamedTuple):
    """The contents of an object."""

    data: bytes
    version: Version
    modified_s: float  # seconds since 1970


class ConditionalObjects:
    """The objects that this run has read or written, with their versions.

    store: a store of obstore.

    Raises UsageError if it is no store, or one without conditional writes.
    """

    def __init__(self, store: ObjectStore) -> None:
        if isinstance(store, LocalStore | HTTPStore):
            instead = "DirectorySink(folder)" if isinstance(store, LocalStore) else "an S3Store, GCSStore or AzureStore"
            raise UsageError(f"{type(store).__name__} has no conditional writes: use {instead}")
        if not hasattr(store, "put_async") or isinstance(store, type):
            raise UsageError(f"store is a store of obstore, such as S3Store('bucket'), not {store!r:.80}")
        self._store = store
        self._versions: dict[str, Version] = {}  # by key
        self._unsure: dict[str, str] = {}  # digests of the writes that failed: the store may have them, by key

    def check(self, prefix: str) -> None:
        """Ask the store for an object that is not there. Raises SinkError if it has no answer, or no bucket."""
        _check_fork()
        key = f"{prefix}.imgassemble-check"
        try:
            obstore.get(self._store, key)
        except FileNotFoundError as cause:
            if any(code in str(cause) for code in _NO_BUCKET):
                raise store_error(key, "write", cause) from cause
        except _FAILURES as cause:
            raise store_error(key, "read", cause) from cause

    def create(self, key: str, data: bytes, content_type: str) -> bool:
        """Write a new object. Return False if another run or program has written one. Raises SinkError."""
        try:
            self._put(key, data, content_type, "create")
        except (AlreadyExistsError, PreconditionError):
            return self._adopt_own(key, data)
        return True

    def put(self, key: str, data: bytes, content_type: str) -> None:
        """Write an object that this run knows, or a new one.

        Raises SinkError, with the errno EEXIST if another run or program has written it.
        """
        for _ in range(2):
            try:
                return self._put(key, data, content_type, self._versions.get(key, "create"))
            except (AlreadyExistsError, PreconditionError):
                if not self._adopt_own(key, data):
                    break
        sentence = f"another run or program has written {quoted(key)}, which stays; give each run a prefix of its own"
        raise SinkError(sentence, path=key, errno=EEXIST)

    def _adopt_own(self, key: str, data: bytes) -> bool:
        """Return whether an object has the bytes of this run, and then remember its version.

        The answer to a write can be lost on its way. The next write then finds the object.
        """
        found = self.read(key)
        digest = sha256(found.data).hexdigest() if found else ""
        is_own = digest in (sha256(data).hexdigest(), self._unsure.get(key))
        if found and is_own:
            self.adopt(key, found.version)
        return is_own

    def _put(self, key: str, data: bytes, content_type: str, mode: Version | Literal["create"]) -> None:
        attributes = {"Content-Type": content_type}
        try:
            result = obstore.put(self._store, key, data, mode=mode, attributes=attributes, use_multipart=False)
        except (AlreadyExistsError, PreconditionError):
            raise
        except _FAILURES as cause:
            self._unsure[key] = sha256(data).hexdigest()
            raise store_error(key, "write", cause) from cause
        self.adopt(key, _version_in(result))
        self._unsure.pop(key, None)

    def read(self, key: str, max_bytes: int | None = None) -> StoredObject | None:
        """Return an object; None if there is none or it is too large. Raises SinkError."""
        try:
            answer = obstore.get(self._store, key)
            meta = answer.meta
            if max_bytes is not None and meta["size"] > max_bytes:
                return None
            data = bytes(answer.bytes())
        except FileNotFoundError:
            return None
        except _FAILURES as cause:
            raise store_error(key, "read", cause) from cause
        return StoredObject(data, _version_in(meta), meta["last_modified"].timestamp())

    def adopt(self, key: str, version: Version | None = None) -> None:
        """Let `put` replace this version of an object; without a version the one that is there. Raises SinkError."""
        try:
            self._versions[key] = version or _version_in(obstore.head(self._store, key))
        except FileNotFoundError:
            self._versions.pop(key, None)
        except _FAILURES as cause:
            raise store_error(key, "read", cause) from cause

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that begin with `prefix`, which ends with "/" or is empty. Raises SinkError."""
        _check_fork()
        return list(self._list(prefix))

    def _list(self, prefix: str) -> Iterator[str]:
        try:
            for chunk in obstore.list(self._store, prefix.removesuffix("/") or None):
                yield from (meta["path"] for meta in chunk)
        except _FAILURES as cause:
            raise store_error(prefix, "list", cause) from cause

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; those that are gone are no error. Raises SinkError."""
        for key in keys:
            try:
                obstore.delete(self._store, key)
            except FileNotFoundError:
                pass
            except _FAILURES as cause:
                raise store_error(key, "remove", cause) from cause
            self._versions.pop(key, None)


_process_ids: set[int] = set()  # those that have used obstore: one, and two after a fork


def _check_fork() -> None:
    """Raise UsageError in a process that was forked after obstore was used: its threads are gone, and it would hang."""
    _process_ids.add(os.getpid())
    if len(_process_ids) > 1:
        raise UsageError("obstore was used before this process was forked: start it with 'spawn', or fork before")


def _version_in(facts: Any) -> Version:
    return {name: facts[name] for name in ("e_tag", "version") if facts[name] is not None}


def store_error(key: str, action: str, cause: Exception) -> SinkError:
    """Return the SinkError for an action of a store that failed."""
    kind = next(kind for kind in _ADVICE if isinstance(cause, kind))
    advice, errno = _ADVICE[kind]
    reason = clean(str(cause).partition("\n")[0], 300) or type(cause).__name__
    return SinkError(f"cannot {action} {quoted(key)}: {reason}; {advice}", path=key, errno=errno)


def checked_prefix(prefix: object) -> str:
    """Return a prefix with "/" at its end, or "" for none. Raises UsageError if it cannot begin a key."""
    names = prefix.strip("/").split("/") if isinstance(prefix, str) else []
    is_plain = all(name not in ("", ".", "..") and name == printable(name) for name in names)
    if prefix == "" or (names == [""] and prefix):
        return ""
    if not names or not is_plain:
        raise UsageError(
            f"prefix is a str such as 'jobs/otter-7', without empty parts, '.' and '..', not {shorten(prefix)}"
        )
    return "/".join(names) + "/"
