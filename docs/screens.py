"""Write docs/screens.md from the programs in docs/screens: `python docs/screens.py`."""

import json
from pathlib import Path

HERE = Path(__file__).parent

TEXT = """\
# Screens

A screen is slower than a stream: it decodes, scales, and waits for its window. A stream waits while its listener runs, so a
listener that draws delays the stream; and a listener that draws in another thread may show an old preview after the final.
imgassemble solves both once, in the listener `Refresher`. All screens are built on it.

A test runs the programs of this page unchanged against the simulator, each with its real host. Only the address and the key come from environment variables, so that the programs run
[without a key](../README.md#without-a-key), too.

| host | use | result |
|---|---|---|
| a terminal | `TerminalScreen()` | pictures; without a terminal a line for each change |
| Tk | `TkScreen(parent)` | a widget |
| Qt | `QtScreen(parent)` | a widget |
| a notebook | `JupyterScreen()` | one output of the cell, updated in place |
| asyncio | `LoopScreen(show)` | `show` is called with painted pictures on the event loop |
| another host | a subclass of `Screen` | its `show` is called with painted pictures |
| no pictures needed | `Refresher(callback)` | `callback` is called with updates |

The screens are in `imgassemble.screens`. Each shows a placeholder first, then previews, then the final. While a screen waits,
it counts the seconds, also if no event comes. A preview that is left without a final is called a draft, and the caption of a
failure gives the reason in the words of the service: an error in the stream, an answer such as 400, 429 or 500, or a connection
that breaks. The last preview of an image that failed is shown without colours. If the service blocks an image
(`ProviderError.is_blocked`), its previews are hidden, and the caption says why. Open the stream in a function, as the programs
do: then the screen also shows an error that comes before the first event. An SVG drawing has no pixels: a notebook
shows it inside `<img>`, the other screens show a placeholder with a sentence. Hosts with their own queue, such as Streamlit and
Gradio, need no screen: a loop over the updates is enough.

## The Refresher

{refresher}

- The call returns at once, so the stream is never delayed. `callback` runs in the Refresher's own thread, one call at a time.
  A coroutine function is awaited on the event loop on which the Refresher was made or on which its first update arrived.
- The latest preview wins: a newer preview of an item replaces the one that waits. `policy="all"` shows every partial.
- `min_interval_s` is the least time between two previews, in seconds.
- Finals, withdrawals and ends are never skipped while the callback keeps returning. With "latest" they wait only for the call
  that is running, and no preview of an item follows its final. With "all" everything is shown in the order of arrival, so a
  final waits for all previews before it.
- `prepare` is called with the update in the Refresher's thread, for example to decode the picture. Its result is the second
  argument of the callback.
- `note` is called with each update in the thread that feeds it, also with one that is skipped.
- `dispatch` makes the call in the thread of the window: `loop.call_soon_threadsafe`, the `emit` of a Qt signal, the `put` of
  a queue that Tk polls. At most one call waits there.
- Leaving the `with` block waits until the last update was shown. After ten seconds the waiting previews are skipped, and then
  the finals and ends are shown. A single call that takes ten seconds is abandoned, with all updates behind it.
  `close(timeout_s)` and `await aclose(timeout_s)` take another number of seconds, and return False if something was not shown:
  because the time was over, the event loop of the callback ended, `prepare` or `dispatch` raised, or an update came too late.
- `abandon()` ends it at once, for example because its window was closed.
- The previews that wait when the service blocks their image are skipped.
- In a process that was forked, a Refresher or screen of the parent raises a UsageError: make a new one there.
- On an event loop use `async with`. If the callback is a coroutine function, or if there is a `dispatch`, a plain `with` would
  block the loop that it waits for, and is a UsageError.
- `clock` returns the seconds for `min_interval_s`. A test can pass a manual clock, and call `refresher.wake()` after a change.
- An exception of the callback is logged, and the next updates are shown. `refresher.shown` and `refresher.skipped` are counts.

{chapters}
"""
# The title and the program of each chapter, and the notes below the programs.
PROGRAMS = (
    ("", "with_refresher.py"),
    ("A terminal", "with_terminal.py"),
    ("Tk", "with_tk.py"),
    ("Qt", "with_qt.py"),
    ("A notebook", "with_jupyter.ipynb"),
    ("asyncio", "with_asyncio.py"),
    ("A screen of your own", "own_screen.py"),
    ("FastAPI", "with_fastapi.py"),
    ("Streamlit", "with_streamlit.py"),
    ("Gradio", "with_gradio.py"),
    ("Discord", "with_discord.py"),
)
NOTES = {
    "with_jupyter.ipynb": "A cell ends after everything is shown, so that an executed notebook contains the finals. "
    "`async with` waits without blocking the kernel. Without a `width` the notebook holds the bytes as received. "
    "After the stop button the last preview is marked as a draft. A cell that ends with `result` shows the pictures of a "
    "stream as a strip with captions; one that ends with `film.inline_films(result)` shows [films](films.md).",
    "with_asyncio.py": "Pictures are decoded in a thread and never on the loop. While `show` awaits, previews are skipped.",
    "own_screen.py": "`show` receives a `Shown`: `image` is a Pillow image (RGB or RGBA, at most `size`), `tile.item_id` names "
    "the item, `tile.kind` is a `Kind` (`WAITING`, `PREVIEW`, `FINAL`, `DRAFT`, `FAILED`, `BLOCKED`), `tile.caption` is one line of text, "
    "and `tile.frame` is the received frame. `show` runs in the screen's own thread; pass `dispatch=` to run it in the thread "
    "of a window, or make it a coroutine function and enter the screen with `async with`. Define `end(self, outcome)` to learn "
    "that all of a stream was shown, and `count_seconds(self, seconds)` to show how long the screen has waited.",
    "with_fastapi.py": "`pip install 'fastapi[standard]' openai`, and `fastapi dev with_fastapi.py`. The page is at http://127.0.0.1:8000/pictures/, and "
    "`curl -X POST 'http://127.0.0.1:8000/draw?prompt=an+otter'` asks for a picture. The events of the page hold no pixels. "
    "A slow browser delays nothing: it loads the newest picture that it knows of, and cancels an older one. "
    "[In a web back end](web_back_end.md) shows an event stream of your own, users, time-outs and storage.",
    "with_streamlit.py": "Streamlit sends the newest picture of a place to the browser, and drops those before it. "
    "It would encode bytes as JPEG; a URL stays unchanged.",
    "with_gradio.py": "Gradio encodes the shown pictures again: save the received bytes with `result.final.save`.",
    "with_discord.py": "The program edits one message through the webhook of a channel. In a bot, `message.edit` is the same.",
}


def main() -> None:
    Path(__file__).with_suffix(".md").write_text(page())


def page() -> str:
    """Return the whole page."""
    (_, first), *rest = PROGRAMS
    available = [(title, name) for title, name in rest if (HERE / "screens" / name).exists()]
    chapters = "\n\n".join(f"## {title}\n\n{_program(name)}" for title, name in available)
    return TEXT.format(refresher=_program(first), chapters=chapters)


def _program(name: str) -> str:
    text = (HERE / "screens" / name).read_text()
    blocks = _cells(text) if name.endswith(".ipynb") else [f"```python\n{text}```"]
    return "\n\n".join([*blocks, *filter(None, [NOTES.get(name)])])


def _cells(notebook: str) -> list[str]:
    """Return the cells of a notebook as Markdown blocks."""
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(notebook)["cells"]]
    return [f"```python\n{source}\n```" if kind == "code" else source for kind, source in cells]


if __name__ == "__main__":
    main()
