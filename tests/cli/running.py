"""Streams for the tests of the commands, and ways to run a command as a user does.

Must not know: the expected facts of a test.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import samples

FINAL = samples.png(5, 4)


JPEG = samples.picture("JPEG")


WHOLE = [
    samples.created(seq=0),
    samples.call("generating", seq=3),
    samples.partial(index=0, seq=4),
    samples.partial(index=1, seq=5),
    samples.done(content=FINAL, seq=6),
    samples.snapshot("completed", [samples.member(content=FINAL)], seq=7),
]


PROVISIONAL = [samples.partial(), samples.call("completed")]


PARTIALS_ONLY = [samples.partial()]


REFUSAL = [samples.created(), samples.snapshot("completed", [{"type": "message", "content": []}])]


FAILED = [
    samples.added(),
    samples.error("server_error", "it broke"),
    samples.snapshot("failed", error={"code": "server_error"}),
]


BAD_PICTURE = [samples.partial(content="..."), samples.snapshot("completed")]


CODES: dict[str, tuple[int, bytes]] = {
    "every final": (0, samples.sse(WHOLE)),
    "an Images API answer": (0, samples.sse([samples.image_completed(FINAL)])),
    "a provisional final": (3, samples.sse(PROVISIONAL)),
    "partials only": (3, samples.sse(PARTIALS_ONLY)),
    "incomplete": (3, samples.sse([samples.partial(), samples.snapshot("incomplete", reason="content_filter")])),
    "a final and an incomplete one": (3, samples.sse([samples.done(content=FINAL), samples.partial("ig_2")])),
    "a final and a bad picture": (
        3,
        samples.sse([samples.done(content=FINAL), *BAD_PICTURE[:1], samples.partial("ig_2")]),
    ),
    "a refusal": (4, samples.sse(REFUSAL)),
    "another kind of stream": (4, samples.sse([{"type": "message_start"}, {"type": "ping"}])),
    "a failure": (5, samples.sse(FAILED)),
    "a failure without an item": (5, samples.sse([samples.error()])),
    "a final and a failure": (5, samples.sse([samples.done(content=FINAL), samples.done("ig_2", status="failed")])),
    "a failure and an incomplete one": (5, samples.sse([samples.partial(), samples.done("ig_2", status="failed")])),
    "an answer that says only error": (5, b'{"error": {"message": "no", "code": "x"}}'),
    "nothing": (6, b""),
    "white space": (6, b" \n\n"),
    "a byte order mark": (6, b"\xef\xbb\xbf"),
    "HTML": (6, b"<!DOCTYPE html>\n<html>502</html>\n"),
    "a picture": (6, FINAL),
    "broken JSON": (6, b'{"type": "response.completed", "response": {'),
    "broken events": (6, b"data: {\n\ndata: [\n\n"),
    "bad pictures": (6, samples.sse(BAD_PICTURE)),
    "bad pictures and a failure": (6, samples.sse([*BAD_PICTURE[:1], samples.error()])),
    "a picture cut short": (6, samples.sse([samples.done(content=FINAL[:-1])])),
    "pictures of no item": (
        6,
        samples.sse([samples.partial(None, output_index=None), samples.done(None, FINAL, output_index=None)]),
    ),
    "words of no item": (
        4,
        samples.sse(
            [
                samples.call("generating", None, output_index=None),
                samples.done(None, output_index=None),
                samples.partial(None, content="", output_index=None),
            ]
        ),
    ),
    "a picture of no item and a final": (
        0,
        samples.sse([samples.partial(None, output_index=None), samples.done(content=FINAL)]),
    ),
}


def environment(**more: str) -> dict[str, str]:
    left_out = ("NO_COLOR", "FORCE_COLOR", "PYTHONUNBUFFERED", "COLUMNS", "PYTHONIOENCODING")
    return {name: value for name, value in os.environ.items() if name not in left_out} | more


def command_line(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "imgassemble", *map(str, arguments)]


def run(
    *arguments: str | Path, env: dict[str, str] | None = None, encoding: str = "utf-8", **options: Any
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command_line(*arguments),
        capture_output=True,
        env=env or environment(),
        encoding=encoding,
        check=False,
        **options,
    )


def stream_file(folder: Path, events: Sequence[samples.Wire] | bytes, name: str = "stream.sse") -> Path:
    path = folder / name
    path.write_bytes(events if isinstance(events, bytes) else samples.sse(events))
    return path


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def pictures_in(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in files_in(folder).items() if not name.endswith("item.json")}
