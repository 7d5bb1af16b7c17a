"""Write docs/engines.md from the programs in docs/engines: `python docs/engines.py`."""

from pathlib import Path

HERE = Path(__file__).parent

TEXT = """\
# Engines, URLs, and streams without pictures

A test runs the programs of this page unchanged: against the simulator, and with a pipeline that stands in for a model. Only
addresses come from environment variables. `imgassemble simulate --serve 8188` imitates the engines: with
`ENGINE_URL=http://127.0.0.1:8188` the programs for AUTOMATIC1111 and ComfyUI run without one.

## Pictures from your own process: diffusers, mflux

`Picture(item_id, data, index, is_final)` is an event. `data` is the bytes of a file or a Pillow image. So a pipeline in your own
process can use every screen, sink and page. This program shows the previews in the terminal and on a page:

```python
{with_diffusers}```

- `index` numbers the previews from 0. Without it, they count in the order of their arrival.
- The pipeline waits while a screen in the same thread draws; `TerminalScreen` and the page return at once.
- `pipeline.vae` decodes exactly and slowly. A `TinyAutoencoder` (TAESD) decodes a preview in milliseconds.
- mflux writes `seed_S_stepN.png` with its `StepwiseHandler`: feed `Picture("otter", path.read_bytes(), index=n)`.

## AUTOMATIC1111, Forge, SD.Next, Fooocus

These engines must be asked for their progress. `polled_events(ask, interval_s=0.5)` calls `ask` until it returns the results,
an error, or None. After the end of the job it calls `ask` 20 times more, because the results can still be on their way. The same
preview twice is one. `item.settings` has `percent` and `eta_s`.

```python
{with_automatic1111}```

- `ask` may be an async function for `aassemble`. Another function runs in a thread there.
- The previews of a job with several images belong to `image-0`, because the engine does not name them; the results are
  `image-0`, `image-1`, ….
- For Fooocus-API, ask for `/v1/generation/query-job?job_id=…&require_step_preview=true`.

## ComfyUI

`comfyui_events(messages, view_url)` takes the messages of the websocket, sync or async. The first message of the program below
lets the server name the prompt of each preview. Start the server with `--preview-method auto`, or it sends no previews.

```python
{with_comfyui}```

- The item of a prompt has the prompt's id; further pictures of the prompt are `PROMPT/1`, `PROMPT/2`, ….
- A `SaveImageWebsocket` node sends its picture through the websocket, so that no `view_url` and no `fetch` are needed.
- A websocket stays open: leave the loop, or call `assembler.stop()` in a listener.

## Pictures at a URL

Some services send a URL in place of a picture. It is in `item.url`, the item is incomplete, and nothing is fetched unless you
pass `fetch`, a function that takes the URL and returns the bytes:

```python
from imgassemble import assemble
from imgassemble.streams import fetch_https

result = assemble(stream, fetch=fetch_https)
```

- The picture then is the result of the item, also after the end of its response. The stream waits meanwhile. A URL in place of
  a preview is not fetched.
- If that fails, the item has an anomaly `not_fetched` with the reason, keeps its `url`, and stays incomplete.
- For `aassemble` and `aiter_updates`, `fetch` may be an async function. Another function runs in a thread.
- `fetch_https` takes https on port 443 only, and connects to the address that it has checked: no private, loopback, link-local,
  multicast or IPv4-mapped one. Each redirect is checked again. It sends no credentials or cookies, and uses no proxy. Size and
  time are bounded, and the bytes must be a picture.
- For an engine on your own machine or network pass a function of your own, as the program for ComfyUI does.
- `imgassemble save SOURCE -o DIR --fetch` does the same with `fetch_https`.

## Streams without pictures: logs, cassettes, bug reports

`imgassemble strip SOURCE > events.jsonl` prints the events with `{{"sha256": "…"}}` in the place of each picture: megabytes
become kilobytes. Prompts, ids and texts stay in: read the file before you send it with a bug report. In Python:

```python
import json

from imgassemble import DirectorySink, assemble, open_events, with_pictures, without_pictures

source = "fixtures/openai-2025-10-png.sse"
assemble(open_events(source), sinks=[DirectorySink("otter")])
events = [json.dumps(event) for event in without_pictures(open_events(source))]

states = assemble(map(json.loads, events))  # the states are right, without frames
result = assemble(with_pictures(map(json.loads, events), "otter"))  # the frames are back
print(states.outcome, states.finals, result.final)
```

```text
completed () <Frame result, PNG 96x64, 3,343 bytes>
```

A cassette of pytest-recording becomes small with this filter. A test that replays it sees all states and no frames;
`with_pictures` puts them back:

```python
import json

import pytest
from imgassemble import without_pictures


def strip_body(response):
    body, headers = response["body"]["string"], response["headers"]
    events = [event for event in without_pictures([body]) if isinstance(event, dict)]
    if "text/event-stream" in str(headers):
        body = "".join(f"data: {{json.dumps(event)}}\\n\\n" for event in events).encode()
    elif len(events) == 1:
        body = json.dumps(events[0]).encode()
    kept = {{name: value for name, value in headers.items() if name.lower() != "content-length"}}
    return {{**response, "body": {{"string": body}}, "headers": kept}}


@pytest.fixture(scope="module")
def vcr_config():
    return {{"before_record_response": strip_body}}
```
"""


def page() -> str:
    """Return the page with its programs."""
    return TEXT.format(**{path.stem: path.read_text() for path in sorted((HERE / "engines").glob("*.py"))})


if __name__ == "__main__":
    (HERE / "engines.md").write_text(page())
