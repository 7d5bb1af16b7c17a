"""Write docs/web_back_end.md from the programs in docs/web_back_end: `python docs/web_back_end.py`."""

from pathlib import Path

HERE = Path(__file__).parent / "web_back_end"

TEXT = """\
# In a web back end

A browser asks for a picture, sees previews, and gets the result. This is a whole back end with its own server-sent
events. A test runs it unchanged against the simulator, with a real server; only the address, the key and the time-out come from
environment variables. If the live page of imgassemble is enough, mount it instead: [FastAPI](screens.md#fastapi) takes five lines.

Save the three parts below as `app.py`, `archive.py` and `page.html` in one folder. `imgassemble` is installed from a clone
(`pip install '.[web]'`). These lines run the application against the simulator, without a key:

```sh
pip install fastapi itsdangerous openai
imgassemble simulate --serve 8080 &
OPENAI_BASE_URL=http://127.0.0.1:8080/v1 OPENAI_API_KEY=any uvicorn app:app
```

The page is then at http://127.0.0.1:8000/.

## The application: `app.py`

```python
{app}```

- **One client for the application.** It holds the pool of connections. `lifespan` opens it and closes it.
- **Users by session.** A picture has a key that cannot be guessed, and only its user gets it.
- **The call is not awaited** before `aiter_updates`: the awaitable is opened inside. So a refusal (400, 429, 500) is an end of the
  stream like any other, and `assembler.result` has its error.
- **The browser disconnects.** The server then closes the generator, `async with` closes the stream of the service, and the service stops
  sending. Whether it also stops charging depends on the service.
- **Time-outs.** `asyncio.wait_for(anext(updates), …)` ends a silence and loses nothing. `AsyncOpenAI(timeout=…)` bounds the connection.
- **Moderation.** `error.is_blocked` is true if the service refused the picture. The previews of a refused picture are hidden.
- **Work that takes long** (encoding, the database) runs in a thread, so that other users do not wait.
- **Logging.** The logger `imgassemble` writes one line of INFO at the end of each stream, a WARNING for the first anomaly of each
  kind, and each update at DEBUG. No line holds base64.

## A sink of your own: `archive.py`

```python
{archive}```

`ArchiveSink` is also a sink of `aassemble`, which calls sinks in a thread:

```python
result = await aassemble(stream, sinks=[archive.sink(user, prompt)])
```

A sink that raises is a `SinkError` at the end, with the result. The pictures that it stored before stay.

## The page: `page.html`

```html
{page}```

An `EventSource` connects again after a lost connection, and would order another picture: the page closes it at the end and after
an error.

## Several processes

Each worker process has its own streams, and the answer to a request comes from one of them. Nothing here is shared except the
database, so any number of workers is fine. Sessions need the same `SESSION_KEY` in all of them.

## The live page and the end of the server

The event streams of `create_app` end when uvicorn or hypercorn stops or reloads. For a server in a thread, call `gallery.close()`
first. Your own event streams end with their picture. A server that must stop at once cuts them after its own time-out:
`uvicorn --timeout-graceful-shutdown 5`.
"""


def main() -> None:
    Path(__file__).with_suffix(".md").write_text(page())


def page() -> str:
    """Return the whole page."""
    names = {"app": "app.py", "archive": "archive.py", "page": "page.html"}
    return TEXT.format(**{field: (HERE / name).read_text() for field, name in names.items()})


if __name__ == "__main__":
    main()
