"""Write docs/own_front_end.md from the programs in docs/own_front_end: `python docs/own_front_end.py`."""

from pathlib import Path

HERE = Path(__file__).parent / "own_front_end"

TEXT = """\
# Your own front end

`create_app` has a page. Your own page can show the same streams: it reads `events` and loads the addresses that these name. A
page of 35 lines is enough, with or without React; a test runs both in a browser. Use the page of `create_app` if it is enough, and
[an event stream of your own](web_back_end.md) if one request makes one picture.

## The application: `app.py`

Your page and the events have one origin: other origins get a 403. In this application, `create_app` is mounted at `/pictures`. With
FastAPI, use `app.mount("/pictures", create_app(gallery, authorize=everyone))`. `authorize` decides which streams a viewer
may see.

```python
{app}```

Save it, and the page below beside it. With these lines at the end of `app.py` there is something to see. `uvicorn app:app` shows it
at http://127.0.0.1:8000/.

```python
from imgassemble import assemble
from imgassemble.simulator import Order, play

assemble(play(Order(prompt="an otter")).body, on_update=gallery.add("an otter"))
```

## Without a framework: `vanilla.html`

```html
{vanilla}```

## With React: `react.jsx`

```jsx
{react}```

`npm install react react-dom esbuild` and `npx esbuild react.jsx --bundle --jsx=automatic --outfile=react.js` make a script for a page
with `<main></main>` and, behind it, `<script src="react.js"></script>`.

## The routes

| route | answer |
|---|---|
| `events` | server-sent events, without end; 503 with `retry-after` if there are too many viewers |
| `frames/{{key}}/{{number}}.png` | a frame, byte for byte as it was received; the suffix is that of its format |
| `frames/{{key}}/{{number}}-small` | a WebP of at most 512 pixels; an animation, a drawing and a small file come as they are |

- The addresses in events are relative to the place where `create_app` is mounted.
- A number of a key is given once, so that a browser may keep a frame forever. `etag` and `cache-control` say so.
- The `key` of a stream cannot be guessed, and `authorize` is asked for each frame, too.
- A frame is a 404 as soon as its item does not list it any more.

## The events

Each has a name, and one line of JSON as its data. The name of a stream is in `stream`.

| event | facts |
|---|---|
| `hello` | `is_new`: discard what you have, because everything follows. `now_s`: the present time of the gallery in seconds |
| `gone` | only `stream`: it was removed, with its items and frames |
| `stream` | `title`, `number` (a newer stream has a higher one), `began_s`, `size`, `outcome`, `kind`, `caption`, `error`, `anomalies` |
| `frame` | `number`, `item` (the number of its item), `url`, `small_url`, `index`, `is_final`, `format`, `size`, `bytes` |
| `item` | `number`, `id`, `frames`, `state`, `kind`, `caption`, `has_final`, `has_ended`, `is_provisional`, `error`, … |
| `seen` | nothing: a batch of changes is complete. Its id is the position from which the browser goes on |

- `frames` of an item are the numbers of its frames: the previews by index, then the final. Show the last one. Each was sent as a
  `frame` of the stream before. Forget those that the item does not list any more.
- `kind` is `waiting`, `preview`, `final`, `draft`, `failed` or `blocked`. A blocked item has no frames. A `draft` is no result.
- The `kind` of a stream stays `waiting`, also when it has completed, unless it failed and no item shows the failure. So show the
  `caption` of a stream while it has no items, or if its `kind` is another one.
- `stream` and `item` hold all facts as they are now, and replace what you have. `outcome` is null until the stream ends.
- `caption` is one line of text for a person. `error` and `anomalies` are for a developer.
- Text comes from services and users: put it on the page as text, never as HTML.
- `preview_s` and `final_s` are seconds since the stream began. While you wait, they are `now_s - began_s` and your own clock.
- A lost connection: `EventSource` connects again by itself with the last position, and receives what has changed since. After an
  answer that is no event stream, as a 503, it gives up: make another one after some seconds.
- A slow browser receives the facts as they are when it is ready for them: there can be fewer `item` events than previews.
"""


def main() -> None:
    Path(__file__).with_suffix(".md").write_text(page())


def page() -> str:
    """Return the whole page."""
    names = {"app": "app.py", "vanilla": "vanilla.html", "react": "react.jsx"}
    return TEXT.format(**{field: (HERE / name).read_text() for field, name in names.items()})


if __name__ == "__main__":
    main()
