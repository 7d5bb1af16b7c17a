"""One producer of a gallery on Redis, as a process of its own that can be killed. It imports little."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import openai

from imgassemble import Cursor, StreamTakenError
from imgassemble.web import RedisGallery


def opener(service_url: str, prompt: str) -> Any:
    """Return a function that opens a response of the service in the background, or goes on with it."""
    client = openai.OpenAI(base_url=f"{service_url}/v1", api_key="-", max_retries=0)

    def open_stream(cursor: Cursor) -> Any:
        if cursor.response_id is None:
            tools: Any = [{"type": "image_generation", "partial_images": 3}]
            return client.responses.create(model="gpt-5", input=prompt, stream=True, background=True, tools=tools)
        number = None if cursor.sequence_number is None else int(cursor.sequence_number)
        if number is None:
            return client.responses.retrieve(cursor.response_id, stream=True)
        return client.responses.retrieve(cursor.response_id, stream=True, starting_after=number)

    return open_stream


def produce(redis_url: str, service_url: str, name: str, path: str, lease_s: float) -> None:
    """Make one stream, and write the digest of its result to `path`. The process ends with 3 if it was taken over."""
    gallery = RedisGallery(redis_url)
    while True:
        try:
            with gallery.produce(name, lease_s=lease_s, renew_s=lease_s / 5) as making:
                result = making.assemble(opener(service_url, name))
            break
        except StreamTakenError as error:
            if error.result is not None:
                sys.exit(3)
        time.sleep(0.05)
    done = Path(f"{path}.{os.getpid()}")
    done.write_text(result.require_final().sha256)
    done.rename(path)
