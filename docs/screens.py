"""Draws docs/screens.md from the programs in docs/screens: `python docs/screens.py`."""

import json
from pathlib import Path

HERE = Path(__file__).parent

TEXT = """\
# Screens

A screen is slower than a stream: it decodes, it scales, it waits for its window. What a listener does, the stream waits for;
and where it is handed to a thread without care, an old preview is shown after the final. So imgassemble has one listener that
takes the care, the `Refresher`, and screens that are built on it.

This page is drawn by `python docs/screens.py` from programs that a test runs unchanged against the simulator, each with its
real host; only the address and the key are in the environment.

| where | what to use | what is shown |
|---|---|---|
| a terminal | `TerminalScreen()` | pictures, or a line for each change where there is no terminal |
| Tk | `TkScreen(parent)` | a widget |
| Qt | `QtScreen(parent)` | a widget |
| a notebook | `JupyterScreen()` | one output of the cell, updated in place |
| asyncio | `LoopScreen(show)` | whatever `show` does with a painted picture, on the loop |
| anything else | `Refresher(callback)` | whatever `callback` does with an update |

The screens are in `imgassemble.screens`. Each shows a placeholder at first, then previews, then the final; a draft for which
no final came is called a draft, and a failure says why. A host that keeps its own queue, as Streamlit and Gradio do, needs
none of them: there, a loop over the updates is enough.

## The Refresher

{refresher}

- The stream is never held up: the call returns at once, and `callback` runs in a thread of the Refresher's own, one call at
  a time. A coroutine function is awaited on the event loop on which the Refresher was made or an update came.
- The latest wins: a preview that waits is replaced by the newer one of its item. `policy="all"` shows every partial.
- `min_interval_s` keeps two previews that many seconds apart.
- What is owed is shown: finals, withdrawals, ends; they are not dropped while the callback returns. With "latest" they wait
  for the call under way and for nothing else, and no preview of an item comes after its final. With "all" everything comes in
  the order told, so a final comes after all previews before it, each an interval after the other.
- `prepare` is called with the update in the Refresher's thread, to decode the picture there; what it gives is the callback's
  second argument.
- `dispatch` has the call made where the window lives: `loop.call_soon_threadsafe`, a Qt signal's `emit`, the `put` of a queue
  that Tk polls. At most one call waits there.
- Leaving the `with` block waits until the last update has been shown. After ten seconds the previews that still wait are
  skipped, and what is owed is shown, last; only behind a call that lasts ten seconds by itself all is given up.
  `close(timeout_s)` and `await aclose(timeout_s)` set other seconds, and say whether all was shown.
- On an event loop it is `async with`: where the callback is a coroutine function or there is a `dispatch`, a plain `with` would
  wait for the loop that it holds up, and is a UsageError.
- `clock` gives the seconds for `min_interval_s`. A test sets one by hand, and calls `refresher.wake()` to have it asked again.
- What raises is logged, and the rest is shown. `refresher.shown` and `refresher.skipped` count.

{chapters}
"""
# The title and the program of each chapter; what stands below it.
PROGRAMS = (
    ("", "with_refresher.py"),
    ("A terminal", "with_terminal.py"),
    ("Tk", "with_tk.py"),
    ("Qt", "with_qt.py"),
    ("A notebook", "with_jupyter.ipynb"),
    ("asyncio", "with_asyncio.py"),
    ("FastAPI", "with_fastapi.py"),
    ("Streamlit", "with_streamlit.py"),
    ("Gradio", "with_gradio.py"),
    ("Discord", "with_discord.py"),
)
NOTES = {
    "with_jupyter.ipynb": "A cell ends when all is shown, so that a notebook that is executed as a whole holds the finals; "
    "`async with` waits without holding up what else runs in the kernel. Without a `width` the notebook holds the bytes as they were received. The stop button leaves a draft, "
    "and it is called one.",
    "with_asyncio.py": "Pictures are decoded in a thread and never on the loop; while `show` awaits, previews are skipped.",
    "with_fastapi.py": "The events are facts without pixels, some 500 bytes for an item and 400 for each of its frames, so a slow "
    "browser holds nothing up: it loads the picture that it was told of last, and drops the one under way.",
    "with_streamlit.py": "Streamlit sends a browser the newest picture of a place, and drops what it supersedes. "
    "Of bytes it would make a JPEG; a URL stays what it is.",
    "with_gradio.py": "Gradio re-encodes what it shows: keep the bytes with `result.final.save`, not what a browser gives back.",
    "with_discord.py": "One message, edited by a channel's webhook; in a bot, `message.edit` is the same.",
}


def main() -> None:
    Path(__file__).with_suffix(".md").write_text(page())


def page() -> str:
    """The whole page."""
    (_, first), *rest = PROGRAMS
    there = [(title, name) for title, name in rest if (HERE / "screens" / name).exists()]
    chapters = "\n\n".join(f"## {title}\n\n{_program(name)}" for title, name in there)
    return TEXT.format(refresher=_program(first), chapters=chapters)


def _program(name: str) -> str:
    text = (HERE / "screens" / name).read_text()
    blocks = _cells(text) if name.endswith(".ipynb") else [f"```python\n{text}```"]
    return "\n\n".join([*blocks, *filter(None, [NOTES.get(name)])])


def _cells(notebook: str) -> list[str]:
    """The cells of a notebook as blocks."""
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(notebook)["cells"]]
    return [f"```python\n{source}\n```" if kind == "code" else source for kind, source in cells]


if __name__ == "__main__":
    main()
