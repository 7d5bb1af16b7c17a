import sqlite3
from contextlib import closing
from secrets import token_urlsafe

from imgassemble import FinalReady, FinalWithdrawn


class Archive:
    """The results of all users in a database. With S3, `put` is `client.put_object(Bucket=…, Key=…, Body=…)`."""

    def __init__(self, path):
        self._path = path
        with closing(self._connect()) as database, database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS pictures (key PRIMARY KEY, user, prompt, mime_type, sha256, data)"
            )

    def sink(self, user, prompt):
        return ArchiveSink(self, user, prompt)

    def put(self, key, user, prompt, frame):
        row = (key, user, prompt, frame.mime_type, frame.sha256, frame.data)
        with closing(self._connect()) as database, database:
            database.execute("REPLACE INTO pictures VALUES (?, ?, ?, ?, ?, ?)", row)

    def remove(self, key):
        with closing(self._connect()) as database, database:
            database.execute("DELETE FROM pictures WHERE key = ?", (key,))

    def get(self, key, user):
        """Return (data, mime_type) of a picture of this user, or None."""
        with closing(self._connect()) as database:
            query = "SELECT data, mime_type FROM pictures WHERE key = ? AND user = ?"
            return database.execute(query, (key, user)).fetchone()

    def _connect(self):
        return sqlite3.connect(self._path, timeout=30)


class ArchiveSink:
    """A sink: `assemble(stream, sinks=[archive.sink(user, prompt)])` stores the result."""

    def __init__(self, archive, user, prompt):
        self._archive, self._user, self._prompt = archive, user, prompt
        self.key = token_urlsafe(18)

    def open(self, assembler):
        pass

    def __call__(self, update):
        match update:
            case FinalReady(frame=frame, is_provisional=False):
                self._archive.put(self.key, self._user, self._prompt, frame)
            case FinalWithdrawn():  # a later message of the service called the picture failed
                self._archive.remove(self.key)

    def close(self):
        pass
